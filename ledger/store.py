"""The only writer: everything a batch has decided, in a handful of statements whatever its size.

New rows go in by binary COPY, changed ones by one UPDATE from arrays. The caller commits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import psycopg

from ledger.batch import Batch, Item
from ledger.book import Book
from ledger.rows import KINDS

_ACCOUNT = {
    "id": "int8",
    "account": "text",
    "parent": "int8",
    "path": "int8[]",
    "kind": "text",
    "name": "text",
    "funding": "text",
    "state": "text",
    "credit": "int8",
    "credit_limit": "int8",
    "frozen": "int8",
    "reference": "int8",
    "version": "int8",
    "posted_at": "timestamptz",
    "draws_from": "int8",
    "sponsor": "int8",
    "email": "text",
    "boss_email": "text",
    "country": "text",
    "timezone": "text",
    "legal_name": "text",
    "tax_id": "text",
    "address": "text",
}
_FIGURES = ("id", "credit", "credit_limit", "frozen", "reference", "version", "posted_at")
_DESCRIBED = (
    *_FIGURES,
    "name",
    "funding",
    "state",
    "draws_from",
    "sponsor",
    "email",
    "boss_email",
    "country",
    "timezone",
    "legal_name",
    "tax_id",
    "address",
)
_TRANSACTION = {
    "id": "int8",
    "time": "timestamptz",
    "type": "text",
    "top": "int8",
    "account": "int8",
    "item": "text",
    "devices": "text[]",
    "note": "text",
    "order_id": "text",
    "method": "text",
    "reference": "text",
    "payer": "text",
    "paid_currency": "text",
    "paid_amount": "text",
    "ordered_by": "text",
    "reverses": "int8",
    "command_source": "text",
    "command_id": "text",
    "actor": "text",
}
_ENTRY = {
    "transaction": "int8",
    "account": "int8",
    "unit": "text",
    "amount": "int8",
    "balance": "int8",
    "version": "int8",
    "top": "int8",
    "type": "text",
    "time": "timestamptz",
    "counterparty": "int8",
    "consumer": "int8",
}
_COMMAND = {
    "source": "text",
    "id": "text",
    "fingerprint": "bytea",
    "decided_at": "timestamptz",
    "reason": "text",
    "transaction": "int8",
    "outcome": "text",
    "batch": "int8",
    "delivery": "int4",
    "place": "int2",
}


def _copy_of(table: str, columns: dict[str, str]) -> str:
    return f"COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT binary)"


def _update_of(columns: Sequence[str]) -> str:
    values = ", ".join(f"{name} = u.{name}" for name in columns[1:])
    types = ", ".join(f"%b::{_ACCOUNT[name]}[]" for name in columns)
    return f"UPDATE account a SET {values} FROM unnest({types}) AS u({', '.join(columns)}) WHERE a.id = u.id"


COPY_ACCOUNTS = _copy_of("account", _ACCOUNT)
COPY_TRANSACTIONS = _copy_of("transaction", _TRANSACTION)
COPY_ENTRIES = _copy_of("entry", _ENTRY)
COPY_COMMANDS = _copy_of("command", _COMMAND)
UPDATE_FIGURES = _update_of(_FIGURES)
UPDATE_DESCRIBED = _update_of(_DESCRIBED)
RELEASE_DEVICES = "UPDATE device SET account = NULL WHERE account = ANY(%b::int8[])"
ARCHIVE = """
INSERT INTO batch (id, received_at, partition, streams, positions, producers, bodies)
VALUES (%b, %b, %b, %b::text[], %b::text[], %b::text[], %b::bytea[])"""
PUBLISH = "INSERT INTO outbox (routes, types, events) VALUES (%b::text[], %b::text[], %b::bytea[])"
NOTIFY = "SELECT pg_notify('coins_outbox', '')"


def store(
    connection: psycopg.Connection[Any], book: Book, decided: Sequence[Item], *, batch: int, now: datetime
) -> None:
    """Write what the book has collected, and the keys of the commands that were decided for the first time."""
    cursor = connection.cursor()
    if book.opened:
        _copy(cursor, COPY_ACCOUNTS, _ACCOUNT, (_values(account, tuple(_ACCOUNT)) for account in book.opened))
    if book.transactions:
        _copy(cursor, COPY_TRANSACTIONS, _TRANSACTION, book.transactions)
        _copy(cursor, COPY_ENTRIES, _ENTRY, book.entries)
    for kind, inserted in book.inserted.items():
        if inserted:
            spec = KINDS[kind]
            _copy(cursor, spec.copy(), spec.columns, (_values(row, spec.names) for row in inserted.values()))
    if decided:
        _copy(
            cursor,
            COPY_COMMANDS,
            _COMMAND,
            (
                (
                    item.event.source,
                    item.event.id,
                    item.fingerprint,
                    now,
                    item.reason,
                    item.transaction,
                    (item.body or b"").decode(),
                    batch,
                    item.delivery,
                    item.place,
                )
                for item in decided
            ),
        )
    _update(connection, book)


def _update(connection: psycopg.Connection[Any], book: Book) -> None:
    opened = {account.id for account in book.opened}
    described = [account for key, account in book.described.items() if key not in opened]
    posted = [
        account for key, account in book.posted.items() if key not in opened and key not in book.described
    ]
    with connection.pipeline():
        if book.released:
            connection.execute(RELEASE_DEVICES, (book.released,), prepare=True)
        if posted:
            connection.execute(UPDATE_FIGURES, _columns(posted, _FIGURES), prepare=True)
        if described:
            # Funding and figures together: a constraint may allow only the new pair of them.
            connection.execute(UPDATE_DESCRIBED, _columns(described, _DESCRIBED), prepare=True)
        for kind, changed in book.changed.items():
            if changed:
                spec = KINDS[kind]
                connection.execute(spec.update(), _columns(changed.values(), spec.names), prepare=True)


def archive(connection: psycopg.Connection[Any], key: int, batch: Batch, now: datetime) -> None:
    """Keep the messages as they came in, for `coins command` and for audits."""
    deliveries = batch.deliveries
    connection.execute(
        ARCHIVE,
        (
            key,
            now,
            batch.partition,
            [one.stream for one in deliveries],
            [one.position for one in deliveries],
            [one.producer or "" for one in deliveries],
            [one.body for one in deliveries],
        ),
        prepare=True,
        binary=True,
    )


def publish(
    connection: psycopg.Connection[Any], routes: list[str], types: list[str], events: list[bytes]
) -> None:
    """One row of the outbox for all events of the batch, and a knock at the relay's door."""
    if events:
        connection.execute(PUBLISH, (routes, types, events), prepare=True)
        connection.execute(NOTIFY, prepare=True)


def _copy(cursor: psycopg.Cursor[Any], statement: str, columns: dict[str, str], rows: Iterable[Any]) -> None:
    with cursor.copy(statement) as copy:
        copy.set_types(list(columns.values()))
        write = copy.write_row
        for row in rows:
            write(row)


def _values(row: Any, names: Sequence[str]) -> tuple[Any, ...]:
    return tuple(getattr(row, name) for name in names)


def _columns(rows: Iterable[Any], names: Sequence[str]) -> list[list[Any]]:
    listed = list(rows)
    return [[getattr(row, name) for row in listed] for name in names]
