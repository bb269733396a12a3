"""sizes: what so many commands leave behind, in bytes, and what the processes that applied them take.

Sizes do not depend on how busy the machine is: with them capacity is planned, by the million.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import psutil
import psycopg
import redis

from deploy.bench.errors import FigureFailed
from deploy.bench.results import Left, Sizes
from deploy.bench.system import PARTITIONS, Bench
from deploy.bench.throughput import HOT_SHARE
from deploy.bench.workload import one_by_one
from deploy.supervisor import say
from messages.publisher import connect

REST_SECONDS = 120.0

# Partitions under the name of their table; their indexes under that of the table's.
_TABLES = """
SELECT coalesce(p.inhparent, c.oid)::regclass::text, sum(pg_table_size(c.oid))::int8
FROM pg_class c LEFT JOIN pg_inherits p ON p.inhrelid = c.oid
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' GROUP BY 1"""
_INDEXES = """
SELECT coalesce(t.inhparent, i.indrelid)::regclass::text, coalesce(p.inhparent, i.indexrelid)::regclass::text,
       sum(pg_relation_size(i.indexrelid))::int8
FROM pg_index i
JOIN pg_class c ON c.oid = i.indexrelid AND c.relnamespace = 'public'::regnamespace AND c.relkind = 'i'
LEFT JOIN pg_inherits p ON p.inhrelid = i.indexrelid
LEFT JOIN pg_inherits t ON t.inhrelid = i.indrelid
GROUP BY 1, 2"""
_WAL = "SELECT pg_current_wal_insert_lsn() - '0/0'"
_BUSY = "SELECT (SELECT count(*) FROM receipt_due) + (SELECT count(*) FROM outbox)"
_SESSIONS = """
SELECT application_name, count(*) FROM pg_stat_activity
WHERE datname = current_database() AND application_name LIKE 'coins %' AND application_name <> 'coins bench' GROUP BY 1"""


def sizes(bench: Bench) -> Sizes:
    """The growth of every table and index, of the WAL and of Valkey; and the memory and the sessions of each process."""
    system = bench.system()
    commands = system.workload.mixed(bench.commands, hot_share=HOT_SHARE)
    messages = one_by_one(commands, PARTITIONS)
    edge = connect(bench.redis_url, timeout_seconds=30.0)
    with psycopg.connect(bench.database_url, autocommit=True, application_name="coins bench") as database:
        _rest(database)
        database.execute("CHECKPOINT")
        before, wal, empty = _all(database), _one(database, _WAL), _memory(edge)
        told, after = system.outcomes.count(), system.outcomes.position()
        with system.held():
            say(f"  {len(commands):,} commands")
            system.publisher.send_raw(messages)
            waiting = _memory(edge) - empty
        system.await_outcomes(told + len(commands))
        system.verify((one.id for one in commands), after)
        _rest(database)
        wal = _one(database, _WAL) - wal
        # What only passes through leaves room behind that is used again; it is no growth.
        database.execute("VACUUM outbox, touched, receipt_due")
        grown = {name: size - before.get(name, 0) for name, size in _all(database).items()}
        return Sizes(
            commands=len(commands),
            left={name: size for name, size in sorted(grown.items(), key=lambda one: -one[1]) if size > 0},
            wal=wal,
            waiting=waiting,
            told=_memory(edge) - empty,
            memory={name: psutil.Process(pid).memory_info().rss for name, pid in bench.processes().items()},
            sessions=dict(database.execute(_SESSIONS).fetchall()),
        )


def _rest(database: psycopg.Connection[Any]) -> None:
    """Wait until jobs have done what the commands asked for. Raises FigureFailed."""
    deadline = time.monotonic() + REST_SECONDS
    while left := _one(database, _BUSY):
        if time.monotonic() > deadline:
            raise FigureFailed(f"{left:,} receipts and rows of the outbox are left after {REST_SECONDS:g} s")
        time.sleep(0.2)


def _all(database: psycopg.Connection[Any]) -> Mapping[Left, int]:
    tables = {Left(table): size for table, size in database.execute(_TABLES)}
    indexes = {Left(table, index): size for table, index, size in database.execute(_INDEXES)}
    return tables | indexes


def _one(database: psycopg.Connection[Any], query: str) -> int:
    row = database.execute(query.encode()).fetchone()
    assert row is not None
    return int(row[0])


def _memory(edge: redis.Redis) -> int:
    found: Any = edge.info("memory")
    return int(found["used_memory"])
