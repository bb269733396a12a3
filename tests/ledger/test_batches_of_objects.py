"""Batches in which things are created, used and ended: decided and kept as if each command had come alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import pytest

from ledger.decide import RULES, Rule
from ledger.records import PastTransaction, ReceiptDue, RechargeReference, Returned, Row
from ledger.rows import KINDS
from messages.commands import Adjust
from messages.reasons import Reason
from tests.builders import (
    MONTHLY,
    YEARLY,
    activation,
    adjustment,
    branch,
    cancel,
    cancel_order,
    capture,
    change,
    closing,
    delete,
    department,
    enterprise,
    export,
    funding,
    grant,
    hold,
    methods,
    next_cycle,
    notifications,
    onboarding,
    order,
    pay,
    plan,
    power_off,
    power_on,
    refund_of_order,
    release,
    release_hold,
    remove_warning,
    reseller,
    sponsored_customer,
    subscribe,
    subscribe_devices,
    termination,
    top_up,
    usage,
    warning,
)
from tests.desk import LedgerDesk, PureDesk

BEFORE = (
    enterprise(country="DE"),
    branch("north"),
    department("dept", "north"),
    reseller("shop"),
    sponsored_customer("carl"),
    top_up("acme", 1000),
    top_up("north", 1000),
    top_up("shop", 1000),
    grant("carl", 900),
    plan("pro", "package", price=10, cycle=MONTHLY),
    plan("again", "renewal", price=4, cycle=YEARLY),
    onboarding("acme", "d1", "d2", "d3"),
)
ODD = ['a "quoted" one', "NULL", "{a,b}", "back\\slash", "ü 雪", " ", "'; --"]
STORIES: dict[str, list[Any]] = {
    "holds": [
        hold("a", "dept", 60),
        capture("a", 10, final=False),
        capture("a", 51),
        release_hold("a"),
        capture("a"),
        hold("b", "carl", 60, purpose="Rental"),
        capture("b", 20),
        hold("a", "acme"),
        hold("c", "acme", 900),
        release_hold("none"),
    ],
    "orders": [
        order("a", "dept", pay="later", details={"n": [None, 1.5, "ü\n"]}),
        refund_of_order("a"),
        pay("a"),
        refund_of_order("a", 4),
        refund_of_order("a"),
        refund_of_order("a", 1),
        order("b", "acme", method="card", payer="li"),
        refund_of_order("b", 3),
        order("c", "carl", 30, pay="later"),
        cancel_order("c"),
        pay("c"),
        order("d", "carl", 30),
        refund_of_order("d"),
        order("e", "north", pay="later"),
    ],
    "phones": [
        power_on("a", "dept"),
        power_on("b", "acme"),
        power_off("a"),
        power_on("b", "carl", rate="0.5"),
        power_off("b"),
        power_on("c", "north", rate="500"),
        power_off("c"),
        refund_of_order("c", 10),
        power_on("d", "acme", "p2"),
    ],
    "resources": [
        activation("a", "dept", 60),
        usage("a", 70),
        usage("a", 1, item="late"),
        termination("a"),
        usage("a", 5),
        termination("a"),
        activation("b", "carl", 60, coefficient="1.5"),
        usage("b", 30),
        activation("b", "acme"),
    ],
    "subscriptions": [
        subscribe("a", "dept", goods=ODD),
        next_cycle("a", "dept"),
        change("a", goods=ODD[:2]),
        next_cycle("a", "dept", 3),
        refund_of_order("a/1", 4),
        cancel("a"),
        delete("a"),
        next_cycle("a", "dept"),
        subscribe("a", "acme"),
        subscribe_devices("d1", "d2", id_="b"),
        release("acme", "d1"),
        next_cycle("b"),
        change("b", goods=["d3"]),
        release("acme", "d2"),
        release("acme", "d3"),
        next_cycle("b"),
        subscribe("c", "carl", start_at="2090-01-31T00:00:00Z"),
        plan("pro", "package", price=20, cycle=YEARLY),
        next_cycle("c", "carl"),
        cancel("c", "period_end"),
    ],
    "methods": [
        top_up("acme", 1, method="card"),
        methods("DE", "paypal", "bank"),
        top_up("acme", 1, method="card"),
        order("a", "acme", method="card"),
        order("b", "acme", method="bank", pay="later"),
        methods("DE", "card"),
        pay("b"),
        pay("b", method="card"),
    ],
    "notices": [
        warning("a", "dept", "north", emails=["a@b.example", "ü@ü.example"]),
        warning("a", "dept", "dept"),
        warning("a", "dept", "acme", percent=25),
        remove_warning("a", "north"),
        remove_warning("a", "acme"),
        remove_warning("a", "acme"),
        warning("a", "dept", "dept"),
        notifications("dept"),
        export("a", "dept", filters={"item": ODD}),
        export("a", "acme"),
    ],
    "who pays": [
        hold("a", "dept", 60),
        adjustment("north", -940),
        funding("north", "shared"),
        capture("a"),
        funding("north", "shared"),
        hold("b", "dept", 60),
        closing("dept"),
        release_hold("b"),
        closing("dept"),
        order("a", "north", pay="later"),
        funding("north", "own"),
        cancel_order("a"),
        funding("north", "own"),
    ],
}


def reasons(said: list[Any]) -> list[Reason | None]:
    return [one.data.reason for one in said]


def one_by_one(story: list[Any]) -> tuple[PureDesk, list[Reason | None]]:
    """What becomes of the story where each command comes alone, in the pure core."""
    desk = PureDesk()
    desk.do(*BEFORE)
    return desk, [desk.refused(command) for command in story]


def same_books(kept: LedgerDesk, meant: PureDesk) -> None:
    """Accounts, entries and every row of every table are alike, but for the numbers of transactions."""
    assert kept.accounts() == meant.accounts()
    for id_ in meant.accounts():
        found, expected = kept.account(id_), meant.account(id_)
        assert {name: found[name] for name in expected if name in found} == {
            name: value for name, value in expected.items() if name in found
        }
    for kind, spec in KINDS.items():
        if kind in (PastTransaction, Returned, RechargeReference, ReceiptDue):
            continue
        rows = kept.all(f"SELECT {', '.join(spec.names)} FROM {spec.table}")
        stored = {spec.key_of(row): _unnumbered(row) for row in (kind(*values) for values in rows)}
        expected_rows = {key: _unnumbered(row) for key, row in meant.book._rows[kind].items()}
        assert stored == expected_rows
    assert _entries(kept) == _entries(meant)


def _unnumbered(row: Row) -> Row:
    if "transaction" not in {field.name for field in fields(row)}:
        return row
    numbered: Any = row
    return replace(numbered, transaction=numbered.transaction is not None)


SHOWN = [
    "account",
    "version",
    "type",
    "unit",
    "amount",
    "balance",
    "devices",
    "order",
    "method",
    "payer",
    "counterparty",
    "consumer",
]


def _entries(desk: LedgerDesk | PureDesk) -> list[tuple[Any, ...]]:
    # The item of a refund is the number of the charge.
    return sorted(
        (
            (*(line[name] for name in SHOWN), line["item"] if line["type"] != "refund" else None)
            for line in desk.lines()
        ),
        key=str,
    )


@pytest.mark.parametrize("name", STORIES)
def test_a_batch_comes_to_the_same_as_its_commands_one_by_one(desk: LedgerDesk, name: str) -> None:
    meant, expected = one_by_one(STORIES[name])
    desk.do(*BEFORE)
    assert reasons(desk.send(*STORIES[name])) == expected
    same_books(desk, meant)


def test_all_stories_in_one_batch_come_to_the_same(desk: LedgerDesk) -> None:
    # So many of them that rows are copied into their tables
    story = [command for name in STORIES for command in STORIES[name]]
    meant, expected = one_by_one(story)
    desk.do(*BEFORE)
    assert reasons(desk.send(*story)) == expected
    same_books(desk, meant)


def test_a_story_that_is_cut_anywhere_comes_to_the_same(desk: LedgerDesk) -> None:
    story = STORIES["who pays"] + STORIES["orders"]
    meant, expected = one_by_one(story)
    desk.do(*BEFORE)
    found = [reason for at in range(0, len(story), 5) for reason in reasons(desk.send(*story[at : at + 5]))]
    assert found == expected
    same_books(desk, meant)


def test_how_an_order_may_be_paid_is_known_in_the_batch_that_made_it(desk: LedgerDesk) -> None:
    desk.do(*BEFORE, methods("DE", "card"), plan("pro", "package", price=10, cycle=MONTHLY))
    made = {
        "a": order("a", "acme"),
        "b": power_on("b", "acme", phone="p9"),
        "c/1": subscribe("c", "acme"),
        "c/2": next_cycle("c", "acme"),
    }
    for id_, by in made.items():
        found = reasons(desk.send(by, pay(id_, method="cash")))
        assert found == [None, Reason.PAYMENT_METHOD_NOT_AVAILABLE], id_


# One that crashes in their midst


@pytest.fixture
def crashing_adjustments() -> Iterator[None]:
    """Adjustments with the note `broken` raise in the rule."""
    sound = RULES[Adjust]

    def crash(command: Any, *given: Any) -> Any:
        if command.note == "broken":
            raise ZeroDivisionError
        return sound.decide(command, *given)

    RULES[Adjust] = Rule(sound.needs, crash)
    yield
    RULES[Adjust] = sound


def culprits(story: list[Any], culprit: Any) -> Iterator[list[Any]]:
    """The story with the culprit at its beginning, in its midst, and at its end."""
    for at in (0, len(story) // 2, len(story)):
        yield [*story[:at], culprit, *story[at:]]


@pytest.mark.parametrize("name", ["holds", "phones", "resources", "subscriptions", "who pays"])
@pytest.mark.parametrize("place", range(3))
@pytest.mark.usefixtures("crashing_adjustments")
def test_a_rule_that_raises_leaves_what_is_frozen_and_running_right(
    desk: LedgerDesk, name: str, place: int
) -> None:
    meant, expected = one_by_one(STORIES[name])
    desk.do(*BEFORE)
    with_culprit = list(culprits(STORIES[name], adjustment("north", 7, note="broken")))[place]
    assert reasons(desk.send(*with_culprit)) == expected
    assert [letter["type"] for letter in desk.letters()] == ["Adjust"]
    same_books(desk, meant)


@pytest.mark.parametrize("name", STORIES)
def test_a_row_that_the_database_refuses_leaves_all_others_right(own_desk: LedgerDesk, name: str) -> None:
    desk = own_desk
    meant, expected = one_by_one(STORIES[name])
    desk.do(*BEFORE)
    desk.all("ALTER TABLE entry ADD CONSTRAINT not_777 CHECK (abs(amount) <> 777)")
    _, with_culprit, _ = culprits(STORIES[name], top_up("shop", 777))
    assert reasons(desk.send(*with_culprit)) == expected
    assert [letter["type"] for letter in desk.letters()] == ["TopUp"]
    same_books(desk, meant)
