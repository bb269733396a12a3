"""Replays as rows: what was asked for, how far it is, and how it ended. Whoever plays them may die; the row remembers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import psycopg
from psycopg.types.json import Jsonb

from ledger.errors import NotFound, QueryInvalid
from ledger.letters import Letter
from ledger.queries.dead import OPEN, LetterFilter, conditions_of
from ledger.queries.page import DEFAULT_LIMIT, Page, checked_limit, number_in

BYTES_AT_ONCE = 16 * 1024 * 1024

_LETTERS = """
WITH chosen AS (
  SELECT d.id, g.reason, sum(length(d.raw)) OVER (ORDER BY d.id) - length(d.raw) AS bytes_before
  FROM dead_letter d
  JOIN dead_letter_group g ON g.id = d.group_id
  WHERE {conditions} AND d.id > %(after)s AND d.id <= %(up_to)s
  ORDER BY d.id
  LIMIT %(rows)s)
SELECT d.id, c.reason, d.source, d.command_id, d.producer, coalesce(d.stream, ''), coalesce(d.position, ''), d.place,
       d.headers, d.raw, d.whole, d.verified, d.last_at, d.arrival
FROM chosen c
JOIN dead_letter d ON d.id = c.id
WHERE c.bytes_before <= %(bytes)s
ORDER BY d.id"""
_COUNT = """
SELECT count(*), coalesce(max(d.id), 0)
FROM dead_letter d
JOIN dead_letter_group g ON g.id = d.group_id
WHERE {conditions}"""

_ASK = """
INSERT INTO dead_replay (who, why, chosen, rate, even_if_newer, up_to, total)
VALUES (%(who)s, %(why)s, %(chosen)s, %(rate)s, %(even_if_newer)s, %(up_to)s, %(total)s)
RETURNING id"""
_PLAYED = "chosen, rate, even_if_newer, up_to, total, place, done, counts, watched, who, why"
_BEGIN = f"""
UPDATE dead_replay SET state = 'running', started_at = coalesce(started_at, clock_timestamp())
WHERE id = %b AND state IN ('waiting', 'running')
RETURNING id, {_PLAYED}"""
_OPEN = "SELECT id FROM dead_replay WHERE state IN ('waiting', 'running') ORDER BY id"
_HELD = f"SELECT id, {_PLAYED} FROM dead_replay WHERE id = %b AND state = 'running' FOR UPDATE"
_PROGRESS = """
UPDATE dead_replay SET place = %(place)s, done = %(done)s, counts = %(counts)s, watched = %(watched)s
WHERE id = %(id)s"""
_END = """
UPDATE dead_replay SET state = %(state)s, result = %(result)s, finished_at = clock_timestamp() WHERE id = %(id)s"""
_CANCEL = """
UPDATE dead_replay SET state = 'canceled', finished_at = clock_timestamp(), result = 'canceled by ' || %(who)s
WHERE id = %(id)s AND state IN ('waiting', 'running')"""
_RESUME = """
UPDATE dead_replay SET state = 'waiting', finished_at = NULL, result = NULL, watched = watched AND state <> 'stopped'
WHERE id = %(id)s AND state IN ('stopped', 'canceled')"""

_LISTED = "id, state, who, why, created_at, started_at, finished_at, rate, even_if_newer, total, done, counts, result"
_LIST = f"SELECT {_LISTED} FROM dead_replay WHERE id < %(before)s ORDER BY id DESC LIMIT %(rows)s"
_ONE = f"SELECT {_LISTED} FROM dead_replay WHERE id = %(id)s"


class Asked(NamedTuple):
    """A replay that waits to be played, and of how many letters at most."""

    id: int
    total: int


class Played(NamedTuple):
    """A replay as whoever plays it knows it.

    rate: letters a second, None for as fast as it goes. place: the last letter that is done. counts: how many by what became
    of them. watched: it stops by itself where the first ones all fail alike.
    """

    id: int
    chosen: LetterFilter
    rate: float | None
    even_if_newer: bool
    up_to: int
    total: int
    place: int
    done: int
    counts: Counter[str]
    watched: bool
    who: str
    why: str | None


class ReplayRow(NamedTuple):
    """A replay as people see it."""

    replay: int
    state: str
    who: str
    why: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    rate: float | None
    even_if_newer: bool
    total: int
    done: int
    counts: dict[str, int]
    result: str | None


def letters(
    connection: psycopg.Connection[Any],
    chosen: LetterFilter,
    *,
    limit: int,
    after: int = 0,
    up_to: int = (1 << 63) - 1,
) -> list[Letter]:
    """The letters that wait for somebody and are chosen, in the order in which they first came: at most `limit`, and fewer
    where they are long. Raises QueryInvalid."""
    where = conditions_of(chosen._replace(states=OPEN))
    values = {**where.parameters, "after": after, "up_to": up_to, "rows": limit, "bytes": BYTES_AT_ONCE}
    return [Letter(*row) for row in connection.execute(_LETTERS.format(conditions=where), values)]


def waiting(connection: psycopg.Connection[Any], chosen: LetterFilter) -> tuple[int, int]:
    """How many letters are chosen, and the number of the last one. Raises QueryInvalid."""
    where = conditions_of(chosen._replace(states=OPEN))
    row = connection.execute(_COUNT.format(conditions=where), where.parameters).fetchone()
    assert row is not None
    return row[0], row[1]


def ask(
    connection: psycopg.Connection[Any],
    chosen: LetterFilter,
    *,
    who: str,
    why: str | None,
    rate: float | None,
    limit: int | None,
    even_if_newer: bool,
) -> Asked:
    """Ask for a replay of what is chosen and there by now; whoever plays replays is to be rung. Raises QueryInvalid."""
    count, last = waiting(connection, chosen)
    total = count if limit is None else min(count, limit)
    values = {
        "who": who,
        "why": why,
        "chosen": Jsonb(_as_json(chosen)),
        "rate": rate,
        "even_if_newer": even_if_newer,
        "up_to": last,
        "total": total,
    }
    row = connection.execute(_ASK, values).fetchone()
    assert row is not None
    return Asked(row[0], total)


def open_ones(connection: psycopg.Connection[Any]) -> list[int]:
    """The replays that are not over, the oldest first."""
    return [id_ for (id_,) in connection.execute(_OPEN)]


def begin(connection: psycopg.Connection[Any], id: int) -> Played | None:
    """The replay, which runs by now; None if it is over."""
    return _played(connection.execute(_BEGIN, (id,)).fetchone())


def hold(connection: psycopg.Connection[Any], id: int) -> Played | None:
    """The replay, locked until the transaction ends, so that who cancels it waits for that; None if it runs no more."""
    return _played(connection.execute(_HELD, (id,)).fetchone())


def move_on(connection: psycopg.Connection[Any], played: Played) -> None:
    """In the transaction of what was done."""
    values = {**played._asdict(), "counts": Jsonb(played.counts)}
    connection.execute(_PROGRESS, values)


def end(connection: psycopg.Connection[Any], id: int, state: str, result: str) -> None:
    """state: `done` or `stopped`."""
    connection.execute(_END, {"id": id, "state": state, "result": result})


def cancel(connection: psycopg.Connection[Any], id: int, who: str) -> None:
    """When this has returned, no letter more is replayed by it. Raises NotFound, QueryInvalid where it is over."""
    if not connection.execute(_CANCEL, {"id": id, "who": who}).rowcount:
        found = replay(connection, id)
        raise QueryInvalid(f"replay {id} is {found.state}; there is nothing to cancel")


def resume(connection: psycopg.Connection[Any], id: int) -> None:
    """It goes on where it was, and one that had stopped by itself is not watched again. Raises NotFound, QueryInvalid."""
    if not connection.execute(_RESUME, {"id": id}).rowcount:
        found = replay(connection, id)
        raise QueryInvalid(
            f"replay {id} is {found.state}; only one that stopped or was canceled can be resumed"
        )


def replay(connection: psycopg.Connection[Any], id: int) -> ReplayRow:
    """Raises NotFound."""
    row = connection.execute(_ONE, {"id": id}).fetchone() if 0 < id < 1 << 63 else None
    if row is None:
        raise NotFound(f"there is no replay {id}; `coins dead replays` has them all")
    return ReplayRow(*row)


def replays(
    connection: psycopg.Connection[Any], *, limit: int = DEFAULT_LIMIT, after: str | None = None
) -> Page[ReplayRow]:
    """The latest first. Raises QueryInvalid."""
    before = number_in(after, "replay") if after is not None else (1 << 63) - 1
    found = connection.execute(_LIST, {"before": before, "rows": checked_limit(limit) + 1}).fetchall()
    rows = [ReplayRow(*row) for row in found[:limit]]
    return Page(rows, str(rows[-1].replay) if len(found) > limit else None)


def _played(row: Sequence[Any] | None) -> Played | None:
    if row is None:
        return None
    id_, chosen, rate, even_if_newer, up_to, total, place, done, counts, *rest = row
    return Played(
        id_, _from_json(chosen), rate, even_if_newer, up_to, total, place, done, Counter(counts), *rest
    )


def _as_json(chosen: LetterFilter) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(json.dumps(chosen._asdict(), default=datetime.isoformat))
    return {name: value for name, value in told.items() if value}


def _from_json(told: dict[str, Any]) -> LetterFilter:
    given = dict(told)
    for name in ("since", "until"):
        if name in given:
            given[name] = datetime.fromisoformat(given[name])
    return LetterFilter(**given)
