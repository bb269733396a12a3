"""One PostgreSQL and one Valkey for a module, a fresh database and an empty edge for each test, all in this process.

For readers of RabbitMQ a virtual host for a module, and producers of each test's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from deploy.embedded import EmbeddedServers
from tests.rabbitmq import virtual_host
from tests.system.site import Site, embedded, site_on
from tests.workers.consuming import Host, known
from workers.queues import QueueReader

_numbers = count(1)


@pytest.fixture(scope="module")
def light_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServers]:
    with embedded(tmp_path_factory.mktemp("light"), durable=False) as both:
        yield both


@pytest.fixture
def site(light_servers: EmbeddedServers, tmp_path: Path) -> Iterator[Site]:
    with site_on(light_servers, tmp_path / "site", partitions=3) as made:
        yield made


@pytest.fixture(scope="module")
def shared_host() -> Iterator[Host]:
    with virtual_host() as url:
        host = Host(url)
        yield host
        host.close()


@pytest.fixture
def host(shared_host: Host) -> Host:
    shared_host.purge()
    return shared_host


@pytest.fixture
def shop(host: Host) -> str:
    """A producer of this test alone, with a queue of its own."""
    name = f"shop-{next(_numbers)}"
    host.declare(known(name))
    return name


@pytest.fixture
def new() -> str:
    """A producer of this test alone, for whom nothing is declared."""
    return f"new-{next(_numbers)}"


@pytest.fixture
def open_reader(host: Host) -> Iterator[Callable[..., QueueReader]]:
    """A reader that has begun, of partition 0 unless told otherwise, for producers of these names."""
    made: list[QueueReader] = []

    def opened(*names: str, url: str = host.url, partition: int = 0, partitions: int = 1) -> QueueReader:
        reader = QueueReader(url, partition, partitions, producers=known(*names) if names else None)
        made.append(reader)
        reader.begin({})
        return reader

    yield opened
    for reader in made:
        reader.close()
