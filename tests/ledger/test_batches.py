"""Commands of one batch see each other: what one opens, changes or posts, the next may use, as across batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from messages.reasons import Reason
from tests.builders import (
    branch,
    closing,
    department,
    distributor,
    enterprise,
    funding,
    onboarding,
    opened,
    plan,
    refund,
    release,
    renewal,
    reseller,
    reversal,
    sponsored_customer,
    top_up,
    transfer,
)
from tests.desk import LedgerDesk, PureDesk, array_of

Commands = list[Any]
CUSTOMER_OWN = opened("carl", "corner", "customer")  # type: ignore[arg-type]

# What is there before, and what comes in one batch.
STORIES: dict[str, tuple[Commands, Commands]] = {
    "an enterprise is opened and used": (
        [],
        [
            enterprise(),
            branch(),
            top_up("acme", 9),
            transfer("acme", "north", 5),
            onboarding("north", "a", price=5),
        ],
    ),
    "a department draws on a master that is not named": (
        [enterprise(), department("d1"), top_up("acme", 9)],
        [
            department("d2", "d1"),
            onboarding("d2", "a", price=4),
            closing("d2"),
            onboarding("d1", "a", price=5),
        ],
    ),
    "a customer is opened under a second-level reseller and buys": (
        [distributor(), reseller("corner", "dist"), top_up("dist", 9)],
        [sponsored_customer("carl", "corner"), onboarding("carl", "a", price=4)],
    ),
    "a customer under a second-level reseller becomes sponsored and buys": (
        [distributor(), reseller("corner", "dist"), top_up("dist", 9), CUSTOMER_OWN],
        [funding("carl", "sponsored"), onboarding("carl", "a", price=4)],
    ),
    "a reference is repeated by an account that is just opened": (
        [enterprise(), top_up("acme", 9, reference="W1")],
        [branch(), top_up("north", 9, reference="W1"), top_up("north", 1, reference="W2")],
    ),
    "a branch becomes shared and buys on its master": (
        [enterprise(), branch(), department("dept", "north"), top_up("acme", 9)],
        [
            funding("north", "shared"),
            onboarding("dept", "a", price=4),
            onboarding("north", "b", price=6),
            onboarding("north", "b", price=5),
        ],
    ),
    "a department becomes independent": (
        [enterprise(), department(), top_up("acme", 9)],
        [
            onboarding("dept", "a", price=1),
            funding("dept", "own"),
            onboarding("dept", "b", price=1),
            transfer("acme", "dept", 3),
            onboarding("dept", "b", price=3),
        ],
    ),
    "devices go from hand to hand": (
        [enterprise(), branch(), top_up("acme", 9), top_up("north", 9), onboarding("acme", "old")],
        [
            onboarding("acme", "new"),
            release("acme", "new"),
            onboarding("north", "new"),
            release("acme", "old"),
            onboarding("north", "old"),
            renewal("north", "old", "new"),
            release("north", "new"),
        ],
    ),
    "an account is closed and its devices go elsewhere": (
        [enterprise(), branch(), top_up("acme", 9), top_up("north", 2), onboarding("north", "old")],
        [
            onboarding("north", "new"),
            closing("north"),
            onboarding("acme", "new", "old"),
            onboarding("north", "x"),
            branch("west", "north"),
        ],
    ),
    "a plan is replaced between two uses": (
        [enterprise(), top_up("acme", 9), plan("p", price=1)],
        [
            onboarding("acme", "a", price=None, plan="p"),
            plan("p", price=2),
            onboarding("acme", "b", price=None, plan="p"),
            plan("q", price=3),
            onboarding("acme", "c", price=None, plan="q"),
        ],
    ),
    "a child that is just opened keeps its parent open": (
        [enterprise(), branch()],
        [branch("west", "north"), closing("north"), closing("west"), closing("north")],
    ),
}


def told(said: Any) -> list[tuple[str, str | None, list[Any]]]:
    return [(one.data.command.type, one.data.reason, one.data.accounts) for one in said]


def seen(desk: LedgerDesk | PureDesk) -> dict[str, Any]:
    names = ("funding", "state", "credit", "credit_limit", "reference", "version", "draws_from", "sponsor")
    accounts = {one: [desk.account(one)[name] for name in names] for one in desk.accounts()}
    lines = [
        tuple(line[name] for name in ("account", "type", "unit", "amount", "balance", "version", "consumer"))
        for line in desk.lines()
    ]
    return {"accounts": accounts, "lines": sorted(lines), "devices": desk.devices()}


@pytest.mark.parametrize("arrayed", [False, True], ids=["messages", "an array"])
@pytest.mark.parametrize("story", STORIES)
def test_a_batch_ends_as_its_commands_would_one_by_one(desk: LedgerDesk, story: str, arrayed: bool) -> None:
    # Given the same ledger twice
    before, commands = STORIES[story]
    alone = PureDesk()
    for one in (desk, alone):
        one.do(*before)
    # When the commands come in one batch here, and one by one there
    said = desk.deliver(array_of(*commands)) if arrayed else desk.send(*commands)
    expected = [alone.ask(command) for command in commands]
    # Then everything is the same, at the first attempt
    assert told(said) == told(expected)
    assert seen(desk) == seen(alone)
    assert desk.letters() == []
    assert desk.races == 0


@pytest.mark.parametrize("story", STORIES)
def test_a_story_ends_alike_command_by_command(desk: LedgerDesk, story: str) -> None:
    before, commands = STORIES[story]
    alone = PureDesk()
    said = [desk.ask(command) for command in [*before, *commands]]
    expected = [alone.ask(command) for command in [*before, *commands]]
    assert told(said) == told(expected)
    assert seen(desk) == seen(alone)


def next_number(desk: LedgerDesk, after: int) -> str:
    """The number that the command in that place of the next batch gets."""
    (last,) = desk.one("SELECT last_value FROM transaction_key")
    return f"T-2026-{last + 1 + after:010d}"


def test_a_transaction_may_be_taken_back_in_the_batch_that_posts_it(desk: LedgerDesk) -> None:
    desk.do(enterprise(), top_up("acme", 10))
    recharge, charge = next_number(desk, 0), next_number(desk, 1)
    said = desk.send(
        top_up("acme", 5, reference="W1"),
        onboarding("acme", "a", price=3),
        refund(charge, 1),
        refund(charge, 3),
        reversal(recharge),
        reversal(recharge),
        top_up("acme", 5, reference="W1"),
    )
    assert [one.data.transaction for one in said[:2]] == [recharge, charge]
    assert [one.data.reason for one in said] == [
        None,
        None,
        None,
        Reason.REFUND_EXCEEDS_CHARGE,
        None,
        Reason.NOT_REFUNDABLE,
        None,
    ]
    assert desk.credit("acme") == 13
    assert desk.one("SELECT sum(amount) FROM returned") == (1 + 5,)


def test_a_reference_set_free_before_is_free_for_an_account_that_is_just_opened(desk: LedgerDesk) -> None:
    desk.do(enterprise())
    taken_back = desk.do(top_up("acme", 5, reference="W1"))
    desk.do(reversal(taken_back))
    said = desk.send(branch(), reversal(taken_back), top_up("north", 5, reference="W1"))
    assert [one.data.reason for one in said] == [None, Reason.NOT_REFUNDABLE, None]


def test_a_long_batch_of_everything_is_one_transaction_of_the_database(
    open_desk: Callable[..., LedgerDesk],
) -> None:
    desk = open_desk()
    desk.do(enterprise(), branch(), top_up("acme", 1000))
    desk.send(
        *(transfer("acme", "north", 1) for _ in range(300)),
        *(onboarding("north", f"d{n}") for n in range(300)),
    )
    assert (desk.credit("acme"), desk.credit("north")) == (700, 0)
    assert desk.one(
        "SELECT count(DISTINCT xmin::text) FROM entry WHERE type IN ('onboarding', 'transfer_in')"
    ) == (1,)
