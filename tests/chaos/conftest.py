"""Servers that keep what they have acknowledged, and a system on them for each test: on Redis' edge, or on each in turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from deploy.embedded import EmbeddedServers
from tests.rabbitmq import empty, virtual_host
from tests.system.site import Site, embedded, site_on


@pytest.fixture(scope="module")
def durable_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServers]:
    with embedded(tmp_path_factory.mktemp("durable"), durable=True) as both:
        yield both


@pytest.fixture
def open_site(durable_servers: EmbeddedServers, tmp_path: Path) -> Iterator[Callable[[int], Site]]:
    """Makes the test's system, for so many partitions."""
    with ExitStack() as stack:
        yield lambda partitions: stack.enter_context(
            site_on(durable_servers, tmp_path / "site", partitions=partitions)
        )


@pytest.fixture
def site(open_site: Callable[[int], Site]) -> Site:
    """A system with one partition."""
    return open_site(1)


@pytest.fixture(scope="module")
def rabbitmq_host() -> Iterator[str]:
    """A virtual host for the module: making one takes a second or two."""
    with virtual_host() as url:
        yield url


@pytest.fixture
def open_site_on_rabbitmq(
    rabbitmq_host: str, durable_servers: EmbeddedServers, tmp_path: Path
) -> Iterator[Callable[[int], Site]]:
    """As `open_site`, with its edge on RabbitMQ."""
    with ExitStack() as stack:
        stack.callback(empty, rabbitmq_host)
        yield lambda partitions: stack.enter_context(
            site_on(durable_servers, tmp_path / "site", partitions=partitions, rabbitmq_url=rabbitmq_host)
        )


@pytest.fixture(params=["open_site", pytest.param("open_site_on_rabbitmq", marks=pytest.mark.rabbitmq)])
def open_any_site(request: pytest.FixtureRequest) -> Callable[[int], Site]:
    """As `open_site`, on each edge in turn."""
    opened: Callable[[int], Site] = request.getfixturevalue(request.param)
    return opened


@pytest.fixture
def any_site(open_any_site: Callable[[int], Site]) -> Site:
    """As `site`, on each edge in turn."""
    return open_any_site(1)
