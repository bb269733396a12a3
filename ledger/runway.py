"""Until when a balance lasts: the renewals to come, at today's prices, against what there is (CONTRACT §8, "Runway").

Of a sponsored account a renewal takes the allotment and the sponsor's coins, so that it is counted at both.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import psycopg

from ledger.decide.cycles import coming_payments
from ledger.periods import Cycle
from ledger.queries.goods import priced
from ledger.queries.named import account_named
from ledger.records import Subscription
from ledger.rows import KINDS
from ledger.used import USED, left

DAYS = 30
MOST_DAYS = 366

# What it is for is not looked at here, and may be long.
_SUBSCRIPTION = ", ".join(
    "'{}'::text[]" if name == "goods" else f"s.{name}" for name in KINDS[Subscription].names
)

_PRICED = f"""
JOIN plan p ON p.plan = s.plan
{priced()}
WHERE s.next_payment_at <= %(until)s AND s.payment_method = 'balance' AND s.status <> 'canceled'
  AND s.cancel_at IS NULL AND p.cycle_unit IS NOT NULL AND priced.amount > 0"""

_COMING = f"""
WITH buying AS MATERIALIZED (
  SELECT id AS payer, id AS account FROM account WHERE id = ANY(%(payers)s::int8[]) AND funding <> 'shared'
  UNION ALL
  SELECT draws_from, id FROM account WHERE draws_from = ANY(%(payers)s::int8[]) AND draws_from <> id
  UNION ALL
  SELECT sponsor, id FROM account WHERE sponsor = ANY(%(payers)s::int8[]) AND sponsor IS NOT NULL
)
SELECT b.payer, who.account, priced.amount, p.cycle_unit, p.cycle_count, {_SUBSCRIPTION}
FROM buying b
JOIN account who ON who.id = b.account
JOIN subscription s ON s.account = b.account {_PRICED}"""

# Counting a cycle as short as it can be, nobody has to pay more: for most that settles it. (A month has at least 28 days,
# and a clock change takes an hour.)
_DOUBTFUL = f"""
WITH used AS MATERIALIZED ({USED.format(running="true")}),
most AS MATERIALIZED (
  SELECT s.account, sum(priced.amount * (1 + floor(
           extract(epoch FROM %(until)s::timestamptz - s.next_payment_at) / 3600
           / (p.cycle_count * CASE p.cycle_unit WHEN 'day' THEN 23 WHEN 'week' THEN 167 WHEN 'month' THEN 671 ELSE 8759 END)
         ))) AS amount
  FROM subscription s {_PRICED}
  GROUP BY s.account
)
SELECT a.id
FROM (
  SELECT pays.payer, sum(most.amount) AS amount
  FROM most
  JOIN account b ON b.id = most.account
  CROSS JOIN LATERAL (VALUES (b.draws_from), (b.sponsor)) AS pays(payer)
  WHERE pays.payer IS NOT NULL
  GROUP BY pays.payer
) paid
JOIN account a ON a.id = paid.payer
LEFT JOIN used ON used.account = a.id
WHERE paid.amount > a.credit + a.credit_limit - a.frozen - coalesce(used.coins, 0)
ORDER BY a.id"""

_WHO_PAYS = """
SELECT payer.id, payer.account FROM account a JOIN account payer ON payer.id = a.draws_from WHERE a.id = %s"""


class Due(NamedTuple):
    """A cycle that is to be paid, and what is left of available afterwards. One that is owed is due now."""

    at: datetime
    subscription: str
    cycle_no: int
    account: str
    amount: int
    left: int


class Outlook(NamedTuple):
    """What is to come for one who pays, in the order of time.

    covered_until: when the first is due that is not covered; None where all are. missing: how much, for all of them.
    """

    available: int
    due: list[Due]
    total: int
    covered_until: datetime | None
    missing: int


class Runway(NamedTuple):
    """The outlook of an account, under the names of `coins runway --json`. draws_from: whose it is, of a shared one."""

    account: str
    draws_from: str | None
    available: int
    days: int
    until: datetime
    due: list[Due]
    total: int
    covered_until: datetime | None
    missing: int


def runway(connection: psycopg.Connection[Any], account: str, now: datetime, days: int = DAYS) -> Runway:
    """What an account has to pay within so many days from `now`, with all who draw on it. Raises NotFound."""
    named = account_named(connection, account)
    payer, name = connection.execute(_WHO_PAYS, (named.id,)).fetchone() or (named.id, account)
    until = now + timedelta(days=days)
    outlook = outlooks(connection, [payer], now, until)[payer]
    available, due, total, covered_until, missing = outlook
    draws_from = name if payer != named.id else None
    return Runway(named.account, draws_from, available, days, until, due, total, covered_until, missing)


def doubtful(connection: psycopg.Connection[Any], now: datetime, until: datetime) -> list[int]:
    """Everybody whose balance might not last until then, by their keys. Who is not among them, lasts."""
    return [key for (key,) in connection.execute(_DOUBTFUL, {"now": now, "until": until})]


def outlooks(
    connection: psycopg.Connection[Any], payers: Collection[int], now: datetime, until: datetime
) -> dict[int, Outlook]:
    """What each of them has to pay until then, by the plans as they are now, against what is left now."""
    coming: defaultdict[int, list[Due]] = defaultdict(list)
    with connection.cursor(binary=True) as cursor:
        for payer, account, amount, unit, count, *columns in cursor.execute(
            _COMING, {"payers": list(payers), "until": until}
        ):
            subscription = Subscription(*columns)
            for cycle_no, at in coming_payments(subscription, Cycle(unit, count), until):
                coming[payer].append(
                    Due(max(at, now), subscription.subscription, cycle_no, account, amount, 0)
                )
    return {
        payer: _outlook(available, coming[payer])
        for payer, available in left(connection, payers, now).items()
    }


def _outlook(available: int, coming: Iterable[Due]) -> Outlook:
    due, rest, covered_until = [], available, None
    for one in sorted(coming):
        rest -= one.amount
        due.append(one._replace(left=rest))
        if rest < 0 and covered_until is None:
            covered_until = one.at
    return Outlook(available, due, available - rest, covered_until, max(0, -rest) if due else 0)
