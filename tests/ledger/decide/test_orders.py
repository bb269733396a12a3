"""Orders: paid at once, later, by balance or otherwise; canceled; refunded."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ledger.records import Order
from messages.reasons import Reason
from tests.builders import (
    MONTHLY,
    adjustment,
    cancel_order,
    department,
    enterprise,
    hold,
    limit,
    methods,
    order,
    pay,
    plan,
    power_on,
    refund,
    refund_of_order,
    reversal,
    subscribe,
    suspend,
    top_up,
)
from tests.desk import NOW, PureDesk


@pytest.fixture
def desk() -> PureDesk:
    desk = PureDesk()
    desk.do(enterprise(country="DE"), department("dept"))
    return desk


def row(desk: PureDesk, id_: str = "o1") -> Order:
    found: Order = desk.book.get(Order, id_)
    return found


def moved(desk: PureDesk, account: str = "acme") -> list[tuple[str, int, int]]:
    """Type, amount and balance of every line of the account."""
    return [
        (line["type"], line["amount"], line["balance"]) for line in desk.lines() if line["account"] == account
    ]


def test_an_order_costs_the_price_for_each(desk: PureDesk) -> None:
    desk.do(top_up("acme", 100), plan("pro", "package", price=7))
    desk.do(order("a", price=None, plan="pro", quantity=3), order("b", price=5, plan="pro", quantity=2))
    assert [row(desk, one).amount for one in "ab"] == [21, 10]
    assert desk.credit("acme") == 69


def test_an_order_is_kept_as_it_was_placed(desk: PureDesk) -> None:
    given: dict[str, Any] = {"region": "DE", "nested": {"null": None, "list": [1, None, 2.5, True]}}
    desk.do(top_up("acme", 10))
    number = desk.do(
        order(kind="proxy", product="Static, DE", phone="p1", payer="li@acme.example", details=given)
    )
    found = row(desk)
    assert (found.kind, found.product, found.phone, found.payer) == (
        "proxy",
        "Static, DE",
        "p1",
        "li@acme.example",
    )
    assert json.loads(found.details or "") == given
    assert (found.status, found.created_at, found.paid_at) == ("completed", NOW, NOW)
    line = desk.lines()[-1]
    assert (line["number"], line["order"], line["item"], line["devices"], line["payer"]) == (
        number,
        "o1",
        "Static, DE",
        ["p1"],
        "li@acme.example",
    )


def test_what_cannot_be_paid_at_once_leaves_nothing_behind(desk: PureDesk) -> None:
    assert desk.refused(order()) == Reason.INSUFFICIENT_CREDIT
    assert desk.refused(pay()) == Reason.ORDER_NOT_FOUND
    desk.do(top_up("acme", 10), order())


def test_an_order_for_later_takes_nothing_and_needs_nothing(desk: PureDesk) -> None:
    desk.do(order(pay="later"))
    assert (row(desk).status, row(desk).paid_at) == ("pending_payment", None)
    assert (desk.credit("acme"), desk.account("acme")["frozen"], desk.lines()) == (0, 0, [])


def test_a_pending_order_is_paid_at_its_old_price_by_whoever_pays_then(desk: PureDesk) -> None:
    desk.do(plan("pro", "package", price=7), order(price=None, plan="pro", pay="later", payer="li"))
    desk.do(plan("pro", "package", price=70), top_up("acme", 10), pay(payer="boss"))
    assert desk.credit("acme") == 3
    assert (row(desk).status, row(desk).payer, desk.lines()[-1]["payer"]) == ("completed", "boss", "boss")


def test_another_method_books_a_recharge_and_the_charge(desk: PureDesk) -> None:
    number = desk.do(order(method="card", payer="li"))
    recharge, charge = desk.lines()
    assert moved(desk) == [("recharge", 10, 10), ("order", -10, 0)]
    assert (recharge["category"], charge["category"]) == ("Recharge", "Expense")
    assert {(line["order"], line["method"], line["payer"]) for line in (recharge, charge)} == {
        ("o1", "card", "li")
    }
    assert recharge["number"] != charge["number"] == number


def test_another_method_needs_no_available_and_changes_none(desk: PureDesk) -> None:
    bounced = desk.do(top_up("acme", 50))
    desk.do(hold(amount=40), reversal(bounced), order(method="card", price=1000))
    found = desk.account("acme")
    assert (found["credit"], found["frozen"]) == (0, 40)
    assert desk.reference("acme") == 50  # spent at once, it is no inflow that warnings count from


def test_an_order_by_another_method_is_refunded_in_coins(desk: PureDesk) -> None:
    charge = desk.do(order(method="card"))
    desk.do(refund_of_order("o1", 4), refund(charge, 5))
    assert desk.credit("acme") == 9
    assert desk.refused(refund_of_order("o1", 2)) == Reason.REFUND_EXCEEDS_CHARGE


def test_the_recharge_of_an_order_can_bounce_and_is_no_charge(desk: PureDesk) -> None:
    desk.do(order(method="card"))
    recharge = desk.lines()[0]["number"]
    assert desk.refused(refund(recharge)) == Reason.NOT_REFUNDABLE
    desk.do(reversal(recharge))
    assert desk.credit("acme") == -10


@pytest.mark.parametrize(
    ("ordered", "paid", "credit"), [("balance", "card", 30), ("card", None, 30), ("card", "balance", 20)]
)
def test_the_method_may_be_chosen_again_when_it_is_paid(
    desk: PureDesk, ordered: str, paid: str | None, credit: int
) -> None:
    desk.do(top_up("acme", 30), order(pay="later", method=ordered), pay(method=paid))
    assert desk.credit("acme") == credit
    assert row(desk).method == (paid or ordered)


def test_whoever_has_no_coins_of_its_own_pays_by_balance_only(desk: PureDesk) -> None:
    desk.do(top_up("acme", 10))
    assert desk.refused(order("a", "dept", method="card")) == Reason.SHARED_BALANCE_ACCOUNT
    assert desk.refused(order("a", "dept", method="card", pay="later")) == Reason.SHARED_BALANCE_ACCOUNT
    desk.do(order("a", "dept", pay="later"))
    assert desk.refused(pay("a", method="card")) == Reason.SHARED_BALANCE_ACCOUNT
    desk.do(pay("a"))
    assert moved(desk)[-1] == ("order", -10, 0)
    assert desk.lines()[-1]["consumer"] == "dept"


def test_the_methods_of_a_country_bind_its_accounts_alone(desk: PureDesk) -> None:
    desk.do(enterprise("beta"), enterprise("gamma", country="FR"), methods("DE", "paypal"))
    wanted = [order(one, one, method="card") for one in ("acme", "beta", "gamma")]
    assert [desk.refused(one) for one in wanted] == [Reason.PAYMENT_METHOD_NOT_AVAILABLE, None, None]
    assert desk.refused(top_up("acme", method="card")) == Reason.PAYMENT_METHOD_NOT_AVAILABLE
    assert desk.refused(top_up("acme", method="balance")) == Reason.PAYMENT_METHOD_NOT_AVAILABLE
    desk.do(order("o", method="paypal"), top_up("acme", method="paypal"))


def test_offline_and_the_balance_are_always_there_and_a_list_may_be_replaced(desk: PureDesk) -> None:
    desk.do(methods("DE"), top_up("acme", 20), order("a"), order("b", method="offline"))
    assert desk.refused(top_up("acme", method="card")) == Reason.PAYMENT_METHOD_NOT_AVAILABLE
    desk.do(methods("DE", "card"), top_up("acme", method="card"))


def test_a_method_that_has_gone_meanwhile_is_refused_when_it_is_paid(desk: PureDesk) -> None:
    desk.do(order(pay="later", method="card"), methods("DE", "paypal"))
    assert desk.refused(pay()) == Reason.PAYMENT_METHOD_NOT_AVAILABLE
    assert desk.refused(pay(method="paypal")) is None


def test_an_order_is_paid_or_canceled_once(desk: PureDesk) -> None:
    desk.do(top_up("acme", 100), order("paid", pay="later"), pay("paid"))
    desk.do(order("off", pay="later"), cancel_order("off", note="changed my mind"))
    for id_ in ("paid", "off"):
        assert desk.refused(pay(id_)) == Reason.ORDER_NOT_PAYABLE
        assert desk.refused(pay(id_, method="card")) == Reason.ORDER_NOT_PAYABLE
        assert desk.refused(cancel_order(id_)) == Reason.ORDER_NOT_CANCELABLE
    assert (row(desk, "off").status, row(desk, "off").note) == ("canceled", "changed my mind")
    assert desk.credit("acme") == 90


def test_what_was_never_charged_cannot_be_refunded(desk: PureDesk) -> None:
    desk.do(top_up("acme", 1), order("pending", pay="later"), order("off", pay="later"), cancel_order("off"))
    desk.do(power_on("run"))
    refused = [desk.refused(refund_of_order(one)) for one in ("pending", "off", "run", "none")]
    assert refused == [Reason.NOT_REFUNDABLE] * 3 + [Reason.ORDER_NOT_FOUND]


def test_refunds_by_order_and_by_transaction_share_one_sum(desk: PureDesk) -> None:
    desk.do(top_up("acme", 30), order(price=30, pay="later"))
    charge = desk.do(pay())
    desk.do(refund_of_order("o1", 10), refund(charge, 10))
    assert desk.refused(refund_of_order("o1", 11)) == Reason.REFUND_EXCEEDS_CHARGE
    desk.do(refund_of_order("o1"))
    assert desk.refused(refund(charge)) == Reason.REFUND_EXCEEDS_CHARGE
    assert desk.credit("acme") == 30


def test_an_id_is_one_order_of_whatever_kind(desk: PureDesk) -> None:
    desk.do(top_up("acme", 100), plan("pro", "package", price=1, cycle=MONTHLY))
    desk.do(power_on("run"), order("sub"), subscribe("sub"))
    assert desk.refused(order("run")) == Reason.ORDER_EXISTS
    assert (row(desk, "sub").amount, row(desk, "sub/1").amount) == (10, 1)


def test_the_limit_can_be_spent_on_orders(desk: PureDesk) -> None:
    desk.do(limit("acme", 10), order())
    assert desk.refused(order("o2", price=1)) == Reason.INSUFFICIENT_CREDIT
    assert desk.credit("acme") == -10


def test_a_suspended_account_cancels_and_gets_back_what_it_paid(desk: PureDesk) -> None:
    desk.do(top_up("acme", 10), order("paid"), order("off", pay="later"), suspend())
    assert desk.refused(pay("off", method="card")) == Reason.ACCOUNT_SUSPENDED
    desk.do(cancel_order("off"), refund_of_order("paid"), adjustment("acme", -10))
    assert desk.credit("acme") == 0
