"""The Celery application of `textbook`: a task for each command, a transaction for each task.

As a module it sends the tasks: `python -m deploy.bench.textbook_tasks COUNT`.
"""

from __future__ import annotations

import hashlib
import os
import random
import sys
from pathlib import Path
from typing import Any

import psycopg
from celery import Celery
from celery.signals import worker_process_init, worker_ready

from deploy.bench.textbook import ACCOUNTS, BROKER, DATABASE, QUEUE
from deploy.supervisor import READY_FILE

HOT_SHARE = 0.1
SOURCE = "device-mgmt"
OUTCOME = "x" * 200
REVENUE = -1

app = Celery("textbook", broker=os.environ.get(BROKER))
app.conf.update(
    task_ignore_result=True,
    task_acks_late=True,
    worker_prefetch_multiplier=16,
    task_default_queue=QUEUE,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
)

_connection: psycopg.Connection[Any] | None = None


@worker_process_init.connect  # type: ignore[untyped-decorator]
def connect(**_: Any) -> None:
    """A connection for each process, every statement prepared."""
    global _connection
    _connection = psycopg.connect(os.environ[DATABASE], autocommit=True)
    _connection.prepare_threshold = 0


@worker_ready.connect  # type: ignore[untyped-decorator]
def tell(**_: Any) -> None:
    Path(os.environ[READY_FILE]).touch()


@app.task(name="textbook.debit")  # type: ignore[untyped-decorator]
def debit(id_: str, account: int, amount: int) -> None:
    """Take coins from an account, once."""
    assert _connection is not None
    fingerprint = hashlib.blake2b(f"{account}:{amount}".encode(), digest_size=16).digest()
    with _connection.transaction():
        run = _connection.execute
        if run("SELECT outcome FROM yard_book_key WHERE source = %s AND id = %s", (SOURCE, id_)).fetchone():
            return
        locked = run("SELECT credit FROM yard_book_account WHERE id = %s FOR UPDATE", (account,)).fetchone()
        if locked is None or locked[0] < amount:
            return
        left = locked[0] - amount
        made = run(
            "INSERT INTO yard_book_transaction (type, account) VALUES ('onboarding', %s) RETURNING id",
            (account,),
        ).fetchone()
        assert made is not None
        run(
            "INSERT INTO yard_book_entry VALUES (%s, %s, %s, %s), (%s, %s, %s, NULL)",
            (made[0], account, -amount, left, made[0], REVENUE, amount),
        )
        run("UPDATE yard_book_account SET credit = %s WHERE id = %s", (left, account))
        run(
            "INSERT INTO yard_book_key VALUES (%s, %s, %s, %s, %s)",
            (SOURCE, id_, fingerprint, made[0], OUTCOME),
        )


def send(count: int) -> None:
    """Queue so many tasks, a tenth of them on one account."""
    chance = random.Random(count)
    with app.producer_pool.acquire(block=True) as producer:
        for _ in range(count):
            account = 0 if chance.random() < HOT_SHARE else chance.randrange(1, ACCOUNTS)
            debit.apply_async((f"{chance.getrandbits(128):032x}", account, 10), producer=producer)


if __name__ == "__main__":
    send(int(sys.argv[1]))
