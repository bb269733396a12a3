"""Connections that are neither dead nor alive: nothing comes through, and nobody says so."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from deploy.embedded import short_address
from messages.streams import partition_of
from tests.chaos.load import Load
from tests.chaos.proxy import Proxy
from tests.chaos.reckoning import demand_all_is_well
from tests.rabbitmq import server_address, through
from tests.system.listening import Listener
from tests.system.site import RELAY, WORKER, Program, Site, until

pytestmark = pytest.mark.system
SEED = 20_271
PRODUCERS = ["north", "south", "east", "west"]
# Whose batch hangs tells for six seconds that it lives, and is gone for the others after four more; so is its lease by then.
TAKEN_OVER_SECONDS = 18.0


@pytest.fixture
def site(open_any_site: Callable[[int], Site]) -> Site:
    """On each edge in turn, with two partitions."""
    return open_any_site(2)


@pytest.fixture
def database(site: Site) -> Iterator[Proxy]:
    socket = short_address(site.servers.postgres.data_dir) / "postgres" / ".s.PGSQL.5432"
    with Proxy(socket, ["worker"], postgres=True) as made:
        yield made
        site.end()


def behind(site: Site, database: Proxy) -> Program:
    url = f"postgresql://coinworks@127.0.0.1:{database.ports['worker']}/{site.database}"
    return site.start(*WORKER, DATABASE_URL=url)


def test_a_worker_that_only_its_batches_hang_in_is_stood_in_for(site: Site, database: Proxy) -> None:
    """It goes on telling that it lives, and has its share: its partition must not wait for it all the same."""
    hung, healthy = behind(site, database), site.start(*WORKER)
    site.start(*RELAY)
    with Listener(site.edge_url, PRODUCERS) as listener:
        with Load(site.edge_url, seed=SEED, producers=PRODUCERS, partitions=2) as load:
            until(lambda: len(listener.heard) > 200, 20, site.logs)
            until(lambda: {one.pid for one in owners(site)} == {hung.pid, healthy.pid}, 10, site.logs)
            began = time.monotonic()
            database.hold_up("worker", "coins worker")
            until(lambda: not any(one is hung for one in owners(site)), 5, site.logs)
            until(lambda: [one is healthy for one in owners(site)].count(True) == 1, 5, site.logs)
            mine = next(n for n in (0, 1) if site.owner_of(n) is not healthy)
            until(lambda: site.owner_of(mine) is healthy, TAKEN_OVER_SECONDS, site.logs)
            print(f"stood in for after {time.monotonic() - began:.1f} s")  # noqa: T201
            # On RabbitMQ only after the one that hangs has let go of the queue.
            theirs = [name for name in PRODUCERS if partition_of(name, 2) == mine]
            before = sum(map(listener.count, theirs))
            until(lambda: sum(map(listener.count, theirs)) > before, 5, site.logs)
            database.let_through("worker", "coins worker")
        demand_all_is_well(site, load, listener)


@pytest.mark.rabbitmq
def test_connections_to_rabbitmq_that_are_cut_or_say_nothing_lose_and_double_nothing(
    open_site_on_rabbitmq: Callable[[int], Site],
) -> None:
    """The worker's, in the middle of what it was given; the relay's, in the middle of what it publishes; the producers'."""
    site = open_site_on_rabbitmq(1)
    assert site.rabbitmq_url is not None
    with Proxy(server_address(), ["worker", "relay", "producers"]) as edge:
        urls = {role: through(site.rabbitmq_url, port) for role, port in edge.ports.items()}
        site.start(*WORKER, EDGE_URL=urls["worker"])
        site.start(*RELAY, EDGE_URL=urls["relay"])
        with Listener(site.edge_url, PRODUCERS) as listener:
            with Load(urls["producers"], seed=SEED + 1, producers=PRODUCERS, at_once=30) as load:
                until(lambda: len(listener.heard) > 200, 20, site.logs)
                for role in ("worker", "relay", "worker", "producers", "relay"):
                    edge.cut(role)
                    more_comes(site, listener)
                edge.hold_up("worker")
                load.run_for(3.0)
                edge.let_through("worker")
                more_comes(site, listener)
            demand_all_is_well(site, load, listener, faults=3)
        site.end()


def more_comes(site: Site, listener: Listener) -> None:
    before = len(listener.heard)
    until(lambda: len(listener.heard) > before + 50, 15, site.logs)


def owners(site: Site) -> list[Program]:
    found = (site.owner_of(0), site.owner_of(1))
    return [one for one in found if one is not None]
