"""The only writer: everything a batch has decided, in a handful of statements whatever its size.

New rows go in by binary COPY, changed ones by one UPDATE from arrays. The caller commits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any

import orjson
import psycopg

from ledger.arrays import columns
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
    # In binary form already: to COPY it is bytes, to the table an array.
    "devices": "bytea",
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


def _update_of(names: Sequence[str]) -> str:
    values = ", ".join(f"{name} = u.{name}" for name in names[1:])
    types = ", ".join(f"%s::{_ACCOUNT[name]}[]" for name in names)
    return f"UPDATE account a SET {values} FROM unnest({types}) AS u({', '.join(names)}) WHERE a.id = u.id"


_account = attrgetter(*_ACCOUNT)
_figures = attrgetter(*_FIGURES)
_described = attrgetter(*_DESCRIBED)
COPY_ACCOUNTS = _copy_of("account", _ACCOUNT)
COPY_TRANSACTIONS = _copy_of("transaction", _TRANSACTION)
COPY_ENTRIES = _copy_of("entry", _ENTRY)
COPY_COMMANDS = _copy_of("command", _COMMAND)
UPDATE_FIGURES = _update_of(_FIGURES)
UPDATE_DESCRIBED = _update_of(_DESCRIBED)
RELEASE_DEVICES = "UPDATE device SET account = NULL WHERE account = ANY(%b::int8[])"
ARCHIVE = "INSERT INTO batch (id, received_at, partition, deliveries, bodies) VALUES (%b, %b, %b, %b, %b)"
PUBLISH = "INSERT INTO outbox (events) VALUES (%b)"
NOTIFY = "SELECT pg_notify('coins_outbox', '')"


def store(
    connection: psycopg.Connection[Any], book: Book, decided: Sequence[Item], *, batch: int, now: datetime
) -> None:
    """Write what the book has collected, and the keys of the commands that were decided for the first time."""
    cursor = connection.cursor()
    if book.opened:
        _copy(cursor, COPY_ACCOUNTS, _ACCOUNT, map(_account, book.opened))
    if book.transactions:
        _copy(cursor, COPY_TRANSACTIONS, _TRANSACTION, book.transactions)
        _copy(cursor, COPY_ENTRIES, _ENTRY, book.entries)
    for kind, inserted in book.inserted.items():
        if inserted:
            spec = KINDS[kind]
            _copy(cursor, spec.copy(), spec.columns, map(spec.values, inserted.values()))
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
            connection.execute(
                UPDATE_FIGURES,
                columns(map(_figures, posted)),
                prepare=True,
            )
        if described:
            # Funding and figures together: a constraint may allow only the new pair of them.
            connection.execute(UPDATE_DESCRIBED, columns(map(_described, described)), prepare=True)
        for kind, changed in book.changed.items():
            if changed:
                spec = KINDS[kind]
                connection.execute(spec.update(), columns(map(spec.values, changed.values())), prepare=True)


def archive(connection: psycopg.Connection[Any], key: int, batch: Batch, now: datetime) -> None:
    """Keep the messages as they came in, end to end, with where each came from and how long it is."""
    deliveries = batch.deliveries
    index = orjson.dumps([(one.stream, one.position, one.producer, len(one.body)) for one in deliveries])
    bodies = b"".join([one.body for one in deliveries])
    connection.execute(ARCHIVE, (key, now, batch.partition, index.decode(), bodies), prepare=True)


def publish(connection: psycopg.Connection[Any], events: list[tuple[str, str, bytes]]) -> None:
    """One row of the outbox for all events of the batch, and a knock at the relay's door.

    A line an event: its routing key, its type, and the event itself, which is JSON without a line break.
    """
    if events:
        lines = b"\n".join(
            [b"%b %b %b" % (route.encode(), type_.encode(), event) for route, type_, event in events]
        )
        connection.execute(PUBLISH, (lines,), prepare=True)
        connection.execute(NOTIFY, prepare=True)


def _copy(cursor: psycopg.Cursor[Any], statement: str, columns: dict[str, str], rows: Iterable[Any]) -> None:
    with cursor.copy(statement) as copy:
        copy.set_types(list(columns.values()))
        write = copy.write_row
        for row in rows:
            write(row)
