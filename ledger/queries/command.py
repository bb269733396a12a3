"""What became of a command: its outcome, what it posted, and the message as it came in."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, NamedTuple

import psycopg

from ledger.errors import NotFound
from ledger.queries.conditions import usable
from ledger.queries.entries import NUMBER
from messages.tracing import traceparent_in

# Of a batch that was archived elsewhere the message is gone: then there are no deliveries.
_DECIDED = f"""
SELECT c.decided_at, c.reason, c.outcome, c.place, {NUMBER}, t.actor, c.batch, c.delivery, b.deliveries
FROM command c
LEFT JOIN transaction t ON t.id = c.transaction
LEFT JOIN batch b ON b.id = c.batch AND b.received_at = c.decided_at
WHERE c.source = %(source)s AND c.id = %(id)s"""

# Bytes count from 1. Only the message that is asked for leaves the database, not the whole batch.
_BODY = """
SELECT substring(b.bodies FROM %(before)s::int + 1 FOR %(length)s::int)
FROM batch b
WHERE b.id = %(batch)s AND b.received_at = %(received_at)s"""

_LETTERS = """
SELECT d.id, g.reason, d.state, d.why, d.producer, d.stream, d.position, d.place, d.count, d.first_at, d.last_at, d.raw
FROM dead_letter d
JOIN dead_letter_group g ON g.id = d.group_id
WHERE d.source = %(source)s AND d.command_id = %(id)s
ORDER BY d.first_at, d.id"""


class Letter(NamedTuple):
    """A message under the same key that could not be decided; `raw` is its text, what is no text escaped."""

    letter: int
    reason: str
    state: str
    why: str
    producer: str | None
    stream: str | None
    position: str | None
    place: int
    times: int
    first_at: datetime
    last_at: datetime
    raw: str


class CommandReport(NamedTuple):
    """Everything that is known under a command's key.

    outcome: `applied`, `rejected`, or `undecided` where there are dead letters alone.
    accounts: their figures as the outcome told them, right after it. traceparent: of the message, where it is one.
    raw: the message as it came in; `place` says which event of it this was, counted from 0.
    """

    source: str
    id: str
    type: str | None
    outcome: str
    reason: str | None
    message: str | None
    decided_at: datetime | None
    producer: str | None
    actor: str | None
    traceparent: str | None
    transaction: str | None
    accounts: list[dict[str, Any]]
    stream: str | None
    position: str | None
    place: int | None
    raw: str | None
    dead_letters: list[Letter]


def command(connection: psycopg.Connection[Any], source: str, id: str) -> CommandReport:
    """What became of the command. Raises NotFound where nothing ever came in under that key."""
    key = {"source": usable(source, "SOURCE"), "id": usable(id, "ID")}
    letters = [Letter._make((*row[:-1], text_of(row[-1]))) for row in connection.execute(_LETTERS, key)]
    decided = connection.execute(_DECIDED, key).fetchone()
    if decided is not None:
        return _decided(connection, source, id, letters, *decided)
    if not letters:
        raise NotFound(
            f"nothing has come in from {source} with the id {id}, or it has not been read yet; "
            "look for a misspelt key, and with `coins health` whether a worker runs"
        )
    last = letters[-1]
    event = event_of(last.raw, last.place)
    return CommandReport(
        source=source,
        id=id,
        type=_member(event, "type"),
        outcome="undecided",
        reason=None,
        message=last.why,
        decided_at=None,
        producer=last.producer,
        actor=_member(event, "actor"),
        traceparent=traceparent_in(event.get("traceparent")),
        transaction=None,
        accounts=[],
        stream=last.stream,
        position=last.position,
        place=last.place,
        raw=last.raw,
        dead_letters=letters,
    )


class _Message(NamedTuple):
    """A message of an archived batch, and where it came from; nothing of it is known where it is gone."""

    stream: str | None = None
    position: str | None = None
    producer: str | None = None
    raw: str | None = None


def _decided(
    connection: psycopg.Connection[Any],
    source: str,
    id: str,
    letters: list[Letter],
    decided_at: datetime,
    reason: str | None,
    outcome: str,
    place: int,
    transaction: str | None,
    actor: str | None,
    batch: int,
    delivery: int,
    deliveries: str | None,
) -> CommandReport:
    lasting = json.loads(outcome)
    message = _message(connection, batch, decided_at, delivery, deliveries)
    event = event_of(message.raw, place)
    return CommandReport(
        source=source,
        id=id,
        type=_member(event, "type"),
        outcome="applied" if reason is None else "rejected",
        reason=reason,
        message=lasting["message"],
        decided_at=decided_at,
        # On the common stream the producer is the source, up to the slash.
        producer=message.producer or source.partition("/")[0],
        actor=_member(event, "actor") or actor,
        traceparent=traceparent_in(event.get("traceparent")),
        transaction=transaction,
        accounts=lasting["accounts"],
        stream=message.stream,
        position=message.position,
        place=place,
        raw=message.raw,
        dead_letters=letters,
    )


def _message(
    connection: psycopg.Connection[Any],
    batch: int,
    received_at: datetime,
    number: int,
    deliveries: str | None,
) -> _Message:
    if deliveries is None:
        return _Message()
    index = json.loads(deliveries)
    stream, position, producer, length = index[number]
    key = {
        "batch": batch,
        "received_at": received_at,
        "before": sum(one[3] for one in index[:number]),
        "length": length,
    }
    row = connection.execute(_BODY, key).fetchone()
    assert row is not None
    return _Message(stream, position, producer, text_of(row[0]))


def text_of(body: bytes) -> str:
    """Bytes as text; what is none is escaped."""
    return body.decode("utf-8", "backslashreplace")


def event_of(raw: str | None, place: int) -> dict[str, Any]:
    """The event at that place of the message; empty where there is none to be read."""
    try:
        content = json.loads(raw or "")
        event = content[place] if isinstance(content, list) else content
    except (ValueError, IndexError, RecursionError):
        return {}
    return event if isinstance(event, dict) else {}


def _member(event: dict[str, Any], name: str) -> str | None:
    value = event.get(name)
    return value if isinstance(value, str) else None
