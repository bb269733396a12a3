"""What people do about dead letters is written down: who, when, why, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple

import psycopg

from ledger.dead_letters import escaped
from ledger.queries.dead import LetterFilter, conditions_of


class Doing(NamedTuple):
    """An act on letters, and who is answerable for it. replay: the number of the replay that it is a part of."""

    act: Literal["replay", "edit", "archive", "restore"]
    who: str
    why: str | None = None
    replay: int | None = None


class Done(NamedTuple):
    """What came of an act on a letter, in a sentence."""

    letter: int
    result: str


_WRITE = """
INSERT INTO dead_letter_act (letter, at, act, who, why, result, replay)
SELECT u.letter, %s, %s, %s, %s, u.result, %s FROM unnest(%s::int8[], %s::text[]) AS u(letter, result)"""


_CHOSEN = """
SELECT d.id, c.source IS NOT NULL
FROM dead_letter d
JOIN dead_letter_group g ON g.id = d.group_id
LEFT JOIN command c ON c.source = d.source AND c.id = d.command_id
WHERE {conditions}"""
_RESTORE = """
UPDATE dead_letter SET state = 'waiting', resolved_at = NULL WHERE id = ANY(%s::int8[]) AND state = 'archived'"""


def restore(
    connection: psycopg.Connection[Any], chosen: LetterFilter, now: datetime, doing: Doing
) -> tuple[int, int]:
    """Archived letters wait again: how many, and how many stay because their key is decided. Raises QueryInvalid."""
    where = conditions_of(chosen._replace(states=("archived",)))
    found = connection.execute(_CHOSEN.format(conditions=where), where.parameters).fetchall()
    free = [letter for letter, decided in found if not decided]
    connection.execute(_RESTORE, (free,))
    write_down(connection, doing, [Done(letter, "waits again") for letter in free], now)
    return len(free), len(found) - len(free)


def write_down(
    connection: psycopg.Connection[Any], doing: Doing, done: Sequence[Done], now: datetime
) -> None:
    """In the transaction of the act."""
    letters, results = [one.letter for one in done], [one.result for one in done]
    why = escaped(doing.why) if doing.why else None
    connection.execute(_WRITE, (now, doing.act, doing.who, why, doing.replay, letters, results))
