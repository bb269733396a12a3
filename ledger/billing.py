"""Bills are issued: what a sponsored account was charged up to a month's end. (`decide/bills.py` confirms them.)"""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

import psycopg

from ledger import outcome
from ledger.errors import NotFound
from ledger.model import CHARGES
from ledger.queries.entries import versions_before
from ledger.records import Bill
from ledger.rows import KINDS
from ledger.store import publish
from messages.events import EventType

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
# Whoever charges or refunds the account waits until the bill is committed.
_ACCOUNT = """
SELECT a.id, a.funding, a.timezone, top.account
FROM account a JOIN account top ON top.id = a.path[1]
WHERE a.account = %s
FOR NO KEY UPDATE OF a"""

# What is not billed yet was posted after the last bill, though perhaps under a time just before its end, or within its
# month, where that was billed by a clock that was ahead.
_SINCE = """
SELECT least(b.begins_at, (
  SELECT max(t.time) FROM bill_line l JOIN transaction t ON t.id = l.transaction WHERE l.bill = b.bill))
FROM bill b
WHERE b.account = %s
ORDER BY b.begins_at DESC LIMIT 1"""
_LINES = f"""
INSERT INTO bill_line (transaction, bill, amount)
SELECT e.transaction, %(bill)s, -e.amount
FROM account s
CROSS JOIN LATERAL (
  SELECT e.transaction, e.amount
  FROM entry e
  WHERE e.account = s.id AND e.account > 0 AND e.unit = 'allotment' AND e.type = ANY(%(charges)s::text[])
    AND e.time < %(ends_at)s AND e.time >= %(since)s
    AND e.version > {versions_before("%(since)s")}
    AND NOT EXISTS (SELECT FROM bill_line l WHERE l.transaction = e.transaction)
) e
WHERE s.id = %(account)s
RETURNING transaction, amount"""
_REFUNDED = "SELECT coalesce(sum(r.amount), 0)::bigint FROM returned r WHERE r.transaction = ANY(%s::int8[])"


def bill_id(account: str, month: date) -> str:
    """`<account>.<yyyy-mm>`"""
    return f"{account}.{month:%Y-%m}"


def month_of(month: date, zone: str) -> tuple[datetime, datetime]:
    """When the month begins and ends in a zone."""
    following = date(month.year + month.month // 12, month.month % 12 + 1, 1)
    begins_at, ends_at = (
        datetime.combine(day, time(), ZoneInfo(zone)) for day in (month.replace(day=1), following)
    )
    return begins_at, ends_at


def issue(connection: psycopg.Connection[Any], account: str, month: date, now: datetime) -> Bill | None:
    """The account's bill of a month that is over, with its lines and its event, in the caller's transaction.

    None where there is nothing to be billed, where the account is not sponsored, or where the month was billed before.
    Raises NotFound; ValueError while the month lasts.
    """
    row = connection.execute(_ACCOUNT, (account,)).fetchone()
    if row is None:
        raise NotFound(f"there is no account {account!r}")
    key, funding, zone, top_account = row
    begins_at, ends_at = month_of(month, zone)
    if ends_at > now:
        raise ValueError(f"{month:%Y-%m} is not over in {zone}")
    id_ = bill_id(account, month)
    known = connection.execute("SELECT FROM bill WHERE bill = %s", (id_,)).fetchone()
    if funding != "sponsored" or known is not None:
        return None
    (since,) = connection.execute(_SINCE, (key,)).fetchone() or (None,)
    lines = connection.execute(
        _LINES,
        {
            "bill": id_,
            "account": key,
            "charges": [type_.value for type_ in CHARGES],
            "since": since or BEGINNING,
            "ends_at": ends_at,
        },
    ).fetchall()
    if not lines:
        return None
    (refunded,) = connection.execute(_REFUNDED, ([transaction for transaction, _ in lines],)).fetchone() or (
        0,
    )
    bill = Bill(
        id_,
        key,
        f"{month:%Y-%m}",
        begins_at,
        ends_at,
        sum(amount for _, amount in lines),
        refunded,
        "issued",
        now,
    )
    kind = KINDS[Bill]
    kind.columns.insert(connection, [kind.values(bill)])
    publish(connection, [_event(bill, account, top_account, now)])
    return bill


def _event(bill: Bill, account: str, top_account: str, now: datetime) -> tuple[str, str, bytes]:
    data = {
        "bill": bill.bill,
        "period": bill.period,
        "charged": bill.charged,
        "refunded": bill.refunded,
        "total": bill.charged - bill.refunded,
    }
    type_ = EventType.BILL_ISSUED
    event = outcome.further_event(f"bill-{bill.bill}", now, type_, account, top_account, data)
    return outcome.further_route(top_account, type_), type_.value, event
