"""What could not be decided is kept here, with its bytes, until somebody has understood it. Nothing is ever dropped.

So is what a job has tried for long enough (`gave up`).

Equal letters are counted, not stored again. Of one group (reason, type, exception, innermost frame of ours) at most
1,000 are kept, the rest is counted, so that a flood of the same garbage fills no disk; crashed ones are all kept. Of a
message that is not genuine no more is kept than its beginning (`ledger/batch.py`), and nothing of it is read.
"""

from __future__ import annotations

import hashlib
import json
import re
import traceback
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

from ledger.arrays import columns
from ledger.batch import Delivery
from ledger.model import PLATFORM
from ledger.outcome import further_event, further_route
from messages.codec import bytes_of_parts
from messages.commands import ACCOUNT_FIELDS
from messages.events import EventType
from messages.fields import ID_PATTERN

KEPT_A_GROUP = 1_000
KEPT_WHOLE_BYTES = 4_096
UNREADABLE, UNAUTHENTICATED, INVALID = "unreadable", "unauthenticated", "invalid"
CRASHED, GAVE_UP = "crashed", "gave up"
_ACCOUNT = re.compile(ID_PATTERN)
_OURS = frozenset({"messages", "ledger", "workers"})


News = tuple[str, str, bytes]
"""An event to be published: its routing key, its type, its JSON."""


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
        name = _class_of(error)
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
RETURNING g.id, g.kept, g.xmax = 0"""

# One that comes again after it was resolved waits again, unless its key has been decided by now.
_LETTER = """
INSERT INTO dead_letter AS d (group_id, digest, source, command_id, account, producer, stream, position, headers, place, raw,
                              why, traceback, count, first_at, last_at)
VALUES (%b, %b, %b, %b, %b, %b, %b, %b, %s::jsonb, %b, %b, %b, %b, %b, %b, %b)
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

_MOVED = """
UPDATE dead_letter_group SET kept = kept - 1
WHERE id = (SELECT group_id FROM dead_letter WHERE id = %(letter)s) AND id <> %(group)s"""
_FAILED_AGAIN = """
UPDATE dead_letter SET
  state = 'failed again', group_id = %(group)s, why = %(why)s, traceback = coalesce(%(traceback)s, traceback)
WHERE id = %(letter)s AND state IN ('waiting', 'failed again', 'replaying')"""
_RAN_AGAIN = """
UPDATE dead_letter SET state = 'resolved', resolved_at = %b WHERE run = %b AND state = 'replaying'"""
_RUN_FOR = "SELECT id FROM dead_letter WHERE run = %b AND state = 'replaying'"
_GROUP_OF = (
    "SELECT group_id FROM dead_letter WHERE id = %b AND state IN ('waiting', 'failed again', 'replaying')"
)


def record(connection: psycopg.Connection[Any], letters: Iterable[DeadLetter], now: datetime) -> list[News]:
    """Keep the letters, in the transaction that moves past them. What is to be published: of groups that are new.

    Groups are taken in the order of their digests, so that two partitions with the same garbage do not wait for each other
    in a circle; letters go in as they came.
    """
    news: list[News] = []
    letters_of: dict[bytes, list[_Kept]] = defaultdict(list)
    for kept in _equal_ones_together(letters):
        letters_of[_group_digest(kept.letter)].append(kept)
    # All groups before any letter: whoever has the same letters waits here, so that they can go in as they came.
    rooms: dict[bytes, _Room] = {}
    for digest, some in sorted(letters_of.items()):
        kind, count = _kind(some[0].letter), sum(kept.times for kept in some)
        group, already = _group(connection, digest, kind, count, now, news)
        rooms[digest] = _Room(group, None if kind[0] == CRASHED else max(0, KEPT_A_GROUP - already))
    with connection.pipeline():
        for kept in sorted((one for some in letters_of.values() for one in some), key=lambda one: one.number):
            room = rooms[_group_digest(kept.letter)]
            if room.left is None or room.left > 0:
                room.new.append(connection.execute(_LETTER, _values(room.group, kept, now)))
                room.left = None if room.left is None else room.left - 1
            else:
                connection.execute(_COUNT_EQUAL, (kept.times, now, kept.digest))
    for _, room in sorted(rooms.items()):
        connection.execute(_KEPT, (sum(_one(cursor)[0] for cursor in room.new), room.group))
    return news


@dataclass(slots=True)
class _Room:
    """How many letters more may be kept of a group (None: all), and those that are new."""

    group: int
    left: int | None
    new: list[psycopg.Cursor[Any]] = field(default_factory=list)


def ran_again(connection: psycopg.Connection[Any], run: int, now: datetime) -> None:
    """A job that was run again because of a letter is done."""
    connection.execute(_RAN_AGAIN, (now, run))


def failed_run(
    connection: psycopg.Connection[Any], run: int, letter: DeadLetter, now: datetime
) -> list[News] | None:
    """A job that was run again because of a letter has failed again, as `letter` says; None where there is none."""
    found = [number for (number,) in connection.execute(_RUN_FOR, (run,))]
    return fail_again(connection, [(number, letter) for number in found], now) if found else None


def fail_again(
    connection: psycopg.Connection[Any], failed: Iterable[tuple[int, DeadLetter]], now: datetime
) -> list[News]:
    """Letters that were replayed and could not be decided this time either, each with what it was this time.

    Where the trouble is another one by now, the letter moves to the group of that. What is to be published, as above.
    """
    news: list[News] = []
    for number, letter in sorted(failed, key=lambda one: (_group_digest(one[1]), one[0])):
        kind = _kind(letter)
        group, _ = _group(connection, _group_digest(letter), kind, 0, now, news)
        before = connection.execute(_GROUP_OF, (number,)).fetchone()
        if before is None:  # somebody else has dealt with it
            continue
        if before[0] != group:
            connection.execute(_MOVED, {"letter": number, "group": group})
            connection.execute(_KEPT, (1, group))
        values = {"letter": number, "group": group, "why": letter.why, "traceback": letter.traceback}
        connection.execute(_FAILED_AGAIN, values)
    return news


def _group(
    connection: psycopg.Connection[Any],
    digest: bytes,
    kind: tuple[str, str | None, str | None, str | None],
    count: int,
    now: datetime,
    news: list[News],
) -> tuple[int, int]:
    """The group of that trouble, and how many of it are kept. Of a new one somebody should hear."""
    group, kept, is_new = _one(connection.execute(_GROUP, (digest, *kind, count, now, now)))
    if is_new:
        said = dict(zip(("reason", "type", "exception", "frame"), kind, strict=True))
        event = further_event(
            f"dead-letter-group-{group}-{int(now.timestamp() * 1_000_000):x}",
            now,
            EventType.DEAD_LETTER_GROUP_OPENED,
            PLATFORM,
            PLATFORM,
            {"group": group, **said},
        )
        route = further_route(PLATFORM, EventType.DEAD_LETTER_GROUP_OPENED)
        news.append((route, EventType.DEAD_LETTER_GROUP_OPENED.value, event))
    return group, kept


class _Kept(NamedTuple):
    number: int
    letter: DeadLetter
    raw: bytes
    digest: bytes
    times: int


def _equal_ones_together(letters: Iterable[DeadLetter]) -> list[_Kept]:
    parts: dict[int, list[bytes]] = {}
    found: dict[bytes, _Kept] = {}
    for number, letter in enumerate(letters):
        delivery = letter.delivery
        if id(delivery) not in parts:
            parts[id(delivery)] = bytes_of_parts(delivery.body) if delivery.is_genuine else [delivery.body]
        # Of a long array, the one event, to the letter: a thousand bad ones do not make a thousand copies of a message.
        whole = len(delivery.body) <= KEPT_WHOLE_BYTES or len(parts[id(delivery)]) == 1
        raw = delivery.body if whole else parts[id(delivery)][letter.place]
        digest = _digest(letter.reason, letter.place, letter.producer, letter.exception, raw)
        before = found.get(digest)
        found[digest] = (
            before._replace(letter=letter, times=before.times + 1)
            if before
            else _Kept(number, letter, raw, digest, 1)
        )
    return list(found.values())


def _kind(letter: DeadLetter) -> tuple[str, str | None, str | None, str | None]:
    return letter.reason, letter.type, letter.exception, letter.frame


def _group_digest(letter: DeadLetter) -> bytes:
    """What makes a group: its kind, and for what is not genuine the stream of whose producer it came by, so that a flood on
    one stream leaves room for what another producer has signed wrong. Streams of nobody known share a group."""
    claimed = letter.delivery.sender if letter.reason == UNAUTHENTICATED else None
    return _digest(*_kind(letter), *((claimed.name,) if claimed is not None else ()))


def _digest(*parts: object) -> bytes:
    return hashlib.sha256(
        b"\0".join(part if isinstance(part, bytes) else repr(part).encode() for part in parts)
    ).digest()


def _values(group: int, kept: _Kept, now: datetime) -> tuple[Any, ...]:
    letter = kept.letter
    account = account_of(kept.raw, letter.place) if letter.delivery.is_genuine else None
    key = (
        letter.source,
        letter.id,
        account,
        letter.producer,
        letter.delivery.stream,
        letter.delivery.position,
        json.dumps(_headers(letter.delivery)),
    )
    content = (letter.place, kept.raw, letter.why, letter.traceback)
    return (group, kept.digest, *key, *content, kept.times, now, now)


def _headers(delivery: Delivery) -> dict[str, str]:
    """What came along with a message that was not genuine: by another producers file it may turn out to be."""
    if delivery.signature is None or delivery.is_genuine:
        return {}
    return {"signature": escaped(delivery.signature.decode("ascii", "backslashreplace"))}


def account_of(raw: bytes, place: int) -> str | None:
    """The account that an event is about, the first that it names: letters can be chosen by it. None where it names none."""
    try:
        content = json.loads(raw)
        if isinstance(content, list):
            content = content[place if len(content) > place else 0]
        data = content["data"]
        named = next((data[name] for name in ACCOUNT_FIELDS if isinstance(data.get(name), str)), "")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    return named if _ACCOUNT.fullmatch(named) else None


def resolve(connection: psycopg.Connection[Any], keys: list[tuple[str, str]], now: datetime) -> None:
    """A valid command has been decided under these keys: letters that waited under them are resolved."""
    sources, ids = columns(keys)
    connection.execute(_RESOLVE, (now, sources, ids), prepare=True)


def escaped(text: str) -> str:
    """Text that PostgreSQL can hold: NUL and lone surrogates written out."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")


def trouble(error: BaseException) -> str:
    """What a crash is recognised by, in a few words: its class, and where of ours it happened."""
    return f"{_class_of(error)} at {_innermost(error)}"


def _class_of(error: BaseException) -> str:
    return f"{type(error).__module__}.{type(error).__qualname__}"


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
