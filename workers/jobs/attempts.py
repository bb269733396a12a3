"""Attempts at charging a cycle, as rows: made before their commands are published, settled by what the ledger decided."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import psycopg

from ledger.decide.cycles import SCHEDULED
from ledger.decide.dunning import CANCELED_AFTER, MANUAL
from ledger.upkeep import SOURCE

AGAIN_SECONDS = 10
LONGEST_AGAIN_SECONDS = 3600

# An attempt without an outcome keeps its subscription from being found again.
_DUE = """
SELECT s.subscription, s.paid_cycles + 1, s.account, s.status, s.payment_method, s.paid_cycles, s.cancel_at,
       s.past_due_since, s.next_try_at
FROM subscription s
WHERE s.next_try_at <= %(now)s {after}
  AND NOT EXISTS (
    SELECT FROM renewal_attempt r WHERE r.subscription = s.subscription AND r.decided_at IS NULL)
ORDER BY s.next_try_at, s.subscription
LIMIT %(limit)s"""
_AFTER = "AND (s.next_try_at, s.subscription) > (%(after_at)s, %(after_id)s)"
_COUNT_DUE = "SELECT count(*) FROM subscription WHERE next_try_at <= %b"

_COMMAND_ID = "'renewal:' || r.subscription || ':' || r.cycle_no || ':' || r.attempt"
_WHOSE = """
SELECT made.subscription, made.cycle_no, made.attempt, a.account, top.account
FROM made
JOIN account a ON a.id = made.account
JOIN account top ON top.id = a.path[1]"""
_MAKE = f"""
WITH made AS (
  INSERT INTO renewal_attempt (subscription, cycle_no, attempt, account, run, tried_at, published_at, published)
  SELECT u.subscription, u.cycle_no,
         coalesce((SELECT max(r.attempt) FROM renewal_attempt r
                   WHERE r.subscription = u.subscription AND r.cycle_no = u.cycle_no), 0) + 1,
         u.account, %(run)s, %(now)s, clock_timestamp(), 1
  FROM unnest(%(subscriptions)s::text[], %(cycles)s::int8[], %(accounts)s::int8[]) AS u(subscription, cycle_no, account)
  WHERE NOT EXISTS (
    SELECT FROM renewal_attempt r WHERE r.subscription = u.subscription AND r.decided_at IS NULL)
  RETURNING subscription, cycle_no, attempt, account
) {_WHOSE}"""

# What crashed waits as a dead letter for somebody who understands it; publishing it again would only crash again.
_NO_LETTER = f"""NOT EXISTS (
    SELECT FROM dead_letter d
    WHERE d.source = '{SOURCE}' AND d.command_id = {_COMMAND_ID} AND d.state IN ('waiting', 'failed again'))"""
_AGAIN = f"""
WITH made AS (
  UPDATE renewal_attempt r SET published = r.published + 1, published_at = clock_timestamp()
  WHERE r.decided_at IS NULL
    AND r.published_at < clock_timestamp()
        - make_interval(secs => least({AGAIN_SECONDS} * 2 ^ least(r.published - 1, 12), {LONGEST_AGAIN_SECONDS}))
    AND {_NO_LETTER}
    AND NOT EXISTS (SELECT FROM command c WHERE c.source = '{SOURCE}' AND c.id = {_COMMAND_ID})
  RETURNING r.subscription, r.cycle_no, r.attempt, r.account
) {_WHOSE}"""
_WAITING = f"SELECT count(*) FROM renewal_attempt r WHERE r.decided_at IS NULL AND {_NO_LETTER}"

# (OFFSET 0: looked up key by key, whatever the planner thinks of a table with millions of keys.)
_OUTCOMES = f"""
FROM renewal_attempt r
CROSS JOIN LATERAL (
  SELECT c.decided_at, c.reason, c.outcome FROM command c
  WHERE c.source = '{SOURCE}' AND c.id = {_COMMAND_ID} OFFSET 0) c
WHERE r.decided_at IS NULL"""
_ANY_DECIDED = f"SELECT EXISTS (SELECT {_OUTCOMES})"
_DECIDED = f"""
WITH found AS MATERIALIZED (
  SELECT r.subscription, r.cycle_no, r.attempt, c.decided_at, c.reason, c.outcome::json ->> 'message' AS message
  {_OUTCOMES}
)
UPDATE renewal_attempt r SET decided_at = f.decided_at, reason = f.reason, message = f.message
FROM found f
WHERE r.subscription = f.subscription AND r.cycle_no = f.cycle_no AND r.attempt = f.attempt
RETURNING r.subscription, r.cycle_no, r.attempt, r.reason"""


class Due(NamedTuple):
    """A subscription whose time has come, and which cycle it would pay."""

    subscription: str
    cycle_no: int
    account: int
    status: str
    payment_method: str
    paid_cycles: int
    cancel_at: datetime | None
    past_due_since: datetime | None
    next_try_at: datetime

    def is_charged(self, now: datetime) -> bool:
        """Whether a cycle is to be charged; else it begins, ends, or is owed by hand (`decide/dunning.time_has_come`)."""
        if self.payment_method == MANUAL or self.cancel_at is not None:
            return False
        if self.status == SCHEDULED and self.paid_cycles:
            return False
        return self.past_due_since is None or now < self.past_due_since + CANCELED_AFTER


class Attempt(NamedTuple):
    """An attempt at a cycle, with the account that is to pay and its top account."""

    subscription: str
    cycle_no: int
    attempt: int
    account: str
    top_account: str

    @property
    def command_id(self) -> str:
        return f"renewal:{self.subscription}:{self.cycle_no}:{self.attempt}"


class Decided(NamedTuple):
    """An attempt with its outcome; `reason` is None where it was paid."""

    subscription: str
    cycle_no: int
    attempt: int
    reason: str | None


def due(
    connection: psycopg.Connection[Any], now: datetime, *, after: tuple[datetime, str] | None, limit: int
) -> list[Due]:
    """What is due, the oldest first, after that one. What waits for an outcome is left out."""
    values: dict[str, Any] = {"now": now, "limit": limit}
    if after is not None:
        values |= {"after_at": after[0], "after_id": after[1]}
    query = _DUE.format(after=_AFTER if after is not None else "")
    return [Due(*row) for row in connection.execute(query, values)]


def count_due(connection: psycopg.Connection[Any], now: datetime) -> int:
    (count,) = connection.execute(_COUNT_DUE, (now,)).fetchone() or (0,)
    return int(count)


def make(
    connection: psycopg.Connection[Any], charged: Sequence[Due], *, run: int, now: datetime
) -> list[Attempt]:
    """A row for each, in the caller's transaction; none for one that waits for an outcome already."""
    values = {
        "run": run,
        "now": now,
        "subscriptions": [one.subscription for one in charged],
        "cycles": [one.cycle_no for one in charged],
        "accounts": [one.account for one in charged],
    }
    return [Attempt(*row) for row in connection.execute(_MAKE, values)]


def to_publish_again(connection: psycopg.Connection[Any]) -> list[Attempt]:
    """Those whose command may have been lost, with ever longer pauses; the same id makes it one command all the same."""
    return [Attempt(*row) for row in connection.execute(_AGAIN)]


def count_waiting(connection: psycopg.Connection[Any]) -> int:
    """How many wait for an outcome that is still to come."""
    (count,) = connection.execute(_WAITING).fetchone() or (0,)
    return int(count)


def any_decided(connection: psycopg.Connection[Any]) -> bool:
    (found,) = connection.execute(_ANY_DECIDED).fetchone() or (False,)
    return bool(found)


def decided(connection: psycopg.Connection[Any]) -> list[Decided]:
    """Settle what has been decided meanwhile, in the caller's transaction."""
    return [Decided(*row) for row in connection.execute(_DECIDED)]


def names(connection: psycopg.Connection[Any], accounts: Sequence[int]) -> dict[int, str]:
    """Public ids by their keys."""
    rows = connection.execute("SELECT id, account FROM account WHERE id = ANY(%s::int8[])", (list(accounts),))
    return dict(rows.fetchall())
