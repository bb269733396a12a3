"""Connections. The path of a command has sessions of its own kind: bounded, and with plans that do not change their mind."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from ledger.errors import DatabaseUnavailable

# No longer than the lease: a process that is frozen in a batch is stood in for as soon as any other.
IDLE_IN_TRANSACTION_SECONDS = 3
JOB_IDLE_IN_TRANSACTION_SECONDS = 30
LOCK_TIMEOUT_SECONDS = 10
# Every statement of the path looks rows up by index, whatever the statistics say while tables are small or just filled.
_PATH_OPTIONS = (
    "-c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off -c jit=off "
    f"-c idle_in_transaction_session_timeout={IDLE_IN_TRANSACTION_SECONDS}s -c lock_timeout={LOCK_TIMEOUT_SECONDS}s"
)


def connect(url: str, *, name: str, timeout_seconds: int = 5, **options: Any) -> psycopg.Connection[Any]:
    """A connection in autocommit mode, with keep-alives so that a vanished server is noticed.

    Raises DatabaseUnavailable with what to check.
    """
    try:
        return psycopg.connect(
            url,
            autocommit=True,
            application_name=f"coins {name}",
            connect_timeout=timeout_seconds,
            keepalives_idle=10,
            keepalives_interval=5,
            keepalives_count=3,
            tcp_user_timeout=30_000,
            **options,
        )
    except psycopg.OperationalError as error:
        said = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
        raise DatabaseUnavailable(f"the database {_shown(url)} cannot be reached: {said}") from error
    except psycopg.ProgrammingError:
        # What the parser says may quote the password.
        raise DatabaseUnavailable(
            "the database's URL cannot be read; write postgresql://user@host/name"
        ) from None


def connect_for_commands(url: str, *, name: str) -> psycopg.Connection[Any]:
    """A session for `handle`: transactions are explicit, and a frozen process loses its own after some seconds."""
    connection = connect(url, name=name, options=_PATH_OPTIONS)
    connection.autocommit = False
    connection.prepare_threshold = 0
    return connection


def connect_for_jobs(url: str, *, name: str) -> psycopg.Connection[Any]:
    """A session for scheduled work: in autocommit mode, and never long in the way of a command."""
    return connect(
        url,
        name=name,
        options=f"-c jit=off -c lock_timeout={LOCK_TIMEOUT_SECONDS}s "
        f"-c idle_in_transaction_session_timeout={JOB_IDLE_IN_TRANSACTION_SECONDS}s",
    )


def sqlalchemy_url(url: str) -> str:
    """The same URL for SQLAlchemy with psycopg."""
    scheme, _, rest = url.partition("://")
    return f"postgresql+psycopg://{rest}" if scheme in ("postgres", "postgresql") else url


def _shown(url: str) -> str:
    try:
        parts = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        return "(unreadable URL)"
    return f"{parts.get('dbname') or ''} at {parts.get('host') or 'the local socket'}"
