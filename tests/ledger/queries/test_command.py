from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest

from ledger.errors import NotFound
from ledger.queries.command import command
from tests import builders as a
from tests.desk import NOW, SOURCE, LedgerDesk, array_of, body_of

Reader = psycopg.Connection[Any]
INVALID = {"type": "TopUp", "id": "c-9", "source": SOURCE, "data": {"account": "acme", "amount": 0}}


def test_an_applied_command_is_told_with_its_transaction_and_its_message(
    desk: LedgerDesk, reader: Reader
) -> None:
    desk.do(a.enterprise())
    said = desk.ask(a.top_up("acme", 100, note="für später"), id="c-1", actor="li.na")

    found = command(reader, SOURCE, "c-1")

    assert (found.source, found.id, found.type) == (SOURCE, "c-1", "coins.TopUp.v1")
    assert (found.outcome, found.reason, found.message) == ("applied", None, None)
    assert (found.decided_at, found.producer, found.actor) == (NOW, desk.producer or SOURCE, "li.na")
    assert found.transaction == said.data.transaction
    assert found.accounts == [
        {"account": "acme", "credit": 100, "credit_limit": 0, "frozen": 0, "available": 100}
    ]
    assert (found.stream, found.place, found.dead_letters) == (desk.stream, 0, [])
    assert json.loads(found.raw or "")["data"]["note"] == "für später"


def test_of_two_transactions_of_a_command_the_charge_is_told(desk: LedgerDesk, reader: Reader) -> None:
    # Given an order that was paid by another method: a recharge, then the charge
    desk.do(a.enterprise())
    said = desk.ask(a.order(method="wechat"), id="c-1", actor="li.na")
    desk.all("DELETE FROM batch")

    found = command(reader, SOURCE, "c-1")

    assert (found.outcome, found.transaction) == ("applied", said.data.transaction)
    assert (found.actor, found.accounts[0]["credit"]) == ("li.na", 0)


def test_a_rejected_command_is_told_with_its_reason(desk: LedgerDesk, reader: Reader) -> None:
    desk.ask(a.top_up("nobody"), id="c-1")

    found = command(reader, SOURCE, "c-1")

    assert (found.outcome, found.reason, found.transaction) == ("rejected", "account_not_found", None)
    assert "nobody" in (found.message or "")


def test_the_message_is_the_one_of_the_batch_that_held_it(desk: LedgerDesk, reader: Reader) -> None:
    # Given a batch of a message, an array with two commands, and another message
    both = array_of(
        {"type": "TopUp", "id": "c-2", "source": SOURCE, "data": {"account": "acme", "amount": 2}},
        {
            "type": "TopUp",
            "id": "c-3",
            "source": SOURCE,
            "actor": "bo",
            "data": {"account": "acme", "amount": 3},
        },
    )
    desk.deliver(body_of(a.enterprise()), both, body_of(a.top_up()))

    found = command(reader, SOURCE, "c-3")

    assert found.raw == both.decode()
    assert (found.place, found.actor) == (1, "bo")


def test_an_undecided_command_is_told_with_its_dead_letters(desk: LedgerDesk, reader: Reader) -> None:
    desk.ask(INVALID)
    desk.ask(INVALID)

    found = command(reader, SOURCE, "c-9")

    assert (found.outcome, found.decided_at, found.type) == ("undecided", None, "coins.TopUp.v1")
    (letter,) = found.dead_letters
    assert (letter.reason, letter.state, letter.producer) == ("invalid", "waiting", desk.producer or SOURCE)
    assert "amount" in letter.why
    assert found.message == letter.why
    assert json.loads(letter.raw)["data"] == INVALID["data"]


def test_a_command_that_was_put_right_keeps_its_letters(desk: LedgerDesk, reader: Reader) -> None:
    desk.do(a.enterprise())
    desk.ask(INVALID)
    desk.ask({**INVALID, "data": {"account": "acme", "amount": 1}})

    found = command(reader, SOURCE, "c-9")

    assert found.outcome == "applied"
    assert [letter.state for letter in found.dead_letters] == ["resolved"]


def test_a_message_that_was_archived_elsewhere_is_not_there_any_more(
    desk: LedgerDesk, reader: Reader
) -> None:
    desk.ask(a.enterprise(), id="c-1")
    desk.all("DELETE FROM batch")

    found = command(reader, SOURCE, "c-1")

    assert (found.outcome, found.raw, found.stream, found.type) == ("applied", None, None, None)
    assert found.producer == SOURCE


def test_what_never_came_in_is_not_found(reader: Reader) -> None:
    with pytest.raises(NotFound, match="nothing has come in from tests with the id c-1"):
        command(reader, SOURCE, "c-1")
