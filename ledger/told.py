"""What producers were told, and in which turn their messages come, in temporary tables of one session.

A million outcomes are too many for the memory of a process. Of an outcome its key, its place (in which batch, at which slot)
and a digest are kept. Batches count in the order of their numbers, not by anybody's clock.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple

import orjson
import psycopg

from ledger.dead_letters import SLOT_BITS
from ledger.numbers import transaction_of
from ledger.retelling import Difference, History, Key, Told, difference, digest
from messages.reasons import Reason

PAGE = 1_000
NO_KEY: Sequence[tuple[str | None, str | None]] = [(None, None)]
# These say nothing of the key's own command.
NO_DECISION = (Reason.IDEMPOTENCY_CONFLICT, Reason.INVALID_MESSAGE)

_CREATE = """
CREATE TEMP TABLE came_out (
  source text, id text, batch int8, slot int4, at timestamptz, decided bool, reason text, transaction int8, message text,
  digest bytea);
CREATE TEMP TABLE further (batch int8, id text, digest bytea);
CREATE TEMP TABLE came_in (stream int4, number numeric, source text, id text)"""
_KNOWN = "SELECT id, received_at FROM batch WHERE id = ANY(%s::int8[])"
_OLDEST = "SELECT min(received_at) FROM batch"
_FILL = (
    "COPY came_out (source, id, batch, slot, at, decided, reason, transaction, message, digest) FROM STDIN"
)
# What was told of batches up to the ledger's last one, and decided nothing, was told before the moment of the restore.
_ARRANGE = f"""
CREATE TEMP TABLE told AS
SELECT *, dense_rank() OVER (ORDER BY batch, at) << {SLOT_BITS} | slot AS place
FROM (SELECT DISTINCT ON (batch, at, slot) *, bool_or(decided) OVER (PARTITION BY batch, at) AS decides FROM came_out) o
WHERE decides OR batch > %s"""
_DECISIONS = """
CREATE TEMP TABLE decision AS
SELECT DISTINCT ON (source, id) source, id, reason, transaction, message, place FROM told WHERE decided
ORDER BY source, id, place"""
_INDEXES = """
DROP TABLE came_out;
CREATE INDEX ON further (batch);
CREATE INDEX ON told (source, id); CREATE INDEX ON told (place); CREATE INDEX ON told (transaction);
CREATE UNIQUE INDEX ON decision (source, id);
ANALYZE told; ANALYZE decision"""
_FURTHER = "COPY further (batch, id, digest) FROM STDIN"
_FURTHER_EVENTS = "SELECT id, digest FROM further WHERE batch = %s"
_TOTALS = "SELECT (SELECT count(*) FROM decision), (SELECT coalesce(max(batch), 0) FROM told)"
_ANSWERED = """
SELECT DISTINCT t.source, t.id
FROM told t JOIN unnest(%s::text[], %s::text[]) AS k(source, id) ON t.source = k.source AND t.id = k.id"""
_COME_IN = "COPY came_in (stream, number, source, id) FROM STDIN"
# Answers of a key go to its messages in turn. Along a stream the places of the answers go forward: one that lies beyond the
# place of a message behind it was given later, by a replay, and a message without an answer of then comes with the next.
_LINE_UP = """
CREATE TEMP TABLE turn AS
WITH answer AS (
  SELECT source, id, place, row_number() OVER (PARTITION BY source, id ORDER BY place) AS n FROM told
), part AS (
  SELECT *, row_number() OVER (PARTITION BY source, id ORDER BY number, stream) AS n FROM came_in
), placed AS (
  SELECT p.stream, p.number, min(a.place) AS place
  FROM part p LEFT JOIN answer a ON a.source = p.source AND a.id = p.id AND a.n = p.n
  GROUP BY 1, 2
)
SELECT stream, number, min(place) OVER (PARTITION BY stream ORDER BY number DESC) AS place FROM placed"""
_LINED_UP = "CREATE UNIQUE INDEX ON turn (stream, number); ANALYZE turn"
_TURNS = "SELECT number, place FROM turn WHERE stream = %s AND number > %s AND place IS NOT NULL ORDER BY number LIMIT 1000"
_BATCH = "SELECT batch, at FROM told WHERE place BETWEEN %s AND %s LIMIT 1"
_DECIDED = """
SELECT d.source, d.id, d.reason, d.transaction, d.message, d.place
FROM decision d JOIN unnest(%s::text[], %s::text[]) AS k(source, id) ON d.source = k.source AND d.id = k.id"""
_EVENTS = "SELECT batch, slot, at, digest FROM told WHERE place BETWEEN %s AND %s"
_NUMBERS = "SELECT transaction FROM told WHERE transaction = ANY(%s::int8[])"
_DIFFERENCES = """
SELECT d.source, d.id, d.reason, d.transaction, c.source IS NOT NULL, c.reason, c.transaction
FROM decision d LEFT JOIN command c ON c.source = d.source AND c.id = d.id
WHERE c.source IS NULL OR (c.reason, c.transaction) IS DISTINCT FROM (d.reason, d.transaction)
ORDER BY d.place"""


class Outcome(NamedTuple):
    """An outcome as the edge has it. `cut`: of its stream the edge has forgotten the beginning."""

    stream: str
    event: bytes
    cut: bool


class Gap(NamedTuple):
    """A stream of outcomes that does not reach back to the ledger's last batch: its first one is of this batch."""

    stream: str
    batch: int
    at: datetime


class _Row(NamedTuple):
    source: str
    id: str
    batch: int
    slot: int
    at: datetime
    decided: bool
    reason: str | None
    transaction: int | None
    message: str | None
    digest: bytes


class ToldTables:
    """Of one run, gone with its session. In the order: `fill`, `come_in`, `line_up`, then the rest."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self.told = 0
        self.last_batch = 0
        self.last_number: int | None = None
        self.gaps: list[Gap] = []
        connection.execute(_CREATE)

    def fill(self, outcomes: Iterable[Outcome], further: Iterable[bytes], last_batch: int) -> None:
        """What was told of batches that the ledger does not have. last_batch: the last one that it has."""
        self._copy(_FURTHER, filter(None, map(_further_row, further)))
        oldest = self._one(_OLDEST)[0]
        streams: set[str] = set()
        everything = iter(outcomes)
        while page := list(islice(everything, PAGE)):
            rows = [_row_of(one.event) for one in page]
            numbers = [row.transaction for row in rows if row.transaction is not None]
            self.last_number = max(
                [*numbers, *([self.last_number] if self.last_number is not None else [])], default=None
            )
            known = set(self._connection.execute(_KNOWN, ([row.batch for row in rows],)).fetchall())
            new = []
            for one, row in zip(page, rows, strict=True):
                archived = row.batch <= last_batch and oldest is not None and row.at < oldest
                is_new = not archived and (row.batch, row.at) not in known
                if is_new:
                    new.append(row)
                    if one.stream not in streams and one.cut:
                        self.gaps.append(Gap(one.stream, row.batch, row.at))
                streams.add(one.stream)
            self._copy(_FILL, new)
        self._connection.execute(
            psycopg.ClientCursor(self._connection).mogrify(_ARRANGE, (last_batch,)).encode()
        )
        self._connection.execute(_DECISIONS)
        self._connection.execute(_INDEXES)
        self.told, self.last_batch = self._one(_TOTALS)

    def answered(self, keys: Collection[Key]) -> set[Key]:
        """Which of these were answered since."""
        return set(self._connection.execute(_ANSWERED, _columns(keys)).fetchall())

    # In which turn messages come

    def come_in(self, stream: int, messages: Iterable[tuple[int, Sequence[Key]]]) -> None:
        """Messages of a stream, with their keys, by numbers that tell their order, also among those of other streams."""
        self._copy(
            _COME_IN,
            ((stream, number, *key) for number, keys in messages for key in (keys or NO_KEY)),
        )

    def line_up(self) -> None:
        self._connection.execute("ANALYZE came_in")
        self._connection.execute(_LINE_UP)
        self._connection.execute(_LINED_UP)

    def turns(self, stream: int) -> Iterator[tuple[int, int]]:
        """Number and place of each message of the stream up to the last one that was answered."""
        last: Any = -1
        while page := self._connection.execute(_TURNS, (stream, last)).fetchall():
            yield from ((int(number), place) for number, place in page)
            last = page[-1][0]

    # Batches

    def batch_of(self, turn: int) -> tuple[int, datetime]:
        """The number of the batch, and when it was decided. `turn`: of its places without the slot."""
        number, at = self._one(_BATCH, turn << SLOT_BITS, ((turn + 1) << SLOT_BITS) - 1)
        return number, at

    def decisions(self, keys: Collection[Key]) -> dict[Key, tuple[int, Told]]:
        """What these were told when they were decided, and at which place."""
        rows = self._connection.execute(_DECIDED, _columns(keys))
        return {
            (source, id_): (place, Told(reason, transaction, message))
            for source, id_, reason, transaction, message, place in rows
        }

    def history(self, turn: int, decisions: dict[Key, tuple[int, Told]]) -> History:
        """Of one batch: what was decided there. What was decided in a later one is left to that."""
        first, last = turn << SLOT_BITS, ((turn + 1) << SLOT_BITS) - 1
        events = {
            f"{batch}-{slot}-{int(at.timestamp() * 1_000_000):x}": told
            for batch, slot, at, told in self._connection.execute(_EVENTS, (first, last))
        }
        number, _ = self.batch_of(turn)
        events |= dict(self._connection.execute(_FURTHER_EVENTS, (number,)).fetchall())
        told = {key: said for key, (_, said) in decisions.items()}
        numbers = [one.transaction - 1 for one in told.values() if one.transaction is not None]
        taken = {number for (number,) in self._connection.execute(_NUMBERS, (numbers,))}
        later = {key for key, (place, _) in decisions.items() if place > last}
        return History(told, events, taken, later)

    def differences(self) -> Iterator[Difference]:
        """Of which commands the ledger says something else than was told, or nothing."""
        for source, id_, reason, transaction, decided, now, number in self._connection.execute(_DIFFERENCES):
            yield difference(source, id_, Told(reason, transaction), Told(now, number) if decided else None)

    def _copy(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        with self._connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
            for row in rows:
                copy.write_row(row)

    def _one(self, statement: str, *values: Any) -> tuple[Any, ...]:
        row = self._connection.execute(statement.encode(), values).fetchone()
        assert row is not None
        return tuple(row)


def _row_of(raw: bytes) -> _Row:
    event = orjson.loads(raw)
    data = event["data"]
    reason = data["reason"]
    batch, slot, _ = event["id"].split("-")
    return _Row(
        data["command"]["source"],
        data["command"]["id"],
        int(batch),
        int(slot),
        datetime.fromisoformat(event["time"]),
        not data["duplicate"] and reason not in NO_DECISION,
        reason,
        transaction_of(data["transaction"]) if data["transaction"] else None,
        data["message"] if reason == Reason.ABANDONED else None,
        digest(raw),
    )


def _further_row(raw: bytes) -> tuple[int, str, bytes] | None:
    """A further event of a batch; jobs have theirs under other ids."""
    id_ = orjson.loads(raw)["id"]
    batch, _, rest = id_.partition("-")
    return (int(batch), id_, digest(raw)) if batch.isdecimal() and "." in rest else None


def _columns(keys: Collection[Key]) -> tuple[list[str], list[str]]:
    return [source for source, _ in keys], [id_ for _, id_ in keys]
