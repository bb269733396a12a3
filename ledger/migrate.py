"""Brings the schema up to date: one migrator at a time, never waiting long for a lock that live traffic holds."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import ArgumentError, OperationalError

from ledger.database import sqlalchemy_url
from ledger.errors import DatabaseUnavailable

MIGRATION_LOCK = 0x636F696E73
LOCK_TIMEOUT_SECONDS = 5
POLL_SECONDS = 0.1
MONTHS_AHEAD = 24


def migrate(url: str, *, partitions: int = 1) -> list[str]:
    """Apply what is missing, and make sure that partitions of the coming months exist.

    Returns the revisions that were applied. Raises DatabaseUnavailable.
    """
    try:
        engine = create_engine(sqlalchemy_url(url))
    except (ArgumentError, ImportError):
        raise DatabaseUnavailable(
            "the database's URL cannot be used; write postgresql://user@host/name"
        ) from None
    try:
        with engine.connect() as connection:
            return _migrate(connection, partitions)
    except OperationalError as error:
        raise DatabaseUnavailable(f"the database cannot be migrated: {error.orig}") from error
    finally:
        engine.dispose()


def _migrate(connection: Connection, partitions: int) -> list[str]:
    _take_turns(connection)
    try:
        connection.execute(text(f"SET lock_timeout = '{LOCK_TIMEOUT_SECONDS}s'"))
        connection.commit()
        before = MigrationContext.configure(connection).get_current_revision()
        connection.commit()
        config = _config()
        config.attributes["connection"] = connection
        script = ScriptDirectory.from_config(config)
        # What only a newer version knows is left as it is: whoever goes back to this one goes on with it.
        newer = before is not None and before not in {one.revision for one in script.walk_revisions()}
        if not newer:
            command.upgrade(config, "head")
        connection.commit()
        create_months(connection, datetime.now(UTC))
        connection.execute(
            text("INSERT INTO partition (id) SELECT generate_series(0, :last) ON CONFLICT (id) DO NOTHING"),
            {"last": partitions - 1},
        )
        connection.commit()
        if newer:
            return []
        applied = [one.revision for one in script.iterate_revisions("head", before or "base")]
        return applied[::-1]
    finally:
        connection.rollback()
        connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": MIGRATION_LOCK})
        connection.commit()


def _take_turns(connection: Connection) -> None:
    """Wait until nobody else migrates. Not within a statement: an index that is built beside the traffic waits for those."""
    while not connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": MIGRATION_LOCK}):
        connection.rollback()
        time.sleep(POLL_SECONDS)


def create_months(connection: Connection, now: datetime) -> None:
    """Partitions of the raw messages for this month and the next ones; without them the default one takes over."""
    first = now.year * 12 + now.month - 1
    for month in range(first, first + MONTHS_AHEAD + 1):
        begin, end = (f"{m // 12:04d}-{m % 12 + 1:02d}-01 00:00:00+00" for m in (month, month + 1))
        name = f"batch_{month // 12:04d}_{month % 12 + 1:02d}"
        exists = connection.scalar(text("SELECT to_regclass(:name) IS NOT NULL"), {"name": name})
        # A month that has begun in the default partition stays there: PostgreSQL would refuse to split it.
        begun = text(
            "SELECT EXISTS (SELECT FROM batch_default WHERE received_at >= :begin AND received_at < :end)"
        )
        if not exists and not connection.scalar(begun, {"begin": begin, "end": end}):
            connection.execute(
                text(f"CREATE TABLE {name} PARTITION OF batch FOR VALUES FROM ('{begin}') TO ('{end}')")
            )


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "ledger:migrations")
    config.set_main_option("path_separator", "os")
    return config
