"""`traceparent`: whoever follows a trace finds in it what a command has led to."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.queries.command import command
from ledger.queries.dead import letter
from messages.commands import TopUp
from messages.publisher import event
from messages.tracing import trace_id
from tests.breaking import BROKEN, Break, crash
from tests.builders import activation, enterprise, onboarding, top_up, usage
from tests.desk import SOURCE, LedgerDesk, json_of

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
ANOTHER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"


def trace_of(said: Any) -> str | None:
    found: str | None = json_of(said).get("traceparent")
    return found


def test_an_outcome_is_in_the_trace_of_its_command(desk: LedgerDesk) -> None:
    desk.do(enterprise())
    assert trace_of(desk.ask(top_up(amount=5), id="t1", traceparent=TRACE)) == TRACE
    refused = desk.ask(onboarding(price=9), id="t2", traceparent=TRACE)
    assert refused.data.reason == "insufficient_credit"
    assert trace_of(refused) == TRACE
    assert "traceparent" not in json_of(desk.ask(top_up(amount=5)))


def test_a_command_that_is_sent_again_is_answered_in_the_trace_that_asks_again(desk: LedgerDesk) -> None:
    desk.do(enterprise())
    desk.ask(top_up(amount=5), id="t1", traceparent=TRACE)
    assert trace_of(desk.ask(top_up(amount=5), id="t1", traceparent=ANOTHER)) == ANOTHER
    assert trace_of(desk.ask(top_up(amount=5), id="t1")) is None
    conflict = desk.ask(top_up(amount=6), id="t1", traceparent=ANOTHER)
    assert conflict.data.reason == "idempotency_conflict"
    assert trace_of(conflict) == ANOTHER


@pytest.mark.parametrize(
    "given",
    [
        "00-ab-cd-01",
        TRACE.upper(),
        f"{TRACE}-more",
        f" {TRACE}",
        f"01{TRACE[2:]}",
        f"00-{'0' * 32}-b7ad6b7169203331-01",
        f"00-0af7651916cd43dd8448eb211c80319c-{'0' * 16}-01",
        '00","data":{"reason":null},"x":"',
    ],
)
def test_what_is_no_traceparent_is_carried_no_further_and_refuses_nothing(
    desk: LedgerDesk, given: str
) -> None:
    said = desk.ask(enterprise(), id="o1", traceparent=given)
    assert said.data.reason is None
    assert "traceparent" not in json_of(said)
    assert command(desk.connection, SOURCE, "o1").traceparent is None


def test_an_invalid_command_is_answered_in_its_trace_and_its_letter_shows_it(desk: LedgerDesk) -> None:
    wrong = {"type": "TopUp", "id": "w1", "source": SOURCE, "traceparent": TRACE, "data": {"amount": 5}}
    (said,) = desk.send(wrong)
    assert said.data.reason == "invalid_message"
    assert trace_of(said) == TRACE
    assert letter(desk.connection, 1).traceparent == TRACE
    assert command(desk.connection, SOURCE, "w1").traceparent == TRACE


def test_further_events_are_in_the_trace_of_the_command_that_causes_them(desk: LedgerDesk) -> None:
    desk.do(enterprise(), top_up(amount=5), activation(estimate=1))
    desk.ask(usage(amount=9), id="u1", traceparent=TRACE)
    assert [(one.type, one.traceparent) for one in desk.further] == [("coins.CreditExhausted.v1", TRACE)]
    desk.do(top_up(amount=100), usage(amount=900))
    (without,) = desk.further
    assert "traceparent" not in without.model_dump(mode="json")


def test_a_command_that_crashes_leaves_its_trace_with_its_letter(desk: LedgerDesk, break_rule: Break) -> None:
    break_rule(TopUp, decide=crash)
    desk.do(enterprise())
    desk.send(event(top_up(note=BROKEN), source=SOURCE, id="t1", traceparent=TRACE))
    assert [(one.type, one.traceparent) for one in desk.further] == [
        ("coins.DeadLetterGroupOpened.v1", TRACE)
    ]
    assert letter(desk.connection, 1).traceparent == TRACE


def test_the_trace_id_is_what_all_of_a_trace_has() -> None:
    assert trace_id(TRACE) == "0af7651916cd43dd8448eb211c80319c"
    assert trace_id(None) is None
