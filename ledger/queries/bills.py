"""Bills of sponsored accounts: the list of them, and one with its lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import psycopg

from ledger.errors import NotFound, QueryInvalid
from ledger.queries.conditions import Conditions, one_of, usable
from ledger.queries.entries import NUMBER
from ledger.queries.named import accounts_named, root_named, zone_of
from ledger.queries.page import DEFAULT_LIMIT, ZonedPage, checked_limit
from ledger.queries.times import Day, span_of

STATUSES = ("issued", "confirmed")

_LISTED = """b.bill, a.account, b.period, b.charged, b.refunded, b.charged - b.refunded, b.status, b.confirmed_by,
       b.confirmed_at"""

_LIST = f"""
SELECT {_LISTED}
FROM bill b
JOIN account a ON a.id = b.account
WHERE {{conditions}}
ORDER BY b.period DESC, b.bill
LIMIT %(rows)s"""

_ONE = f"""
SELECT {_LISTED}, b.begins_at, b.ends_at, b.issued_at, {NUMBER}
FROM bill b
JOIN account a ON a.id = b.account
LEFT JOIN transaction t ON t.id = b.transaction
WHERE b.bill = %(bill)s"""

_LINES = f"""
SELECT {NUMBER}, t.time, t.type, t.item, coalesce(t.devices, '{{}}'), l.amount, coalesce(r.amount, 0)
FROM bill_line l
JOIN transaction t ON t.id = l.transaction
LEFT JOIN returned r ON r.transaction = l.transaction
WHERE l.bill = %(bill)s
ORDER BY t.time, t.id"""

_LAST = "SELECT period, bill FROM bill WHERE bill = %(bill)s"


class BillRow(NamedTuple):
    """A bill: `period` is a month, yyyy-mm, in the account's zone. `refunded` of what was `charged` was given back before
    it was confirmed; `total` is what is left, which its confirmation returns.
    """

    bill: str
    account: str
    period: str
    charged: int
    refunded: int
    total: int
    status: str
    confirmed_by: str | None
    confirmed_at: datetime | None


class BillLine(NamedTuple):
    """A charge on a bill; `refunded` of it by now, also after the bill was confirmed."""

    number: str
    time: datetime
    type: str
    item: str | None
    devices: list[str]
    amount: int
    refunded: int


class BillReport(NamedTuple):
    """A bill with its lines, oldest first. `number` is the transaction that returned its total."""

    bill: str
    account: str
    period: str
    charged: int
    refunded: int
    total: int
    status: str
    confirmed_by: str | None
    confirmed_at: datetime | None
    begins_at: datetime
    ends_at: datetime
    issued_at: datetime
    number: str | None
    lines: list[BillLine]


@dataclass(frozen=True, slots=True)
class BillFilter:
    """`since` and `until`: months that lie in between, or in part. A date is one in the zone of each bill's account.
    `search`: in the bill's id. `within`: bills of that account and of those below it, and no others.
    """

    accounts: Sequence[str] = ()
    statuses: Sequence[str] = ()
    since: Day | None = None
    until: Day | None = None
    search: str | None = None
    within: str | None = None


def bills(
    connection: psycopg.Connection[Any],
    chosen: BillFilter | None = None,
    *,
    limit: int = DEFAULT_LIMIT,
    after: str | None = None,
) -> ZonedPage[BillRow]:
    """Bills, the latest month first. The cursor is the last one's id. Raises NotFound, QueryInvalid."""
    chosen = chosen or BillFilter()
    one_of(chosen.statuses, STATUSES, flag="--status")
    owners = accounts_named(connection, chosen.accounts)
    root = root_named(connection, chosen.within)
    zone = zone_of(owners, root)
    span_of(chosen.since, chosen.until, zone)
    where = Conditions()
    where.of_accounts("b.account", [one.id for one in owners])
    where.of_subtree("b.account", root)
    where.any_of("b.status", chosen.statuses, flag="--status")
    _in_months(where, chosen)
    where.contains(("b.bill",), chosen.search)
    if after is not None:
        period, bill_ = _last(connection, after)
        where.add(
            "(b.period < %(last_period)s OR b.period = %(last_period)s AND b.bill > %(last_bill)s)",
            last_period=period,
            last_bill=bill_,
        )
    found = connection.execute(
        _LIST.format(conditions=where), {**where.parameters, "rows": checked_limit(limit) + 1}
    ).fetchall()
    rows = [BillRow(*row) for row in found[:limit]]
    return ZonedPage(rows, rows[-1].bill if len(found) > limit else None, zone)


def _in_months(where: Conditions, chosen: BillFilter) -> None:
    since, until = chosen.since, chosen.until
    if isinstance(since, datetime):
        where.add("b.ends_at > %(since)s", since=since)
    elif since is not None:
        where.add("b.period >= %(since)s", since=f"{since:%Y-%m}")
    if isinstance(until, datetime):
        where.add("b.begins_at <= %(until)s", until=until)
    elif until is not None:
        where.add("b.period <= %(until)s", until=f"{until:%Y-%m}")


def bill(connection: psycopg.Connection[Any], id: str) -> BillReport:
    """The bill of that id. Raises NotFound, QueryInvalid."""
    key = {"bill": usable(id, "ID")}
    row = connection.execute(_ONE, key).fetchone()
    if row is None:
        raise NotFound(
            f"there is no bill {id!r}; its id is the account's with the month, as in carl.2026-10, `coins bills` lists them"
        )
    lines = [BillLine(*line) for line in connection.execute(_LINES, key)]
    return BillReport._make((*row, lines))


def _last(connection: psycopg.Connection[Any], cursor: str) -> tuple[str, str]:
    row = connection.execute(_LAST, {"bill": usable(cursor, "--after")}).fetchone()
    if row is None:
        raise QueryInvalid(
            f"--after: there is no bill {cursor!r}; give the cursor that the page before ended with"
        )
    period, bill_ = row
    return period, bill_
