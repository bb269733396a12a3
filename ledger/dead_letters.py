"""What could not be decided is kept here, with its bytes, until somebody has understood it. Nothing is ever dropped.

So is what a job has tried for long enough (`gave up`).

Equal letters are counted, not stored again. Of one group (reason, type, exception, innermost frame of ours) at most
1,000 are kept, the rest is counted, so that a flood of the same garbage fills no disk; crashed ones are all kept.
"""

from __future__ import annotations

import hashlib
import traceback
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

from ledger.arrays import columns
from ledger.batch import Delivery
from messages.codec import bytes_of_parts

KEPT_A_GROUP = 1_000
KEPT_WHOLE_BYTES = 4_096
UNREADABLE, INVALID, CRASHED, GAVE_UP = "unreadable", "invalid", "crashed", "gave up"
_OURS = frozenset({"messages", "ledger", "workers"})


class DeadLetter(NamedTuple):
    """A part of a delivery that could not be decided. `place` is where it stood in its message."""

    delivery: Delivery
    reason: str
    place: int
    why: str
    producer: str | None = None
    source: str | None = None
    id: str | None = None
    type: str | None = None
    exception: str | None = None
    frame: str | None = None
    traceback: str | None = None

    @classmethod
    def crashed(cls, delivery: Delivery, place: int, error: BaseException, **key: str | None) -> DeadLetter:
        """A command that raised, with what is needed to understand it."""
        shown = "".join(traceback.format_exception(error))
        name = f"{type(error).__module__}.{type(error).__qualname__}"
        return cls(
            delivery,
            CRASHED,
            place,
            escaped(f"{name}: {error}")[:2_000],
            exception=name,
            frame=_innermost(error),
            traceback=escaped(shown)[-20_000:],
            **key,
        )


_GROUP = """
INSERT INTO dead_letter_group AS g (digest, reason, type, exception, frame, count, kept, first_at, last_at)
VALUES (%b, %b, %b, %b, %b, %b, 0, %b, %b)
ON CONFLICT (digest) DO UPDATE SET count = g.count + excluded.count, last_at = excluded.last_at
RETURNING g.id, g.kept"""

# One that comes again after it was resolved waits again, unless its key has been decided by now.
_LETTER = """
INSERT INTO dead_letter AS d (group_id, digest, source, command_id, producer, stream, position, place, raw, why,
                              traceback, count, first_at, last_at)
VALUES (%b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b)
ON CONFLICT (digest) DO UPDATE SET
  count = d.count + excluded.count, last_at = excluded.last_at,
  state = CASE WHEN d.state = 'resolved' AND NOT EXISTS (
    SELECT FROM command c WHERE c.source = d.source AND c.id = d.command_id) THEN 'waiting' ELSE d.state END
RETURNING (d.xmax = 0)::int"""

_COUNT_EQUAL = """
UPDATE dead_letter SET count = count + %b, last_at = %b WHERE digest = %b"""

_KEPT = "UPDATE dead_letter_group SET kept = kept + %b WHERE id = %b"

_RESOLVE = """
UPDATE dead_letter d SET state = 'resolved', resolved_at = %b
FROM unnest(%s::text[], %s::text[]) AS k(source, id)
WHERE d.state IN ('waiting', 'failed again') AND d.source = k.source AND d.command_id = k.id"""


def record(connection: psycopg.Connection[Any], letters: Iterable[DeadLetter], now: datetime) -> None:
    """Keep the letters, in the transaction that moves past them.

    Groups are taken in the order of their digests, so that two partitions with the same garbage do not wait for each other
    in a circle.
    """
    groups: dict[bytes, list[_Kept]] = defaultdict(list)
    for kept in _equal_ones_together(letters):
        groups[_digest(*_kind(kept.letter))].append(kept)
    for digest, some in sorted(groups.items()):
        count = sum(kept.times for kept in some)
        kind = _kind(some[0].letter)
        group, already = _one(connection.execute(_GROUP, (digest, *kind, count, now, now)))
        room = len(some) if kind[0] == CRASHED else max(0, KEPT_A_GROUP - already)
        with connection.pipeline():
            new = [connection.execute(_LETTER, _values(group, kept, now)) for kept in some[:room]]
            for kept in some[room:]:
                connection.execute(_COUNT_EQUAL, (kept.times, now, kept.digest))
        connection.execute(_KEPT, (sum(_one(cursor)[0] for cursor in new), group))


class _Kept(NamedTuple):
    letter: DeadLetter
    raw: bytes
    digest: bytes
    times: int


def _equal_ones_together(letters: Iterable[DeadLetter]) -> list[_Kept]:
    parts: dict[int, list[bytes]] = {}
    found: dict[bytes, _Kept] = {}
    for letter in letters:
        delivery = letter.delivery
        if id(delivery) not in parts:
            parts[id(delivery)] = bytes_of_parts(delivery.body)
        # Of a long array, the one event: a thousand bad ones in a message do not make a thousand copies of it. The whole
        # message, to the letter, is in the table `batch`.
        whole = len(delivery.body) <= KEPT_WHOLE_BYTES or len(parts[id(delivery)]) == 1
        raw = delivery.body if whole else parts[id(delivery)][letter.place]
        digest = _digest(letter.reason, letter.place, letter.producer, letter.exception, raw)
        before = found.get(digest)
        found[digest] = _Kept(letter, raw, digest, before.times + 1 if before else 1)
    return list(found.values())


def _kind(letter: DeadLetter) -> tuple[str, str | None, str | None, str | None]:
    return letter.reason, letter.type, letter.exception, letter.frame


def _digest(*parts: object) -> bytes:
    return hashlib.sha256(
        b"\0".join(part if isinstance(part, bytes) else repr(part).encode() for part in parts)
    ).digest()


def _values(group: int, kept: _Kept, now: datetime) -> tuple[Any, ...]:
    letter = kept.letter
    key = (letter.source, letter.id, letter.producer, letter.delivery.stream, letter.delivery.position)
    content = (letter.place, kept.raw, letter.why, letter.traceback)
    return (group, kept.digest, *key, *content, kept.times, now, now)


def resolve(connection: psycopg.Connection[Any], keys: list[tuple[str, str]], now: datetime) -> None:
    """A valid command has been decided under these keys: letters that waited under them are resolved."""
    sources, ids = columns(keys)
    connection.execute(_RESOLVE, (now, sources, ids), prepare=True)


def escaped(text: str) -> str:
    """Text that PostgreSQL can hold: NUL and lone surrogates written out."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")


def _innermost(error: BaseException) -> str | None:
    found = None
    for frame in traceback.extract_tb(error.__traceback__):
        path = Path(frame.filename)
        if _OURS & set(path.parts[-3:-1]):
            found = f"{path.parent.name}/{path.name}:{frame.name}"
    return found


def _one(cursor: psycopg.Cursor[Any]) -> Any:
    row = cursor.fetchone()
    assert row is not None
    return row
