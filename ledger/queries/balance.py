"""What an account has, and what a purchase could take now."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

import psycopg

from ledger.queries.entries import versions_up_to
from ledger.queries.named import Named, account_named
from ledger.queries.times import Day, end_of

# Of a shared account `payer` is its master, of every other it is itself.
_NOW = """
SELECT a.account, a.funding, CASE WHEN a.funding = 'shared' THEN payer.account END, sponsor.account,
       a.credit, a.credit_limit, a.frozen,
       payer.credit + payer.credit_limit - payer.frozen,
       sponsor.credit + sponsor.credit_limit - sponsor.frozen
FROM account a
JOIN account payer ON payer.id = a.draws_from
LEFT JOIN account sponsor ON sponsor.id = a.sponsor
WHERE a.id = %(id)s"""

_CREDIT_THEN = f"""
SELECT e.balance
FROM account s
CROSS JOIN LATERAL (
  SELECT e.balance
  FROM entry e
  WHERE e.account = s.id AND e.account > 0 AND e.version <= {versions_up_to("%(before)s")} AND e.time < %(before)s
  ORDER BY e.version DESC
  LIMIT 1
) e
WHERE s.id = %(id)s"""

# What each account had after its last entry before a moment, or after its last one. The unit is that entry's: funding
# changes at credit 0 only.
_CREDITS = """
SELECT e.unit, sum(e.balance)::bigint
FROM account s
CROSS JOIN LATERAL (
  SELECT e.unit, e.balance
  FROM entry e
  WHERE e.account = s.id AND e.account > 0
  AND {before}
  ORDER BY e.version DESC
  LIMIT 1
) e
WHERE {scope}
GROUP BY e.unit"""
_BEFORE = f"e.version <= {versions_up_to('%(before)s')} AND e.time < %(before)s"


class Balance(NamedTuple):
    """The figures of an account, under the names of `coins balance --json`.

    As of a moment that has passed, only `credit` is known: what limit and holds were then is not kept, so that
    `credit_limit`, `frozen`, `available` and `spendable` are None, and `funding`, `draws_from` and `sponsor` today's.
    """

    account: str
    funding: str
    draws_from: str | None
    sponsor: str | None
    credit: int
    credit_limit: int | None
    frozen: int | None
    available: int | None
    spendable: int | None


def balance(connection: psycopg.Connection[Any], account: str, at: Day | None = None) -> Balance:
    """The account's figures now; or its credit at the end of that day in its zone, or at that moment.

    Raises NotFound.
    """
    named = account_named(connection, account)
    row = connection.execute(_NOW, {"id": named.id}).fetchone()
    assert row is not None
    id_, funding, draws_from, sponsor, credit, limit, frozen, available, sponsor_available = row
    if at is not None:
        then = _credit_before(connection, named, end_of(at, named.timezone))
        return Balance(id_, funding, draws_from, sponsor, then, None, None, None, None)
    spendable = max(0, available if sponsor_available is None else min(available, sponsor_available))
    return Balance(id_, funding, draws_from, sponsor, credit, limit, frozen, available, spendable)


def credits_by_unit(
    connection: psycopg.Connection[Any], named: Named, *, subtree: bool, before: datetime | None
) -> dict[str, int]:
    """The credit of the account, or of all in its subtree together, of each unit: just before a moment, or by now.

    A unit that nothing was ever posted in is left out. A shared account has no credit of its own.
    """
    query = _CREDITS.format(
        before="true" if before is None else _BEFORE,
        scope="s.path @> ARRAY[%(id)s::bigint]" if subtree else "s.id = %(id)s",
    )
    return dict(connection.execute(query, {"id": named.id, "before": before}).fetchall())


def _credit_before(connection: psycopg.Connection[Any], named: Named, before: datetime) -> int:
    row = connection.execute(_CREDIT_THEN, {"id": named.id, "before": before}).fetchone()
    return int(row[0]) if row else 0
