"""Resources that are paid for after use: what is frozen, what is used, and what comes after the end."""

from __future__ import annotations

import pytest

from ledger.records import Resource
from messages.reasons import Reason
from tests.builders import (
    activation,
    adjustment,
    branch,
    capture,
    closing,
    department,
    enterprise,
    funding,
    hold,
    limit,
    plan,
    suspend,
    termination,
    top_up,
    usage,
)
from tests.desk import PureDesk
from tests.ledger.decide.looking import announced


@pytest.fixture
def desk() -> PureDesk:
    desk = PureDesk()
    desk.do(
        enterprise(),
        branch("north"),
        department("dept", "north"),
        top_up("acme", 100),
        top_up("north", 100),
        plan("video", "postpaid", coefficient="1.25"),
        plan("plain", "postpaid"),
    )
    return desk


def figures(desk: PureDesk, account: str = "acme") -> tuple[int, int]:
    """Credit and frozen."""
    found = desk.account(account)
    return found["credit"], found["frozen"]


@pytest.mark.parametrize(
    ("estimate", "given", "frozen"),
    [
        (10, {}, 10),
        (10, {"plan": "plain"}, 10),
        (10, {"plan": "video"}, 13),
        (8, {"plan": "video"}, 10),
        (10, {"plan": "video", "coefficient": "0.5"}, 5),
        (10, {"coefficient": "0.000001"}, 1),
        (10, {"plan": "video", "coefficient": "0"}, 0),
        (3, {"coefficient": "33.333333"}, 100),
    ],
)
def test_estimate_times_coefficient_is_frozen_rounded_up(
    desk: PureDesk, estimate: int, given: dict[str, str], frozen: int
) -> None:
    desk.do(activation(estimate=estimate, **given))
    assert figures(desk) == (100, frozen)
    assert desk.refused(hold(amount=101 - frozen)) == Reason.INSUFFICIENT_CREDIT
    desk.do(hold(amount=100 - frozen) if frozen < 100 else termination())


def test_usage_comes_out_of_the_frozen_part_first(desk: PureDesk) -> None:
    desk.do(activation(estimate=30), usage(amount=20))
    assert figures(desk) == (80, 10)
    desk.do(usage(amount=25, item="GPU hours"), usage(amount=5))
    assert figures(desk) == (50, 0)
    assert [line["item"] for line in desk.lines()[-3:]] == ["r1", "GPU hours", "r1"]
    found = desk.book.get(Resource, "r1")
    assert (found.frozen, found.remaining, found.used) == (30, 0, 50)


def test_termination_gives_back_what_is_still_frozen(desk: PureDesk) -> None:
    desk.do(activation(estimate=30), usage(amount=20), termination())
    assert figures(desk) == (80, 0)
    assert desk.refused(termination()) == Reason.RESOURCE_TERMINATED
    assert desk.refused(activation()) == Reason.RESOURCE_EXISTS


def test_usage_is_taken_in_full_beyond_available_and_whoever_is_exhausted_is_told_once(
    desk: PureDesk,
) -> None:
    desk.do(limit("acme", 10), activation(estimate=110))
    assert announced(desk, usage(amount=110)) == []
    (told,) = announced(desk, usage(amount=111))
    assert (told.account.account, told.data) == ("acme", {"available": -1, "consumer": "acme"})
    desk.do(usage(amount=111), suspend())
    assert announced(desk, usage(amount=5)) == []
    desk.do(usage(amount=5))
    assert figures(desk) == (-16, 0)


def test_what_others_have_frozen_stays_frozen(desk: PureDesk) -> None:
    desk.do(hold(amount=70), activation(estimate=30))
    (told,) = announced(desk, usage(amount=31))
    assert told.data["available"] == -1
    desk.do(usage(amount=31), capture(amount=70))
    assert figures(desk) == (-1, 0)


def test_usage_is_accepted_after_the_end_until_the_account_is_closed(desk: PureDesk) -> None:
    desk.do(activation("r1", "north", 30), termination(), usage(amount=7))
    assert figures(desk, "north") == (93, 0)
    desk.do(usage(amount=93), closing("dept"), closing("north"))
    assert desk.refused(usage()) == Reason.ACCOUNT_CLOSED
    assert desk.refused(termination()) == Reason.ACCOUNT_CLOSED


def test_the_master_of_then_pays_for_what_is_reported_later(desk: PureDesk) -> None:
    desk.do(activation("r1", "dept", 30), usage(amount=10), termination(), funding("dept", "own"))
    desk.do(top_up("dept", 50), usage(amount=5))
    assert (desk.credit("north"), desk.credit("dept")) == (85, 50)
    assert desk.lines()[-1]["consumer"] == "dept"


def test_usage_of_a_shared_account_shows_nothing_of_its_master(desk: PureDesk) -> None:
    desk.do(activation("r1", "dept", 30))
    assert figures(desk, "north") == (100, 30)
    said = desk.ask(usage(amount=150))
    assert [(one.account, one.credit, one.available) for one in said.data.accounts] == [("dept", 0, None)]
    assert figures(desk, "north") == (-50, 0)


@pytest.mark.parametrize("coefficient", ["0", "1"])
def test_a_resource_that_is_active_holds_its_account_however_little_is_frozen(
    desk: PureDesk, coefficient: str
) -> None:
    desk.do(activation("r1", "dept", 10, coefficient=coefficient), usage(amount=100))
    assert figures(desk, "north") == (0, 0)
    assert desk.refused(funding("north", "shared")) == Reason.ACCOUNT_IN_USE
    assert desk.refused(funding("dept", "own")) == Reason.ACCOUNT_IN_USE
    assert desk.refused(closing("dept")) == Reason.ACCOUNT_IN_USE
    desk.do(termination(), funding("north", "shared"), closing("dept"))


def test_a_debt_allows_no_activation_not_even_of_nothing(desk: PureDesk) -> None:
    desk.do(activation(), usage(amount=101))
    assert desk.refused(activation("r2", coefficient="0")) == Reason.INSUFFICIENT_CREDIT
    desk.do(adjustment("acme", 1), activation("r2", coefficient="0"))
