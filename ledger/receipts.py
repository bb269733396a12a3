"""Receipts are numbered: for each recharge and each paid order one, without gaps in a top account's year.

What is printed is kept as it was when the receipt was issued, so that the same receipt can be had for ever.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import orjson
import psycopg

from ledger.inserting import Columns
from ledger.numbers import number_of
from ledger.queries.addressees import addressees
from ledger.upkeep import News, tell
from messages.events import EventType
from messages.fields import is_email

DUE = "SELECT transaction FROM receipt_due WHERE transaction > %b ORDER BY transaction LIMIT %b"

# Taken and numbered in one transaction: what is taken back by a failure leaves no gap.
_TAKE = """
WITH taken AS (
  DELETE FROM receipt_due WHERE transaction = ANY(%s::int8[]) RETURNING transaction, account, order_id
)
SELECT d.transaction, d.order_id, t.time, a.id, a.account, a.name, a.timezone, top.id, top.account, top.name, top.timezone,
       seller.legal_name, seller.tax_id, seller.address,
       coalesce(o.amount, (SELECT sum(e.amount)::int8 FROM entry e
                           WHERE e.transaction = d.transaction AND e.account = d.account)),
       t.paid_currency, t.paid_amount, coalesce(t.method, o.method), t.reference, coalesce(o.product, t.item),
       coalesce(o.quantity, 1), o.price, coalesce(t.payer, o.payer), t.note
FROM taken d
JOIN transaction t ON t.id = d.transaction
JOIN account a ON a.id = d.account
JOIN account top ON top.id = a.path[1]
LEFT JOIN orders o ON o.order_id = d.order_id
LEFT JOIN LATERAL (
  SELECT up.legal_name, up.tax_id, up.address
  FROM unnest(a.path) WITH ORDINALITY AS p(id, place) JOIN account up ON up.id = p.id
  WHERE up.legal_name IS NOT NULL OR up.tax_id IS NOT NULL OR up.address IS NOT NULL
  ORDER BY p.place DESC LIMIT 1) seller ON true
ORDER BY d.transaction"""

_RESERVE = """
INSERT INTO receipt_series AS s (top, year, last)
SELECT * FROM unnest(%s::int8[], %s::int4[], %s::int8[])
ON CONFLICT (top, year) DO UPDATE SET last = s.last + excluded.last
RETURNING top, year, last"""

_RECEIPT = Columns(
    "receipt",
    {
        "number": "text",
        "top": "int8",
        "year": "int4",
        "seq": "int8",
        "account": "int8",
        "transaction": "int8",
        "order_id": "text",
        "kind": "text",
        "amount": "int8",
        "issued_at": "timestamptz",
        "content": "text",
        "emails": "text[]",
    },
)


class Issued(NamedTuple):
    """A receipt that was made just now. `what` it is for, in words; `emails`: to whom it goes."""

    number: str
    account: int
    account_id: str
    account_name: str
    amount: int
    what: str
    emails: list[str]


class _Due(NamedTuple):
    transaction: int
    order: str | None
    time: datetime
    account: int
    account_id: str
    account_name: str
    zone: str
    top: int
    top_account: str
    top_account_name: str
    top_zone: str
    legal_name: str | None
    tax_id: str | None
    address: str | None
    amount: int
    paid_currency: str | None
    paid_amount: str | None
    method: str | None
    reference: str | None
    item: str | None
    quantity: int
    unit_price: int | None
    payer: str | None
    note: str | None

    @property
    def series(self) -> tuple[int, int]:
        """The top account and the year that it was posted in, in that one's zone."""
        return self.top, self.time.astimezone(ZoneInfo(self.top_zone)).year

    @property
    def kind(self) -> str:
        return "order" if self.order is not None else "recharge"


def issue(connection: psycopg.Connection[Any], transactions: Sequence[int], now: datetime) -> list[Issued]:
    """Make the receipts that are due for these transactions, with their events, in the caller's transaction.

    In the order of the transactions; those for which none is due any more are left out.
    """
    due = [_Due(*row) for row in connection.execute(_TAKE, (list(transactions),))]
    of = [one.series for one in due]
    last = _reserve(connection, of)
    people = addressees(connection, [one.account for one in due])
    issued, rows, news = [], [], []
    for one, series in zip(due, of, strict=True):
        last[series] += 1
        number = f"{one.top_account}-{series[1]}-{last[series]:06d}"
        whom = people[one.account]
        payer = one.payer if one.payer and is_email(one.payer) else whom.nearest_email
        emails = _each_once([payer, whom.nearest_boss_email])
        rows.append(
            (
                number,
                *series,
                last[series],
                one.account,
                one.transaction,
                one.order,
                one.kind,
                one.amount,
                now,
                _content(one, number, now),
                emails,
            )
        )
        what = one.item or ("recharge" if one.order is None else f"order {one.order}")
        issued.append(Issued(number, one.account, one.account_id, one.account_name, one.amount, what, emails))
        data = {
            "receipt": number,
            "transaction": number_of(one.transaction, one.time),
            "order": one.order,
            "amount": one.amount,
        }
        news.append(News(EventType.RECEIPT_ISSUED, one.account, data))
    _RECEIPT.insert(connection, rows)
    tell(connection, news, now)
    return issued


def _reserve(
    connection: psycopg.Connection[Any], of: Sequence[tuple[int, int]]
) -> dict[tuple[int, int], int]:
    """The number before the first new one of each series; in order, so that nobody waits for another in a circle."""
    counts = Counter(of)
    wanted = sorted(counts)
    columns = [[top for top, _ in wanted], [year for _, year in wanted], [counts[one] for one in wanted]]
    rows = connection.execute(_RESERVE, columns)
    return {(top, year): last - counts[top, year] for top, year, last in rows}


def _content(one: _Due, number: str, now: datetime) -> str:
    return orjson.dumps(
        {
            "number": number,
            "kind": one.kind,
            "issued_at": now,
            "posted_at": one.time,
            "zone": one.zone,
            "top_account": one.top_account,
            "top_account_name": one.top_account_name,
            "account": one.account_id,
            "account_name": one.account_name,
            "transaction": number_of(one.transaction, one.time),
            "amount": one.amount,
            "legal_name": one.legal_name,
            "tax_id": one.tax_id,
            "address": one.address,
            "paid_currency": one.paid_currency,
            "paid_amount": one.paid_amount,
            "method": one.method,
            "reference": one.reference,
            "item": one.item,
            "quantity": one.quantity,
            "unit_price": one.unit_price,
            "order": one.order,
            "payer": one.payer,
            "note": one.note,
        }
    ).decode()


def _each_once(emails: Sequence[str | None]) -> list[str]:
    """In their order; an address that differs in case alone is the same."""
    return list({email.lower(): email for email in reversed(emails) if email}.values())[::-1]
