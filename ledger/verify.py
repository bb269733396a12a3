"""Recomputes everything from the entries, in one snapshot, and says where the ledger does not agree with itself.

What is compared stands in `queries/consistency.py`, one statement a check; here it is run and told.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

import psycopg

from ledger.archived import MESSAGES_AGREE, differing
from ledger.queries.consistency import CHECKS, COUNTED, Check
from ledger.queries.entries import NUMBER
from ledger.queries.reading import snapshot

# Of one kind; whoever has a thousand does not read on.
MAX_DIFFERENCES = 1_000
_READ_AT_ONCE = 5_000

# Those that stand there word for word as they are composed are left out: reading millions would take minutes.
# (A quotation mark within a text is escaped, so that these words can be found between its members alone.)
_OUTCOMES = f"""
SELECT c.source || ' ' || c.id, c.reason, {NUMBER}, c.outcome
FROM command c
LEFT JOIN transaction t ON t.id = c.transaction
WHERE NOT (starts_with(c.outcome, '{{"reason":' || coalesce('"' || c.reason || '"', 'null') || ',"message":')
           AND strpos(c.outcome, ',"transaction":' || coalesce('"' || {NUMBER} || '"', 'null') || ',"accounts":[') > 0
           AND right(c.outcome, 2) = ']}}')"""


class Difference(NamedTuple):
    """Something that is not as it should be: `where` names the table and the row."""

    check: str
    what: str
    where: str
    expected: str
    found: str


@dataclass(slots=True)
class Verification:
    """What was found, and how much was looked at: rows by table, and the checks that were made."""

    differences: list[Difference] = field(default_factory=list)
    checked: dict[str, int] = field(default_factory=dict)
    checks: list[str] = field(default_factory=list)
    # Checks that found more than was listed.
    cut_off: list[str] = field(default_factory=list)


def verify(
    connection: psycopg.Connection[Any], progress: Callable[[str], None] = lambda _: None
) -> Verification:
    """Make every check on one snapshot. `progress` is told what comes next. Writes nothing, waits for nobody.

    The connection must be idle. Raises psycopg.Error where the database fails.
    """
    result = Verification()
    with snapshot(connection):
        progress("counting rows")
        for table in COUNTED:
            row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
            assert row is not None
            result.checked[table] = row[0]
        for check in CHECKS:
            progress(check.what)
            _add(result, check.name, _made(connection, check))
        progress(OUTCOMES_AGREE)
        _add(result, "outcome", _outcomes(connection))
        progress(MESSAGES_AGREE)
        _add(result, "message", _messages(connection))
    return result


def _add(result: Verification, name: str, found: list[Difference]) -> None:
    result.checks.append(name)
    result.differences += found[:MAX_DIFFERENCES]
    if len(found) > MAX_DIFFERENCES:
        result.cut_off.append(name)


def _made(connection: psycopg.Connection[Any], check: Check) -> list[Difference]:
    rows = connection.execute(f"{check.sql}\nLIMIT {MAX_DIFFERENCES + 1}")
    return [
        Difference(check.name, check.what, f"{check.table} {where}", _shown(expected), _shown(found))
        for where, expected, found in rows
    ]


def _shown(value: Any) -> str:
    return "nothing" if value is None else str(value)


OUTCOMES_AGREE = "the outcome that is sent again says what its command's key says"


def _outcomes(connection: psycopg.Connection[Any]) -> list[Difference]:
    """Stored outcomes against their keys. Read here, not in SQL: one that is no JSON would stop the statement."""
    found: list[Difference] = []
    with connection.cursor("outcomes") as cursor:
        cursor.itersize = _READ_AT_ONCE
        for where, reason, number, outcome in cursor.execute(_OUTCOMES):
            expected = f"reason {_shown(reason)}, transaction {_shown(number)}"
            said = _said(outcome)
            if said != expected:
                found.append(Difference("outcome", OUTCOMES_AGREE, f"command {where}", expected, said))
                if len(found) > MAX_DIFFERENCES:
                    break
    return found


def _messages(connection: psycopg.Connection[Any]) -> list[Difference]:
    some = islice(differing(connection), MAX_DIFFERENCES + 1)
    return [Difference("message", MESSAGES_AGREE, one.where, one.expected, one.found) for one in some]


def _said(outcome: str) -> str:
    try:
        lasting = json.loads(outcome)
        return f"reason {_shown(lasting['reason'])}, transaction {_shown(lasting['transaction'])}"
    except (ValueError, LookupError, TypeError, RecursionError):
        return f"no outcome: {outcome[:80]!r}"
