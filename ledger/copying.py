"""A whole ledger into another database: every table, in one snapshot and one transaction, compared before it is committed.

Binary COPY, so that versions of the server may differ. The target has the same revision, and no row of a ledger.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import psycopg
from psycopg import sql

from ledger.errors import NotCopied
from ledger.queries.reading import snapshot

# Who works, and for how long: nobody does while this runs.
_PASSING = ("process",)
# What migrations put there themselves, and the copy puts in its place.
_SEEDED = ("account", "partition")
_REVISION = "alembic_version"
# Whatever the settings of either server: the same row has the same text.
_ALIKE = (
    "SET TimeZone = 'UTC'; SET DateStyle = 'ISO'; SET IntervalStyle = 'postgres'; SET bytea_output = 'hex'; "
    "SET extra_float_digits = 1; SET lock_timeout = '10s'; SET statement_timeout = 0; "
    "SET idle_in_transaction_session_timeout = 0"
)

_COLUMNS = """
SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
ORDER BY c.relname, a.attname"""
_MONTHS = """
SELECT c.relname, pg_get_expr(c.relpartbound, c.oid)
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'public.batch'::regclass ORDER BY 1"""
_SEQUENCES = "SELECT sequencename, last_value FROM pg_sequences WHERE schemaname = 'public' ORDER BY 1"

Tables = dict[str, dict[str, str]]


class Copied(NamedTuple):
    """What was copied: rows by table."""

    rows: dict[str, int]

    @property
    def total(self) -> int:
        return sum(self.rows.values())


def is_fresh(target: psycopg.Connection[Any]) -> bool:
    """Whether there is nothing at all in a database. Raises NotCopied where there is what may not be there."""
    tables = _tables(target)
    if not tables:
        return True
    if _REVISION not in tables:
        raise NotCopied(
            f"the target has tables of something else ({', '.join(sorted(tables)[:3])}, …); name an empty database"
        )
    _demand_empty(target, tables)
    return False


def count_rows(source: psycopg.Connection[Any]) -> dict[str, int]:
    """How many rows each table has that would be copied."""
    with snapshot(source):
        return {name: _count(source, name) for name in _tables(source) if name not in (*_PASSING, _REVISION)}


def copy(
    source: psycopg.Connection[Any],
    target: psycopg.Connection[Any],
    progress: Callable[[str], None] = lambda _: None,
    about_to_commit: Callable[[], None] = lambda: None,
) -> Copied:
    """Copy everything, or nothing: the target is committed when each table has the same rows on both sides.

    Both connections in autocommit mode and idle; of the source one snapshot is read. Raises NotCopied. Whoever has to know
    afterwards whether it was committed notes down that he has to look (`has_ledger`), when `about_to_commit` is called.
    """
    source.execute(_ALIKE)
    target.execute(_ALIKE)
    with snapshot(source), target.transaction():
        tables = _demand_same_schema(source, target)
        # Whoever starts on the target meanwhile waits, and then finds it whole.
        for name in _SEEDED:
            target.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(sql.Identifier(name)))
        _demand_empty(target, tables)
        for name in _SEEDED:
            target.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(name)))
        _make_months(source, target)
        rows: dict[str, int] = {}
        for name, columns in tables.items():
            if name not in (*_PASSING, _REVISION):
                progress(name)
                rows[name] = _copy_table(source, target, name, list(columns))
        _set_sequences(source, target)
        # What is checked at the end of a transaction only.
        target.execute("SET CONSTRAINTS ALL IMMEDIATE")
        about_to_commit()
    return Copied(rows)


def has_ledger(target: psycopg.Connection[Any]) -> bool:
    """Whether there is any row of a ledger; waits for a copy that is just being committed. Raises psycopg.Error."""
    target.execute(_ALIKE)
    tables = _tables(target)
    try:
        if _REVISION in tables:
            _demand_empty(target, tables)
    except NotCopied:
        return True
    return False


def analyze(target: psycopg.Connection[Any]) -> None:
    """Good plans from the first command on. A table that somebody holds is left to the server's own vacuum."""
    target.execute("ANALYZE (SKIP_LOCKED)")


def _tables(connection: psycopg.Connection[Any]) -> Tables:
    """Every table with its columns and their types. Columns by name: in which order they were added does not matter."""
    found: Tables = {}
    for table, column, type_ in connection.execute(_COLUMNS):
        found.setdefault(table, {})[column] = type_
    return found


def _demand_same_schema(source: psycopg.Connection[Any], target: psycopg.Connection[Any]) -> Tables:
    revisions = [
        one.execute("SELECT version_num FROM alembic_version").fetchone() for one in (source, target)
    ]
    if revisions[0] != revisions[1]:
        raise NotCopied(f"the source is at revision {revisions[0]}, the target at {revisions[1]}")
    tables, there = _tables(source), _tables(target)
    if tables != there:
        differing = sorted(
            name for name in tables.keys() | there.keys() if tables.get(name) != there.get(name)
        )
        raise NotCopied(f"source and target differ in their tables {', '.join(differing)}")
    return tables


def _demand_empty(target: psycopg.Connection[Any], tables: Tables) -> None:
    # `account` first: a copy that is just being committed holds it, and what is seen after it is seen whole.
    for name in sorted(tables.keys() - {*_PASSING, _REVISION, "partition"}):
        query = sql.SQL("SELECT FROM {} {} LIMIT 1").format(
            sql.Identifier(name), sql.SQL("WHERE id <> 0" if name == "account" else "")
        )
        if target.execute(query).fetchone() is not None:
            raise NotCopied(f"the target is not empty: there are rows in {name}; name an empty database")


def _make_months(source: psycopg.Connection[Any], target: psycopg.Connection[Any]) -> None:
    """Months of messages that are over: the migrations of the target made those to come."""
    there = {name for name, _ in target.execute(_MONTHS)}
    for name, bounds in source.execute(_MONTHS):
        if name not in there:
            make = sql.SQL("CREATE TABLE {} PARTITION OF batch {}")
            target.execute(make.format(sql.Identifier(name), sql.SQL(bounds)))


def _copy_table(
    source: psycopg.Connection[Any], target: psycopg.Connection[Any], name: str, columns: list[str]
) -> int:
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    table = sql.Identifier(name)
    out = sql.SQL("COPY (SELECT {} FROM {}) TO STDOUT (FORMAT binary)").format(names, table)
    into = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(table, names)
    with source.cursor().copy(out) as read, target.cursor().copy(into) as written:
        for data in read:
            written.write(data)
    # The sum of what every row's text hashes to: the same on all versions, as the partitions of `command` rely on.
    digest = sql.SQL(
        "SELECT count(*), coalesce(sum(hashtextextended(ROW({})::text, 0)), 0)::text FROM {}"
    ).format(names, table)
    before, after = source.execute(digest).fetchone(), target.execute(digest).fetchone()
    if before is None or before != after:
        raise NotCopied(f"{name} is not the same on both sides: {before} rows and their digest, {after}")
    rows: int = before[0]
    return rows


def _set_sequences(source: psycopg.Connection[Any], target: psycopg.Connection[Any]) -> None:
    for name, last in source.execute(_SEQUENCES).fetchall():
        if last is not None:
            target.execute("SELECT setval(format('public.%%I', %s::text)::regclass, %s)", (name, last))


def _count(connection: psycopg.Connection[Any], name: str) -> int:
    row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(name))).fetchone()
    assert row is not None
    found: int = row[0]
    return found
