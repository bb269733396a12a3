"""The job that bills sponsored accounts: each month once, when it is over where the account is, however late it comes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ledger.verify import verify
from tests import builders as a
from tests.desk import LedgerDesk
from tests.workers.jobs.clockwork import Clockwork
from workers.jobs import bills
from workers.jobs.bills import issue_bills

SECOND, MICROSECOND = timedelta(seconds=1), timedelta(microseconds=1)
APRIL, MAY, JUNE, JULY, AUGUST = (datetime(2026, month, 1, tzinfo=UTC) for month in (4, 5, 6, 7, 8))


def open_shop(desk: LedgerDesk, *customers: str, **given: str) -> None:
    desk.do(a.reseller(), a.top_up("shop", 10_000))
    for customer in customers:
        desk.do(a.sponsored_customer(customer, **given), a.grant(customer, 500))


@pytest.fixture
def shop(desk: LedgerDesk) -> LedgerDesk:
    """`carl` and `dora` have allotments of 500; it is 1 March."""
    open_shop(desk, "carl", "dora")
    return desk


def charge(desk: LedgerDesk, price: int, customer: str = "carl") -> str | None:
    """Under a device of a new name."""
    return desk.do(a.onboarding(customer, f"d{desk.one('SELECT count(*) FROM device')[0]}", price=price))


def issued(desk: LedgerDesk) -> dict[str, tuple[int, int]]:
    """Of every bill what was charged, and what was refunded by then."""
    return {
        id_: (charged, refunded)
        for id_, charged, refunded in desk.all("SELECT bill, charged, refunded FROM bill ORDER BY bill")
    }


@pytest.mark.parametrize(
    ("zone", "end"),
    [
        ("UTC", APRIL),
        ("Asia/Shanghai", datetime(2026, 3, 31, 16, tzinfo=UTC)),
        ("America/New_York", datetime(2026, 4, 1, 4, tzinfo=UTC)),
    ],
)
def test_a_month_is_billed_when_it_is_over_where_the_account_is(
    desk: LedgerDesk, clockwork: Clockwork, zone: str, end: datetime
) -> None:
    open_shop(desk, "carl", timezone=zone)
    desk.now = end - MICROSECOND
    charge(desk, 30)
    desk.now = end
    charge(desk, 7)
    clockwork.run(issue_bills, now=end - SECOND)
    assert issued(desk) == {}
    clockwork.run(issue_bills, now=end)
    assert issued(desk) == {"carl.2026-03": (30, 0)}
    assert desk.one("SELECT ends_at, issued_at FROM bill") == (end, end)


def test_every_month_that_was_missed_has_a_bill_of_its_own_and_an_empty_one_has_none(
    shop: LedgerDesk, clockwork: Clockwork
) -> None:
    shop.do(a.refund(charge(shop, 10), 4))
    shop.now = APRIL
    charge(shop, 20)
    charge(shop, 5, "dora")
    shop.now = JUNE
    charge(shop, 40)
    run = clockwork.run(issue_bills, now=AUGUST, as_row=True)
    assert issued(shop) == {
        "carl.2026-03": (10, 4),
        "carl.2026-04": (20, 0),
        "carl.2026-06": (40, 0),
        "dora.2026-04": (5, 0),
    }
    assert [one.item for one in clockwork.items(run)] == list(issued(shop))
    assert clockwork.items(run)[0].detail == "10 charged, 4 of it refunded"
    assert verify(shop.connection).differences == []


def test_each_bill_is_announced_once(shop: LedgerDesk, clockwork: Clockwork) -> None:
    shop.do(a.refund(charge(shop, 10), 4))
    charge(shop, 5, "dora")
    clockwork.run(issue_bills, now=APRIL)
    carls, doras = clockwork.events()
    assert (carls.type, carls.time) == ("coins.BillIssued.v1", APRIL)
    assert carls.data.model_dump() == {
        "account": "carl",
        "top_account": "shop",
        "bill": "carl.2026-03",
        "period": "2026-03",
        "charged": 10,
        "refunded": 4,
        "total": 6,
    }
    assert doras.data.bill == "dora.2026-03"
    assert doras.id != carls.id
    clockwork.run(issue_bills, now=APRIL)
    clockwork.run(issue_bills, now=APRIL + SECOND)
    assert clockwork.events() == []


def test_nobody_is_billed_twice_even_if_the_job_forgets_how_far_it_was(
    shop: LedgerDesk, clockwork: Clockwork
) -> None:
    charge(shop, 10)
    shop.now = APRIL
    charge(shop, 20)
    clockwork.run(issue_bills, now=MAY)
    before = issued(shop)
    shop.all("DELETE FROM job_mark")
    assert clockwork.run(issue_bills, now=MAY).done == 0
    # Nor because a clock is set back
    assert clockwork.run(issue_bills, now=APRIL).done == 0
    assert issued(shop) == before == {"carl.2026-03": (10, 0), "carl.2026-04": (20, 0)}


def test_what_is_no_charge_and_who_is_not_sponsored_is_not_billed(
    shop: LedgerDesk, clockwork: Clockwork
) -> None:
    shop.do(a.grant("dora", 5), a.grant("dora", -7), a.hold("h1", "dora", 3))
    shop.do(a.branch("crew", "shop"), a.transfer("shop", "crew", 100), a.onboarding("crew", "c1", price=9))
    assert issue_bills(clockwork.begin(now=APRIL)) == "0 bills issued"
    assert (issued(shop), clockwork.events()) == ({}, [])


def test_what_is_posted_late_comes_onto_the_next_bill(shop: LedgerDesk, clockwork: Clockwork) -> None:
    """By a machine whose clock is behind: March is billed already."""
    charge(shop, 10)
    clockwork.run(issue_bills, now=APRIL)
    shop.now = APRIL - SECOND
    charge(shop, 3)
    charge(shop, 4, "dora")
    clockwork.run(issue_bills, now=MAY)
    assert issued(shop) == {"carl.2026-03": (10, 0), "carl.2026-04": (3, 0), "dora.2026-04": (4, 0)}


def test_what_is_charged_after_its_month_was_billed_ahead_of_time_comes_onto_a_later_bill(
    shop: LedgerDesk, clockwork: Clockwork
) -> None:
    # Given March and April billed, by a clock that was ahead, while it is March
    charge(shop, 10)
    clockwork.run(issue_bills, now=APRIL)
    charge(shop, 20)
    clockwork.run(issue_bills, now=MAY)
    assert issued(shop) == {"carl.2026-03": (10, 0), "carl.2026-04": (20, 0)}
    # When more is charged in March, and in April and May
    charge(shop, 1)
    for month, price in ((APRIL, 2), (MAY, 4)):
        shop.now = month
        charge(shop, price)
    # Then all of it is on the next bill
    clockwork.run(issue_bills, now=JUNE)
    assert issued(shop)["carl.2026-05"] == (7, 0)
    assert verify(shop.connection).differences == []


def test_a_month_in_which_funding_changed_is_billed_when_it_is_sponsored_again(
    shop: LedgerDesk, clockwork: Clockwork
) -> None:
    """What it bought on coins of its own in between is nobody's to bill."""
    charge(shop, 100)
    clockwork.run(issue_bills, now=APRIL)
    shop.now = APRIL
    charge(shop, 400)
    shop.do(a.funding("carl", "own"), a.top_up("carl", 60))
    clockwork.run(issue_bills, now=MAY)
    shop.now = MAY
    charge(shop, 60)
    clockwork.run(issue_bills, now=JUNE)
    assert set(issued(shop)) == {"carl.2026-03"}
    shop.now = JUNE
    shop.do(a.funding("carl", "sponsored"), a.grant("carl", 50))
    charge(shop, 50)
    clockwork.run(issue_bills, now=JULY)
    assert issued(shop) == {"carl.2026-03": (100, 0), "carl.2026-04": (400, 0), "carl.2026-06": (50, 0)}
    assert verify(shop.connection).differences == []


def test_a_dry_run_says_what_would_be_billed_and_bills_nothing(
    shop: LedgerDesk, clockwork: Clockwork
) -> None:
    charge(shop, 10)
    run = clockwork.run(issue_bills, now=APRIL, dry_run=True)
    assert [(one.item, one.detail) for one in run.items] == [("carl.2026-03", "10 charged, 0 of it refunded")]
    assert (issued(shop), clockwork.events(), shop.all("SELECT FROM job_mark")) == ({}, [], [])


def test_many_are_billed_portion_by_portion(
    desk: LedgerDesk, clockwork: Clockwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bills, "AT_ONCE", 2)
    customers = [f"c{number}" for number in range(5)]
    open_shop(desk, *customers)
    for price, customer in enumerate(customers, 1):
        charge(desk, price, customer)
    assert issue_bills(clockwork.begin(now=APRIL)) == "5 bills issued"
    assert issued(desk) == {f"{one}.2026-03": (price, 0) for price, one in enumerate(customers, 1)}


STUMBLE = (
    """
CREATE FUNCTION stumble() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE 'not this one' USING ERRCODE = '22000'; END $$""",
    "CREATE TRIGGER stumble BEFORE INSERT ON bill FOR EACH ROW WHEN (NEW.bill = 'dora.2026-04') EXECUTE FUNCTION stumble()",
)


@pytest.fixture
def own_stumbling(
    own_desk: LedgerDesk, own_database_url: str, tmp_path: Path
) -> Iterator[tuple[LedgerDesk, Clockwork]]:
    """Of three customers with something to be billed in March and April, the database refuses one bill of one."""
    open_shop(own_desk, "carl", "dora", "emma")
    for moment in (own_desk.now, APRIL):
        own_desk.now = moment
        for customer in ("carl", "dora", "emma"):
            charge(own_desk, 10, customer)
    for statement in STUMBLE:
        own_desk.all(statement)
    clockwork = Clockwork(own_desk, own_database_url, tmp_path)
    yield own_desk, clockwork
    clockwork.close()


def test_one_who_cannot_be_billed_waits_alone(own_stumbling: tuple[LedgerDesk, Clockwork]) -> None:
    desk, clockwork = own_stumbling
    run = clockwork.run(issue_bills, now=MAY, as_row=True)
    others = ["carl.2026-03", "carl.2026-04", "emma.2026-03", "emma.2026-04"]
    assert list(issued(desk)) == others
    assert [(one.item, one.outcome) for one in clockwork.items(run)] == sorted(
        [("dora", "failed"), *((bill, "done") for bill in others)]
    )
    desk.all("DROP TRIGGER stumble ON bill")
    clockwork.run(issue_bills, now=MAY + SECOND)
    assert list(issued(desk)) == sorted([*others, "dora.2026-03", "dora.2026-04"])
    assert len(clockwork.events()) == 6
