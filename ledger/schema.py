"""Whether the database has the schema that this version needs, found out without loading what could migrate it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg

from ledger.errors import SchemaOutdated


def revisions() -> list[str]:
    """The revisions this version knows, oldest first: each file of `migrations/versions` begins with its own."""
    files = (Path(__file__).parent / "migrations" / "versions").glob("[0-9]*.py")
    return sorted(file.stem.partition("_")[0] for file in files)


def check_schema(connection: psycopg.Connection[Any]) -> None:
    """Raises SchemaOutdated unless the database has the newest revision, or one that only a newer version knows."""
    known = revisions()
    (exists,) = connection.execute("SELECT to_regclass('alembic_version') IS NOT NULL").fetchone() or (False,)
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone() if exists else None
    if row is None:
        raise SchemaOutdated("the database has no schema yet; run `coins migrate`")
    if row[0] in known[:-1]:
        raise SchemaOutdated(
            f"the database is at revision {row[0]}, {known[-1]} is needed; run `coins migrate`"
        )
