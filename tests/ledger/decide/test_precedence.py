"""The reasons in their order, command by command: each row of a walk has one fault less than the row before it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from messages.commands import COMMANDS, Funding, Kind, OpenAccount, Refund, UpdateAccount
from messages.reasons import Reason
from tests.builders import (
    LONGEST,
    MOST,
    adjustment,
    branch,
    closing,
    department,
    enterprise,
    funding,
    onboarding,
    opened,
    refund,
    renewal,
    reseller,
    reversal,
    sponsored_customer,
    top_up,
    transfer,
)
from tests.ledger.decide.walks import accounts, coins, devices, holds, notices, orders, subscriptions
from tests.ledger.decide.walks.world import (
    FULL,
    Row,
    at_the_edge,
    follow,
    paid_until_far,
    reasons_until_applied,
    world,
)

WALKS: dict[str, list[Row]] = {
    **accounts.WALKS,
    **coins.WALKS,
    **devices.WALKS,
    **orders.WALKS,
    **holds.WALKS,
    **subscriptions.WALKS,
    **notices.WALKS,
}
NEVER_REFUSED = {"PutPlan", "PutPaymentMethods"}
# Their commands need the number of a transaction: see below.
WALKED_APART = {"ReverseTopUp", "Refund"}


@pytest.mark.parametrize("rows", WALKS.values(), ids=WALKS)
def test_each_fault_that_is_mended_uncovers_the_next(rows: list[Row]) -> None:
    follow(rows)


@pytest.mark.parametrize("rows", WALKS.values(), ids=WALKS)
def test_rows_follow_the_order_of_precedence(rows: list[Row]) -> None:
    order = list(Reason)
    walked = [order.index(reason) for reason in reasons_until_applied(rows)]
    assert walked == sorted(walked)


def test_there_is_a_walk_of_every_command() -> None:
    walked = {name.partition(" ")[0] for name in WALKS}
    assert walked | NEVER_REFUSED | WALKED_APART == set(COMMANDS)


def test_a_reversal_is_refused_for_the_first_of_its_faults() -> None:
    desk = world()
    spent = desk.do(top_up("west", 5), transfer("west", "acme", 5, ordered_by="acme"))
    closed_ones = desk.do(top_up("west", 7, reference="W7"))
    desk.do(transfer("west", "acme", 7, ordered_by="acme"))
    turned = desk.do(top_up("north", 9))
    desk.do(transfer("north", "acme", 9, ordered_by="acme"), funding("north", "shared"), closing("west"))
    charge = desk.do(onboarding("acme", "a", price=3))
    good = desk.do(top_up("acme", 50))
    assert desk.refused(reversal(closed_ones)) == Reason.ACCOUNT_CLOSED
    assert desk.refused(reversal(spent)) == Reason.ACCOUNT_CLOSED
    assert desk.refused(reversal(turned)) == Reason.SHARED_BALANCE_ACCOUNT
    assert desk.refused(reversal("T-2026-0000009999")) == Reason.TRANSACTION_NOT_FOUND
    assert desk.refused(reversal("garbage")) == Reason.TRANSACTION_NOT_FOUND
    assert desk.refused(reversal(charge)) == Reason.NOT_REFUNDABLE
    assert desk.refused(reversal(good)) is None
    assert desk.refused(reversal(good)) == Reason.NOT_REFUNDABLE


def test_a_refund_is_refused_for_the_first_of_its_faults() -> None:
    desk = world()
    desk.do(top_up("west", 4), top_up("north", 4), top_up("acme", 10))
    closed_ones = desk.do(onboarding("west", "w", price=4))
    turned = desk.do(onboarding("north", "n", price=4))
    desk.do(closing("west"), funding("north", "shared"))
    recharge = desk.do(top_up("acme", 1))
    charge = desk.do(onboarding("acme", "a", price=10))
    assert desk.refused(Refund(order="none", amount=MOST)) == Reason.ORDER_NOT_FOUND
    assert desk.refused(refund(closed_ones, MOST)) == Reason.ACCOUNT_CLOSED
    assert desk.refused(refund(turned, MOST)) == Reason.SHARED_BALANCE_ACCOUNT
    assert desk.refused(refund("T-2026-0000009999", MOST)) == Reason.TRANSACTION_NOT_FOUND
    assert desk.refused(refund(recharge, MOST)) == Reason.NOT_REFUNDABLE
    assert desk.refused(refund(charge, 11)) == Reason.REFUND_EXCEEDS_CHARGE
    assert desk.refused(refund(charge, 4)) is None
    assert desk.refused(refund(charge, 7)) == Reason.REFUND_EXCEEDS_CHARGE
    assert desk.refused(refund(charge)) is None
    assert desk.refused(refund(charge)) == Reason.REFUND_EXCEEDS_CHARGE


def test_a_refund_to_a_closed_consumer_is_refused_though_its_master_has_paid() -> None:
    desk = world()
    desk.do(top_up("acme", 10))
    charge = desk.do(onboarding("dept", "a", price=3))
    desk.do(closing("dept"))
    assert desk.refused(refund(charge)) == Reason.ACCOUNT_CLOSED


def test_the_year_in_a_number_counts() -> None:
    desk = world()
    number = desk.do(top_up("acme", 5))
    assert number is not None
    assert desk.refused(reversal(number.replace("2026", "2025"))) == Reason.TRANSACTION_NOT_FOUND
    assert desk.refused(reversal(number)) is None


def test_what_would_be_paid_for_too_long_is_refused_before_the_credit_is_looked_at() -> None:
    desk = world()
    desk.do(top_up("acme", 1), onboarding("acme", "a", price=1))
    paid_until_far("a")(desk)
    assert desk.refused(renewal("acme", "a", price=MOST, cycle=LONGEST)) == Reason.INVALID_TIME
    assert desk.refused(renewal("acme", "a", price=MOST)) == Reason.INSUFFICIENT_CREDIT
    desk.do(top_up("acme", 1))
    assert desk.refused(renewal("acme", "a", price=1)) is None


def test_a_device_that_is_missing_comes_before_one_that_is_paid_for_too_long() -> None:
    desk = world()
    desk.do(top_up("acme", 1), onboarding("acme", "a", price=1))
    paid_until_far("a")(desk)
    assert desk.refused(renewal("acme", "none", "a", cycle=LONGEST)) == Reason.DEVICE_NOT_FOUND
    assert desk.refused(renewal("acme", "a", "none", cycle=LONGEST)) == Reason.DEVICE_NOT_FOUND


def test_an_account_cannot_hold_more_than_the_ledger_can_count() -> None:
    desk = world()
    recharge = desk.do(top_up("acme", MOST))
    charge = desk.do(onboarding("acme", "a", price=10))
    at_the_edge("acme", FULL)(desk)
    assert desk.refused(top_up("acme", 1)) == Reason.AMOUNT_TOO_LARGE
    assert desk.refused(adjustment("acme", 1)) == Reason.AMOUNT_TOO_LARGE
    assert desk.refused(refund(charge, 1)) == Reason.AMOUNT_TOO_LARGE
    assert desk.refused(refund(recharge, 1)) == Reason.AMOUNT_TOO_LARGE
    at_the_edge("acme", FULL - 10)(desk)
    assert desk.refused(refund(recharge, 1)) == Reason.NOT_REFUNDABLE
    desk.do(refund(charge))


FAULTY: list[tuple[str, dict[str, Any], Reason | None]] = [
    (
        "everything wrong",
        {"id": "used", "expirytime": "2020-01-01T00:00:00Z", "amount": 0},
        Reason.INVALID_MESSAGE,
    ),
    ("valid", {"id": "used", "expirytime": "2020-01-01T00:00:00Z", "amount": 2}, Reason.IDEMPOTENCY_CONFLICT),
    ("a new id", {"id": "new", "expirytime": "2020-01-01T00:00:00Z", "amount": 2}, Reason.EXPIRED),
    ("in time", {"id": "newer", "amount": 2}, Reason.ACCOUNT_NOT_FOUND),
]


def test_what_concerns_the_message_comes_before_what_it_asks_for() -> None:
    desk = world()
    desk.do({"type": "TopUp", "id": "used", "data": {"account": "acme", "amount": 1}})
    for mended, given, reason in FAULTY:
        amount = given.pop("amount")
        asked = {"type": "TopUp", "data": {"account": "none", "amount": amount}, **given}
        assert desk.refused(asked) == reason, mended


UPDATES: list[tuple[Callable[[], OpenAccount], str, Reason | None]] = [
    (lambda: branch("x", "acme"), "shared", None),
    (lambda: branch("x", "dept"), "shared", None),
    (lambda: department("x", "dept"), "own", None),
    (lambda: opened("x", "shop", Kind.CUSTOMER), "sponsored", None),
    (lambda: opened("x", "corner", Kind.CUSTOMER), "sponsored", None),
    (lambda: sponsored_customer("x", "shop"), "own", None),
    (lambda: sponsored_customer("x", "shop"), "shared", None),
    (lambda: reseller("x", "dist"), "shared", None),
    (lambda: reseller("x", "dist"), "sponsored", None),
    (lambda: branch("x", "acme"), "sponsored", Reason.PARENT_NOT_ALLOWED),
    (lambda: branch("x", "carl"), "shared", Reason.PARENT_NOT_ALLOWED),
    (lambda: enterprise("x"), "shared", Reason.PARENT_NOT_ALLOWED),
    (lambda: reseller("x"), "sponsored", Reason.PARENT_NOT_ALLOWED),
]


@pytest.mark.parametrize(("given", "to", "reason"), UPDATES)
def test_a_funding_that_could_not_have_been_opened_cannot_be_had_by_a_change(
    given: Callable[[], OpenAccount], to: str, reason: Reason | None
) -> None:
    desk = world()
    command = given()
    if command.parent == "carl":
        command = command.model_copy(update={"parent": "carl", "kind": Kind.BRANCH})
        assert desk.refused(command) == Reason.PARENT_NOT_ALLOWED  # a customer has nobody under it
        return
    desk.do(command)
    assert desk.refused(UpdateAccount(account="x", funding=Funding(to))) == reason
