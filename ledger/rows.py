"""How rows that decisions work on are loaded and stored: one entry a table, all statements are made from it.

To add a kind of row, add its dataclass to `records.py`, its table to `tables/`, and its entry here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from datetime import datetime
from functools import cached_property
from operator import attrgetter
from typing import Any

from ledger.inserting import Columns
from ledger.records import (
    Bill,
    BillLine,
    CustomWarning,
    Device,
    Export,
    Hold,
    Order,
    PastTransaction,
    PaymentMethods,
    Phone,
    Plan,
    ReceiptDue,
    RechargeReference,
    Resource,
    Returned,
    Row,
    Session,
    Subscription,
    SubscriptionCycle,
)

Leads = Iterable[tuple[type[Row], Any]]


_TYPES = {"str": "text", "int": "int8", "Int4": "int4", "datetime": "timestamptz", "list[str]": "text[]"}


@dataclass(frozen=True)
class RowKind:
    """A table of rows. Where they are written, its columns are called as the fields of the row are.

    key: the columns that a row is found by; by default the first.
    owners: the accounts that a row belongs to. Commands name it by its id alone, so that it is looked at before anything is
        locked, to find out whom to lock.
    leads: further rows that whoever names this one needs.
    locked: whether it is locked when it is loaded, in the order of its key, after the accounts; what has owners never is,
        their locks guard it.
    select: a statement of its own where a key is not simply the key's columns; takes an array for each part of the key.
    made: what makes a row of what the statement gives; by default the row's own class.
    """

    row: type[Row]
    table: str
    key: tuple[str, ...] = ()
    owners: Callable[[Any], Iterable[int | None]] | None = None
    leads: Callable[[Any], Leads] | None = None
    locked: bool = True
    select: str | None = None
    made: Callable[..., Any] | None = None

    @property
    def looked_at_first(self) -> bool:
        return self.owners is not None or self.leads is not None

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The row's fields, which are the table's columns."""
        return tuple(field.name for field in fields(self.row))

    @cached_property
    def types(self) -> dict[str, str]:
        """PostgreSQL's type of each column."""
        return {field.name: _TYPES[str(field.type).removesuffix(" | None")] for field in fields(self.row)}

    @cached_property
    def found_by(self) -> tuple[str, ...]:
        return self.key or self.names[:1]

    @cached_property
    def load(self) -> str:
        """The statement that loads rows by their keys."""
        if self.select:
            return self.select
        key = self.found_by
        types = ", ".join(f"%s::{self.types[name]}[]" for name in key)
        alike = " AND ".join(f"r.{name} = k.{name}" for name in key)
        columns = ", ".join(f"r.{name}" for name in self.names)
        lock = ""
        if self.locked and self.owners is None:
            lock = f" ORDER BY {', '.join(f'r.{name}' for name in key)} FOR NO KEY UPDATE OF r"
        return f"SELECT {columns} FROM unnest({types}) AS k({', '.join(key)}) JOIN {self.table} r ON {alike}{lock}"

    @cached_property
    def columns(self) -> Columns:
        """How rows get in."""
        return Columns(self.table, self.types, self.found_by)

    @cached_property
    def values(self) -> Callable[[Any], tuple[Any, ...]]:
        """Every value of a row, in the order of the columns."""
        return attrgetter(*self.names)

    @cached_property
    def key_of(self) -> Callable[[Any], Any]:
        """The key of a row: one value, or a tuple where it has several parts."""
        return attrgetter(*self.found_by)


PAST_TRANSACTIONS = """
SELECT t.id, t.time, t.type, t.account, t.top, t.method, t.reference, t.order_id,
       array_agg(e.account ORDER BY e.account), array_agg(e.unit ORDER BY e.account), array_agg(e.amount ORDER BY e.account)
FROM transaction t JOIN entry e ON e.transaction = t.id
WHERE t.id = ANY(%s::int8[]) AND e.account > 0
GROUP BY t.id"""

# Of any top account: which one it will be is not known before the accounts are, and a reference is next to unique.
RECHARGE_REFERENCES = """
SELECT r.top, r.method, r.reference, r.transaction
FROM unnest(%s::text[], %s::text[]) AS k(method, reference)
JOIN recharge_reference r ON r.reference = k.reference AND r.method = k.method
ORDER BY r.top, r.method, r.reference FOR NO KEY UPDATE OF r"""

# By a country, by an account that is in it, or by an order of such an account: whatever the command names.
PAYMENT_METHODS = """
WITH named AS (SELECT unnest(%s::text[]) AS id)
SELECT m.country, m.methods
FROM payment_methods m
WHERE m.country IN (
  SELECT id FROM named
  UNION SELECT a.country FROM named JOIN account a ON a.account = named.id
  UNION SELECT a.country FROM named JOIN orders o ON o.order_id = named.id JOIN account a ON a.id = o.account)"""


def _account(row: Any) -> tuple[int | None, ...]:
    return (row.account,)


def _settled(row: Hold | Resource | Session) -> tuple[int | None, ...]:
    return row.account, row.payer, row.sponsor


def _past(
    transaction: int,
    time: datetime,
    type_: str,
    account: int,
    top: int,
    method: str | None,
    reference: str | None,
    order_id: str | None,
    *postings: Any,
) -> PastTransaction:
    """Of three arrays, the postings: accounts, units, amounts."""
    return PastTransaction(
        transaction,
        time,
        type_,
        account,
        top,
        method,
        reference,
        order_id,
        tuple(zip(*postings, strict=True)),
    )


def _of_past(past: PastTransaction) -> Iterable[int | None]:
    return {past.account, *(key for key, _, _ in past.postings)}


def _from_past(past: PastTransaction) -> Leads:
    yield Returned, past.transaction
    if past.reference and past.method:
        yield RechargeReference, (past.method, past.reference)
    yield BillLine, past.transaction


def _from_order(order: Order) -> Leads:
    if order.transaction is not None:
        yield PastTransaction, order.transaction


def _from_session(session: Session) -> Leads:
    yield Order, session.session
    yield Phone, session.phone


def _from_subscription(subscription: Subscription) -> Leads:
    yield Plan, subscription.plan
    if subscription.kind == "device":
        for device in subscription.goods:
            yield Device, device


KINDS: dict[type[Row], RowKind] = {
    kind.row: kind
    for kind in (
        RowKind(Plan, "plan", locked=False),
        RowKind(PaymentMethods, "payment_methods", select=PAYMENT_METHODS),
        RowKind(Device, "device"),
        RowKind(
            RechargeReference,
            "recharge_reference",
            key=("top", "method", "reference"),
            select=RECHARGE_REFERENCES,
        ),
        RowKind(
            PastTransaction,
            "transaction",
            owners=_of_past,
            leads=_from_past,
            select=PAST_TRANSACTIONS,
            made=_past,
        ),
        RowKind(Returned, "returned"),
        RowKind(Order, "orders", owners=_account, leads=_from_order),
        RowKind(Session, "session", owners=_settled, leads=_from_session),
        RowKind(Phone, "phone"),
        RowKind(Hold, "hold", owners=_settled),
        RowKind(Resource, "resource", owners=_settled),
        RowKind(Subscription, "subscription", owners=_account, leads=_from_subscription),
        RowKind(SubscriptionCycle, "subscription_cycle", key=("subscription", "cycle_no"), locked=False),
        RowKind(Bill, "bill", owners=_account),
        RowKind(BillLine, "bill_line", locked=False, leads=lambda line: ((Bill, line.bill),)),
        RowKind(CustomWarning, "warning", owners=lambda warning: (warning.account, warning.set_by)),
        RowKind(Export, "export", owners=_account),
        RowKind(ReceiptDue, "receipt_due", key=("transaction",), locked=False),
    )
}
