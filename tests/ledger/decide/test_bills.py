"""Bills: what returns to the allotment when they are confirmed, and that no charge is returned twice."""

from __future__ import annotations

import pytest

from ledger.numbers import transaction_of
from ledger.records import Bill, BillLine, Returned
from messages.reasons import Reason
from tests.builders import (
    closing,
    confirmation,
    distributor,
    enterprise,
    funding,
    grant,
    order,
    refund,
    refund_of_order,
    reseller,
    sponsored_customer,
    suspend,
    top_up,
)
from tests.desk import NOW, PureDesk, Said


@pytest.fixture
def desk() -> PureDesk:
    desk = PureDesk()
    desk.do(
        reseller("shop"),
        sponsored_customer("carl"),
        distributor("dist"),
        reseller("corner", "dist"),
        sponsored_customer("carla", "corner"),
        top_up("shop", 100),
        top_up("dist", 100),
        grant("carl", 100),
        grant("carla", 100, "corner"),
    )
    return desk


def bill(desk: PureDesk, customer: str, **charges: int) -> None:
    """Orders of those amounts, and the bill of February on which they stand."""
    key = desk.account(customer)["id"]
    id_ = f"{customer}.2026-02"
    for order_id, amount in charges.items():
        number = desk.do(order(order_id, customer, amount))
        transaction = transaction_of(number or "")
        desk.book.put(BillLine, transaction, BillLine(transaction or 0, id_, amount))
    total = sum(charges.values())
    desk.book.put(Bill, id_, Bill(id_, key, "2026-02", NOW, NOW, total, 0, "issued", NOW))


def credits(desk: PureDesk, *accounts: str) -> list[int]:
    return [desk.credit(one) for one in accounts]


def row(desk: PureDesk, id_: str = "carl.2026-02") -> Bill:
    found: Bill = desk.book.get(Bill, id_)
    return found


def test_what_was_billed_returns_to_the_allotment_and_not_to_the_sponsor(desk: PureDesk) -> None:
    bill(desk, "carl", o1=30, o2=20)
    assert credits(desk, "carl", "shop") == [50, 50]
    number = desk.do(confirmation())
    assert credits(desk, "carl", "shop") == [100, 50]
    line = desk.lines()[-1]
    assert (line["number"], line["type"], line["category"], line["unit"], line["amount"], line["item"]) == (
        number,
        "credit_return",
        "System",
        "allotment",
        50,
        "carl.2026-02",
    )
    assert (row(desk).status, row(desk).confirmed_by, row(desk).confirmed_at) == ("confirmed", "shop", NOW)


def test_it_returns_once(desk: PureDesk) -> None:
    bill(desk, "carl", o1=30)
    desk.do(confirmation())
    assert desk.refused(confirmation()) == Reason.BILL_ALREADY_CONFIRMED
    assert desk.credit("carl") == 100


def test_what_was_refunded_before_does_not_return_again(desk: PureDesk) -> None:
    bill(desk, "carl", o1=30, o2=20)
    desk.do(refund_of_order("o1", 10), refund_of_order("o2"))
    assert credits(desk, "carl", "shop") == [80, 80]
    desk.do(confirmation())
    assert credits(desk, "carl", "shop") == [100, 80]
    assert row(desk).refunded == 30


def test_a_refund_after_it_was_confirmed_gives_back_the_sponsors_coins_alone(desk: PureDesk) -> None:
    bill(desk, "carl", o1=30, o2=20)
    desk.do(refund_of_order("o1", 10), confirmation(), refund_of_order("o1"), refund_of_order("o2", 5))
    assert credits(desk, "carl", "shop") == [100, 85]
    assert desk.refused(refund_of_order("o1", 1)) == Reason.REFUND_EXCEEDS_CHARGE
    assert (row(desk).refunded, row(desk).charged) == (10, 50)


def test_a_charge_on_no_bill_is_given_back_to_both_whatever_was_confirmed(desk: PureDesk) -> None:
    bill(desk, "carl", o1=30)
    charge = desk.do(order("o2", "carl", 20))
    desk.do(confirmation(), refund(charge))
    assert credits(desk, "carl", "shop") == [100, 70]


def test_a_bill_that_was_refunded_in_full_is_confirmed_without_a_transaction(desk: PureDesk) -> None:
    bill(desk, "carl", o1=30)
    desk.do(refund_of_order("o1"))
    said = desk.ask(confirmation())
    assert (said.data.reason, said.data.transaction, row(desk).status) == (None, None, "confirmed")
    assert desk.refused(confirmation()) == Reason.BILL_ALREADY_CONFIRMED
    assert credits(desk, "carl", "shop") == [100, 100]


def test_of_a_second_level_resellers_customer_the_reseller_confirms(desk: PureDesk) -> None:
    bill(desk, "carla", o1=30)
    assert desk.refused(confirmation("carla.2026-02", "dist")) == Reason.NOT_IN_HIERARCHY
    said = desk.ask(confirmation("carla.2026-02", "corner"))
    assert "dist" not in shown(said)
    assert credits(desk, "carla", "dist", "corner") == [100, 70, 0]


def shown(said: Said) -> list[str]:
    return [one.account for one in said.data.accounts]


def test_nobody_else_confirms(desk: PureDesk) -> None:
    bill(desk, "carl", o1=30)
    desk.do(enterprise())
    for other in ("carl", "corner", "acme"):
        assert desk.refused(confirmation(confirmed_by=other)) == Reason.NOT_IN_HIERARCHY
    assert desk.refused(confirmation(confirmed_by="platform")) == Reason.ACCOUNT_NOT_FOUND


def test_it_returns_only_to_an_allotment(desk: PureDesk) -> None:
    bill(desk, "carl", o1=100)
    desk.do(funding("carl", "own"))
    assert desk.refused(confirmation()) == Reason.NOT_SPONSORED
    desk.do(refund_of_order("o1", 40))
    assert credits(desk, "carl", "shop") == [0, 40]
    desk.do(funding("carl", "sponsored"), confirmation())
    assert desk.credit("carl") == 60


def test_nothing_returns_to_who_is_closed(desk: PureDesk) -> None:
    bill(desk, "carl", o1=100)
    desk.do(closing("carl"))
    assert desk.refused(confirmation()) == Reason.ACCOUNT_CLOSED
    assert desk.refused(refund_of_order("o1")) == Reason.ACCOUNT_CLOSED


def test_a_return_is_an_inflow_and_no_purchase(desk: PureDesk) -> None:
    bill(desk, "carl", o1=70)
    desk.do(order("o2", "carl", 10), suspend("shop"), suspend("carl"), confirmation())
    assert (desk.credit("carl"), desk.reference("carl")) == (90, 90)


def test_all_that_comes_back_of_a_charge_never_exceeds_it(desk: PureDesk) -> None:
    bill(desk, "carl", o1=50)
    desk.do(refund_of_order("o1", 20), confirmation(), refund_of_order("o1", 30))
    transaction = next(line["number"] for line in desk.lines() if line["order"] == "o1")
    assert desk.book.get(Returned, transaction_of(transaction)).amount == 50
    allotted = [line["amount"] for line in desk.lines() if line["account"] == "carl"]
    assert allotted == [100, -50, 20, 30]
    assert credits(desk, "carl", "shop") == [100, 100]
