"""The reasons in their order, command by command: each row has one fault less than the row before it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest

from ledger.records import Device
from messages.commands import Funding, Kind, OpenAccount, Refund, Renewal, UpdateAccount
from messages.reasons import Reason
from tests.builders import (
    LONGEST,
    MOST,
    YEARLY,
    adjustment,
    branch,
    closing,
    department,
    distributor,
    enterprise,
    funding,
    limit,
    onboarding,
    opened,
    plan,
    refund,
    release,
    renewal,
    reseller,
    resume,
    reversal,
    sponsored_customer,
    suspend,
    top_up,
    transfer,
)
from tests.desk import PureDesk

FAR = datetime(8999, 6, 1, tzinfo=UTC)


class Row(NamedTuple):
    """A command, for which reason it is refused (None: applied), and what is done before it."""

    command: Any
    reason: Reason | None
    after: tuple[Any, ...] = ()


def world() -> PureDesk:
    """An enterprise with all sorts of branches, a reseller and a second-level one with customers, plans, no coins."""
    desk = PureDesk()
    desk.do(
        enterprise("acme"),
        branch("north", "acme"),
        branch("west", "north"),
        department("dept", "acme"),
        branch("off", "acme"),
        department("off-dept", "off"),
        suspend("off"),
        branch("gone", "acme"),
        closing("gone"),
        reseller("shop"),
        sponsored_customer("carl", "shop"),
        distributor("dist"),
        reseller("corner", "dist"),
        sponsored_customer("carla", "corner"),
        plan("tracker", price=10, cycle=YEARLY),
        plan("dear", price=MOST),
        plan("unpriced"),
        plan("again", "renewal", price=4, cycle=YEARLY),
        plan("unpriced-again", "renewal"),
        plan("endless-again", "renewal", price=4),
    )
    return desk


OPEN: list[Row] = [
    Row(opened("acme", "none", Kind.RESELLER, Funding.SHARED, credit_limit=5), Reason.ACCOUNT_EXISTS),
    Row(opened("platform", "none", Kind.RESELLER, Funding.SHARED), Reason.ACCOUNT_EXISTS),
    Row(opened("new", "none", Kind.RESELLER, Funding.SHARED, credit_limit=5), Reason.ACCOUNT_NOT_FOUND),
    Row(opened("new", "gone", Kind.RESELLER, Funding.SHARED, credit_limit=5), Reason.ACCOUNT_CLOSED),
    Row(opened("new", "acme", Kind.RESELLER, Funding.SHARED, credit_limit=5), Reason.PARENT_NOT_ALLOWED),
    Row(opened("new", "acme", Kind.BRANCH, Funding.SPONSORED, credit_limit=5), Reason.PARENT_NOT_ALLOWED),
    Row(opened("new", "acme", Kind.BRANCH, Funding.SHARED, credit_limit=5), Reason.SHARED_BALANCE_ACCOUNT),
    Row(opened("new", "shop", Kind.CUSTOMER, Funding.SPONSORED, credit_limit=5), Reason.SPONSORED_ACCOUNT),
    Row(opened("new", "shop", Kind.CUSTOMER, Funding.OWN, credit_limit=5), None),
]
UPDATE: list[Row] = [
    Row(funding("none", "shared"), Reason.ACCOUNT_NOT_FOUND),
    Row(funding("platform", "shared"), Reason.ACCOUNT_NOT_FOUND),
    Row(funding("gone", "sponsored"), Reason.ACCOUNT_CLOSED),
    Row(funding("acme", "shared"), Reason.PARENT_NOT_ALLOWED, (top_up("acme", 5),)),
    Row(funding("north", "sponsored"), Reason.PARENT_NOT_ALLOWED, (transfer("acme", "north", 5),)),
    Row(funding("north", "shared"), Reason.BALANCE_NOT_ZERO),
    Row(funding("north", "shared"), None, (transfer("north", "acme", 5, ordered_by="acme"),)),
]
LIMIT: list[Row] = [
    Row(limit("none"), Reason.ACCOUNT_NOT_FOUND),
    Row(limit("platform"), Reason.ACCOUNT_NOT_FOUND),
    Row(limit("gone"), Reason.ACCOUNT_CLOSED),
    Row(limit("dept"), Reason.SHARED_BALANCE_ACCOUNT),
    Row(limit("carl"), Reason.SPONSORED_ACCOUNT),
    Row(limit("off"), None),
]
SUSPEND: list[Row] = [
    Row(suspend("none"), Reason.ACCOUNT_NOT_FOUND),
    Row(suspend("platform"), Reason.ACCOUNT_NOT_FOUND),
    Row(suspend("gone"), Reason.ACCOUNT_CLOSED),
    Row(suspend("off"), None),
]
RESUME: list[Row] = [
    Row(resume("none"), Reason.ACCOUNT_NOT_FOUND),
    Row(resume("gone"), Reason.ACCOUNT_CLOSED),
    Row(resume("acme"), None),
]
CLOSE: list[Row] = [
    Row(closing("none"), Reason.ACCOUNT_NOT_FOUND),
    Row(closing("platform"), Reason.ACCOUNT_NOT_FOUND),
    Row(closing("gone"), Reason.ACCOUNT_CLOSED),
    Row(closing("north"), Reason.BALANCE_NOT_ZERO, (top_up("north", 5),)),
    Row(closing("north"), Reason.ACCOUNT_IN_USE, (adjustment("north", -5),)),
    Row(closing("north"), None, (closing("west"),)),
]
TOP_UP: list[Row] = [
    Row(top_up("none", reference="W1"), Reason.ACCOUNT_NOT_FOUND, (top_up("acme", reference="W1"),)),
    Row(top_up("platform", reference="W1"), Reason.ACCOUNT_NOT_FOUND),
    Row(top_up("gone", reference="W1"), Reason.ACCOUNT_CLOSED),
    Row(top_up("dept", reference="W1"), Reason.SHARED_BALANCE_ACCOUNT),
    Row(top_up("carl", reference="W1"), Reason.SPONSORED_ACCOUNT),
    Row(top_up("off", reference="W1"), Reason.DUPLICATE_REFERENCE),
    Row(top_up("off", reference="W1", method="card"), None),
]
TRANSFER: list[Row] = [
    Row(transfer("none", "gone", 1, ordered_by="off"), Reason.ACCOUNT_NOT_FOUND),
    Row(transfer("gone", "gone", 1, ordered_by="none"), Reason.ACCOUNT_NOT_FOUND),
    Row(transfer("gone", "gone", 1, ordered_by="platform"), Reason.ACCOUNT_NOT_FOUND),
    Row(transfer("gone", "gone", 1, ordered_by="off"), Reason.ACCOUNT_CLOSED),
    Row(transfer("dept", "dept", 1, ordered_by="gone"), Reason.ACCOUNT_CLOSED),
    Row(transfer("dept", "dept", 1, ordered_by="off"), Reason.ACCOUNT_SUSPENDED),
    Row(transfer("dept", "dept", 1, ordered_by="shop"), Reason.SAME_ACCOUNT),
    Row(transfer("dept", "north", 1, ordered_by="shop"), Reason.NOT_IN_HIERARCHY),
    Row(transfer("carl", "dept", 1), Reason.NOT_IN_HIERARCHY),
    Row(transfer("west", "north", 1), Reason.NOT_IN_HIERARCHY),
    Row(transfer("dept", "north", 1, ordered_by="acme"), Reason.SHARED_BALANCE_ACCOUNT),
    Row(transfer("north", "dept", 1, ordered_by="acme"), Reason.SHARED_BALANCE_ACCOUNT),
    Row(transfer("shop", "carl", 1), Reason.SPONSORED_ACCOUNT),
    Row(transfer("acme", "north", 1), Reason.INSUFFICIENT_CREDIT),
    Row(transfer("acme", "north", 1), None, (top_up("acme", 1),)),
]
ADJUST: list[Row] = [
    Row(adjustment("none", -1), Reason.ACCOUNT_NOT_FOUND),
    Row(adjustment("gone", -1), Reason.ACCOUNT_CLOSED),
    Row(adjustment("dept", -1), Reason.SHARED_BALANCE_ACCOUNT),
    Row(adjustment("carl", -1), Reason.SPONSORED_ACCOUNT),
    Row(adjustment("off", -1), Reason.INSUFFICIENT_CREDIT),
    Row(adjustment("off", 1), None),
]
ONBOARD: list[Row] = [
    Row(onboarding("none", "x", price=None, plan="none"), Reason.ACCOUNT_NOT_FOUND),
    Row(onboarding("platform", "x", price=None, plan="none"), Reason.ACCOUNT_NOT_FOUND),
    Row(onboarding("gone", "x", price=None, plan="none"), Reason.ACCOUNT_CLOSED),
    Row(onboarding("off", "x", price=None, plan="none"), Reason.ACCOUNT_SUSPENDED),
    Row(onboarding("off-dept", "x", price=None, plan="none"), Reason.ACCOUNT_SUSPENDED),
    Row(
        onboarding("acme", "x", "y", price=None, plan="none"),
        Reason.PLAN_NOT_FOUND,
        (top_up("north", 1), onboarding("north", "x")),
    ),
    Row(onboarding("acme", "x", "y", price=None, plan="unpriced-again"), Reason.PLAN_KIND_MISMATCH),
    Row(onboarding("acme", "x", "y", price=None, plan="unpriced"), Reason.PRICE_REQUIRED),
    Row(onboarding("acme", "x", "y", price=None), Reason.PRICE_REQUIRED),
    Row(onboarding("acme", "x", "y", price=None, plan="dear"), Reason.AMOUNT_TOO_LARGE),
    Row(onboarding("acme", "y", "x", price=MOST // 2), Reason.DEVICE_ALREADY_ONBOARDED),
    Row(onboarding("acme", "y", "z", price=MOST // 2), Reason.INSUFFICIENT_CREDIT),
    Row(onboarding("carl", "y", "z", price=MOST // 2), Reason.INSUFFICIENT_CREDIT),
    Row(onboarding("carla", "y", "z", price=MOST // 2), Reason.INSUFFICIENT_CREDIT),
    Row(onboarding("dept", "y", "z", price=MOST // 2), Reason.MASTER_INSUFFICIENT_CREDIT),
    Row(onboarding("dept", "y", "z", price=MOST // 2), None, (top_up("acme", MOST),)),
]
RENEW: list[Row] = [
    Row(
        renewal("none", "n", price=None, plan="none", cycle=None),
        Reason.ACCOUNT_NOT_FOUND,
        (top_up("north", 1), onboarding("north", "n")),
    ),
    Row(renewal("gone", "n", price=None, plan="none", cycle=None), Reason.ACCOUNT_CLOSED),
    Row(renewal("off", "n", price=None, plan="none", cycle=None), Reason.ACCOUNT_SUSPENDED),
    Row(renewal("acme", "n", "no", price=None, plan="none", cycle=None), Reason.PLAN_NOT_FOUND),
    Row(renewal("acme", "n", "no", price=None, plan="unpriced", cycle=None), Reason.PLAN_KIND_MISMATCH),
    Row(renewal("acme", "n", "no", price=None, plan="unpriced-again", cycle=None), Reason.PRICE_REQUIRED),
    Row(renewal("acme", "n", "no", price=None, cycle=None), Reason.PRICE_REQUIRED),
    Row(renewal("acme", "n", "no", price=MOST, plan="unpriced-again", cycle=None), Reason.CYCLE_REQUIRED),
    Row(renewal("acme", "n", "no", price=MOST, cycle=None), Reason.CYCLE_REQUIRED),
    Row(renewal("acme", "n", "no", price=MOST), Reason.AMOUNT_TOO_LARGE),
    Row(renewal("acme", "n", "no", price=1), Reason.DEVICE_NOT_FOUND),
    Row(renewal("acme", "n", price=1), Reason.DEVICE_NOT_FOUND),
    Row(renewal("north", "n", price=1), Reason.INSUFFICIENT_CREDIT),
    Row(renewal("north", "n", price=1), None, (top_up("north", 1),)),
]
RELEASE: list[Row] = [
    Row(release("none", "n"), Reason.ACCOUNT_NOT_FOUND, (top_up("off", 1), top_up("north", 1))),
    Row(release("gone", "n"), Reason.ACCOUNT_CLOSED, (onboarding("north", "n"),)),
    Row(release("acme", "n"), Reason.DEVICE_NOT_FOUND),
    Row(release("north", "n"), None),
    Row(release("north", "n"), Reason.DEVICE_NOT_FOUND),
]
WALKS = {
    "OpenAccount": OPEN,
    "UpdateAccount": UPDATE,
    "SetCreditLimit": LIMIT,
    "SuspendAccount": SUSPEND,
    "ResumeAccount": RESUME,
    "CloseAccount": CLOSE,
    "TopUp": TOP_UP,
    "Transfer": TRANSFER,
    "Adjust": ADJUST,
    "DebitForDeviceOnboarding": ONBOARD,
    "Renewal": RENEW,
    "ReleaseDevice": RELEASE,
}
# What the tests below this table reach beyond it.
REASONS_WALKED = {row.reason for rows in WALKS.values() for row in rows if row.reason} | {
    Reason.INVALID_MESSAGE,
    Reason.IDEMPOTENCY_CONFLICT,
    Reason.EXPIRED,
    Reason.SUBSCRIPTION_NOT_FOUND,
    Reason.ORDER_NOT_FOUND,
    Reason.TRANSACTION_NOT_FOUND,
    Reason.NOT_REFUNDABLE,
    Reason.REFUND_EXCEEDS_CHARGE,
    Reason.INVALID_TIME,
}


@pytest.mark.parametrize("rows", WALKS.values(), ids=WALKS)
def test_each_fault_that_is_mended_uncovers_the_next(rows: list[Row]) -> None:
    desk = world()
    for number, row in enumerate(rows, 1):
        desk.do(*row.after)
        said = desk.ask(row.command)
        assert said.data.reason == row.reason, f"row {number}: {row.command!r}: {said.data.message}"


@pytest.mark.parametrize("rows", WALKS.values(), ids=WALKS)
def test_rows_follow_the_order_of_precedence(rows: list[Row]) -> None:
    order = list(Reason)
    walked = [order.index(row.reason) for row in rows[: _first_applied(rows)] if row.reason]
    assert walked == sorted(walked)


def _first_applied(rows: list[Row]) -> int:
    return next(number for number, row in enumerate(rows) if row.reason is None)


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


def test_a_subscription_that_is_not_there_is_looked_for_after_the_account() -> None:
    desk = world()
    assert desk.refused(Renewal(account="none", subscription="none")) == Reason.ACCOUNT_NOT_FOUND
    assert desk.refused(Renewal(account="off-dept", subscription="none")) == Reason.ACCOUNT_SUSPENDED
    assert desk.refused(Renewal(account="acme", subscription="none")) == Reason.SUBSCRIPTION_NOT_FOUND


def paid_until_far(desk: PureDesk, *devices: str) -> None:
    """The devices are active under `acme`, and paid until almost the last year that can be counted."""
    for device in devices:
        row = desk.book.get(Device, device)
        desk.book.put(Device, device, replace(row, paid_until=FAR))


def test_what_would_be_paid_for_too_long_is_refused_before_the_credit_is_looked_at() -> None:
    desk = world()
    desk.do(top_up("acme", 1), onboarding("acme", "a", price=1))
    paid_until_far(desk, "a")
    assert desk.refused(renewal("acme", "a", price=MOST, cycle=LONGEST)) == Reason.INVALID_TIME
    assert desk.refused(renewal("acme", "a", price=MOST)) == Reason.INSUFFICIENT_CREDIT
    desk.do(top_up("acme", 1))
    assert desk.refused(renewal("acme", "a", price=1)) is None


def test_a_device_that_is_missing_comes_before_one_that_is_paid_for_too_long() -> None:
    desk = world()
    desk.do(top_up("acme", 1), onboarding("acme", "a", price=1))
    paid_until_far(desk, "a")
    assert desk.refused(renewal("acme", "none", "a", cycle=LONGEST)) == Reason.DEVICE_NOT_FOUND
    assert desk.refused(renewal("acme", "a", "none", cycle=LONGEST)) == Reason.DEVICE_NOT_FOUND


def test_an_account_cannot_hold_more_than_the_ledger_can_count() -> None:
    desk = world()
    desk.do(top_up("acme", MOST))
    account = desk.book.account("acme")
    assert account is not None
    account.credit = 9 * 10**18
    assert desk.refused(top_up("acme", 1)) == Reason.AMOUNT_TOO_LARGE
    assert desk.refused(adjustment("acme", 1)) == Reason.AMOUNT_TOO_LARGE


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
