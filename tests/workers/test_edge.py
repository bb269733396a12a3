"""An actor may fail in every way it likes: nothing is lost, and a good one applies everything once."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import dramatiq
import psycopg
import pytest
from prometheus_client import CollectorRegistry

from ledger.handle import handle
from tests.system.site import Site, until
from workers.broker import CoinsBroker, command_queue
from workers.commands import Connections, declare
from workers.counts import CommandCounts
from workers.edge import ACTOR, EdgeBatch
from workers.settings import Settings

STREAM = "coins:commands:0:shop"
Failure = Callable[[Connections, EdgeBatch], None]


class Wrong(Exception):
    """What a failing actor raises."""


class Sessions(Connections):
    """The product's sessions, one a thread, that can be closed when the threads are gone."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._made: list[psycopg.Connection[Any]] = []

    def mine(self) -> psycopg.Connection[Any]:
        connection = super().mine()
        if connection not in self._made:
            self._made.append(connection)
        return connection

    def close(self) -> None:
        for connection in self._made:
            connection.close()


class Interruption(BaseException):
    """As KeyboardInterrupt: no Exception."""


def raises_before_handling(connections: Connections, batch: EdgeBatch) -> None:
    raise Wrong


def raises_before_commit(connections: Connections, batch: EdgeBatch) -> None:
    handle(connections.mine(), batch.batch, datetime.now(UTC))
    connections.give_up()
    raise Wrong


def leaves_its_transaction_open_and_raises(connections: Connections, batch: EdgeBatch) -> None:
    connection = connections.mine()
    handle(connection, batch.batch, datetime.now(UTC))
    connection.rollback()
    raise Wrong


def raises_after_commit(connections: Connections, batch: EdgeBatch) -> None:
    connection = connections.mine()
    handle(connection, batch.batch, datetime.now(UTC))
    connection.commit()
    raise Wrong


def exits(connections: Connections, batch: EdgeBatch) -> None:
    raise SystemExit(1)


def is_interrupted(connections: Connections, batch: EdgeBatch) -> None:
    raise Interruption


def returns_without_committing(connections: Connections, batch: EdgeBatch) -> None:
    handle(connections.mine(), batch.batch, datetime.now(UTC))
    connections.give_up()


def returns_without_doing_anything(connections: Connections, batch: EdgeBatch) -> None:
    return


def blocks_and_raises(connections: Connections, batch: EdgeBatch) -> None:
    time.sleep(4)  # longer than the lease lasts
    raise Wrong


def loses_its_connection(connections: Connections, batch: EdgeBatch) -> None:
    connection = connections.mine()
    handle(connection, batch.batch, datetime.now(UTC))
    connection.close()
    connection.commit()


FAILURES: list[Failure] = [
    raises_before_handling,
    raises_before_commit,
    leaves_its_transaction_open_and_raises,
    raises_after_commit,
    exits,
    is_interrupted,
    returns_without_committing,
    returns_without_doing_anything,
    blocks_and_raises,
    loses_its_connection,
]


@contextmanager
def worker(site: Site, failure: Failure | None = None, failing_batches: int = 2) -> Iterator[list[str]]:
    """A worker with the product's consumer. Its actor fails for some batches and then works; or it is the real one."""
    settings = Settings(database_url=site.database_url, redis_url=site.edge_url, partitions=1)
    broker = CoinsBroker(settings, owner=f"test:{threading.get_ident()}:{time.monotonic_ns()}")
    connections = Sessions(site.database_url)
    failed: list[str] = []
    if failure is None:
        declare(broker, connections, CommandCounts(CollectorRegistry()))
    else:
        declare_failing(broker, connections, failure, failing_batches, failed)
    running = dramatiq.Worker(broker, worker_threads=1, worker_timeout=100)
    running.start()
    try:
        yield failed
    finally:
        running.stop(8_000)
        broker.close()
        connections.close()


def declare_failing(
    broker: dramatiq.Broker, connections: Connections, failure: Failure, times: int, failed: list[str]
) -> None:
    @dramatiq.actor(broker=broker, actor_name=ACTOR, queue_name=command_queue(0))
    def fails(batch: EdgeBatch) -> None:
        if len(failed) < times:
            failed.append(repr(batch))
            failure(connections, batch)
            return
        connection = connections.mine()
        try:
            handle(connection, batch.batch, datetime.now(UTC))
            connection.commit()
        except BaseException:
            connections.give_up()
            raise
        batch.committed = True


def event(number: int, type_: str, **data: object) -> bytes:
    return json.dumps(
        {
            "specversion": "1.0",
            "id": f"{number}",
            "source": "shop",
            "type": f"coins.{type_}.v1",
            "data": data,
        }
    ).encode()


def publish(site: Site, *bodies: bytes) -> None:
    with site.edge() as edge:
        for body in bodies:
            edge.xadd(STREAM, {"event": body})


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("failure", FAILURES, ids=lambda one: one.__name__)
def test_nothing_is_lost_or_doubled_by_an_actor_that(site: Site, failure: Failure) -> None:
    # Given commands, and an actor that fails twice
    opening = event(0, "OpenAccount", account="shop", parent="platform", kind="enterprise", name="Shop")
    publish(site, opening, *(event(number, "TopUp", account="shop", amount=1) for number in range(1, 101)))

    # When it has failed and works again
    with worker(site, failure) as failed:
        until(lambda: credit(site) == 100, 25)
        assert len(failed) == 2

    # Then everything is applied once, in order
    assert site.value("SELECT count(*) FROM command") == 101
    assert site.value("SELECT count(*) FROM entry WHERE account > 0") == 100
    assert site.value("SELECT count(*) FROM dead_letter") == 0


@pytest.mark.parametrize("failure", [exits, returns_without_committing], ids=lambda one: one.__name__)
def test_a_good_worker_finishes_what_a_failing_one_never_does(site: Site, failure: Failure) -> None:
    opening = event(0, "OpenAccount", account="shop", parent="platform", kind="enterprise", name="Shop")
    publish(site, opening, *(event(number, "TopUp", account="shop", amount=1) for number in range(1, 31)))
    with worker(site, failure, failing_batches=10_000) as failed:
        until(lambda: len(failed) >= 2, 10)
    with worker(site):
        publish(site, event(31, "TopUp", account="shop", amount=1))
        until(lambda: credit(site) == 31, 10)
    assert site.value("SELECT count(*) FROM entry WHERE account > 0") == 31


def test_what_is_committed_leaves_the_edge(site: Site) -> None:
    publish(site, event(0, "OpenAccount", account="shop", parent="platform", kind="enterprise", name="Shop"))
    with worker(site), site.edge() as edge:
        until(lambda: credit(site) == 0, 10)
        until(lambda: edge.xlen(STREAM) == 0, 5)


def test_what_is_not_committed_stays_on_the_edge(site: Site) -> None:
    publish(site, event(0, "OpenAccount", account="shop", parent="platform", kind="enterprise", name="Shop"))
    with worker(site, returns_without_doing_anything, failing_batches=10_000) as failed, site.edge() as edge:
        until(lambda: len(failed) >= 3, 10)
        assert edge.xlen(STREAM) == 1
    assert site.rows("SELECT position FROM position WHERE stream = %s", STREAM) == []


def test_a_batch_shows_little_of_itself_in_logs(site: Site) -> None:
    publish(site, *(event(number, "TopUp", account="shop", amount=1) for number in range(200)))
    with worker(site, raises_before_handling) as failed:
        until(lambda: failed, 10)
    assert len(failed[0]) < 100


def credit(site: Site) -> int | None:
    found: int | None = site.value("SELECT credit FROM account WHERE account = 'shop'")
    return found
