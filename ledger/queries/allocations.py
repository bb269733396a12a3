"""What resellers granted to their customers, took back, and returned by bills, newest first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import psycopg

from ledger.errors import QueryInvalid
from ledger.numbers import transaction_of
from ledger.queries.conditions import Conditions
from ledger.queries.entries import NUMBER, may_be_number, versions_up_to, within
from ledger.queries.named import accounts_named, root_named, zone_of
from ledger.queries.page import DEFAULT_LIMIT, ZonedPage, checked_limit
from ledger.queries.times import Day, Span, span_of

_TYPES = "('allocation', 'reclaim', 'credit_return')"

# Whoever has or had an allotment stands under a reseller or a distributor; whose parent is whose never changes. Of each
# the newest, by the index of its versions, then merged: nobody needs to give more than the page has.
_LIST = f"""
WITH scope AS (
  SELECT s.id, s.version
  FROM account s
  JOIN account parent ON parent.id = s.parent
  WHERE parent.kind IN ('reseller', 'distributor') AND s.version > 0 AND {{scope}}
),
e AS (
  SELECT e.*
  FROM scope s
  CROSS JOIN LATERAL (
    SELECT e.transaction, e.account, e.time, e.type, e.amount, e.balance, e.counterparty
    FROM entry e
    WHERE e.account = s.id AND e.account > 0 AND e.type IN {_TYPES}
  AND {{conditions}}
    ORDER BY e.version DESC
    LIMIT %(rows)s
  ) e
  ORDER BY e.time DESC, e.transaction DESC
  LIMIT %(rows)s
)
SELECT e.time, {NUMBER}, reseller.account, customer.account, e.type, e.amount, e.balance, t.note, t.actor
FROM e
JOIN transaction t ON t.id = e.transaction
JOIN account customer ON customer.id = e.account
JOIN account reseller ON reseller.id = e.counterparty
ORDER BY e.time DESC, e.transaction DESC"""

_LAST = f"SELECT t.time FROM transaction t WHERE t.id = %(transaction)s AND t.type IN {_TYPES}"
_NOTE = "(SELECT t.note FROM transaction t WHERE t.id = e.transaction)"
_ITS_NUMBER = f"(SELECT {NUMBER} FROM transaction t WHERE t.id = e.transaction)"


class AllocationRow(NamedTuple):
    """What came to a customer's allotment, or (`amount` below 0) was taken back; `balance` is the allotment after it.

    type: `allocation`, `reclaim`, or `credit_return` by a bill. `actor` is a person.
    """

    time: datetime
    number: str
    reseller: str
    customer: str
    type: str
    amount: int
    balance: int
    note: str | None
    actor: str | None


@dataclass(frozen=True, slots=True)
class AllocationFilter:
    """`since` and `until` are included; a date is a whole day in the zone of the customer where one is chosen, else of the
    reseller where one is, else of `within`, else in UTC. `search`: in note and number. `within`: those of customers that
    are that account or below it, and no others.
    """

    resellers: Sequence[str] = ()
    customers: Sequence[str] = ()
    since: Day | None = None
    until: Day | None = None
    search: str | None = None
    within: str | None = None


def allocations(
    connection: psycopg.Connection[Any],
    chosen: AllocationFilter | None = None,
    *,
    limit: int = DEFAULT_LIMIT,
    after: str | None = None,
) -> ZonedPage[AllocationRow]:
    """Changes of allotments, newest first. The cursor is the last one's number. Raises NotFound, QueryInvalid."""
    chosen = chosen or AllocationFilter()
    resellers = accounts_named(connection, chosen.resellers)
    customers = accounts_named(connection, chosen.customers)
    root = root_named(connection, chosen.within)
    zone = zone_of(customers or resellers, root)
    scope = Conditions()
    if resellers:
        scope.add("s.parent = ANY(%(resellers)s::bigint[])", resellers=[one.id for one in resellers])
    scope.of_accounts("s.id", [one.id for one in customers])
    scope.of_subtree("s.id", root)
    where = _conditions(chosen, span_of(chosen.since, chosen.until, zone))
    if after is not None:
        _older_than(after, connection, where)
    found = connection.execute(
        _LIST.format(scope=scope, conditions=where),
        {**scope.parameters, **where.parameters, "rows": checked_limit(limit) + 1},
    ).fetchall()
    rows = [AllocationRow(*row) for row in found[:limit]]
    return ZonedPage(rows, rows[-1].number if len(found) > limit else None, zone)


def _conditions(chosen: AllocationFilter, span: Span) -> Conditions:
    where = Conditions(*within(span))
    if span.since is not None:
        where.add("e.time >= %(since)s", since=span.since)
    if span.before is not None:
        where.add("e.time < %(before)s", before=span.before)
    number = (_ITS_NUMBER,) if may_be_number(chosen.search or "") else ()
    where.contains((_NOTE, *number), chosen.search)
    return where


def _older_than(cursor: str, connection: psycopg.Connection[Any], where: Conditions) -> None:
    transaction = transaction_of(cursor)
    row = connection.execute(_LAST, {"transaction": transaction}).fetchone() if transaction else None
    if row is None:
        raise QueryInvalid(
            f"--after: {cursor!r} is no number of an allocation; give the cursor that the page before ended with"
        )
    (time,) = row
    where.add(
        f"(e.time, e.transaction) < (%(last_at)s, %(last)s)\n  AND e.version <= {versions_up_to('%(just_after)s')}",
        last_at=time,
        last=transaction,
        just_after=time + timedelta(microseconds=1),
    )
