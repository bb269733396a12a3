"""Groups of dead letters: what makes one, how much of it is kept, and that somebody hears when there is one anew."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import psycopg

from ledger.model import PLATFORM
from ledger.outcome import further_event, further_route
from messages.events import EventType

KEPT_A_GROUP, KEPT_A_GROUP_BYTES = 1_000, 64 * 1024 * 1024
CRASHED = "crashed"
News = tuple[str, str, bytes]
"""An event to be published: its routing key, its type, its JSON."""

_GROUP = """
INSERT INTO dead_letter_group AS g (digest, reason, type, exception, frame, producer, count, kept, first_at, last_at)
VALUES (%b, %b, %b, %b, %b, %b, %b, 0, %b, %b)
ON CONFLICT (digest) DO UPDATE SET count = g.count + excluded.count, last_at = excluded.last_at
RETURNING g.id, NOT EXISTS (SELECT FROM dead_letter d WHERE d.group_id = g.id AND d.state IN ('waiting', 'failed again'))"""
_OPEN = """
SELECT count(*), coalesce(sum(length(raw)), 0)::int8 FROM dead_letter
WHERE group_id = %b AND state IN ('waiting', 'failed again')"""


class Kind(NamedTuple):
    """What makes a group: the trouble, and of what is no command by whose stream it came."""

    reason: str
    type: str | None
    exception: str | None
    frame: str | None
    producer: str | None

    @property
    def digest(self) -> bytes:
        return digest(*self) if self.producer is not None else digest(*self[:-1])


@dataclass(slots=True)
class Room:
    """How many letters and bytes more may be kept of a group (None: all), what went in, and how often what did not came."""

    group: int
    letters: int | None
    size: int
    new: list[psycopg.Cursor[Any]] = field(default_factory=list)
    beyond: list[tuple[psycopg.Cursor[Any], int]] = field(default_factory=list)

    def takes(self, raw: bytes) -> bool:
        if self.letters is None:
            return True
        if self.letters == 0 or self.size < len(raw):
            return False
        self.letters, self.size = self.letters - 1, self.size - len(raw)
        return True


def room_of(
    connection: psycopg.Connection[Any],
    kind: Kind,
    count: int,
    now: datetime,
    news: list[News],
    traceparent: str | None = None,
) -> Room:
    """The group of that trouble, and how much more of it is kept. When it is there anew, somebody should hear of it, in the
    trace of what has opened it."""
    values = (kind.digest, *kind, count, now, now)
    group, nobody_waits = one(connection.execute(_GROUP, values))
    if nobody_waits:
        event = further_event(
            f"dead-letter-group-{group}-{int(now.timestamp() * 1_000_000):x}",
            now,
            EventType.DEAD_LETTER_GROUP_OPENED,
            PLATFORM,
            PLATFORM,
            {"group": group, **kind._asdict()},
            traceparent,
        )
        route = further_route(PLATFORM, EventType.DEAD_LETTER_GROUP_OPENED)
        news.append((route, EventType.DEAD_LETTER_GROUP_OPENED.value, event))
    if kind.reason == CRASHED:
        return Room(group, None, 0)
    waiting, bytes_waiting = (0, 0) if nobody_waits else one(connection.execute(_OPEN, (group,)))
    return Room(group, max(0, KEPT_A_GROUP - waiting), max(0, KEPT_A_GROUP_BYTES - bytes_waiting))


def digest(*parts: object) -> bytes:
    return hashlib.sha256(
        b"\0".join(part if isinstance(part, bytes) else repr(part).encode() for part in parts)
    ).digest()


def one(cursor: psycopg.Cursor[Any]) -> Any:
    row = cursor.fetchone()
    assert row is not None
    return row
