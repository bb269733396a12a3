"""Which accounts have fallen below a threshold, and which are back above it (CONTRACT §8, "Warnings").

A row of `warned` is a threshold that has fired. It fires when available is below it and there is no such row, and is armed
again, its row gone, when available is back above. Everything is compared in hundredths of a coin, so that percentages of
whole coins stay whole numbers.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

import psycopg

from ledger.upkeep import News, tell
from ledger.used import OF_THESE, USED
from messages.events import EventType

# By the names that events have for them.
PRESETS = {"25 %": 25, "10 %": 10}
EMPTY = "0"
MOST_AT_ONCE = 1_000


class Scope(StrEnum):
    """Among which accounts one looks: all there are, or those that pay for phones that run now."""

    ALL = "all"
    RUNNING = "running"


# Most accounts are well above the highest of the presets, and few have phones that run: who is low by the books is found
# while accounts are read, in plain integers, and who is low by use alone among those that have used something.
# A reference below 0 leaves nothing of which there could be a part.
_CROSSED = """
WITH used AS MATERIALIZED ({used}),
seen AS {once} MATERIALIZED (
  SELECT a.id, a.credit + a.credit_limit - a.frozen AS booked, used.coins AS used,
         a.credit + a.credit_limit - a.frozen - coalesce(used.coins, 0) AS available,
         a.reference, greatest(a.reference, 0) AS whole
  FROM account a
  {join} used ON used.account = a.id
  WHERE {seen} AND a.reference IS NOT NULL AND a.funding <> 'shared' AND a.state <> 'closed'
),
crossed AS (
  SELECT s.id AS account, t.threshold, t.line, NULL::timestamptz AS set_at
  FROM (
    SELECT * FROM seen WHERE booked <= whole / 4
    UNION ALL
    SELECT * FROM seen WHERE booked > whole / 4 AND used > 0
  ) s
  CROSS JOIN LATERAL (VALUES {presets}) AS t(threshold, line)
  WHERE s.available * 100::numeric < t.line OR (t.threshold = '0' AND s.available = 0)
  UNION ALL
  SELECT s.id, 'custom:' || w.warning, t.line, w.set_at
  FROM warning w
  JOIN seen s ON s.id = w.account
  CROSS JOIN LATERAL (VALUES (coalesce(w.amount * 100::numeric, s.whole * w.percent::numeric))) AS t(line)
  WHERE w.removed_at IS NULL AND s.available * 100::numeric < t.line
),
changed AS (
  SELECT coalesce(c.account, f.account) AS account, coalesce(c.threshold, f.threshold) AS threshold, c.line
  FROM crossed c
  FULL JOIN (SELECT account, threshold, set_at FROM warned WHERE {warned}) f
    ON f.account = c.account AND f.threshold = c.threshold
  WHERE c.account IS NULL OR f.account IS NULL OR c.set_at IS DISTINCT FROM f.set_at
)"""

_PRESETS = ", ".join(
    [*(f"('{percent} %%', s.whole * {percent}::numeric)" for percent in PRESETS.values()), f"('{EMPTY}', 0)"]
)


def _crossed(
    *,
    running: str = "true",
    join: str = "LEFT JOIN",
    seen: str = "true",
    warned: str = "true",
    once: str = "",
) -> str:
    return _CROSSED.format(
        used=USED.format(running=running), join=join, seen=seen, warned=warned, once=once, presets=_PRESETS
    )


_AMONG = {
    Scope.ALL: _crossed(once="NOT"),  # a million of them are read, not written down
    Scope.RUNNING: _crossed(join="JOIN", warned="account IN (SELECT account FROM used)"),
}
_ACCOUNTS = "{among}\nSELECT DISTINCT account FROM changed ORDER BY account"
# (OFFSET 0: a threshold is looked up among the few warnings of its account.)
_CHANGES = f"""{
    _crossed(
        running=OF_THESE,
        seen="a.id = ANY(%(accounts)s::int8[])",
        warned="account = ANY(%(accounts)s::int8[])",
    )
}
SELECT c.account, c.threshold, c.line, s.available, s.reference, w.set_by, w.amount, w.percent, w.emails, w.set_at
FROM changed c
LEFT JOIN seen s ON s.id = c.account
LEFT JOIN LATERAL (
  SELECT x.* FROM warning x WHERE x.account = c.account AND x.removed_at IS NULL OFFSET 0
) w ON c.threshold = 'custom:' || w.warning
ORDER BY c.account, c.line, c.threshold"""

_FIRE = """
INSERT INTO warned (account, threshold, fired_at, available, reference, set_at)
SELECT u.account, u.threshold, %s, u.available, u.reference, u.set_at
FROM unnest(%s::int8[], %s::text[], %s::int8[], %s::int8[], %s::timestamptz[])
  AS u(account, threshold, available, reference, set_at)
ON CONFLICT (account, threshold) DO UPDATE SET
  fired_at = excluded.fired_at, available = excluded.available, reference = excluded.reference, set_at = excluded.set_at"""
_ARM = """
DELETE FROM warned w USING unnest(%s::int8[], %s::text[]) AS u(account, threshold)
WHERE w.account = u.account AND w.threshold = u.threshold"""


class Custom(NamedTuple):
    """A custom warning: who set it, below what, and to whom it goes."""

    set_by: int
    amount: int | None
    percent: int | None
    emails: list[str]
    set_at: datetime


class Crossing(NamedTuple):
    """A threshold that available has fallen below, or is back above.

    line: where it lies, in hundredths of a coin; None where available is back above. custom: None for a preset.
    """

    account: int
    threshold: str
    line: int | None
    available: int
    reference: int
    custom: Custom | None


def changed(connection: psycopg.Connection[Any], scope: Scope, now: datetime) -> list[int]:
    """The accounts of which a threshold is to fire, or to be armed again, by their keys. Nothing is changed."""
    found = connection.execute(_ACCOUNTS.format(among=_AMONG[scope]), {"now": now})
    return [account for (account,) in found]


def settle(connection: psycopg.Connection[Any], accounts: Iterable[int], now: datetime) -> list[Crossing]:
    """Fire and arm again what is to be, with its events, in the caller's transaction.

    Of each account the lowest threshold that fires comes first. One that was removed, or whose account is closed, is no
    longer there, and nothing is said of it.
    """
    rows = connection.execute(_CHANGES, {"accounts": list(accounts), "now": now}).fetchall()
    fallen = [_crossing(row) for row in rows if row[2] is not None]
    over = [row[:2] for row in rows if row[2] is None]
    above = [_crossing(row) for row in rows if row[2] is None and _is_there(row)]
    if fallen:
        values = [
            (one.account, one.threshold, one.available, one.reference, one.custom and one.custom.set_at)
            for one in fallen
        ]
        connection.execute(_FIRE, (now, *map(list, zip(*values, strict=True))))
    if over:
        connection.execute(_ARM, [list(column) for column in zip(*over, strict=True)])
    said = fallen + above
    for first in range(0, len(said), MOST_AT_ONCE):
        tell(connection, map(_news, said[first : first + MOST_AT_ONCE]), now)
    return said


def _is_there(row: tuple[Any, ...]) -> bool:
    _, threshold, _, available, *_, set_at = row
    return available is not None and (set_at is not None or not threshold.startswith("custom:"))


def _crossing(row: tuple[Any, ...]) -> Crossing:
    account, threshold, line, available, reference, *custom = row
    return Crossing(
        account,
        threshold,
        None if line is None else int(line),
        available,
        reference,
        Custom(*custom) if custom[-1] is not None else None,
    )


def _news(one: Crossing) -> News:
    type_ = EventType.BALANCE_RECOVERED if one.line is None else EventType.BALANCE_LOW
    data = {"threshold": one.threshold, "available": one.available, "reference": one.reference}
    return News(type_, one.account, data)
