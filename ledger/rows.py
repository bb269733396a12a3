"""How rows that decisions work on are loaded and stored: one entry a table, all statements are made from it.

A row is locked when it is loaded, in the order of its key, after the accounts. To add a kind of row, add its dataclass to
`model.py`, its table to `tables.py`, and its entry here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cached_property
from operator import attrgetter
from typing import Any

from ledger.inserting import Columns
from ledger.model import Device, Plan, RechargeReference, Returned, Row


@dataclass(frozen=True)
class RowKind:
    """A table of rows.

    columns: PostgreSQL type of each field of the row, in the dataclass's order, under the column's name.
    key: the columns that a row is found by. `locked`: whether a batch that reads it may also write it.
    select: a statement of its own where a key is not simply the key's columns; takes an array for each part of the key.
    """

    row: type[Row]
    table: str
    columns: dict[str, str]
    key: tuple[str, ...]
    locked: bool = True
    select: str | None = None

    def load(self) -> str:
        if self.select:
            return self.select
        types = ", ".join(f"%s::{self.columns[name]}[]" for name in self.key)
        alike = " AND ".join(f"r.{name} = k.{name}" for name in self.key)
        columns = ", ".join(f"r.{name}" for name in self.columns)
        lock = (
            f" ORDER BY {', '.join(f'r.{name}' for name in self.key)} FOR NO KEY UPDATE OF r"
            if self.locked
            else ""
        )
        return f"SELECT {columns} FROM unnest({types}) AS k({', '.join(self.key)}) JOIN {self.table} r ON {alike}{lock}"

    @cached_property
    def new(self) -> Columns:
        """How new rows get in."""
        return Columns(self.table, self.columns)

    def update(self) -> str:
        names = ", ".join(self.columns)
        types = ", ".join(f"%s::{type_}[]" for type_ in self.columns.values())
        values = ", ".join(f"{name} = u.{name}" for name in self.columns if name not in self.key)
        alike = " AND ".join(f"r.{name} = u.{name}" for name in self.key)
        return f"UPDATE {self.table} r SET {values} FROM unnest({types}) AS u({names}) WHERE {alike}"

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The row's fields, in the order of the columns."""
        return tuple(field.name for field in fields(self.row))

    @cached_property
    def values(self) -> Callable[[Any], tuple[Any, ...]]:
        """Every value of a row, in the order of the columns."""
        return attrgetter(*self.names)

    @cached_property
    def key_of(self) -> Callable[[Any], Any]:
        """The key of a row: one value, or a tuple where it has several parts."""
        by_column = dict(zip(self.columns, self.names, strict=True))
        return attrgetter(*(by_column[column] for column in self.key))


PAST_TRANSACTIONS = """
SELECT t.id, t.time, t.type, t.account, t.top, t.method, t.reference,
       array_agg(e.account ORDER BY e.account), array_agg(e.unit ORDER BY e.account), array_agg(e.amount ORDER BY e.account)
FROM transaction t JOIN entry e ON e.transaction = t.id
WHERE t.id = ANY(%b::int8[]) AND e.account > 0
GROUP BY t.id"""

# Of any top account: which one it will be is not known before the accounts are, and a reference is next to unique.
RECHARGE_REFERENCES = """
SELECT r.top, r.method, r.reference, r.transaction
FROM unnest(%s::text[], %s::text[]) AS k(method, reference)
JOIN recharge_reference r ON r.reference = k.reference AND r.method = k.method
ORDER BY r.top, r.method, r.reference FOR NO KEY UPDATE OF r"""

KINDS: dict[type[Row], RowKind] = {
    kind.row: kind
    for kind in (
        RowKind(
            Plan,
            "plan",
            {
                "plan": "text",
                "name": "text",
                "kind": "text",
                "price": "int8",
                "rate": "text",
                "cycle_unit": "text",
                "cycle_count": "int4",
                "coefficient": "text",
            },
            key=("plan",),
            locked=False,
        ),
        RowKind(
            Device,
            "device",
            {
                "device": "text",
                "account": "int8",
                "plan": "text",
                "onboarded_at": "timestamptz",
                "paid_until": "timestamptz",
            },
            key=("device",),
        ),
        RowKind(
            RechargeReference,
            "recharge_reference",
            {"top": "int8", "method": "text", "reference": "text", "transaction": "int8"},
            key=("top", "method", "reference"),
            select=RECHARGE_REFERENCES,
        ),
        RowKind(Returned, "returned", {"transaction": "int8", "amount": "int8"}, key=("transaction",)),
    )
}
