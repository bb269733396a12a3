"""Sessions of those who only read: one snapshot, however many statements an answer takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import errors

from ledger.database import connect
from ledger.errors import DatabaseUnavailable, SchemaOutdated


@contextmanager
def connected(url: str, *, name: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection for a reader, closed afterwards.

    Raises DatabaseUnavailable, also where it is lost on the way; SchemaOutdated where tables are missing.
    """
    connection = connect(url, name=name)
    try:
        yield connection
    except (errors.UndefinedTable, errors.UndefinedColumn) as error:
        missing = error.diag.message_primary or str(error)
        raise SchemaOutdated(
            f"the database does not have what this version reads ({missing}); run `coins migrate`"
        ) from error
    except psycopg.OperationalError as error:
        raise DatabaseUnavailable(f"the database did not answer: {str(error).strip()}") from error
    finally:
        connection.close()


@contextmanager
def snapshot(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """Everything that is read within sees the same state; nothing can be written. The connection must be idle."""
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    connection.read_only = True
    try:
        with connection.transaction():
            yield
    finally:
        if not connection.closed:
            connection.isolation_level = None
            connection.read_only = None


@contextmanager
def reading(url: str, *, name: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection in a snapshot of its own. Raises as `connected` does."""
    with connected(url, name=name) as connection, snapshot(connection):
        yield connection
