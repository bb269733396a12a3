"""Dead letters as an operator reads them: groups of the same trouble, the letters of one, and a letter with all there is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import psycopg

from ledger.errors import NotFound, QueryInvalid
from ledger.queries.command import event_of, text_of
from ledger.queries.conditions import Conditions, one_of, usable
from ledger.queries.page import DEFAULT_LIMIT, Page, checked_limit, number_in
from messages.codec import command_name
from messages.commands import COMMANDS
from messages.tracing import traceparent_in

STATES = ("waiting", "replaying", "resolved", "failed again", "archived")
# What nobody has dealt with yet.
OPEN = ("waiting", "failed again")
REASONS = ("unreadable", "unauthenticated", "invalid", "crashed", "gave up")

_GROUPS = """
SELECT g.id, g.reason, g.type, g.exception, g.frame, g.producer, letters.open, letters.kept, g.not_kept, g.count, g.first_at,
       g.last_at,
       letters.why
FROM dead_letter_group g
CROSS JOIN LATERAL (
  SELECT count(*) FILTER (WHERE d.state = ANY(%(open)s::text[])) AS open, count(*) AS kept,
         (array_agg(d.why ORDER BY d.id DESC))[1] AS why
  FROM dead_letter d WHERE d.group_id = g.id) letters
WHERE {conditions}
ORDER BY letters.open > 0 DESC, g.last_at DESC, g.id DESC
LIMIT %(rows)s"""

_LISTED = """d.id, d.group_id, g.reason, g.type, d.source, d.command_id, d.account, coalesce(d.producer, g.producer),
       d.state, d.count, d.first_at, d.last_at, d.why"""
_LIST = f"""
SELECT {_LISTED}
FROM dead_letter d
JOIN dead_letter_group g ON g.id = d.group_id
WHERE {{conditions}}
ORDER BY d.id DESC
LIMIT %(rows)s"""

_ONE = f"""
SELECT {_LISTED}, d.stream, d.position, d.place, g.exception, g.frame, d.traceback, d.resolved_at,
       c.reason, c.decided_at, d.run, c.source IS NOT NULL, d.raw
FROM dead_letter d
JOIN dead_letter_group g ON g.id = d.group_id
LEFT JOIN command c ON c.source = d.source AND c.id = d.command_id
WHERE d.id = %(letter)s"""


_ACTS = "SELECT at, act, who, why, result, replay FROM dead_letter_act WHERE letter = %b ORDER BY id"


class GroupRow(NamedTuple):
    """Letters with the same trouble: reason, type of command, exception and innermost frame of ours.

    producer: by whose stream it came, of what is no command. open: of those kept, how many wait for somebody. not_kept: what
    came when a thousand waited already. times: how often it came, counted ones included. why: of the last one.
    """

    group: int
    reason: str
    type: str | None
    exception: str | None
    frame: str | None
    producer: str | None
    open: int
    kept: int
    not_kept: int
    times: int
    first_at: datetime
    last_at: datetime
    why: str | None


class LetterRow(NamedTuple):
    """A letter. source and id: the command's key, where it can be read. times: how often the very same came."""

    letter: int
    group: int
    reason: str
    type: str | None
    source: str | None
    id: str | None
    account: str | None
    producer: str | None
    state: str
    times: int
    first_at: datetime
    last_at: datetime
    why: str


class Act(NamedTuple):
    """What somebody did about a letter, and what came of it. replay: the number of the replay that it was a part of."""

    at: datetime
    act: str
    who: str
    why: str | None
    result: str
    replay: int | None


class LetterReport(NamedTuple):
    """A letter with everything that is known of it.

    outcome: what became of its key since: `applied`, `rejected`, or None while it is undecided. traceparent: its event's,
    where it is one. run: of the job that is run
    again because of it. acts: what people did about it, the first one first. raw: its text, what is no
    text escaped; of a long array the one event, which stood at `place`, counted from 0.
    """

    letter: int
    group: int
    reason: str
    type: str | None
    source: str | None
    id: str | None
    account: str | None
    producer: str | None
    state: str
    times: int
    first_at: datetime
    last_at: datetime
    why: str
    stream: str | None
    position: str | None
    place: int
    exception: str | None
    frame: str | None
    traceback: str | None
    resolved_at: datetime | None
    outcome: str | None
    outcome_reason: str | None
    decided_at: datetime | None
    run: int | None
    traceparent: str | None
    raw: str
    acts: list[Act]


class LetterFilter(NamedTuple):
    """What is chosen; what is empty is not. since, until: when it last came, with its zone, both inclusive.

    letters: by their numbers. accounts: the account that the event names first.
    """

    letters: Sequence[int] = ()
    groups: Sequence[int] = ()
    reasons: Sequence[str] = ()
    types: Sequence[str] = ()
    sources: Sequence[str] = ()
    producers: Sequence[str] = ()
    accounts: Sequence[str] = ()
    exceptions: Sequence[str] = ()
    states: Sequence[str] = ()
    since: datetime | None = None
    until: datetime | None = None
    search: str | None = None


def groups(
    connection: psycopg.Connection[Any],
    *,
    everything: bool = False,
    limit: int = DEFAULT_LIMIT,
) -> list[GroupRow]:
    """Groups with letters that wait for somebody, the latest first; `everything`: the others after them.

    Raises QueryInvalid.
    """
    where = Conditions(*([] if everything else ["letters.open > 0"]))
    values = {**where.parameters, "open": list(OPEN), "rows": checked_limit(limit)}
    return [GroupRow(*row) for row in connection.execute(_GROUPS.format(conditions=where), values)]


def letters(
    connection: psycopg.Connection[Any],
    chosen: LetterFilter,
    *,
    limit: int = DEFAULT_LIMIT,
    after: str | None = None,
) -> Page[LetterRow]:
    """Letters, the latest first; `search` in key, producer and why. The cursor is the last one's number.

    Raises QueryInvalid.
    """
    where = conditions_of(chosen)
    if after is not None:
        where.add("d.id < %(after)s::int8", after=number_in(after, "letter"))
    values = {**where.parameters, "rows": checked_limit(limit) + 1}
    found = connection.execute(_LIST.format(conditions=where), values).fetchall()
    rows = [LetterRow(*row) for row in found[:limit]]
    return Page(rows, str(rows[-1].letter) if len(found) > limit else None)


def conditions_of(chosen: LetterFilter) -> Conditions:
    """On `dead_letter d` and its `dead_letter_group g`. Raises QueryInvalid."""
    one_of(chosen.reasons, REASONS, flag="--reason")
    one_of(chosen.states, STATES, flag="--state")
    where = Conditions()
    if chosen.letters:
        where.add("d.id = ANY(%(letters)s::int8[])", letters=list(chosen.letters))
    if chosen.groups:
        where.add("d.group_id = ANY(%(groups)s::int8[])", groups=list(chosen.groups))
    where.any_of("g.reason", chosen.reasons, flag="--reason")
    where.any_of("g.type", [_type(one) for one in chosen.types], flag="--type")
    where.any_of("d.source", chosen.sources, flag="--source")
    where.any_of("coalesce(d.producer, g.producer)", chosen.producers, flag="--producer")
    where.any_of("d.account", chosen.accounts, flag="--account")
    if chosen.exceptions:
        # By its name, with the module that it is in or without.
        names = [usable(one, "--exception") for one in chosen.exceptions]
        where.add(
            "%(exceptions)s::text[] && ARRAY[g.exception, split_part(g.exception, '.', -1)]", exceptions=names
        )
    where.any_of("d.state", chosen.states, flag="--state")
    if chosen.since is not None:
        where.add("d.last_at >= %(since)s", since=chosen.since)
    if chosen.until is not None:
        where.add("d.last_at <= %(until)s", until=chosen.until)
    where.contains(("d.source", "d.command_id", "d.producer", "d.why"), chosen.search)
    return where


def _type(given: str) -> str:
    """Raises QueryInvalid for what is no command."""
    known = {name.lower(): name for name in COMMANDS}
    found = known.get((command_name(given) or given).lower())
    if found is None:
        raise QueryInvalid(f"--type: {given!r} is no command; `coins do` lists them")
    return found


def letter(connection: psycopg.Connection[Any], number: int) -> LetterReport:
    """Everything that is known of a letter. Raises NotFound."""
    row = connection.execute(_ONE, {"letter": number}).fetchone() if 0 < number < 1 << 63 else None
    if row is None:
        raise NotFound(f"there is no dead letter {number}; `coins dead list` has them all")
    *known, reason, decided_at, run, is_decided, raw = row
    outcome = None if not is_decided else "applied" if reason is None else "rejected"
    acts = [Act(*one) for one in connection.execute(_ACTS, (number,))]
    text = text_of(raw)
    event = event_of(text, known[LetterReport._fields.index("place")])
    trace = traceparent_in(event.get("traceparent"))
    return LetterReport._make((*known, outcome, reason, decided_at, run, trace, text, acts))
