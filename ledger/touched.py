"""Accounts that somebody has changed and nobody has looked at since: written with the change, taken with what it causes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import psycopg

from ledger.arrays import literal
from ledger.store import TOUCH

_LAST = "SELECT coalesce(max(id), 0) FROM touched"
# Rows as long as they hold few enough accounts together, at least one. What is committed later than a higher id is not
# passed over: the next one who takes begins at the lowest.
_TAKE = """
WITH portion AS (
  SELECT id
  FROM (
    SELECT id, sum(cardinality(accounts)) OVER (ORDER BY id) - cardinality(accounts) AS before
    FROM (SELECT id, accounts FROM touched WHERE id > %(after)s AND id <= %(until)s ORDER BY id LIMIT %(most)s) next
  ) counted
  WHERE before < %(most)s
)
DELETE FROM touched WHERE id IN (SELECT id FROM portion) RETURNING id, accounts"""


class Touched(NamedTuple):
    """`last`: the highest of the rows that were taken."""

    last: int
    accounts: list[int]


def last(connection: psycopg.Connection[Any]) -> int:
    """The highest row that is there by now; 0 where there is none."""
    (id_,) = connection.execute(_LAST).fetchone() or (0,)
    return int(id_)


def take(connection: psycopg.Connection[Any], *, after: int, until: int, most: int) -> Touched | None:
    """About `most` accounts off the rows between those, in the caller's transaction; None where there are none."""
    rows = connection.execute(_TAKE, {"after": after, "until": until, "most": most}).fetchall()
    if not rows:
        return None
    return Touched(max(id_ for id_, _ in rows), sorted({key for _, keys in rows for key in keys}))


def touch(connection: psycopg.Connection[Any], accounts: Iterable[int]) -> int:
    """Have them looked at, once the caller's transaction is committed. The row's id."""
    (id_,) = connection.execute(f"{TOUCH} RETURNING id", (literal(list(accounts)),)).fetchone() or (0,)
    return int(id_)
