"""Coins that come in, move, and are corrected; and what the warnings of an account are measured by."""

from __future__ import annotations

import pytest

from messages.reasons import Reason
from tests.builders import (
    adjustment,
    branch,
    department,
    enterprise,
    limit,
    onboarding,
    refund,
    release,
    renewal,
    reversal,
    suspend,
    top_up,
    transfer,
)
from tests.desk import PureDesk


@pytest.fixture
def desk() -> PureDesk:
    desk = PureDesk()
    desk.do(enterprise("acme"), branch("north", "acme"), branch("west", "north"), department("dept", "north"))
    return desk


# Adjust


def test_a_positive_adjustment_needs_no_available(desk: PureDesk) -> None:
    bounced = desk.do(top_up("acme", 50))
    desk.do(onboarding("acme", "d", price=30), reversal(bounced))
    assert desk.credit("acme") == -30
    assert desk.refused(adjustment("acme", 10)) is None
    assert desk.credit("acme") == -20


def test_a_negative_adjustment_needs_available(desk: PureDesk) -> None:
    desk.do(top_up("acme", 5), limit("acme", 2))
    assert desk.refused(adjustment("acme", -8)) == Reason.INSUFFICIENT_CREDIT
    assert desk.refused(adjustment("acme", -7)) is None
    assert desk.credit("acme") == -2


def test_a_suspended_account_can_be_corrected_and_recharged(desk: PureDesk) -> None:
    desk.do(top_up("acme", 5), suspend("acme"))
    desk.do(adjustment("acme", -2), adjustment("acme", 3), top_up("acme", 1))
    assert desk.credit("acme") == 7


# References of recharges


def test_a_reference_is_one_of_its_tree_and_method(desk: PureDesk) -> None:
    desk.do(enterprise("beta"), top_up("acme", 1, reference="W1"))
    assert desk.refused(top_up("west", 1, reference="W1")) == Reason.DUPLICATE_REFERENCE
    assert desk.refused(top_up("west", 1, reference="W1", method="card")) is None
    assert desk.refused(top_up("beta", 1, reference="W1")) is None
    assert desk.refused(top_up("acme", 1, reference="w1")) is None
    assert desk.refused(top_up("acme", 1)) is None


def test_a_reversal_sets_its_reference_free_once(desk: PureDesk) -> None:
    first = desk.do(top_up("acme", 5, reference="W1"))
    desk.do(reversal(first))
    second = desk.do(top_up("north", 5, reference="W1"))
    assert desk.refused(reversal(first)) == Reason.NOT_REFUNDABLE
    assert desk.refused(top_up("acme", 5, reference="W1")) == Reason.DUPLICATE_REFERENCE
    desk.do(reversal(second), top_up("acme", 5, reference="W1"))
    assert (desk.credit("acme"), desk.credit("north")) == (5, 0)


# Refunds


def test_refunds_of_a_charge_never_exceed_it(desk: PureDesk) -> None:
    desk.do(top_up("acme", 30))
    charge = desk.do(onboarding("acme", "a", "b", price=15))
    desk.do(refund(charge, 10), refund(charge, 19))
    assert desk.refused(refund(charge, 2)) == Reason.REFUND_EXCEEDS_CHARGE
    desk.do(refund(charge))
    assert desk.credit("acme") == 30
    assert desk.refused(refund(charge)) == Reason.REFUND_EXCEEDS_CHARGE


def test_a_refund_goes_back_to_whoever_paid(desk: PureDesk) -> None:
    desk.do(top_up("north", 30))
    charge = desk.do(onboarding("dept", "a", price=20))
    desk.do(refund(charge, 5))
    assert (desk.credit("north"), desk.credit("dept")) == (15, 0)
    assert desk.lines()[-1]["consumer"] == "dept"


def test_a_refund_can_itself_be_neither_refunded_nor_reversed(desk: PureDesk) -> None:
    desk.do(top_up("acme", 30))
    given_back = desk.do(refund(desk.do(onboarding("acme", "a", price=20)), 5))
    assert desk.refused(refund(given_back)) == Reason.NOT_REFUNDABLE
    assert desk.refused(reversal(given_back)) == Reason.NOT_REFUNDABLE


# What warnings are measured by: available right after the latest inflow


def test_an_account_without_an_inflow_has_no_reference(desk: PureDesk) -> None:
    assert desk.reference("acme") is None


def test_every_inflow_moves_the_reference_to_what_is_available_then(desk: PureDesk) -> None:
    desk.do(top_up("acme", 100))
    assert desk.reference("acme") == 100
    desk.do(onboarding("acme", "a", price=30), top_up("acme", 5))
    assert desk.reference("acme") == 75
    desk.do(limit("acme", 50))
    assert desk.reference("acme") == 125
    desk.do(adjustment("acme", 10))
    assert desk.reference("acme") == 135
    desk.do(transfer("acme", "north", 40), transfer("north", "acme", 15, ordered_by="acme"))
    assert desk.reference("acme") == 110
    assert desk.reference("north") == 25


def test_what_an_account_uses_or_gives_away_itself_leaves_the_reference(desk: PureDesk) -> None:
    bounced = desk.do(top_up("acme", 20))
    desk.do(top_up("acme", 80))
    charge = desk.do(onboarding("acme", "a", price=30))
    desk.do(
        renewal("acme", "a", price=2),
        release("acme", "a"),
        transfer("acme", "north", 5),
        refund(charge, 3),
        reversal(bounced),
        suspend("acme"),
    )
    assert desk.reference("acme") == 100


@pytest.mark.parametrize(
    ("taken", "rebased"), [(60, 40), (99, 1), (100, 100)], ids=["some", "all but one", "all"]
)
def test_what_an_ancestor_takes_moves_the_reference_unless_nothing_is_left(
    desk: PureDesk, taken: int, rebased: int
) -> None:
    desk.do(top_up("north", 100), transfer("north", "acme", taken, ordered_by="acme"))
    assert desk.reference("north") == rebased


@pytest.mark.parametrize(("taken", "rebased"), [(-60, 40), (-99, 1), (-100, 100)])
def test_a_negative_adjustment_moves_the_reference_unless_nothing_is_left(
    desk: PureDesk, taken: int, rebased: int
) -> None:
    desk.do(top_up("acme", 100), adjustment("acme", taken))
    assert desk.reference("acme") == rebased


def test_a_lower_limit_counts_as_an_inflow_even_where_nothing_is_left(desk: PureDesk) -> None:
    desk.do(limit("acme", 50), onboarding("acme", "a", price=45), limit("acme", 10))
    assert desk.reference("acme") == -35


# Who may order a transfer


@pytest.mark.parametrize(
    ("from_account", "to_account", "ordered_by", "reason"),
    [
        ("acme", "west", "acme", None),
        ("west", "acme", "acme", None),
        ("west", "north", "acme", None),
        ("west", "north", "north", None),
        ("north", "west", "north", None),
        ("west", "north", "west", Reason.NOT_IN_HIERARCHY),
        ("north", "acme", "north", Reason.NOT_IN_HIERARCHY),
        ("acme", "north", "north", Reason.NOT_IN_HIERARCHY),
        ("north", "acme", "west", Reason.NOT_IN_HIERARCHY),
        ("acme", "north", "beta", Reason.NOT_IN_HIERARCHY),
        ("acme", "beta", "acme", Reason.NOT_IN_HIERARCHY),
    ],
)
def test_transfers_are_ordered_from_above(
    desk: PureDesk, from_account: str, to_account: str, ordered_by: str, reason: Reason | None
) -> None:
    desk.do(enterprise("beta"), *(top_up(one, 10) for one in ("acme", "north", "west", "beta")))
    assert desk.refused(transfer(from_account, to_account, 1, ordered_by=ordered_by)) == reason


def test_a_suspended_account_orders_no_transfer_but_takes_part_in_one(desk: PureDesk) -> None:
    desk.do(top_up("acme", 10), top_up("north", 10), suspend("north"))
    assert desk.refused(transfer("north", "west", 1)) == Reason.ACCOUNT_SUSPENDED
    desk.do(
        transfer("north", "acme", 1, ordered_by="acme"),
        transfer("acme", "north", 3),
        transfer("acme", "north", 1),
    )
    assert (desk.credit("acme"), desk.credit("north")) == (7, 13)
