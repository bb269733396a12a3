"""textbook: the same work as a Celery task per command, the way it is usually built (the tasks: `textbook_tasks.py`)."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Any

import psycopg

from deploy.bench.errors import FigureFailed
from deploy.bench.results import Rate
from deploy.bench.system import Bench
from deploy.supervisor import Child, say
from messages.publisher import connect

BROKER, DATABASE = "COINS_BENCH_BROKER", "COINS_BENCH_DATABASE"
ACCOUNTS = 10_000
PROCESSES = 8
SECONDS = 10.0
WARM_UP = 200
A_SECOND = 600  # about what two cores do; where it is done sooner, that is when the clock stops
START_SECONDS = 60.0
POLL_SECONDS = 0.05
WORKER = "textbook"
QUEUE = "yard-textbook"

_DROP = "DROP TABLE IF EXISTS yard_book_key, yard_book_entry, yard_book_transaction, yard_book_account"
_CREATE = """
CREATE TABLE yard_book_account (id bigint PRIMARY KEY, credit bigint NOT NULL CHECK (credit >= 0));
CREATE TABLE yard_book_key (
  source text, id text, fingerprint bytea, transaction bigint, outcome text, PRIMARY KEY (source, id));
CREATE TABLE yard_book_transaction (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, time timestamptz DEFAULT now(), type text, account bigint);
CREATE TABLE yard_book_entry (
  transaction bigint, account bigint, amount bigint, balance bigint);
CREATE INDEX ON yard_book_entry (transaction);
CREATE INDEX ON yard_book_entry (account, transaction)"""
_FUND = "INSERT INTO yard_book_account SELECT n, 1000000000 FROM generate_series(0, %s - 1) AS n"
_DONE = "SELECT count(*) FROM yard_book_key"


def textbook(bench: Bench) -> Rate:
    """Commands a second over ten seconds, from a full queue."""
    broker = bench.redis_url.replace("unix://", "redis+socket://")
    tasks = min(int(A_SECOND * (SECONDS + 1)), max(WARM_UP + 1, bench.commands))
    with psycopg.connect(bench.database_url, autocommit=True) as connection:
        connection.execute(_DROP)
        connection.execute(_CREATE)
        connection.execute(_FUND, (ACCOUNTS,))
        with contextlib.ExitStack() as stack:
            stack.callback(connection.execute, _DROP)
            stack.enter_context(_usual_broker(bench.redis_url))
            environment = {BROKER: broker, DATABASE: bench.database_url}
            sender = _python("deploy.bench.textbook_tasks", str(tasks))
            bench.supervisor.run_once(Child(f"{WORKER}-send", sender, environment))
            say(f"  {tasks:,} tasks are queued")
            bench.supervisor.add(Child(WORKER, _worker(), environment))
            stack.callback(bench.supervisor.end, WORKER)
            bench.supervisor.wait_ready(START_SECONDS, WORKER)
            return Rate(_rate(connection, tasks))


@contextlib.contextmanager
def _usual_broker(redis_url: str) -> Iterator[None]:
    """Celery's broker as it is usually run: it would pay for a disk that remembers every step of every task."""
    client = connect(redis_url)
    client.config_set("appendfsync", "everysec")
    try:
        yield
    finally:
        client.delete(QUEUE)
        client.config_set("appendfsync", "always")
        client.close()


def _rate(connection: psycopg.Connection[Any], tasks: int) -> float:
    """Counted while the queue is full, after the first tasks, so that no start-up counts."""
    first = _await(connection, WARM_UP, time.perf_counter() + START_SECONDS)
    if first < WARM_UP:
        raise FigureFailed(f"only {first:,} tasks were done within {START_SECONDS:g} s")
    began = time.perf_counter()
    done = _await(connection, tasks, began + SECONDS)
    return (done - first) / (time.perf_counter() - began)


def _await(connection: psycopg.Connection[Any], count: int, deadline: float) -> int:
    """How many are done once there are so many, or at the deadline."""
    while True:
        row = connection.execute(_DONE).fetchone()
        done = int(row[0]) if row else 0
        if done >= count or time.perf_counter() >= deadline:
            return done
        time.sleep(min(POLL_SECONDS, max(0.0, deadline - time.perf_counter())))


def _worker() -> tuple[str, ...]:
    """A prefork pool: more processes than cores, as each waits for the disk most of its time."""
    app = ("celery", "-A", "deploy.bench.textbook_tasks", "worker", "-P", "prefork", "-c", str(PROCESSES))
    return _python(*app, "-l", "WARNING", "--without-gossip", "--without-mingle", "--without-heartbeat")


def _python(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-P", "-m", *arguments)
