"""Sponsored accounts: an allotment and the sponsor's coins are taken together and given back together."""

from __future__ import annotations

from typing import Any

import pytest

from messages.commands import Command
from messages.reasons import Reason
from tests.builders import (
    MONTHLY,
    activation,
    adjustment,
    capture,
    closing,
    distributor,
    funding,
    grant,
    hold,
    next_cycle,
    onboarding,
    order,
    pay,
    plan,
    power_off,
    power_on,
    refund,
    refund_of_order,
    release_hold,
    renewal,
    reseller,
    resume,
    sponsored_customer,
    subscribe,
    suspend,
    termination,
    top_up,
    usage,
)
from tests.desk import PureDesk, json_of
from tests.ledger.decide.looking import announced, told

RICH = 7_777_777


@pytest.fixture
def desk() -> PureDesk:
    """`carl` stands under `shop`, which sponsors him; `carla` under `corner`, whose distributor sponsors her."""
    desk = PureDesk()
    desk.do(
        reseller("shop", email="boss@shop.example"),
        sponsored_customer("carl", "shop"),
        distributor("dist"),
        reseller("corner", "dist", name="Corner Shop", email="ask@corner.example"),
        sponsored_customer("carla", "corner"),
        top_up("shop", 100),
        top_up("dist", 100),
        top_up("corner", 100),
        grant("carl", 80),
        grant("carla", 80, "corner"),
        plan("pro", "package", price=30, cycle=MONTHLY),
    )
    return desk


def credits(desk: PureDesk, *accounts: str) -> list[int]:
    return [desk.credit(one) for one in accounts]


def charges(account: str) -> dict[str, tuple[Command, ...]]:
    """Every way to be charged thirty coins; the last command is the charge."""
    return {
        "onboarding": (onboarding(account, "a", "b", price=15),),
        "renewal": (onboarding(account, "a"), refund_of_last, renewal(account, "a", price=30)),
        "order": (order("o", account, 15, quantity=2),),
        "order later": (order("o", account, 30, pay="later"), pay("o")),
        "hold": (hold("h", account, 30), capture("h")),
        "usage": (activation("r", account, 40), usage("r", 30)),
        "phone": (power_on("run", account, rate="3"), power_off("run")),
        "subscription": (subscribe("s", account),),
    }


def refund_of_last(desk: PureDesk) -> None:
    desk.do(refund(desk.lines()[-1]["number"]))


def played(desk: PureDesk, steps: tuple[Any, ...]) -> str | None:
    number = None
    for step in steps:
        number = desk.do(step) if isinstance(step, Command) else step(desk)
    return number


@pytest.mark.parametrize("way", charges("carl"))
@pytest.mark.parametrize(("customer", "sponsor"), [("carl", "shop"), ("carla", "dist")])
def test_every_charge_takes_both_and_a_refund_in_parts_gives_back_both(
    desk: PureDesk, way: str, customer: str, sponsor: str
) -> None:
    charge = played(desk, charges(customer)[way])
    assert credits(desk, customer, sponsor, "corner") == [50, 70, 100]
    desk.do(refund(charge, 10))
    assert credits(desk, customer, sponsor) == [60, 80]
    assert desk.refused(refund(charge, 21)) == Reason.REFUND_EXCEEDS_CHARGE
    desk.do(refund(charge))
    assert credits(desk, customer, sponsor, "corner") == [80, 100, 100]


def test_both_sides_of_a_charge_are_one_transaction_in_two_units(desk: PureDesk) -> None:
    number = desk.do(order("o", "carla", 30))
    lines = {line["account"]: line for line in desk.lines() if line["number"] == number}
    assert {account: (line["unit"], line["amount"], line["balance"]) for account, line in lines.items()} == {
        "carla": ("allotment", -30, 50),
        "dist": ("coin", -30, 70),
    }
    assert (lines["dist"]["consumer"], lines["dist"]["counterparty"]) == ("carla", "carla")


@pytest.mark.parametrize(
    ("allotted", "coins", "reason"),
    [
        (29, 29, Reason.INSUFFICIENT_CREDIT),
        (29, 30, Reason.INSUFFICIENT_CREDIT),
        (30, 29, Reason.SPONSOR_INSUFFICIENT_CREDIT),
        (30, 30, None),
    ],
)
@pytest.mark.parametrize(
    "command",
    [hold("h", "carl", 30), activation("r", "carl", 30), subscribe("s", "carl"), order("o", "carl", 30)],
)
def test_both_must_be_able_to_pay(
    desk: PureDesk, command: Command, allotted: int, coins: int, reason: Reason | None
) -> None:
    desk.do(grant("carl", allotted - 80), adjustment("shop", coins - 100))
    assert desk.refused(command) == reason


def test_grants_are_not_taken_from_the_sponsor_and_may_exceed_what_it_has(desk: PureDesk) -> None:
    desk.do(grant("carl", 1000))
    assert credits(desk, "carl", "shop") == [1080, 100]
    assert desk.refused(order("o", "carl", 101)) == Reason.SPONSOR_INSUFFICIENT_CREDIT


def test_what_is_frozen_or_owed_cannot_be_reclaimed(desk: PureDesk) -> None:
    desk.do(hold("h", "carl", 30))
    assert desk.refused(grant("carl", -51)) == Reason.RECLAIM_EXCEEDS_AVAILABLE
    desk.do(grant("carl", -50), activation("r", "carl", 1, coefficient="0"), usage("r", 5))
    assert desk.refused(grant("carl", -1)) == Reason.RECLAIM_EXCEEDS_AVAILABLE
    assert desk.account("carl")["credit"] == 25


@pytest.mark.parametrize(("taken", "rebased"), [(-30, 50), (-79, 1), (-80, 80)])
def test_what_is_reclaimed_moves_the_reference_unless_nothing_is_left(
    desk: PureDesk, taken: int, rebased: int
) -> None:
    assert desk.reference("carl") == 80
    desk.do(grant("carl", taken))
    assert desk.reference("carl") == rebased


def test_a_hold_freezes_both_and_its_end_frees_both(desk: PureDesk) -> None:
    desk.do(hold("h", "carla", 60))
    frozen = {one: desk.account(one)["frozen"] for one in ("carla", "dist", "corner")}
    assert frozen == {"carla": 60, "dist": 60, "corner": 0}
    assert [desk.account(one)["settled"] for one in ("carla", "dist", "corner")] == [1, 1, 0]
    desk.do(capture("h", 20, final=False), release_hold("h"))
    assert credits(desk, "carla", "dist") == [60, 80]
    assert {desk.account(one)["frozen"] for one in ("carla", "dist")} == {0}


def test_usage_is_taken_in_full_from_both_and_both_are_told_when_exhausted(desk: PureDesk) -> None:
    desk.do(adjustment("dist", -15), activation("r", "carla", 40))
    assert [one.account.account for one in announced(desk, usage("r", 80))] == []
    assert [one.account.account for one in announced(desk, usage("r", 81))] == ["carla"]
    both = announced(desk, usage("r", 86))
    assert [(one.account.account, one.data["available"]) for one in both] == [("carla", -6), ("dist", -1)]
    desk.do(usage("r", 86), termination("r"))
    assert credits(desk, "carla", "dist", "corner") == [-6, -1, 100]


@pytest.mark.parametrize(
    "command", [hold("h", "carl"), order("o", "carl"), power_on("s", "carl"), subscribe("s", "carl")]
)
def test_while_the_sponsor_is_suspended_nothing_new_is_bought_on_its_coins(
    desk: PureDesk, command: Command
) -> None:
    desk.do(suspend("shop"))
    assert desk.refused(command) == Reason.ACCOUNT_SUSPENDED
    desk.do(resume("shop"), command)


def test_a_suspended_reseller_that_is_no_sponsor_is_not_in_the_way(desk: PureDesk) -> None:
    desk.do(suspend("corner"), order("o", "carla"), grant("carla", 5, "corner"))
    assert credits(desk, "carla", "dist") == [75, 90]


def test_with_a_suspended_sponsor_what_is_running_still_ends_and_is_charged(desk: PureDesk) -> None:
    charge = desk.do(order("o", "carl", 10))
    desk.do(hold("h", "carl", 10), power_on("run", "carl"), activation("r", "carl"), suspend("shop"))
    desk.do(
        capture("h"), power_off("run"), usage("r", 10), termination("r"), refund(charge), grant("carl", -1)
    )
    assert credits(desk, "carl", "shop") == [49, 70]


def test_after_a_change_of_funding_a_refund_goes_to_the_sponsor_alone(desk: PureDesk) -> None:
    charge = desk.do(order("o", "carl", 80))
    desk.do(funding("carl", "own"), refund(charge, 30))
    assert credits(desk, "carl", "shop") == [0, 50]
    desk.do(funding("carl", "sponsored"), refund(charge))
    assert credits(desk, "carl", "shop") == [50, 100]


def test_after_its_end_a_resource_is_still_paid_by_the_sponsor_of_then(desk: PureDesk) -> None:
    desk.do(activation("r", "carl", 80), usage("r", 80), termination("r"), funding("carl", "own"))
    desk.do(top_up("carl", 50), usage("r", 5))
    assert credits(desk, "carl", "shop") == [50, 15]


def test_what_is_open_holds_the_customer(desk: PureDesk) -> None:
    desk.do(power_on("run", "carl", rate="8"))
    assert desk.refused(funding("carl", "own")) == Reason.BALANCE_NOT_ZERO
    desk.do(grant("carl", -80))
    assert desk.refused(funding("carl", "own")) == Reason.ACCOUNT_IN_USE
    assert desk.refused(closing("carl")) == Reason.ACCOUNT_IN_USE
    desk.do(power_off("run"), grant("carl", 80), closing("carl"))
    assert desk.refused(refund_of_order("run")) == Reason.ACCOUNT_CLOSED


# Nobody learns what somebody else has


def test_no_outcome_shows_what_the_sponsor_has(desk: PureDesk) -> None:
    desk.do(adjustment("shop", RICH - 100))
    wanted = [
        order("o", "carl", 5),
        refund_of_order("o", 5),
        hold("h", "carl", 5),
        capture("h"),
        activation("r", "carl", 5),
        usage("r", 5),
        power_on("run", "carl"),
        power_off("run"),
        subscribe("s", "carl"),
        onboarding("carl", "d", price=5),
    ]
    for command in wanted:
        said = desk.ask(command)
        assert said.data.reason is None, said
        assert [one.account for one in said.data.accounts] == ["carl"]
        assert "77" not in str(json_of(said)["data"]["message"])


@pytest.mark.parametrize(
    "command",
    [
        order("o", "carla", 50),
        hold("h", "carla", 50),
        activation("r", "carla", 50),
        subscribe("s", "carla"),
        power_on("run", "carla"),
        onboarding("carla", "d", price=50),
        next_cycle("old", "carla"),
        pay("later"),
    ],
)
def test_a_refusal_names_whom_to_ask_and_tells_nothing_of_the_sponsor(
    desk: PureDesk, command: Command
) -> None:
    desk.do(order("later", "carla", 50, pay="later"), subscribe("old", "carla", payment_method="manual"))
    desk.do(
        onboarding("dist", "x", price=100), activation("z", "dist", 1, coefficient="0"), usage("z", 12345)
    )
    reason, message = told(desk, command)
    assert reason == "sponsor_insufficient_credit"
    assert "Corner Shop (ask@corner.example)" in message
    assert not any(secret in message.replace(",", "") for secret in ("dist", "12345"))
