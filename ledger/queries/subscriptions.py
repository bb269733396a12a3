"""Subscriptions: the list of them, and one with its cycles. One that was deleted is in neither; its payments stay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import psycopg

from ledger.errors import NotFound
from ledger.periods import Cycle
from ledger.queries.conditions import Conditions, one_of, usable
from ledger.queries.entries import NUMBER
from ledger.queries.goods import priced
from ledger.queries.named import accounts_named, root_named
from ledger.queries.page import DEFAULT_LIMIT, Page, checked_limit

KINDS = ("device", "package", "proxy", "phone")
STATUSES = ("scheduled", "active", "past_due", "suspended", "canceled")
PAYMENT_METHODS = ("balance", "manual")

_LIST = f"""
WITH page AS MATERIALIZED (
  SELECT s.*, p.price, p.cycle_unit AS next_unit, p.cycle_count AS next_count
  FROM subscription s
  LEFT JOIN plan p ON p.plan = s.plan
  WHERE {{conditions}}
  ORDER BY s.subscription
  LIMIT %(rows)s
)
SELECT s.subscription, s.kind, s.plan, a.account, s.used_by, s.status, s.payment_method,
       coalesce(s.next_unit, s.cycle_unit), coalesce(s.next_count, s.cycle_count),
       s.created_at, s.start_at, s.next_payment_at,
       priced.amount,
       s.goods, s.paid_until, s.cancel_at, s.canceled_at, s.next_try_at, s.past_due_since, s.refused_for
FROM page s
JOIN account a ON a.id = s.account
{priced("s.price")}
ORDER BY s.subscription"""

_CYCLES = f"""
SELECT c.cycle_no, c.begins_at, c.ends_at, c.amount, c.plan, c.goods, c.paid_at, {NUMBER}, coalesce(r.amount, 0),
       t.command_source, t.command_id
FROM subscription_cycle c
JOIN transaction t ON t.id = c.transaction
LEFT JOIN returned r ON r.transaction = c.transaction
WHERE c.subscription = %(subscription)s
ORDER BY c.cycle_no"""

_ATTEMPTS = """
SELECT a.cycle_no, a.attempt, a.tried_at, a.decided_at, a.reason, a.message
FROM renewal_attempt a
WHERE a.subscription = %(subscription)s AND (a.decided_at IS NULL OR a.reason IS NOT NULL)
ORDER BY a.cycle_no, a.attempt"""

_KEPT = "s.deleted_at IS NULL"


class SubscriptionRow(NamedTuple):
    """A subscription of the list.

    `plan`, `cycle`, `price` and `goods` are those of the next cycle: what it will cost, by the plan as it is now, for all
    of the goods. `next_payment_at` is None where nothing more is charged. `user` is a person.
    """

    subscription: str
    kind: str
    plan: str
    account: str
    user: str | None
    status: str
    payment_method: str
    cycle: Cycle
    created_at: datetime
    start_at: datetime
    next_payment_at: datetime | None
    price: int | None
    goods: list[str]


class PaidCycle(NamedTuple):
    """A cycle that was paid: its half-open period, for what, and by which transaction of which command."""

    cycle_no: int
    begins_at: datetime
    ends_at: datetime
    amount: int
    plan: str
    goods: list[str]
    paid_at: datetime
    number: str
    refunded: int
    command_source: str
    command_id: str


class RefusedAttempt(NamedTuple):
    """A renewal that was refused, or waits for its outcome (`decided_at` None): when it was tried, and why it failed."""

    cycle_no: int
    attempt: int
    tried_at: datetime
    decided_at: datetime | None
    reason: str | None
    message: str | None


class SubscriptionReport(NamedTuple):
    """A subscription with its cycles, oldest first, and the attempts at cycles that were refused.

    `cancel_at`: when it will be canceled, with what is paid. `past_due_since`, `refused_for`: since when its next cycle is
    owed, and why; `next_try_at`: when the billing cycle looks at it next.
    """

    subscription: str
    kind: str
    plan: str
    account: str
    user: str | None
    status: str
    payment_method: str
    cycle: Cycle
    created_at: datetime
    start_at: datetime
    next_payment_at: datetime | None
    price: int | None
    goods: list[str]
    paid_until: datetime | None
    cancel_at: datetime | None
    canceled_at: datetime | None
    next_try_at: datetime | None
    past_due_since: datetime | None
    refused_for: str | None
    cycles: list[PaidCycle]
    refused: list[RefusedAttempt]


@dataclass(frozen=True, slots=True)
class SubscriptionFilter:
    """Of values for the same field any will do. `search`: in kind, the plan's id and name, and goods.

    `within`: those of that account and of the ones below it, and no others.
    """

    accounts: Sequence[str] = ()
    statuses: Sequence[str] = ()
    payment_methods: Sequence[str] = ()
    kinds: Sequence[str] = ()
    search: str | None = None
    within: str | None = None


def subscriptions(
    connection: psycopg.Connection[Any],
    chosen: SubscriptionFilter | None = None,
    *,
    limit: int = DEFAULT_LIMIT,
    after: str | None = None,
) -> Page[SubscriptionRow]:
    """Subscriptions in the order of their ids. The cursor is the last one's id. Raises NotFound, QueryInvalid."""
    chosen = chosen or SubscriptionFilter()
    one_of(chosen.statuses, STATUSES, flag="--status")
    one_of(chosen.payment_methods, PAYMENT_METHODS, flag="--payment-method")
    one_of(chosen.kinds, KINDS, flag="--kind")
    where = Conditions(_KEPT)
    where.of_accounts("s.account", [one.id for one in accounts_named(connection, chosen.accounts)])
    where.of_subtree("s.account", root_named(connection, chosen.within))
    where.any_of("s.status", chosen.statuses, flag="--status")
    where.any_of("s.payment_method", chosen.payment_methods, flag="--payment-method")
    where.any_of("s.kind", chosen.kinds, flag="--kind")
    where.contains(("s.kind", "s.plan", "p.name", r"array_to_string(s.goods, E'\n')"), chosen.search)
    if after is not None:
        where.add("s.subscription > %(after)s", after=usable(after, "--after"))
    found = _found(connection, where, checked_limit(limit) + 1)
    rows = [_row(*row) for row in found[:limit]]
    return Page(rows, rows[-1].subscription if len(found) > limit else None)


def subscription(connection: psycopg.Connection[Any], id: str) -> SubscriptionReport:
    """The subscription of that id. Raises NotFound, also where it was deleted; QueryInvalid."""
    where = Conditions(_KEPT)
    where.add("s.subscription = %(subscription)s", subscription=usable(id, "ID"))
    found = _found(connection, where, 1)
    if not found:
        raise NotFound(
            f"there is no subscription {id!r}, or it was deleted; "
            "`coins subscriptions --search TEXT` finds one by kind, plan and goods"
        )
    (row,) = found
    cycles = [PaidCycle(*cycle) for cycle in connection.execute(_CYCLES, {"subscription": id})]
    refused = [RefusedAttempt(*attempt) for attempt in connection.execute(_ATTEMPTS, {"subscription": id})]
    return SubscriptionReport._make((*_row(*row), *row[_LISTED:], cycles, refused))


# How many columns a row of the list is made of; the report has more.
_LISTED = 14


def _found(connection: psycopg.Connection[Any], where: Conditions, rows: int) -> list[Any]:
    return connection.execute(_LIST.format(conditions=where), {**where.parameters, "rows": rows}).fetchall()


def _row(*columns: Any) -> SubscriptionRow:
    before, (unit, count), after = columns[:7], columns[7:9], columns[9:_LISTED]
    return SubscriptionRow._make((*before, Cycle(unit, count), *after))
