"""Bills: every charge of a sponsored account once, up to a month's end in its zone, less what was refunded."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import orjson
import pytest

from ledger.billing import issue, month_of
from ledger.errors import NotFound
from ledger.records import Bill
from ledger.verify import verify
from messages.events import FURTHER_EVENTS
from messages.reasons import Reason
from tests import builders as a
from tests.desk import LedgerDesk

MARCH, APRIL, MAY = date(2026, 3, 1), date(2026, 4, 1), date(2026, 5, 1)


def asked(type_: str, **data: Any) -> dict[str, Any]:
    return {"type": type_, "data": data}


def confirmed(bill: str, by: str = "shop") -> dict[str, Any]:
    return asked("ConfirmBill", bill=bill, confirmed_by=by)


@pytest.fixture
def shop(desk: LedgerDesk) -> LedgerDesk:
    """A reseller with 1,000 coins and a customer, carl, with an allotment of 500; it is 1 March, noon."""
    desk.do(
        a.reseller("shop"),
        a.sponsored_customer("carl", "shop"),
        a.top_up("shop", 1_000),
        asked("AllocateCredit", reseller="shop", customer="carl", amount=500),
    )
    return desk


def bill(desk: LedgerDesk, month: date, account: str = "carl") -> Bill | None:
    with desk.connection.transaction():
        return issue(desk.connection, account, month, desk.now)


def figures(desk: LedgerDesk) -> tuple[int, int]:
    """What carl and its sponsor have."""
    return desk.credit("carl"), desk.credit("shop")


def lines(desk: LedgerDesk, id_: str) -> list[int]:
    return [
        amount for (amount,) in desk.all("SELECT amount FROM bill_line WHERE bill = %s ORDER BY amount", id_)
    ]


def test_every_charge_is_billed_once(shop: LedgerDesk) -> None:
    shop.do(a.onboarding("carl", "d1", price=10))
    shop.do(asked("PlaceOrder", order="o", account="carl", kind="proxy", product="x", price=20))
    shop.later(days=31)
    shop.do(a.onboarding("carl", "d2", price=40))  # in April already

    first = bill(shop, MARCH)
    assert first is not None
    assert (first.bill, first.charged, first.refunded) == ("carl.2026-03", 30, 0)
    assert lines(shop, "carl.2026-03") == [10, 20]
    assert bill(shop, MARCH) is None

    shop.later(days=30)
    second = bill(shop, APRIL)
    assert second is not None
    assert second.charged == 40
    shop.later(days=31)
    assert bill(shop, MAY) is None


def test_a_month_ends_in_the_zone_of_the_account(desk: LedgerDesk) -> None:
    desk.do(
        a.reseller("shop"),
        a.sponsored_customer("carl", "shop", timezone="Pacific/Kiritimati"),
        a.top_up("shop", 100),
        asked("AllocateCredit", reseller="shop", customer="carl", amount=100),
    )
    desk.now = datetime(2026, 3, 31, 9, 59, 59, tzinfo=UTC)
    desk.do(a.onboarding("carl", "d1", price=1))
    desk.now = datetime(2026, 3, 31, 10, tzinfo=UTC)  # midnight there
    desk.do(a.onboarding("carl", "d2", price=2))
    march = bill(desk, MARCH)
    assert march is not None
    assert march.charged == 1


def test_a_month_that_lasts_cannot_be_billed(shop: LedgerDesk) -> None:
    shop.do(a.onboarding("carl", "d1", price=1))
    with pytest.raises(ValueError, match="2026-03 is not over in UTC"):
        bill(shop, MARCH)
    with pytest.raises(NotFound):
        bill(shop, MARCH, "nobody")


def test_nothing_is_no_bill(shop: LedgerDesk) -> None:
    shop.later(days=31)
    assert bill(shop, MARCH) is None
    assert bill(shop, MARCH, "shop") is None
    assert shop.refused(confirmed("carl.2026-03")) == Reason.BILL_NOT_FOUND


def test_a_confirmed_bill_returns_what_was_not_refunded(shop: LedgerDesk) -> None:
    charge = shop.do(a.onboarding("carl", "d1", price=100))
    shop.do(a.refund(charge, 10))
    shop.later(days=31)
    issued = bill(shop, MARCH)
    assert issued is not None
    assert (issued.charged, issued.refunded) == (100, 10)
    shop.do(a.refund(charge, 20))
    assert figures(shop) == (430, 930)

    shop.do(confirmed("carl.2026-03"))
    assert figures(shop) == (500, 930)  # 70 returned to the allotment, no coin moved
    assert shop.refused(confirmed("carl.2026-03")) == Reason.BILL_ALREADY_CONFIRMED


def test_a_refund_after_confirmation_returns_the_sponsors_coins_alone(shop: LedgerDesk) -> None:
    charge = shop.do(a.onboarding("carl", "d1", price=100))
    shop.later(days=31)
    bill(shop, MARCH)
    shop.do(confirmed("carl.2026-03"))
    assert figures(shop) == (500, 900)
    shop.do(a.refund(charge, 30))
    assert figures(shop) == (500, 930)
    shop.do(a.refund(charge))
    assert figures(shop) == (500, 1_000)
    assert shop.refused(a.refund(charge)) == Reason.REFUND_EXCEEDS_CHARGE
    assert verify(shop.connection).differences == []


def test_confirming_and_refunding_in_one_batch_count_on_each_other(shop: LedgerDesk) -> None:
    early, late = shop.do(a.onboarding("carl", "d1", price=60)), shop.do(a.onboarding("carl", "d2", price=40))
    shop.later(days=31)
    bill(shop, MARCH)
    said = shop.send(
        a.refund(early, 60), confirmed("carl.2026-03"), a.refund(late, 40), confirmed("carl.2026-03")
    )
    assert [one.data.reason for one in said] == [None, None, None, Reason.BILL_ALREADY_CONFIRMED]
    assert figures(shop) == (500, 1_000)
    assert verify(shop.connection).differences == []


def test_a_bill_whose_charges_were_all_refunded_returns_nothing(shop: LedgerDesk) -> None:
    charge = shop.do(a.onboarding("carl", "d1", price=60))
    shop.later(days=31)
    bill(shop, MARCH)
    shop.do(a.refund(charge))
    assert shop.do(confirmed("carl.2026-03")) is None
    assert figures(shop) == (500, 1_000)


def test_only_the_parent_of_a_sponsored_customer_confirms(shop: LedgerDesk) -> None:
    shop.do(
        a.enterprise("acme"), a.onboarding("carl", "d1", price=500), a.enterprise("gone"), a.closing("gone")
    )
    shop.later(days=31)
    bill(shop, MARCH)
    assert shop.refused(confirmed("carl.2026-03", "nobody")) == Reason.ACCOUNT_NOT_FOUND
    assert shop.refused(confirmed("carl.2026-03", "gone")) == Reason.ACCOUNT_CLOSED
    assert shop.refused(confirmed("none", "acme")) == Reason.BILL_NOT_FOUND
    assert shop.refused(confirmed("carl.2026-03", "acme")) == Reason.NOT_IN_HIERARCHY
    assert shop.refused(confirmed("carl.2026-03", "carl")) == Reason.NOT_IN_HIERARCHY
    shop.do(a.funding("carl", "own"))
    assert shop.refused(confirmed("carl.2026-03")) == Reason.NOT_SPONSORED


def test_an_account_that_is_not_sponsored_any_more_is_not_billed(shop: LedgerDesk) -> None:
    charge = shop.do(a.onboarding("carl", "d1", price=500))
    shop.do(a.funding("carl", "own"))
    shop.later(days=31)
    assert bill(shop, MARCH) is None
    shop.do(a.funding("carl", "sponsored"))
    late = bill(shop, MARCH)
    assert late is not None
    assert late.charged == 500
    shop.do(a.refund(charge), confirmed("carl.2026-03"))
    assert figures(shop) == (500, 1_000)


def test_issuing_waits_for_whoever_charges_the_account(shop: LedgerDesk) -> None:
    shop.do(a.onboarding("carl", "d1", price=1))
    shop.later(days=31)
    shop.all("SET lock_timeout = '200ms'")
    other = LedgerDesk(shop.connection.info.dsn, partition=0)
    other.connection.execute("SELECT FROM account WHERE account = 'carl' FOR NO KEY UPDATE")
    try:
        with pytest.raises(Exception, match="lock timeout"):
            bill(shop, MARCH)
    finally:
        other.connection.rollback()
        other.close()
    assert bill(shop, MARCH) is not None


def test_a_bill_is_announced(shop: LedgerDesk) -> None:
    charge = shop.do(a.onboarding("carl", "d1", price=9))
    shop.do(a.refund(charge, 4))
    shop.later(days=31)
    bill(shop, MARCH)
    ((events,),) = shop.all("SELECT events FROM outbox ORDER BY id DESC LIMIT 1")
    route, type_, raw = events.split(b" ", 2)
    assert (route, type_) == (b"event.shop.coins.BillIssued.v1", b"coins.BillIssued.v1")
    assert FURTHER_EVENTS.validate_json(raw).data.account == "carl"
    assert orjson.loads(raw)["data"]["total"] == 5


def test_a_month_of_the_zone() -> None:
    assert month_of(date(2026, 12, 1), "Asia/Shanghai") == (
        datetime(2026, 11, 30, 16, tzinfo=UTC),
        datetime(2026, 12, 31, 16, tzinfo=UTC),
    )
