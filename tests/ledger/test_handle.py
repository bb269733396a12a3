"""Batches on a real ledger: keys, invalid messages, and what is published and kept of them."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import orjson
import pytest
from structlog.testing import capture_logs

from ledger.batch import Stage
from messages.commands import OpenAccount, TopUp
from messages.publisher import event
from messages.reasons import Reason
from tests.builders import branch, department, enterprise, onboarding, top_up, transfer
from tests.desk import NOW, SOURCE, LedgerDesk, array_of, body_of, json_of


def keyed(command: Any, id_: str, **attributes: Any) -> Any:
    return event(command, source=SOURCE, id=id_, **attributes)


def top_up_with(id_: str, **data: Any) -> dict[str, Any]:
    return {"type": "TopUp", "id": id_, "source": SOURCE, "data": {"account": "acme", "amount": 5, **data}}


def invalid(id_: str) -> dict[str, Any]:
    return top_up_with(id_, amount="5")


def reasons(said: list[Any]) -> list[Reason | None]:
    return [one.data.reason for one in said]


def duplicates(said: list[Any]) -> list[bool]:
    return [one.data.duplicate for one in said]


# Keys


def test_a_duplicate_gets_the_first_outcome_again(desk: LedgerDesk) -> None:
    desk.do(enterprise())
    first = json_of(desk.ask(top_up(amount=5), id="t1"))
    desk.later(days=30)
    desk.do(top_up(amount=7))
    second = json_of(desk.ask(top_up(amount=5), id="t1"))
    assert second["data"].pop("duplicate") is True
    assert first["data"].pop("duplicate") is False
    assert second["data"] == first["data"]
    assert second["id"] != first["id"]
    assert desk.credit("acme") == 12


@pytest.mark.parametrize("together", ["in a message", "in a batch", "across batches"])
def test_a_key_is_decided_once_however_it_is_repeated(desk: LedgerDesk, together: str) -> None:
    desk.do(enterprise())
    same, other = keyed(top_up(amount=5), "t1"), keyed(top_up(amount=6), "t1")
    asks = [same, same, other, same]
    if together == "in a message":
        said = desk.deliver(array_of(*asks))
    elif together == "in a batch":
        said = desk.send(*asks)
    else:
        said = [desk.ask(ask) for ask in asks]
    assert reasons(said) == [None, None, Reason.IDEMPOTENCY_CONFLICT, None]
    assert duplicates(said) == [False, True, False, True]
    assert {one.data.transaction for one in said} == {said[0].data.transaction, None}
    assert desk.credit("acme") == 5
    assert desk.one("SELECT count(*) FROM command WHERE id = 't1'") == (1,)


def test_the_same_id_from_another_source_is_another_key(desk: LedgerDesk) -> None:
    desk.do(enterprise())
    said = desk.send(
        event(top_up(amount=5), source="tests", id="1"),
        event(top_up(amount=5), source="tests/other", id="1"),
    )
    assert reasons(said) == [None, None]
    assert duplicates(said) == [False, False]
    assert desk.credit("acme") == 10


def test_a_conflict_leaves_the_first_outcome_as_it_is(desk: LedgerDesk) -> None:
    desk.do(enterprise())
    first = desk.ask(top_up(amount=5), id="t1")
    assert desk.ask(top_up(amount=6), id="t1").data.reason == Reason.IDEMPOTENCY_CONFLICT
    assert desk.ask(enterprise("other"), id="t1").data.reason == Reason.IDEMPOTENCY_CONFLICT
    again = desk.ask(top_up(amount=5), id="t1")
    assert again.data.duplicate
    assert again.data.transaction == first.data.transaction


def test_a_rejected_command_that_is_asked_again_gets_the_same_rejection(desk: LedgerDesk) -> None:
    desk.do(enterprise())
    refused = desk.ask(onboarding("acme", "d", price=3), id="o1")
    assert refused.data.reason == Reason.INSUFFICIENT_CREDIT
    desk.do(top_up(amount=5))
    again = desk.ask(onboarding("acme", "d", price=3), id="o1")
    assert again.data.duplicate
    assert again.data.reason == Reason.INSUFFICIENT_CREDIT
    assert again.data.message == refused.data.message
    assert desk.ask(onboarding("acme", "d", price=3), id="o2").data.reason is None


def test_a_command_past_its_expiry_is_rejected_and_stays_so(desk: LedgerDesk) -> None:
    desk.do(enterprise())
    late = keyed(top_up(amount=5), "late", expirytime=NOW - timedelta(seconds=1))
    said = desk.send(late, late)
    assert reasons(said) == [Reason.EXPIRED, Reason.EXPIRED]
    assert duplicates(said) == [False, True]
    assert desk.credit("acme") == 0


def test_a_duplicate_past_its_expiry_still_gets_its_outcome(desk: LedgerDesk) -> None:
    desk.do(enterprise())
    in_time = keyed(top_up(amount=5), "t1", expirytime=NOW + timedelta(minutes=1))
    assert desk.refused(in_time) is None
    desk.later(minutes=2)
    again = desk.ask(in_time)
    assert again.data.reason is None
    assert again.data.duplicate


def test_attributes_of_the_envelope_are_no_content(desk: LedgerDesk) -> None:
    desk.do(enterprise())
    desk.ask(top_up(amount=5), id="t1", actor="li.na@acme.example", time=NOW)
    again = desk.ask(top_up(amount=5), id="t1", actor="somebody else", partitionkey="acme")
    assert again.data.duplicate


def test_keys_may_be_any_printable_text(desk: LedgerDesk) -> None:
    desk.do(enterprise())
    odd = ['a"b', "a\\b", "{a,b}", "NULL", "null", " ", "'; --", "%s", "a\\", '"', "\\N", "a,b"]
    first = desk.send(*(keyed(top_up(amount=1), id_) for id_ in odd))
    again = desk.send(*(keyed(top_up(amount=1), id_) for id_ in odd))
    assert reasons(first + again) == [None] * 2 * len(odd)
    assert duplicates(again) == [True] * len(odd)
    assert [one.data.command.id for one in again] == odd
    assert desk.credit("acme") == len(odd)


def test_texts_come_back_as_they_went_in(desk: LedgerDesk) -> None:
    name = 'Ünïcode "quoted" \\ back\nline\ttab {brace},NULL 钱 \U0001f4b0'
    desk.do(enterprise(name=name, email="a@b.example", address="\n\\\"'"))
    desk.do(OpenAccount(account="b", parent="acme", kind="branch", name="NULL"))  # type: ignore[arg-type]
    desk.do(top_up(amount=1, note=name, payer="{}", reference='r"\\,'))
    assert desk.account("acme")["name"] == name
    assert desk.account("acme")["address"] == "\n\\\"'"
    assert desk.account("b")["name"] == "NULL"
    (line,) = desk.lines()
    assert (line["note"], line["payer"], line["reference"]) == (name, "{}", 'r"\\,')
    assert desk.refused(top_up(amount=1, reference='r"\\,')) == Reason.DUPLICATE_REFERENCE


def test_devices_may_have_any_printable_name(desk: LedgerDesk) -> None:
    desk.do(enterprise(), top_up(amount=100))
    odd = ['a"b', "a\\b", "{a,b}", "NULL", "null", "'", "%s", "a\\", '"', "\\N"]
    desk.do(onboarding("acme", *odd))
    assert set(desk.devices()) == set(odd)
    assert desk.refused(onboarding("acme", "NULL")) == Reason.DEVICE_ALREADY_ONBOARDED
    (line,) = (line for line in desk.lines() if line["type"] == "onboarding")
    assert line["devices"] == odd


# What comes out


def test_an_outcome_says_whom_it_answers_and_what_is_there_now(desk: LedgerDesk) -> None:
    desk.do(enterprise(credit_limit=50))
    said = json_of(desk.ask(top_up(amount=500), id="9f1c"))
    assert said["type"] == "coins.CommandApplied.v1"
    assert said["source"] == "coins"
    assert said["causationid"] == "9f1c"
    assert said["data"]["command"] == {"source": SOURCE, "id": "9f1c", "type": "coins.TopUp.v1"}
    assert said["data"]["reason"] is None
    assert said["data"]["transaction"].startswith("T-2026-")
    assert said["data"]["accounts"] == [
        {"account": "acme", "credit": 500, "credit_limit": 50, "frozen": 0, "available": 550}
    ]


def test_one_number_names_a_transaction_however_many_accounts_it_touches(desk: LedgerDesk) -> None:
    desk.do(enterprise(), branch(), top_up(amount=9))
    number = desk.do(transfer(amount=4))
    assert [line["amount"] for line in desk.lines() if line["number"] == number] == [-4, 4]


def test_outcomes_come_in_the_order_of_their_commands(desk: LedgerDesk) -> None:
    desk.do(enterprise())
    asks = [
        keyed(top_up(amount=1), "a"),
        invalid("b"),
        keyed(top_up("none"), "c"),
        keyed(top_up(amount=1), "a"),
    ]
    said = desk.deliver(array_of(*asks[:2]), array_of(*asks[2:]))
    assert [one.data.command.id for one in said] == ["a", "b", "c", "a"]
    assert desk.routes == [
        "outcome.tests.applied.TopUp",
        "outcome.tests.rejected.TopUp",
        "outcome.tests.rejected.TopUp",
        "outcome.tests.applied.TopUp",
        "event.platform.coins.DeadLetterGroupOpened.v1",
    ]


def test_an_outcome_never_shows_the_credit_of_a_master(desk: LedgerDesk) -> None:
    desk.do(enterprise(), department(), top_up(amount=77))
    for ask in (onboarding("dept", "d", price=7), onboarding("dept", "e", price=71)):
        said = desk.ask(ask).data
        assert {one.account for one in said.accounts} <= {"dept"}
        assert "70" not in (said.message or "")
        assert all(one.available is None for one in said.accounts)


def test_a_refusal_for_lack_of_credit_names_the_parent_and_its_address(desk: LedgerDesk) -> None:
    desk.do(
        enterprise(name="Acme Ltd.", email="coins@acme.example"),
        branch(name="North"),
        department(name="Dept"),
    )
    for ask in (
        onboarding("north", "d"),
        transfer("north", "acme", 1, ordered_by="acme"),
        onboarding("dept", "e"),
    ):
        message = desk.ask(ask).data.message
        assert message is not None
        assert "Acme Ltd." in message
        assert "coins@acme.example" in message


def test_on_the_common_stream_the_source_says_who_the_producer_is(open_desk: Any) -> None:
    desk = open_desk(producer=None)
    desk.ask(enterprise(), source="device-mgmt/eu.1")
    desk.ask({**invalid("x"), "source": "back-office"})
    assert desk.routes[0] == "outcome.back-office.rejected.TopUp"


def test_messages_are_kept_as_they_came_in(desk: LedgerDesk) -> None:
    bodies = [b"garbage \x00\xff", body_of(enterprise()), array_of(top_up(amount=1), top_up(amount=2))]
    desk.deliver(*bodies)
    (kept,) = desk.dicts("SELECT * FROM batch")
    assert bytes(kept["bodies"]) == b"".join(bodies[1:])
    # What holds no command is a dead letter, and kept there
    assert [bytes(one["raw"]) for one in desk.letters()] == bodies[:1]
    assert desk.all("SELECT id, delivery, place FROM command ORDER BY delivery, place")[0][1:] == (1, 0)
    assert [
        row[1:] for row in desk.all("SELECT id, delivery, place FROM command ORDER BY delivery, place")
    ] == [(1, 0), (2, 0), (2, 1)]


def test_what_was_decided_before_is_not_kept_again(desk: LedgerDesk) -> None:
    desk.do(enterprise())
    ask = keyed(top_up(amount=1, note="n" * 400), "a")
    desk.send(ask)
    desk.send(*[ask] * 20, keyed(top_up(amount=2, note="n" * 400), "a"))
    (first, second) = desk.all("SELECT length(bodies) FROM batch ORDER BY id DESC LIMIT 2")
    assert (first, second) == ((0,), (len(body_of(ask)),))


def test_a_batch_reaches_the_outbox_as_one_row(desk: LedgerDesk) -> None:
    desk.do(enterprise())
    before = desk.one("SELECT last_value FROM outbox_id_seq")[0]
    desk.send(*(top_up(amount=1) for _ in range(50)))
    assert desk.one("SELECT last_value FROM outbox_id_seq")[0] == before + 1


def test_a_thousand_events_of_one_message_are_decided_in_its_order(desk: LedgerDesk) -> None:
    desk.do(enterprise())
    asks = [keyed(top_up(amount=1), str(number)) for number in range(999)]
    said = desk.deliver(array_of(*asks, keyed(onboarding("acme", "d", price=999), "last")))
    assert reasons(said) == [None] * 1000
    assert desk.credit("acme") == 0
    assert [line["balance"] for line in desk.lines()] == [*range(1, 1000), 0]


def test_empty_batches_change_nothing_but_the_position(desk: LedgerDesk) -> None:
    assert desk.deliver() == []
    assert desk.handled.commands == 0


def test_what_became_of_a_batch_is_counted(desk: LedgerDesk) -> None:
    desk.do(enterprise())
    same = keyed(top_up(amount=1), "a")
    desk.send(same, same, invalid("b"), b"garbage", top_up("none"))
    assert desk.handled.commands == 3
    assert desk.handled.duplicates == 1
    assert desk.handled.dead_letters == 2
    assert desk.handled.crashed == 0
    assert desk.handled.outcomes == {
        ("TopUp", "applied"): 1,
        ("TopUp", "duplicate"): 1,
        ("TopUp", "invalid_message"): 1,
        ("TopUp", "account_not_found"): 1,
    }


def test_who_ordered_it_stands_on_the_line(desk: LedgerDesk) -> None:
    desk.do(enterprise())
    desk.ask(
        top_up(amount=1, payer="Li Na", method="card", reference="R1"), id="t1", actor="li.na@acme.example"
    )
    (line,) = desk.lines()
    assert (line["actor"], line["command_source"], line["command_id"]) == ("li.na@acme.example", SOURCE, "t1")
    assert (line["payer"], line["method"], line["reference"]) == ("Li Na", "card", "R1")


def test_times_on_a_statement_never_fall_whatever_the_clock_does(desk: LedgerDesk) -> None:
    desk.do(enterprise(), branch(), top_up(amount=5))
    desk.later(hours=-2)
    desk.do(transfer(amount=1), top_up(amount=5))
    times = [line["time"] for line in desk.lines()]
    assert times == [NOW] * 4


def test_an_outcome_event_keeps_its_bytes_in_the_ledger(desk: LedgerDesk) -> None:
    desk.do(enterprise())
    said = desk.ask(TopUp(account="acme", amount=5), id="t1")
    (stored,) = desk.one("SELECT outcome FROM command WHERE id = 't1'")
    assert orjson.loads(stored)["transaction"] == said.data.transaction


# What is told of a batch


def test_a_batch_tells_its_number_what_became_of_it_and_where_its_time_went(desk: LedgerDesk) -> None:
    desk.do(enterprise())
    desk.send(keyed(top_up(amount=5), "t1"), keyed(top_up(amount=5), "t1"), keyed(onboarding(price=9), "d1"))
    handled = desk.handled
    assert (handled.batch,) == desk.one("SELECT max(id) FROM batch")
    assert handled.outcomes == {
        ("TopUp", "applied"): 1,
        ("TopUp", "duplicate"): 1,
        ("DebitForDeviceOnboarding", "insufficient_credit"): 1,
    }
    assert handled.seconds[Stage.COMMIT] == 0
    assert all(handled.seconds[stage] > 0 for stage in (Stage.LOAD, Stage.DECIDE, Stage.STORE))


def test_at_debug_there_is_a_line_for_each_command_and_otherwise_none(
    desk: LedgerDesk, caplog: pytest.LogCaptureFixture
) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    desk.do(enterprise())
    with capture_logs() as quiet:
        desk.ask(top_up(amount=5), id="t1")
    assert quiet == []
    with caplog.at_level(logging.DEBUG, "ledger.handle"), capture_logs() as told:
        desk.send(
            keyed(top_up(amount=5), "t1"),
            keyed(onboarding(price=9), "d1", traceparent=f"00-{trace}-b7ad6b7169203331-01"),
        )
    line = {"event": "command decided", "log_level": "debug", "source": SOURCE}
    assert told == [
        {**line, "id": "t1", "outcome": "duplicate"},
        {**line, "id": "d1", "outcome": "insufficient_credit", "trace_id": trace},
    ]
