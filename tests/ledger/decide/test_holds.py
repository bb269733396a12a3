"""Holds: what they freeze and where, what is taken out of them, how they end."""

from __future__ import annotations

import pytest

from ledger.records import Hold
from messages.reasons import Reason
from tests.builders import (
    adjustment,
    branch,
    capture,
    closing,
    department,
    enterprise,
    funding,
    hold,
    limit,
    onboarding,
    refund,
    release_hold,
    suspend,
    top_up,
    transfer,
)
from tests.desk import NOW, PureDesk

SOON = "2026-03-01T13:00:00Z"


@pytest.fixture
def desk() -> PureDesk:
    desk = PureDesk()
    desk.do(
        enterprise(), branch("north"), department("dept", "north"), top_up("acme", 100), top_up("north", 100)
    )
    return desk


def figures(desk: PureDesk, account: str = "acme") -> tuple[int, int]:
    """Credit and frozen."""
    found = desk.account(account)
    return found["credit"], found["frozen"]


def test_what_is_frozen_cannot_be_spent_in_any_way(desk: PureDesk) -> None:
    desk.do(hold(amount=60))
    for command in (onboarding("acme", "d", price=41), hold("h2", amount=41), transfer("acme", "north", 41)):
        assert desk.refused(command) == Reason.INSUFFICIENT_CREDIT
    assert desk.refused(adjustment("acme", -41)) == Reason.INSUFFICIENT_CREDIT
    desk.do(adjustment("acme", -40))
    assert figures(desk) == (60, 60)


def test_a_limit_can_be_frozen_too(desk: PureDesk) -> None:
    desk.do(limit("acme", 50), hold(amount=150))
    assert desk.refused(hold("h2", amount=1)) == Reason.INSUFFICIENT_CREDIT
    desk.do(capture())
    assert figures(desk) == (-50, 0)


def test_captures_come_out_of_the_frozen_part_until_it_ends(desk: PureDesk) -> None:
    desk.do(
        hold(amount=60, purpose="Rental"), capture(amount=10, final=False), capture(amount=20, final=False)
    )
    assert figures(desk) == (70, 30)
    assert desk.refused(capture(amount=31, final=False)) == Reason.EXCEEDS_HOLD
    desk.do(capture(amount=5, item="Cleaning"))
    assert figures(desk) == (65, 0)
    assert desk.book.get(Hold, "h1").state == "captured"
    assert [line["item"] for line in desk.lines()[-3:]] == ["Rental", "Rental", "Cleaning"]
    assert {line["type"] for line in desk.lines()[-3:]} == {"capture"}


@pytest.mark.parametrize("final", [False, True])
def test_one_that_takes_all_ends_the_hold(desk: PureDesk, final: bool) -> None:
    desk.do(hold(amount=60), capture(amount=10, final=False), capture(final=final))
    assert figures(desk) == (40, 0)
    assert desk.refused(release_hold()) == Reason.HOLD_ALREADY_CAPTURED


def test_what_was_captured_stays_when_the_rest_is_released(desk: PureDesk) -> None:
    desk.do(hold(amount=60), capture(amount=10, final=False), release_hold())
    assert figures(desk) == (90, 0)
    assert desk.refused(capture(amount=1)) == Reason.HOLD_ALREADY_RELEASED


def test_a_hold_takes_its_id_for_ever(desk: PureDesk) -> None:
    desk.do(hold(amount=1), release_hold())
    assert desk.refused(hold("h1", "north")) == Reason.HOLD_EXISTS


def test_a_hold_ends_at_the_very_moment_it_expires(desk: PureDesk) -> None:
    assert desk.refused(hold(expires_at=NOW)) == Reason.INVALID_TIME
    desk.do(hold(expires_at=SOON), hold("h2"))
    desk.later(seconds=3599.999999)
    desk.do(capture(amount=1, final=False))
    desk.later(seconds=0.000001)
    assert desk.refused(capture(amount=1)) == Reason.HOLD_EXPIRED
    assert desk.refused(release_hold()) == Reason.HOLD_EXPIRED
    desk.do(capture("h2"))


def test_until_it_is_released_an_expired_hold_still_freezes(desk: PureDesk) -> None:
    desk.do(hold(amount=60, expires_at=SOON))
    desk.later(hours=2)
    assert desk.refused(onboarding("acme", "d", price=41)) == Reason.INSUFFICIENT_CREDIT
    assert figures(desk) == (100, 60)


def test_on_a_shared_account_the_masters_coins_are_frozen(desk: PureDesk) -> None:
    said = desk.ask(hold("h1", "dept", 60))
    assert [(one.account, one.credit, one.frozen, one.available) for one in said.data.accounts] == [
        ("dept", 0, 0, None)
    ]
    assert (figures(desk, "dept"), figures(desk, "north")) == ((0, 0), (100, 60))
    assert desk.refused(onboarding("north", "d", price=41)) == Reason.INSUFFICIENT_CREDIT
    assert desk.refused(hold("h2", "dept", 41)) == Reason.MASTER_INSUFFICIENT_CREDIT
    desk.do(capture(amount=25, final=False), release_hold())
    assert figures(desk, "north") == (75, 0)
    assert desk.lines()[-1]["consumer"] == "dept"


def test_who_pays_is_settled_when_it_is_placed(desk: PureDesk) -> None:
    desk.do(department("team", "dept"), hold("h1", "team", 60), funding("dept", "own"), top_up("dept", 5))
    assert desk.refused(onboarding("team", "d", price=6)) == Reason.MASTER_INSUFFICIENT_CREDIT
    desk.do(capture(amount=50))
    assert (figures(desk, "north"), figures(desk, "dept")) == ((50, 0), (5, 0))


def test_a_hold_keeps_its_account_and_its_master_as_they_are(desk: PureDesk) -> None:
    desk.do(hold("h1", "dept", 100))
    assert desk.refused(funding("dept", "own")) == Reason.ACCOUNT_IN_USE
    assert desk.refused(closing("dept")) == Reason.ACCOUNT_IN_USE
    assert desk.refused(funding("north", "shared")) == Reason.BALANCE_NOT_ZERO
    desk.do(capture(amount=100), funding("dept", "own"), closing("dept"), funding("north", "shared"))


def test_frozen_without_credit_is_not_empty(desk: PureDesk) -> None:
    desk.do(limit("north", 10), adjustment("north", -100), hold("h1", "north", 10))
    assert (desk.credit("north"), desk.account("north")["settled"]) == (0, 1)
    assert desk.refused(closing("north")) == Reason.BALANCE_NOT_ZERO
    assert desk.refused(funding("north", "shared")) == Reason.BALANCE_NOT_ZERO


def test_a_suspended_account_places_no_hold_but_ends_those_it_has(desk: PureDesk) -> None:
    desk.do(hold("a"), hold("b"), suspend())
    assert desk.refused(hold("c")) == Reason.ACCOUNT_SUSPENDED
    desk.do(capture("a"), release_hold("b"))
    assert figures(desk) == (90, 0)


def test_a_capture_is_refunded_to_whoever_paid(desk: PureDesk) -> None:
    desk.do(hold("h1", "dept", 60))
    charge = desk.do(capture(amount=50))
    desk.do(refund(charge, 20), refund(charge))
    assert desk.refused(refund(charge, 1)) == Reason.REFUND_EXCEEDS_CHARGE
    assert figures(desk, "north") == (100, 0)
