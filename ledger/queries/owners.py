"""Whose something is that goes by an id of its own."""

from __future__ import annotations

from typing import Any

import psycopg

from ledger.numbers import transaction_of

_OWNED = "SELECT a.account FROM {table} o JOIN account a ON a.id = o.account WHERE o.{key} = %s"
# Under the name of the field by which commands name it: its table, and the column it goes by there.
_TABLES = {
    "order": ("orders", "order_id"),
    "session": ("session", "session"),
    "hold": ("hold", "hold"),
    "resource": ("resource", "resource"),
    "subscription": ("subscription", "subscription"),
    "bill": ("bill", "bill"),
    "warning": ("warning", "warning"),
    "export": ("export", "export"),
    "transaction": ("transaction", "id"),
}
OWNED_FIELDS = tuple(_TABLES)


def owner_of(connection: psycopg.Connection[Any], field: str, id: str) -> str | None:
    """The account that something belongs to, by the field and the id that a command names it by; None if there is none."""
    table, key = _TABLES[field]
    named: str | int | None = transaction_of(id) if field == "transaction" else id
    if named is None:
        return None
    row = connection.execute(_OWNED.format(table=table, key=key), (named,)).fetchone()
    return row[0] if row else None
