"""Receipts: the list of them, and what one says."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import psycopg

from ledger.errors import NotFound, QueryInvalid
from ledger.numbers import transaction_of
from ledger.queries.conditions import Conditions, usable
from ledger.queries.entries import NUMBER
from ledger.queries.named import accounts_named, root_named
from ledger.queries.page import DEFAULT_LIMIT, Page, checked_limit

_LIST = f"""
WITH page AS MATERIALIZED (
  SELECT r.* FROM receipt r
  WHERE {{conditions}}
  ORDER BY r.issued_at DESC, r.number DESC
  LIMIT %(rows)s
)
SELECT r.number, a.account, r.kind, {NUMBER}, r.order_id, r.amount, r.issued_at, r.emails,
       (SELECT max(m.sent_at) FROM mail m WHERE m.receipt = r.number AND m.state = 'sent')
FROM page r
JOIN account a ON a.id = r.account
JOIN transaction t ON t.id = r.transaction
ORDER BY r.issued_at DESC, r.number DESC"""

_LAST = "SELECT issued_at, number FROM receipt WHERE number = %(number)s"
_CONTENT = "SELECT content FROM receipt WHERE number = %b"
# A transaction's number says its year, too; the same integer under another year is no number.
_TRANSACTION = f"(SELECT t.id FROM transaction t WHERE t.id = %(transaction)s AND {NUMBER} = %(number)s)"
# Orders are called what producers like, also as a receipt or a transaction is.
_FIND = f"""
SELECT number FROM receipt
WHERE number = %(id)s OR order_id = %(id)s OR transaction = {_TRANSACTION}
ORDER BY order_id = %(id)s DESC NULLS LAST, number = %(id)s
LIMIT 1"""
_DUE = f"SELECT FROM receipt_due WHERE order_id = %(id)s OR transaction = {_TRANSACTION} LIMIT 1"


class ReceiptRow(NamedTuple):
    """A receipt: of a recharge or of an order, by which transaction. `emails`: to whom it goes; `mailed_at`: when it did."""

    receipt: str
    account: str
    kind: str
    transaction: str
    order: str | None
    amount: int
    issued_at: datetime
    emails: list[str]
    mailed_at: datetime | None


def receipts(
    connection: psycopg.Connection[Any],
    *,
    accounts: Sequence[str] = (),
    search: str | None = None,
    within: str | None = None,
    limit: int = DEFAULT_LIMIT,
    after: str | None = None,
) -> Page[ReceiptRow]:
    """Receipts, newest first; `search` in number, order and e-mails. The cursor is the last one's number.

    `within`: those of that account and the ones below it, and no others. Raises NotFound, QueryInvalid.
    """
    where = Conditions()
    where.of_subtree("r.account", root_named(connection, within))
    where.of_accounts("r.account", [one.id for one in accounts_named(connection, accounts)])
    where.contains(("r.number", "r.order_id", r"array_to_string(r.emails, E'\n')"), search)
    if after is not None:
        last = connection.execute(_LAST, {"number": usable(after, "--after")}).fetchone()
        if last is None:
            raise QueryInvalid(
                f"--after: there is no receipt {after!r}; give the cursor that the page before ended with"
            )
        where.add("(r.issued_at, r.number) < (%(last_at)s, %(last_id)s)", last_at=last[0], last_id=last[1])
    found = connection.execute(
        _LIST.format(conditions=where), {**where.parameters, "rows": checked_limit(limit) + 1}
    ).fetchall()
    rows = [ReceiptRow(*row) for row in found[:limit]]
    return Page(rows, rows[-1].receipt if len(found) > limit else None)


def content_of(connection: psycopg.Connection[Any], number: str) -> str:
    """What is printed on the receipt of that number, as JSON. Raises NotFound."""
    row = connection.execute(_CONTENT, (number,)).fetchone()
    if row is None:
        raise NotFound(f"there is no receipt {number!r}; `coins receipts` lists them")
    content: str = row[0]
    return content


def receipt_of(connection: psycopg.Connection[Any], id: str) -> str:
    """The number of the receipt of an order or a transaction. Raises NotFound, which says if it is still to come."""
    number = usable(id, "ID").upper()
    values = {"id": id, "number": number, "transaction": transaction_of(number)}
    row = connection.execute(_FIND, values).fetchone()
    if row is not None:
        found: str = row[0]
        return found
    if connection.execute(_DUE, values).fetchone() is not None:
        raise NotFound(
            f"the receipt of {id} is due and not made yet: the job `receipts` does it within a minute"
        )
    raise NotFound(
        f"there is no receipt of {id!r}; recharges by TopUp and paid package or proxy orders have one, "
        "`coins receipts` lists them"
    )
