"""The only writer: everything a batch has decided, in a handful of statements whatever its size.

New rows go in by one statement a table (`inserting.py`), changed ones by one UPDATE from arrays. The caller commits.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any

import orjson
import psycopg

from ledger.arrays import literal
from ledger.batch import Batch, Item
from ledger.book import Book
from ledger.inserting import LINES, Columns
from ledger.records import CustomWarning
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
    "running": "int8",
    "settled": "int8",
    "notifications": "bool",
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
_FIGURES = (
    "id",
    "credit",
    "credit_limit",
    "frozen",
    "reference",
    "version",
    "posted_at",
    "running",
    "settled",
)
_DESCRIBED = (
    *_FIGURES,
    "notifications",
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
    "outcome": LINES,
    "batch": "int8",
    "delivery": "int4",
    "place": "int2",
}


_account = attrgetter(*_ACCOUNT)
_figures = attrgetter(*_FIGURES)
_described = attrgetter(*_DESCRIBED)
ACCOUNTS = Columns("account", _ACCOUNT)
TRANSACTIONS = Columns("transaction", _TRANSACTION)
ENTRIES = Columns("entry", _ENTRY)
COMMANDS = Columns("command", _COMMAND)
FIGURES = Columns("account", {name: _ACCOUNT[name] for name in _FIGURES}, key=("id",))
DESCRIBED = Columns("account", {name: _ACCOUNT[name] for name in _DESCRIBED}, key=("id",))
FEW = 24
TOUCH = "INSERT INTO touched (accounts) VALUES (%b::int8[])"
RELEASE_DEVICES = "UPDATE device SET account = NULL WHERE account = ANY(%b::int8[])"
ARCHIVE = "INSERT INTO batch (id, received_at, partition, deliveries, bodies) VALUES (%b, %b, %b, %b, %b)"
PUBLISH = "WITH new AS (INSERT INTO outbox (events) VALUES (%b)) SELECT pg_notify('coins_outbox', '')"


def store(
    connection: psycopg.Connection[Any], book: Book, decided: Sequence[Item], *, batch: int, now: datetime
) -> None:
    """Write what the book has collected, and the keys of the commands that were decided for the first time."""
    commands = [
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
    ]
    if len(commands) <= FEW:
        with connection.pipeline():
            _insert(connection, book, commands, Columns.insert)
            _update(connection, book)
    else:
        _insert(connection, book, commands, Columns.copy)
        with connection.pipeline():
            _update(connection, book)


def _insert(
    connection: psycopg.Connection[Any],
    book: Book,
    commands: list[tuple[Any, ...]],
    write: Callable[[Columns, psycopg.Connection[Any], Iterable[Sequence[Any]]], None],
) -> None:
    write(ACCOUNTS, connection, map(_account, book.opened))
    write(TRANSACTIONS, connection, book.transactions)
    write(ENTRIES, connection, book.entries)
    for kind, inserted in book.inserted.items():
        spec = KINDS[kind]
        write(spec.columns, connection, map(spec.values, inserted.values()))
    write(COMMANDS, connection, commands)


def _update(connection: psycopg.Connection[Any], book: Book) -> None:
    opened = {account.id for account in book.opened}
    described = [account for key, account in book.described.items() if key not in opened]
    posted = [
        account for key, account in book.posted.items() if key not in opened and key not in book.described
    ]
    if touched := book.posted.keys() | book.described.keys() | _warned_about(book):
        # Whoever warns, and whoever waits for coins, looks at these again.
        connection.execute(TOUCH, (literal(list(touched)),), prepare=True)
    if book.released:
        connection.execute(RELEASE_DEVICES, (book.released,), prepare=True)
    FIGURES.update(connection, map(_figures, posted))
    # Funding and figures together: a constraint may allow only the new pair of them.
    DESCRIBED.update(connection, map(_described, described))
    for kind, changed in book.changed.items():
        spec = KINDS[kind]
        spec.columns.update(connection, map(spec.values, changed.values()))


def _warned_about(book: Book) -> set[int]:
    """Accounts for which a warning was set or removed."""
    return {
        row.account
        for rows in (book.inserted, book.changed)
        for row in rows.get(CustomWarning, {}).values()
        if isinstance(row, CustomWarning)
    }


def archive(
    connection: psycopg.Connection[Any], key: int, batch: Batch, decided: Collection[int], now: datetime
) -> None:
    """Keep the messages as they came in, end to end, with where each came from and how long it is.

    decided: which of the deliveries something was decided by. Of the others nothing is kept here: what is no command is a
    dead letter, what was repeated is kept where it was decided, and nobody is to fill a disk by either.
    """
    kept = [one.body if number in decided else b"" for number, one in enumerate(batch.deliveries)]
    index = orjson.dumps(
        [
            (one.stream, one.position, one.producer, len(body))
            for one, body in zip(batch.deliveries, kept, strict=True)
        ]
    )
    bodies = b"".join(kept)
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
