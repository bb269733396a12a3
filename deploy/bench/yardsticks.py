"""copy_limit and pgbench: what the same PostgreSQL does when asked for nothing but rows."""

from __future__ import annotations

import multiprocessing
import random
import re
import signal
import struct
import subprocess
import time
from multiprocessing.synchronize import Barrier
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from deploy.bench.errors import FigureFailed
from deploy.bench.results import Rate
from deploy.bench.system import Bench
from deploy.supervisor import say

CONNECTIONS = 2
COMMANDS_A_TRANSACTION = 500
ACCOUNTS = 10_000
OUTCOME = b"x" * 200
BARRIER_SECONDS = 60.0

_DROP = "DROP TABLE IF EXISTS yard_key, yard_transaction, yard_entry"
_CREATE = """
CREATE TABLE yard_key (
  source text, id text, fingerprint bytea, transaction bigint, outcome text, PRIMARY KEY (source, id));
CREATE TABLE yard_transaction (
  id bigint PRIMARY KEY, time timestamptz, type text, account bigint, command_source text, command_id text);
CREATE TABLE yard_entry (
  transaction bigint, account bigint, version bigint, amount bigint, balance bigint, UNIQUE (account, version))"""
_COPIES = tuple(
    f"COPY {table} FROM STDIN (FORMAT binary)" for table in ("yard_key", "yard_transaction", "yard_entry")
)
_HEADER = b"PGCOPY\n\xff\r\n\0" + struct.pack("!ii", 0, 0)
_TRAILER = struct.pack("!h", -1)
_MICROSECONDS = 850_000_000_000_000  # a moment in 2026, counted from 2000

_barrier: Barrier | None = None


def copy_limit(bench: Bench) -> Rate:
    """Binary COPY, by two processes, of a fixed set of rows for each command. Two thirds of a second and more."""
    each = bench.commands // CONNECTIONS // COMMANDS_A_TRANSACTION * COMMANDS_A_TRANSACTION
    each = max(COMMANDS_A_TRANSACTION, each)
    with psycopg.connect(bench.database_url, autocommit=True) as connection:
        connection.execute(_DROP)
        connection.execute(_CREATE)
        try:
            spans = _copy_side_by_side(bench.database_url, each)
        finally:
            connection.execute(_DROP)
    took = max(ended for _, ended in spans) - min(began for began, _ in spans)
    return Rate(CONNECTIONS * each / took)


def _copy_side_by_side(database_url: str, each: int) -> list[tuple[float, float]]:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(CONNECTIONS)
    with context.Pool(CONNECTIONS, initializer=_begin, initargs=(barrier,)) as pool:
        tasks = [(database_url, number, each) for number in range(CONNECTIONS)]
        return pool.starmap(_copy, tasks, chunksize=1)


def _begin(barrier: Barrier) -> None:
    global _barrier
    _barrier = barrier
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one that started us ends us


def _copy(database_url: str, number: int, commands: int) -> tuple[float, float]:
    """When the copying began and ended, by the clock that processes share. The rows are ready by then."""
    assert _barrier is not None
    transactions = list(encoded_rows(number, commands))
    with psycopg.connect(database_url) as connection:
        _barrier.wait(BARRIER_SECONDS)
        began = time.monotonic()
        for buffers in transactions:
            for statement, buffer in zip(_COPIES, buffers, strict=True):
                with connection.cursor().copy(statement) as copy:
                    copy.write(buffer)
            connection.commit()
        return began, time.monotonic()


def encoded_rows(number: int, commands: int) -> list[tuple[bytes, bytes, bytes]]:
    """For each transaction what goes into the three tables. `number`: which connection's, for ids of its own."""
    chance = random.Random(number)
    encoded = []
    first = (number + 1) << 40
    for start in range(0, commands, COMMANDS_A_TRANSACTION):
        keys, transactions, entries = [], [], []
        for offset in range(COMMANDS_A_TRANSACTION):
            transaction = first + start + offset
            id_ = b"%032x" % chance.getrandbits(128)
            moment = struct.pack("!q", _MICROSECONDS + transaction)
            keys.append(_row(b"device-mgmt", id_, chance.randbytes(16), _int(transaction), OUTCOME))
            account = chance.randrange(ACCOUNTS)
            transactions.append(
                _row(_int(transaction), moment, b"onboarding", _int(account), b"device-mgmt", id_)
            )
            for party, amount in ((account, -10), (account + ACCOUNTS, 10)):
                entries.append(
                    _row(_int(transaction), _int(party), _int(transaction), _int(amount), _int(1_000_000))
                )
        encoded.append(
            (_whole(keys), _whole(transactions), _whole(entries)),
        )
    return encoded


def _int(value: int) -> bytes:
    return struct.pack("!q", value)


def _row(*fields: bytes) -> bytes:
    parts = [struct.pack("!h", len(fields))]
    for value in fields:
        parts += (struct.pack("!i", len(value)), value)
    return b"".join(parts)


def _whole(rows: list[bytes]) -> bytes:
    return _HEADER + b"".join(rows) + _TRAILER


PGBENCH_DATABASE = "yard_pgbench"
SCALE = 10
SECONDS = 10
_TPS = re.compile(r"tps = ([0-9.]+)")


def pgbench(bench: Bench) -> Rate:
    """TPC-B as it comes with PostgreSQL: prepared statements, eight clients, ten seconds."""
    program = bench.embedded.postgres.bin_dir / "pgbench"
    database = make_conninfo(bench.database_url, dbname=PGBENCH_DATABASE)
    with psycopg.connect(bench.database_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {PGBENCH_DATABASE}")
        try:
            _run(program, "-i", "-q", "-s", str(SCALE), database)
            say(f"  {SECONDS} s at scale {SCALE}")
            said = _run(program, "-M", "prepared", "-c", "8", "-j", "2", "-T", str(SECONDS), database)
        finally:
            connection.execute(f"DROP DATABASE {PGBENCH_DATABASE} WITH (FORCE)")
    found = _TPS.search(said)
    if found is None:
        raise FigureFailed(f"pgbench names no rate:\n{said}")
    return Rate(float(found[1]), "transactions/s")


def _run(program: Path, *arguments: str) -> str:
    done = subprocess.run([str(program), *arguments], capture_output=True, text=True, cwd="/")
    if done.returncode != 0:
        raise FigureFailed(f"pgbench failed ({done.returncode}): {done.stderr.strip()[-1000:]}")
    return done.stdout
