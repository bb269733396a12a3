"""Orders: the list of them, and one with all that is known of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import psycopg

from ledger.errors import NotFound, QueryInvalid
from ledger.fees import running_fee, started_minutes
from ledger.numbers import transaction_of
from ledger.queries.conditions import Conditions, one_of, usable
from ledger.queries.entries import NUMBER, may_be_number
from ledger.queries.named import accounts_named, root_named, zone_of
from ledger.queries.page import DEFAULT_LIMIT, ZonedPage, checked_limit
from ledger.queries.times import Day, Span, span_of

KINDS = ("package", "proxy", "phone")
STATUSES = ("pending_payment", "running", "completed", "canceled")

_LISTED = f"""o.order_id, {NUMBER}, o.kind, o.product, a.account, o.status, o.amount, coalesce(r.amount, 0),
       o.method, o.payer, o.phone, o.created_at, o.paid_at"""

# The page first: what charged an order, and what was given back of it, is looked up for what is shown alone.
_LIST = f"""
WITH page AS MATERIALIZED (
  SELECT o.*
  FROM orders o
  WHERE {{conditions}}
  ORDER BY o.created_at DESC, o.order_id DESC
  LIMIT %(rows)s
)
SELECT {_LISTED}
FROM page o
JOIN account a ON a.id = o.account
LEFT JOIN transaction t ON t.id = o.transaction
LEFT JOIN returned r ON r.transaction = o.transaction
ORDER BY o.created_at DESC, o.order_id DESC"""

_ONE = f"""
SELECT {_LISTED},
       coalesce(o.details, '{{}}')::json, o.quantity, s.minutes, s.rate, s.power_up_at, s.power_down_at,
       NULL AS running_fee,
       (SELECT r.number FROM receipt r WHERE r.order_id = o.order_id LIMIT 1) AS receipt,
       o.plan, o.price, o.canceled_at, o.note
FROM orders o
JOIN account a ON a.id = o.account
LEFT JOIN transaction t ON t.id = o.transaction
LEFT JOIN returned r ON r.transaction = o.transaction
LEFT JOIN session s ON s.session = o.order_id
WHERE o.order_id = %(order)s"""

_LAST = "SELECT created_at, order_id FROM orders WHERE order_id = %(order)s"
_ITS_NUMBER = f"(SELECT {NUMBER} FROM transaction t WHERE t.id = o.transaction)"


class OrderRow(NamedTuple):
    """An order of the list.

    `number` is the transaction that charged it, None while nothing was; `refunded` of it was given back. `amount` is None
    while a phone runs. `payer` is a person. A cycle's order goes by `<subscription>/<cycle_no>`, a phone's by its session.
    """

    order: str
    number: str | None
    kind: str
    product: str | None
    account: str
    status: str
    amount: int | None
    refunded: int
    method: str
    payer: str | None
    phone: str | None
    created_at: datetime
    paid_at: datetime | None


class OrderReport(NamedTuple):
    """An order with everything about it.

    Of a cloud phone: `rate` is coins a minute as decimal text, `minutes` are the started ones and `running_fee` is what
    they cost; while it runs, so far. `note` says why it was canceled. `receipt` is the receipt's number.
    """

    order: str
    number: str | None
    kind: str
    product: str | None
    account: str
    status: str
    amount: int | None
    refunded: int
    method: str
    payer: str | None
    phone: str | None
    created_at: datetime
    paid_at: datetime | None
    details: dict[str, Any]
    quantity: int
    minutes: int | None
    rate: str | None
    power_up_at: datetime | None
    power_down_at: datetime | None
    running_fee: int | None
    receipt: str | None
    plan: str | None
    price: int | None
    canceled_at: datetime | None
    note: str | None


@dataclass(frozen=True, slots=True)
class OrderFilter:
    """`since` and `until`: when it was placed, both included; a date is a whole day in the zone of the account where one
    is chosen, else of `within`, else in UTC. Of values for the same field any will do. `search`: in product and number.
    `within`: orders of that account and of those below it, and no others.
    """

    accounts: Sequence[str] = ()
    since: Day | None = None
    until: Day | None = None
    kinds: Sequence[str] = ()
    statuses: Sequence[str] = ()
    products: Sequence[str] = ()
    phones: Sequence[str] = ()
    search: str | None = None
    within: str | None = None


def orders(
    connection: psycopg.Connection[Any],
    chosen: OrderFilter | None = None,
    *,
    limit: int = DEFAULT_LIMIT,
    after: str | None = None,
) -> ZonedPage[OrderRow]:
    """Orders, newest first. The cursor is the last one's id. Raises NotFound, QueryInvalid."""
    chosen = chosen or OrderFilter()
    one_of(chosen.kinds, KINDS, flag="--kind")
    one_of(chosen.statuses, STATUSES, flag="--status")
    owners = accounts_named(connection, chosen.accounts)
    root = root_named(connection, chosen.within)
    zone = zone_of(owners, root)
    where = _conditions(chosen, [one.id for one in owners], span_of(chosen.since, chosen.until, zone))
    where.of_subtree("o.account", root)
    if after is not None:
        created_at, order_id = _last(connection, after)
        where.add(
            "(o.created_at, o.order_id) < (%(last_at)s, %(last_id)s)", last_at=created_at, last_id=order_id
        )
    found = connection.execute(
        _LIST.format(conditions=where), {**where.parameters, "rows": checked_limit(limit) + 1}
    ).fetchall()
    rows = [OrderRow(*row) for row in found[:limit]]
    return ZonedPage(rows, rows[-1].order if len(found) > limit else None, zone)


def order(connection: psycopg.Connection[Any], id: str, *, now: datetime) -> OrderReport:
    """The order of that id; `now` is until when a running phone's fee is counted. Raises NotFound, QueryInvalid."""
    row = connection.execute(_ONE, {"order": usable(id, "ID")}).fetchone()
    if row is None:
        raise NotFound(
            f"there is no order {id!r}; `coins orders --search TEXT` finds one by product and number"
        )
    report = OrderReport(*row)
    if report.rate is None or report.power_up_at is None:
        return report
    minutes = started_minutes(report.power_up_at, report.power_down_at or now)
    return report._replace(minutes=minutes, running_fee=running_fee(report.rate, minutes))


def _conditions(chosen: OrderFilter, owners: Sequence[int], span: Span) -> Conditions:
    where = Conditions()
    where.of_accounts("o.account", owners)
    if span.since is not None:
        where.add("o.created_at >= %(since)s", since=span.since)
    if span.before is not None:
        where.add("o.created_at < %(before)s", before=span.before)
    where.any_of("o.kind", chosen.kinds, flag="--kind")
    where.any_of("o.status", chosen.statuses, flag="--status")
    where.any_of("o.product", chosen.products, flag="--product")
    where.any_of("o.phone", chosen.phones, flag="--phone")
    where.contains(("o.product", *_numbers(where, chosen.search or "")), chosen.search)
    return where


def _numbers(where: Conditions, search: str) -> tuple[str, ...]:
    """Where a number is searched for; of a whole one, at its transaction alone."""
    if not may_be_number(search):
        return ()
    whole = transaction_of(search.upper())
    if whole is None:
        return (_ITS_NUMBER,)
    where.parameters["whole"] = whole
    return (f"CASE WHEN o.transaction = %(whole)s THEN {_ITS_NUMBER} END",)


def _last(connection: psycopg.Connection[Any], cursor: str) -> tuple[datetime, str]:
    row = connection.execute(_LAST, {"order": usable(cursor, "--after")}).fetchone()
    if row is None:
        raise QueryInvalid(
            f"--after: there is no order {cursor!r}; give the cursor that the page before ended with"
        )
    created_at, order_id = row
    return created_at, order_id
