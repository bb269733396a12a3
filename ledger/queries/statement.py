"""Statements: what was posted to an account, or to a whole subtree, newest first.

A line is an entry of an account. A shared account has no entries of its own making: what it used is an entry of its
master's, and its statement shows that one, without the master's balance.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import psycopg

from ledger.errors import QueryInvalid
from ledger.numbers import transaction_of
from ledger.queries.categories import CATEGORY_OF, CONSUMING, SYSTEM, types_of
from ledger.queries.conditions import Conditions, usable
from ledger.queries.entries import NUMBER, may_be_number, versions_up_to, within
from ledger.queries.named import Named, account_named
from ledger.queries.page import DEFAULT_LIMIT, ZonedPage, checked_limit
from ledger.queries.times import Day, Span, span_of

_ALONE = "SELECT id, version FROM account WHERE id = %(root)s"
_SUBTREE = "SELECT id, version FROM account WHERE path @> ARRAY[%(root)s::bigint]"

# An account's own entries, by the index of its versions: the newest are found without looking at the others.
# (`account > 0` is said again, so that the planner sees that the index holds them.)
_OWN = """
  SELECT s.id AS shown, e.balance, {entry}
  FROM scope s
  CROSS JOIN LATERAL (
    SELECT e.*
    FROM entry e {transaction}
    WHERE e.account = s.id AND e.account > 0
  AND {own}
    {newest_versions}
  ) e"""

# What an account used of somebody else's coins: a shared one of its master's. A sponsor's entry has a consumer as well,
# but that one has paid itself, too, with its allotment, and sees only that. (A sponsor's entry names it as counterparty; of
# a refund, it may be the charge's entry alone that does.)
# In a subtree that its master belongs to, the entry is the master's line already.
# (OFFSET 0 has each line's transaction and entries looked up by themselves: joined to all of them, a page takes seconds.)
_DRAWN = """
  SELECT s.id AS shown, NULL::bigint AS balance, {entry}
  FROM scope s
  CROSS JOIN LATERAL (
    SELECT e.*
    FROM entry e
    JOIN account payer ON payer.id = e.account
    CROSS JOIN LATERAL (SELECT * FROM transaction one WHERE one.id = e.transaction OFFSET 0) t
    WHERE e.consumer = s.id AND e.account > 0
  AND NOT payer.path @> ARRAY[%(root)s::bigint]
  AND e.counterparty IS DISTINCT FROM e.consumer
  AND NOT EXISTS (
    SELECT FROM entry charge
    WHERE charge.transaction = t.reverses AND charge.counterparty = s.id AND charge.consumer = s.id
    OFFSET 0)
  AND {drawn}
    {newest_transactions}
  ) e"""

_ENTRY = "e.transaction, e.account, e.version, e.unit, e.amount, e.type, e.time, e.counterparty, e.consumer"
_NEWEST_FIRST = "ORDER BY e.time DESC, e.transaction DESC, e.account DESC, e.version DESC"

_LINES = f"""
WITH scope AS ({{scope}}),
e AS (
  {{branches}}
  ORDER BY time DESC, transaction DESC, account DESC, version DESC
  LIMIT %(rows)s
)
SELECT shown.account, e.time, {NUMBER}, e.type, e.unit, t.item, t.devices, e.amount, e.balance,
       counterparty.account, t.note, t.order_id, t.method, t.reference, t.payer,
       consumer.account, payer.account, t.command_source, t.command_id, t.ordered_by, t.actor, e.version
FROM e
JOIN transaction t ON t.id = e.transaction
JOIN account shown ON shown.id = e.shown
JOIN account payer ON payer.id = e.account
JOIN account consumer ON consumer.id = coalesce(e.consumer, e.account)
LEFT JOIN account counterparty ON counterparty.id = e.counterparty
{_NEWEST_FIRST}"""

_TOTALS = """
WITH scope AS ({scope}),
e AS ({branches})
SELECT e.unit, count(*), sum(e.amount)::bigint
FROM e
GROUP BY e.unit
ORDER BY e.unit"""

_LAST_LINE = """
SELECT e.time, e.transaction, e.account, e.version
FROM entry e
JOIN account a ON a.id = e.account
WHERE e.transaction = %(transaction)s AND a.account = %(account)s AND e.version = %(version)s"""

# Keeps a LATERAL query from being merged into the query around it, which would compute its bounds for every entry.
_APART = "OFFSET 0"
# Of a cursor the planner expects that a tenth is read.
_TO_THE_END = "SET LOCAL cursor_tuple_fraction = 1"
_HANDED_OVER = 5_000
_SEARCHED = ("t.item", "t.order_id", "t.reference", "t.note", r"array_to_string(t.devices, E'\n')")


class StatementLine(NamedTuple):
    """One line, with the names of CONTRACT §9. Times are UTC, amounts integers in the smallest unit.

    `consumer` and `paid_by` are given for charges and refunds: who used it, and whose coins or allotment it moved.
    `balance` is None where those are not the account's own.
    """

    account: str
    time: datetime
    number: str
    type: str
    category: str
    unit: str
    item: str | None
    devices: list[str]
    amount: int
    balance: int | None
    counterparty: str | None
    note: str | None
    order: str | None
    method: str | None
    reference: str | None
    payer: str | None
    consumer: str | None
    paid_by: str | None
    command_source: str
    command_id: str
    ordered_by: str | None
    actor: str | None


class Total(NamedTuple):
    """Of all lines that were chosen, on whatever page."""

    unit: str
    lines: int
    amount: int


@dataclass(frozen=True, slots=True)
class Statement(ZonedPage[StatementLine]):
    """A page of a statement; `totals` of a subtree only."""

    account: str
    totals: list[Total] | None


@dataclass(frozen=True, slots=True)
class StatementFilter:
    """What is chosen: `since` and `until` are included, a date as the whole day in the account's zone.

    Of values for the same field any will do. `types`: `transfer` means both directions. `search`: in item, type,
    number, order, reference, note and devices.
    """

    since: Day | None = None
    until: Day | None = None
    types: Sequence[str] = ()
    categories: Sequence[str] = ()
    items: Sequence[str] = ()
    devices: Sequence[str] = ()
    orders: Sequence[str] = ()
    actors: Sequence[str] = ()
    subtree: bool = False
    search: str | None = None


def statement(
    connection: psycopg.Connection[Any],
    account: str,
    chosen: StatementFilter | None = None,
    *,
    limit: int = DEFAULT_LIMIT,
    after: str | None = None,
) -> Statement:
    """A page of the account's statement. Raises NotFound, QueryInvalid."""
    chosen = chosen or StatementFilter()
    checked_limit(limit)
    named = account_named(connection, account)
    span = span_of(chosen.since, chosen.until, named.timezone)
    where = _conditions(chosen, span)
    last = _last_line(connection, after) if after is not None else None
    found = connection.execute(
        _lines_of(named, chosen.subtree, where, span, last),
        {**where.parameters, **(last or {}), "root": named.id, "rows": limit + 1},
    ).fetchall()
    rows = [_line(*row[:-1]) for row in found[:limit]]
    following = (
        f"{found[limit - 1][2]}~{found[limit - 1][16]}~{found[limit - 1][21]}" if len(found) > limit else None
    )
    totals = None
    if chosen.subtree:
        query = _totals_of(named, where, span)
        totals = [Total(*row) for row in connection.execute(query, {**where.parameters, "root": named.id})]
    return Statement(rows, following, named.timezone, named.account, totals)


def every_line(
    connection: psycopg.Connection[Any], account: str, chosen: StatementFilter | None = None
) -> Iterator[StatementLine]:
    """All lines of a statement, however many, as the database hands them over. Only within a snapshot.

    One statement, and not a page after the other: of a subtree, each page looks at what is left of every account.

    Raises NotFound, QueryInvalid.
    """
    chosen = chosen or StatementFilter()
    named = account_named(connection, account)
    span = span_of(chosen.since, chosen.until, named.timezone)
    where = _conditions(chosen, span)
    query = _lines_of(named, chosen.subtree, where, span, None)
    connection.execute(_TO_THE_END)
    with connection.cursor(name="statement") as cursor:
        cursor.itersize = _HANDED_OVER
        cursor.execute(query, {**where.parameters, "root": named.id, "rows": None})
        for row in cursor:
            yield _line(*row[:-1])


def _conditions(chosen: StatementFilter, span: Span) -> Conditions:
    where = Conditions()
    if span.since is not None:
        where.add("e.time >= %(since)s", since=span.since)
    if span.before is not None:
        where.add("e.time < %(before)s", before=span.before)
    types = types_of(chosen.types, chosen.categories)
    if types is not None:
        where.add("e.type = ANY(%(types)s::text[])", types=types)
    where.any_of("t.item", chosen.items, flag="--item")
    where.any_of("t.order_id", chosen.orders, flag="--order")
    where.any_of("t.actor", chosen.actors, flag="--actor")
    if chosen.devices:
        where.add(
            "t.devices && %(devices)s::text[]", devices=[usable(one, "--device") for one in chosen.devices]
        )
    if chosen.search:
        alike = [type_ for type_ in CATEGORY_OF if chosen.search.lower() in type_]
        where.parameters["alike"] = alike
        number = (NUMBER,) if may_be_number(chosen.search) else ()
        where.contains((*_SEARCHED, *number), chosen.search, otherwise="e.type = ANY(%(alike)s::text[])")
    return where


def _lines_of(named: Named, subtree: bool, where: Conditions, span: Span, last: dict[str, Any] | None) -> str:
    """The newest of each account in scope, merged: no account needs to give more lines than the page has."""
    own, drawn = [str(where), *within(span)], [str(where)]
    if last is not None:
        older = "(e.time, e.transaction, e.account, e.version) < (%(time)s, %(transaction)s, %(payer)s, %(version)s)"
        own += [older, f"e.version <= {versions_up_to('%(just_after)s')}"]
        drawn += [older, "e.transaction <= %(transaction)s"]
    branches = _branches(
        named,
        subtree,
        own=own,
        drawn=drawn,
        newest_versions="ORDER BY e.version DESC LIMIT %(rows)s",
        newest_transactions="ORDER BY e.transaction DESC, e.account DESC, e.version DESC LIMIT %(rows)s",
    )
    return _LINES.format(scope=_SUBTREE if subtree else _ALONE, branches=branches)


def _totals_of(named: Named, where: Conditions, span: Span) -> str:
    own = [str(where), *within(span)]
    apart = _APART if span != Span(None, None) else ""
    branches = _branches(
        named, True, own=own, drawn=[str(where)], newest_versions=apart, newest_transactions=apart
    )
    return _TOTALS.format(scope=_SUBTREE, branches=branches)


def _branches(
    named: Named,
    subtree: bool,
    *,
    own: list[str],
    drawn: list[str],
    newest_versions: str,
    newest_transactions: str,
) -> str:
    # Of an account with millions of entries it matters whether each one's transaction is looked up, too.
    transaction = "JOIN transaction t ON t.id = e.transaction" if any("t." in one for one in own) else ""
    branches = [
        _OWN.format(
            entry=_ENTRY,
            own="\n  AND ".join(own),
            newest_versions=newest_versions,
            transaction=transaction,
        )
    ]
    if (
        len(named.path) > 1
    ):  # Nobody stands over a top account whose coins anybody in its tree could have used.
        branches.append(
            _DRAWN.format(entry=_ENTRY, drawn="\n  AND ".join(drawn), newest_transactions=newest_transactions)
        )
    return "\n  UNION ALL\n".join(branches)


def _last_line(connection: psycopg.Connection[Any], cursor: str) -> dict[str, Any]:
    """The place of the line that a cursor names: its transaction's number, whose entry it is, that one's version."""
    number, _, rest = cursor.partition("~")
    payer, _, version = rest.partition("~")
    transaction = transaction_of(number)
    if transaction is not None and version.isascii() and version.isdigit() and len(version) <= 18:
        key = {"transaction": transaction, "account": usable(payer, "--after"), "version": int(version)}
        row = connection.execute(_LAST_LINE, key).fetchone()
        if row is not None:
            time, transaction, payer, version = row
            just_after = time + timedelta(microseconds=1)
            return {
                "time": time,
                "just_after": just_after,
                "transaction": transaction,
                "payer": payer,
                "version": version,
            }
    raise QueryInvalid(
        f"--after: {cursor!r} is no line of a statement; give the cursor that the page before ended with"
    )


def _line(
    account: str,
    time: datetime,
    number: str,
    type_: str,
    unit: str,
    item: str | None,
    devices: list[str] | None,
    amount: int,
    balance: int | None,
    counterparty: str | None,
    note: str | None,
    order: str | None,
    method: str | None,
    reference: str | None,
    payer: str | None,
    consumer: str,
    paid_by: str,
    *origin: Any,
) -> StatementLine:
    consuming = type_ in CONSUMING
    return StatementLine(
        account,
        time,
        number,
        type_,
        CATEGORY_OF.get(type_, SYSTEM),
        unit,
        item,
        devices or [],
        amount,
        balance,
        counterparty,
        note,
        order,
        method,
        reference,
        payer,
        consumer if consuming else None,
        paid_by if consuming else None,
        *origin,
    )
