"""Attempts at charging a cycle, as rows: made before their commands are published, settled by what the ledger decided."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from datetime import datetime
from itertools import compress
from typing import Any, NamedTuple

import psycopg

from ledger.arrays import columns, literal
from ledger.covered import coverable
from ledger.decide.cycles import SCHEDULED
from ledger.decide.dunning import CANCELED_AFTER, MANUAL
from ledger.upkeep import SOURCE

AGAIN_SECONDS = 10
LONGEST_AGAIN_SECONDS = 3600

# What is due or made is looked up key by key, hence OFFSET 0: the planner may never have seen these tables as large as they
# are, and what was settled in this run is still in the index of what is open.
#
# A page by the index, in its order; whose it is, and whether it waits for an outcome, for the page alone.
_DUE = """
WITH page AS MATERIALIZED (
  SELECT s.subscription, s.paid_cycles, s.account, s.status, s.payment_method, s.cancel_at, s.past_due_since, s.next_try_at
  FROM subscription s
  WHERE s.next_try_at <= %(now)s AND (s.next_try_at, s.subscription) > (%(after_at)s, %(after_id)s)
  ORDER BY s.next_try_at, s.subscription
  LIMIT %(limit)s
)
SELECT p.subscription, p.paid_cycles + 1, p.account, a.account, top.account, p.status, p.payment_method, p.paid_cycles,
       p.cancel_at, p.past_due_since, p.next_try_at, tried.waits IS TRUE
FROM page p
CROSS JOIN LATERAL (SELECT a.account, a.path[1] AS top FROM account a WHERE a.id = p.account OFFSET 0) a
CROSS JOIN LATERAL (SELECT t.account FROM account t WHERE t.id = a.top OFFSET 0) top
CROSS JOIN LATERAL (
  SELECT bool_or(r.decided_at IS NULL) AS waits FROM renewal_attempt r
  WHERE r.subscription = p.subscription AND r.cycle_no = p.paid_cycles + 1) tried
ORDER BY p.next_try_at, p.subscription"""
_COUNT_DUE = "SELECT count(*) FROM subscription WHERE next_try_at <= %b"

_COMMAND_ID = "'renewal:' || r.subscription || ':' || r.cycle_no || ':' || r.attempt"
_WHOSE = """
SELECT made.subscription, made.cycle_no, made.attempt, a.account, top.account
FROM made
JOIN account a ON a.id = made.account
JOIN account top ON top.id = a.path[1]"""
_MAKE = """
INSERT INTO renewal_attempt (subscription, cycle_no, attempt, account, run, tried_at, published_at, published)
SELECT u.subscription, u.cycle_no, coalesce(tried.last, 0) + 1, u.account, %(run)s, %(now)s, clock_timestamp(), 1
FROM unnest(%(subscriptions)s::text[], %(cycles)s::int8[], %(accounts)s::int8[]) AS u(subscription, cycle_no, account)
CROSS JOIN LATERAL (
  SELECT max(r.attempt) AS last, bool_or(r.decided_at IS NULL) AS waits FROM renewal_attempt r
  WHERE r.subscription = u.subscription AND r.cycle_no = u.cycle_no) tried
WHERE tried.waits IS NOT TRUE
RETURNING subscription, cycle_no, attempt"""

# What crashed waits as a dead letter for somebody who understands it; publishing it again would only crash again.
_NO_LETTER = f"""NOT EXISTS (
    SELECT FROM dead_letter d
    WHERE d.source = '{SOURCE}' AND d.command_id = {_COMMAND_ID} AND d.state IN ('waiting', 'failed again') OFFSET 0)"""
_AGAIN = f"""
WITH made AS (
  UPDATE renewal_attempt r SET published = r.published + 1, published_at = clock_timestamp()
  WHERE r.decided_at IS NULL
    AND r.published_at < clock_timestamp()
        - make_interval(secs => least({AGAIN_SECONDS} * 2 ^ least(r.published - 1, 12), {LONGEST_AGAIN_SECONDS}))
    AND {_NO_LETTER}
    AND NOT EXISTS (SELECT FROM command c WHERE c.source = '{SOURCE}' AND c.id = {_COMMAND_ID} OFFSET 0)
  RETURNING r.subscription, r.cycle_no, r.attempt, r.account
) {_WHOSE}"""
_OPEN = f"""
WITH made AS (
  SELECT r.subscription, r.cycle_no, r.attempt, r.account
  FROM renewal_attempt r WHERE r.decided_at IS NULL AND {_NO_LETTER}
) {_WHOSE}"""

_OUTCOMES = f"""
SELECT u.place, c.decided_at, c.reason, CASE WHEN c.reason IS NOT NULL THEN c.outcome::json ->> 'message' END
FROM unnest(%s::text[]) WITH ORDINALITY AS u(id, place)
CROSS JOIN LATERAL (
  SELECT c.decided_at, c.reason, c.outcome FROM command c WHERE c.source = '{SOURCE}' AND c.id = u.id OFFSET 0) c"""
_CRASHED = f"""
SELECT u.place
FROM unnest(%s::text[]) WITH ORDINALITY AS u(id, place)
WHERE EXISTS (
  SELECT FROM dead_letter d
  WHERE d.source = '{SOURCE}' AND d.command_id = u.id AND d.state IN ('waiting', 'failed again'))"""
_SETTLE = """
UPDATE renewal_attempt r SET decided_at = u.decided_at, reason = u.reason, message = u.message
FROM unnest(%s::text[], %s::int8[], %s::int4[], %s::timestamptz[], %s::text[], %s::text[])
  AS u(subscription, cycle_no, attempt, decided_at, reason, message)
WHERE r.subscription = u.subscription AND r.cycle_no = u.cycle_no AND r.attempt = u.attempt
  AND coalesce(r.decided_at, 'infinity') = 'infinity'"""


class Due(NamedTuple):
    """A subscription whose time has come, and which cycle it would pay. `key` is the account's."""

    subscription: str
    cycle_no: int
    key: int
    account: str
    top_account: str
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
        return not self._is_owed_too_long(now)

    def is_given_up(self, now: datetime) -> bool:
        """Whether it would have been charged if it were not owed for so long."""
        by_hand = self.payment_method == MANUAL or self.cancel_at is not None
        return not by_hand and self._is_owed_too_long(now)

    def _is_owed_too_long(self, now: datetime) -> bool:
        return self.past_due_since is not None and now >= self.past_due_since + CANCELED_AFTER


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


class Outcome(NamedTuple):
    """What the ledger decided; `reason` is None where it was paid."""

    attempt: Attempt
    decided_at: datetime
    reason: str | None
    message: str | None


def due(connection: psycopg.Connection[Any], now: datetime, *, limit: int) -> Iterator[list[Due]]:
    """What is due, the oldest first, so many at a time. Of what is charged, what waits for an outcome is left out."""
    after_at: Any = "-infinity"
    after_id = ""
    while True:
        values = {"now": now, "limit": limit, "after_at": after_at, "after_id": after_id}
        rows = connection.execute(_DUE, values).fetchall()
        if not rows:
            return
        *_, after_at, _ = rows[-1]
        after_id = rows[-1][0]
        listed = [(Due(*row), waits) for *row, waits in rows]
        # What ends or begins does so though a cycle of it waits, perhaps as a dead letter for good.
        found = [one for one, waits in listed if not (waits and one.is_charged(now))]
        if found:
            yield found


def parted(
    connection: psycopg.Connection[Any], some: Sequence[Due], now: datetime, tried_last: Set[str]
) -> tuple[list[Due], list[Due]]:
    """Those whose cycle is charged, and those whose time comes without a charge.

    What would be given up though coins have come in, while nobody looked, is charged once more, but for those of
    `tried_last`, for which that was done.
    """
    given_up = {one.subscription: one.key for one in some if one.is_given_up(now)}
    given_up = {name: key for name, key in given_up.items() if name not in tried_last}
    if given_up:
        payable = coverable(connection, set(given_up.values()), now)
        given_up = {name: key for name, key in given_up.items() if name in payable}
    charged = [one.is_charged(now) or one.subscription in given_up for one in some]
    return list(compress(some, charged)), [
        one for one, is_charged in zip(some, charged, strict=True) if not is_charged
    ]


def count_due(connection: psycopg.Connection[Any], now: datetime) -> int:
    (count,) = connection.execute(_COUNT_DUE, (now,)).fetchone() or (0,)
    return int(count)


def make(
    connection: psycopg.Connection[Any], charged: Sequence[Due], *, run: int, now: datetime
) -> list[Attempt]:
    """A row for each, in the caller's transaction, in the same order; none for one that waits for an outcome already."""
    values = {
        "run": run,
        "now": now,
        "subscriptions": literal([one.subscription for one in charged]),
        "cycles": literal([one.cycle_no for one in charged]),
        "accounts": literal([one.key for one in charged]),
    }
    made = {tuple(cycle): attempt for *cycle, attempt in connection.execute(_MAKE, values)}
    return [
        Attempt(*cycle, made[cycle], one.account, one.top_account)
        for one in charged
        if (cycle := (one.subscription, one.cycle_no)) in made
    ]


def to_publish_again(connection: psycopg.Connection[Any]) -> list[Attempt]:
    """Those whose command may have been lost, with ever longer pauses; the same id makes it one command all the same."""
    return [Attempt(*row) for row in connection.execute(_AGAIN)]


def open_ones(connection: psycopg.Connection[Any]) -> list[Attempt]:
    """Those without an outcome, but for those that wait as dead letters."""
    return [Attempt(*row) for row in connection.execute(_OPEN)]


def outcomes(connection: psycopg.Connection[Any], some: Sequence[Attempt]) -> list[Outcome]:
    """Of those that are decided, what the ledger has decided."""
    if not some:
        return []
    rows = connection.execute(_OUTCOMES, (literal([one.command_id for one in some]),), prepare=True)
    return [Outcome(some[place - 1], *rest) for place, *rest in rows]


def crashed(connection: psycopg.Connection[Any], some: Sequence[Attempt]) -> set[Attempt]:
    """Those whose command waits as a dead letter."""
    rows = connection.execute(_CRASHED, ([one.command_id for one in some],))
    return {some[place - 1] for (place,) in rows}


def settle(connection: psycopg.Connection[Any], some: Sequence[Outcome]) -> None:
    """Write down what was decided, in the caller's transaction."""
    if some:
        rows = [(*one.attempt[:3], one.decided_at, one.reason, one.message) for one in some]
        connection.execute(_SETTLE, columns(rows), prepare=True)
