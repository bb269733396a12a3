"""What could not be decided is kept here, with its bytes, until somebody has understood it.

So is what a job has tried for long enough (`gave up`).

Equal letters are counted, not stored again. Of one group (`letter_groups.py`) at most 1,000 and 64 MiB wait for somebody,
the rest is counted as not kept, so that a flood of the same garbage fills no disk, and nobody's flood takes the room of
another's mistake; crashed ones are all kept. Of a message that is not genuine no more is kept than its beginning
(`ledger/batch.py`), and nothing of it is read.
"""

from __future__ import annotations

import json
import re
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

from ledger.arrays import columns
from ledger.batch import Delivery, Item
from ledger.letter_groups import CRASHED, Kind, News, Room, digest, one, room_of
from messages.codec import bytes_of_parts
from messages.commands import ACCOUNT_FIELDS
from messages.fields import ID_PATTERN

KEPT_WHOLE_BYTES = 4_096
NAMES = 50
UNREADABLE, UNAUTHENTICATED, INVALID = "unreadable", "unauthenticated", "invalid"
GAVE_UP = "gave up"
_ACCOUNT = re.compile(ID_PATTERN)
# Of a batch no more than 500 messages of a thousand events.
SLOT_BITS = 20
_OURS = frozenset({"messages", "ledger", "workers"})

__all__ = ["CRASHED", "GAVE_UP", "INVALID", "UNAUTHENTICATED", "UNREADABLE", "DeadLetter", "record"]


class DeadLetter(NamedTuple):
    """A part of a delivery that could not be decided.

    place: where it stood in its message; slot: in its batch.
    """

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
    slot: int = 0
    traceparent: str | None = None

    @classmethod
    def crashed(
        cls, delivery: Delivery, place: int, error: BaseException, *, slot: int = 0, **key: str | None
    ) -> DeadLetter:
        """What raised, with what is needed to understand it."""
        shown = "".join(traceback.format_exception(error))
        name = _class_of(error)
        return cls(
            delivery,
            CRASHED,
            place,
            escaped(f"{name}: {error}")[:2_000],
            exception=name,
            frame=_where(error),
            traceback=escaped(shown)[-20_000:],
            slot=slot,
            **key,
        )

    @classmethod
    def of_command(cls, delivery: Delivery, item: Item, error: BaseException) -> DeadLetter:
        """A command that raised."""
        event = item.event
        name, trace = type(event.data).__name__, item.traceparent
        key = {"producer": item.producer, "source": event.source, "id": event.id, "type": name}
        return cls.crashed(delivery, item.place, error, slot=item.slot, **key, traceparent=trace)


# One that comes again after it was resolved waits again, unless its key has been decided by now.
_LETTER = """
INSERT INTO dead_letter AS d (group_id, digest, source, command_id, account, producer, stream, position, headers, place, raw,
                              whole, verified, arrival, why, traceback, count, first_at, last_at)
VALUES (%b, %b, %b, %b, %b, %b, %b, %b, %s::jsonb, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b)
ON CONFLICT (digest) DO UPDATE SET
  count = d.count + excluded.count, last_at = excluded.last_at, arrival = excluded.arrival,
  state = CASE WHEN d.state = 'resolved' AND NOT EXISTS (
    SELECT FROM command c WHERE c.source = d.source AND c.id = d.command_id) THEN 'waiting' ELSE d.state END
RETURNING (d.xmax = 0)::int"""

_COUNT_EQUAL = """
UPDATE dead_letter SET count = count + %b, last_at = %b, arrival = %b WHERE digest = %b"""

_KEPT = "UPDATE dead_letter_group SET kept = kept + %b, not_kept = not_kept + %b WHERE id = %b"

_RESOLVE = """
UPDATE dead_letter d SET state = 'resolved', resolved_at = %b
FROM unnest(%s::text[], %s::text[]) AS k(source, id)
WHERE d.state IN ('waiting', 'failed again') AND d.source = k.source AND d.command_id = k.id"""

_NAMES = "SELECT DISTINCT producer FROM dead_letter_group WHERE producer IS NOT NULL"

_STILL = "state IN ('waiting', 'failed again', 'replaying')"
# From the group that a letter is in to the one of its trouble now.
_MOVED = f"""
WITH moving AS (
  SELECT group_id, count FROM dead_letter WHERE id = %(letter)s AND group_id <> %(group)s AND {_STILL}
), left_behind AS (
  UPDATE dead_letter_group g SET kept = g.kept - 1, count = g.count - m.count FROM moving m WHERE g.id = m.group_id
)
UPDATE dead_letter_group g SET kept = g.kept + 1, count = g.count + m.count FROM moving m WHERE g.id = %(group)s"""
# What was found out at first is told as long as the trouble is the same. One that came in as nobody's and was found to be
# somebody's by now is under its key from here on.
_FAILED_AGAIN = f"""
UPDATE dead_letter SET
  state = 'failed again', group_id = %(group)s,
  why = CASE WHEN group_id = %(group)s AND %(traceback)s::text IS NULL THEN why ELSE %(why)s END,
  traceback = coalesce(%(traceback)s, traceback),
  place = CASE WHEN source IS NULL AND %(source)s::text IS NOT NULL THEN %(place)s ELSE place END,
  source = coalesce(source, %(source)s), command_id = coalesce(command_id, %(id)s),
  producer = coalesce(producer, %(producer)s), verified = verified OR %(verified)s
WHERE id = %(letter)s AND {_STILL}"""
_RAN_AGAIN = """
UPDATE dead_letter SET state = 'resolved', resolved_at = %b WHERE run = %b AND state = 'replaying'"""
_RUN_FOR = "SELECT id FROM dead_letter WHERE run = %b AND state = 'replaying'"


def record(
    connection: psycopg.Connection[Any],
    letters: Iterable[DeadLetter],
    now: datetime,
    *,
    batch: int | None = None,
) -> list[News]:
    """Keep the letters, in the transaction that moves past them. What is to be published: of groups that are new.

    batch: the number of the one that they came in with; none where they come from a job. Groups are taken in the order of
    their digests, so that two partitions with the same garbage do not wait for each other in a circle; letters go in as
    they came.
    """
    news: list[News] = []
    letters_of: dict[bytes, list[_Kept]] = defaultdict(list)
    letters = list(letters)
    kind_of = _kinds(connection, letters)
    for kept in _equal_ones_together(letters):
        letters_of[kind_of(kept.letter).digest].append(kept)
    # All groups before any letter: whoever has the same letters waits here, so that they can go in as they came.
    rooms: dict[bytes, Room] = {}
    for group, some in sorted(letters_of.items()):
        first, count = some[0].letter, sum(kept.times for kept in some)
        rooms[group] = room_of(connection, kind_of(first), count, now, news, first.traceparent)
    with connection.pipeline():
        for kept in sorted((one for some in letters_of.values() for one in some), key=lambda one: one.number):
            room = rooms[kind_of(kept.letter).digest]
            arrival = arrival_of(batch, kept.letter.slot)
            if room.takes(kept.raw):
                room.new.append(connection.execute(_LETTER, _values(room.group, kept, arrival, now)))
            else:
                counted = connection.execute(_COUNT_EQUAL, (kept.times, now, arrival, kept.digest))
                room.beyond.append((counted, kept.times))
    for _, room in sorted(rooms.items()):
        kept_now = sum(one(cursor)[0] for cursor in room.new)
        not_kept = sum(times for cursor, times in room.beyond if not cursor.rowcount)
        connection.execute(_KEPT, (kept_now, not_kept, room.group))
    return news


def arrival_of(batch: int | None, slot: int) -> int | None:
    """What orders all that came in: the batch, and where in it."""
    return None if batch is None else batch << SLOT_BITS | slot


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
    failed = list(failed)
    kind_of = _kinds(connection, [letter for _, letter in failed])
    for number, letter in sorted(failed, key=lambda one: (kind_of(one[1]).digest, one[0])):
        group = room_of(connection, kind_of(letter), 0, now, news, letter.traceparent).group
        values = {
            "letter": number,
            "group": group,
            "why": letter.why,
            "traceback": letter.traceback,
            "place": letter.place,
            "source": letter.source,
            "id": letter.id,
            "producer": letter.producer,
            "verified": letter.delivery.verified,
        }
        connection.execute(_MOVED, values)
        connection.execute(_FAILED_AGAIN, values)
    return news


class _Kept(NamedTuple):
    """A letter as it is kept. whole: its bytes are the message, and not one event that was cut out of it."""

    number: int
    letter: DeadLetter
    raw: bytes
    whole: bool
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
        known_by = digest(
            letter.reason, letter.place, letter.producer, letter.exception, raw, *_beyond(letter)
        )
        before = found.get(known_by)
        found[known_by] = (
            before._replace(letter=letter, times=before.times + 1)
            if before
            else _Kept(number, letter, raw, whole, known_by, 1)
        )
    return list(found.values())


def _beyond(letter: DeadLetter) -> tuple[object, ...]:
    """What else makes a letter another one: of what is not genuine, whose it claims to be, by which signature, and what
    there was of it beyond what is kept."""
    if letter.reason != UNAUTHENTICATED:
        return ()
    return letter.delivery.stream, letter.delivery.signature, letter.why


def _kind(letter: DeadLetter) -> Kind:
    whose = _by_whose_stream(letter) if letter.reason in (UNREADABLE, UNAUTHENTICATED, INVALID) else None
    return Kind(letter.reason, letter.type, letter.exception, letter.frame, whose)


def _kinds(
    connection: psycopg.Connection[Any], letters: Iterable[DeadLetter]
) -> Callable[[DeadLetter], Kind]:
    """What makes the groups of these letters. Where anybody may name himself, the first so many names have groups of their
    own, and all others share theirs: names cost nothing, and a group is a row, an event and a label for ever."""
    unproven = [one for one in letters if one.delivery.producers is None and _kind(one).producer is not None]
    if not unproven:
        return _kind
    names = {name for (name,) in connection.execute(_NAMES)}
    for letter in unproven:
        if len(names) < NAMES and letter.delivery.producer is not None:
            names.add(letter.delivery.producer)

    def kind_of(letter: DeadLetter) -> Kind:
        kind = _kind(letter)
        is_known = letter.delivery.producers is not None or kind.producer in names
        return kind if is_known else kind._replace(producer=None)

    return kind_of


def _by_whose_stream(letter: DeadLetter) -> str | None:
    """Streams of nobody known share their groups."""
    delivery = letter.delivery
    if delivery.producers is None:
        return delivery.producer
    return delivery.sender.name if delivery.sender is not None else None


def _values(group: int, kept: _Kept, arrival: int | None, now: datetime) -> tuple[Any, ...]:
    letter, delivery = kept.letter, kept.letter.delivery
    account = account_of(kept.raw, letter.place) if letter.delivery.is_genuine else None
    key = (
        letter.source,
        letter.id,
        account,
        letter.producer,
        delivery.stream,
        delivery.position,
        json.dumps(_headers(delivery)),
    )
    verified = delivery.producers is not None and delivery.is_genuine
    content = (letter.place, kept.raw, kept.whole, verified, arrival, letter.why, letter.traceback)
    return (group, kept.digest, *key, *content, kept.times, now, now)


def _headers(delivery: Delivery) -> dict[str, str]:
    """What came along with a message that nobody was found to have sent: by another producers file somebody may be."""
    if delivery.signature is None or (delivery.producers is not None and delivery.is_genuine):
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
    return f"{_class_of(error)} at {_where(error)}"


def _class_of(error: BaseException) -> str:
    return f"{type(error).__module__}.{type(error).__qualname__}"


def _where(error: BaseException) -> str | None:
    """The innermost frame of ours; of what the database refuses, which constraint or state: when it says so is by chance."""
    if isinstance(error, psycopg.Error) and error.sqlstate is not None:
        found = error.diag
        if found.constraint_name:
            return f"{found.table_name or 'database'}: {found.constraint_name}"
        return f"SQLSTATE {error.sqlstate}"
    return _innermost(error)


def _innermost(error: BaseException) -> str | None:
    found = None
    for frame in traceback.extract_tb(error.__traceback__):
        path = Path(frame.filename)
        if _OURS & set(path.parts[-3:-1]):
            found = f"{path.parent.name}/{path.name}:{frame.name}"
    return found
