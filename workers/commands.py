"""The actor that decides batches of commands, and the process it runs in."""

from __future__ import annotations

import gc
import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import dramatiq
import psycopg
import structlog
from structlog.contextvars import bind_contextvars, clear_contextvars

from ledger.batch import Batch, Handled, Stage
from ledger.database import connect_for_commands
from ledger.errors import BatchRaced
from ledger.faults import Fault, classify
from ledger.handle import handle
from messages.publisher import check_url
from workers.broker import CoinsBroker, command_queue, has_its_threads
from workers.counts import CommandCounts
from workers.edge import ACTOR, EdgeBatch
from workers.metrics import counting
from workers.process import Process
from workers.producers import producers_of
from workers.settings import Settings

RACES = 6
STOP_MILLISECONDS = 8_000

log = structlog.get_logger(__name__)


def declare(broker: dramatiq.Broker, connections: Connections, counts: CommandCounts) -> Any:
    """The actor `apply_commands`: only a committed transaction is done."""

    @dramatiq.actor(broker=broker, actor_name=ACTOR, queue_name=command_queue(0))
    def apply_commands(batch: EdgeBatch) -> None:
        # Until the thread's next batch every line speaks of this one, dramatiq's own about it as well.
        clear_contextvars()
        bind_contextvars(partition=batch.batch.partition, epoch=batch.batch.epoch)
        connection = connections.mine()
        try:
            handled = apply(connection, batch.batch, raced=counts.raced)
        except BaseException:
            connections.give_up()
            counts.failed()
            raise
        batch.committed = True
        counts.committed(batch.batch, handled)
        log.debug("batch", commands=handled.commands, dead_letters=handled.dead_letters)

    return apply_commands


def apply(
    connection: psycopg.Connection[Any],
    batch: Batch,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    raced: Callable[[], None] = lambda: None,
) -> Handled:
    """Handle the batch and commit. A lost race is run again; everything else is raised, with nothing done."""
    for race in range(RACES):
        # What comes back every time is no race: in the last run the command at fault is looked for.
        batch.persistent = race == RACES - 1
        try:
            handled = handle(connection, batch, clock())
            connection.commit()
            handled.lap(Stage.COMMIT)
        except (BatchRaced, psycopg.Error) as error:
            connection.rollback()
            if isinstance(error, psycopg.Error) and classify(error) is not Fault.RACE:
                raise
            raced()
            log.info("batch raced, running it again", race=race, why=str(error).splitlines()[0])
            time.sleep(random.uniform(0, 0.02 * 2**race))
        else:
            return handled
    raise BatchRaced(f"{batch!r} lost {RACES} races in a row")


class Connections:
    """A session for each worker thread, made anew after any failure."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._local = threading.local()
        self._all: list[psycopg.Connection[Any]] = []

    def mine(self) -> psycopg.Connection[Any]:
        connection: psycopg.Connection[Any] | None = getattr(self._local, "connection", None)
        if connection is None or connection.closed:
            connection = self._local.connection = connect_for_commands(self._url, name="worker")
            self._all = [*(one for one in self._all if not one.closed), connection]
        return connection

    def give_up(self) -> None:
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
        self._local.connection = None

    def close(self) -> None:
        """Close the sessions of threads that have ended."""
        for connection in self._all:
            connection.close()


def run(settings: Settings) -> None:
    """The process `coins worker commands`: takes partitions and applies their commands until it is told to stop."""
    # A batch is thousands of objects that all go away with it: looking for cycles among them is a tenth of its time.
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    producers = producers_of(settings)
    check_url(settings.edge)  # one that is none is no reason to wait
    with (
        counting(settings) as registry,
        Process("worker", settings.database, partitions=settings.partitions) as process,
    ):
        broker = CoinsBroker(settings, owner=process.name, producers=producers)
        process.hangs = broker.hangs
        connections = Connections(settings.database)
        declare(broker, connections, CommandCounts(registry))
        worker = dramatiq.Worker(broker, worker_threads=min(settings.partitions, 4), worker_timeout=100)
        for partition in range(1, settings.partitions):
            broker.declare_queue(command_queue(partition))
        worker.start()
        process.whole = lambda: has_its_threads(worker)
        process.ready()
        process.stopping.wait()
        log.info("stopping")
        worker.stop(STOP_MILLISECONDS)
        broker.close()
        connections.close()
