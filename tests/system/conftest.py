"""One whole system (worker, relay, scheduler and servers as processes) for the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from deploy.embedded import EmbeddedServers
from tests.rabbitmq import virtual_host
from tests.system.site import JOBS, RELAY, SCHEDULER, WORKER, Site, embedded, site_on

REDIS, ON_RABBITMQ = "redis", "rabbitmq"


@pytest.fixture(scope="module")
def both_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServers]:
    with embedded(tmp_path_factory.mktemp("servers"), durable=False) as both:
        yield both


@pytest.fixture(scope="module")
def site(both_servers: EmbeddedServers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """It runs, and nobody stops it. Its edge is Redis'."""
    with running(both_servers, tmp_path_factory, REDIS) as made:
        yield made


@pytest.fixture(scope="module", params=[REDIS, pytest.param(ON_RABBITMQ, marks=pytest.mark.rabbitmq)])
def any_site(
    request: pytest.FixtureRequest, both_servers: EmbeddedServers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """As `site`, on each edge in turn."""
    with running(both_servers, tmp_path_factory, request.param) as made:
        yield made


@contextmanager
def running(both: EmbeddedServers, directories: pytest.TempPathFactory, edge: str) -> Iterator[Site]:
    with ExitStack() as stack:
        url = stack.enter_context(virtual_host()) if edge == ON_RABBITMQ else None
        made = stack.enter_context(site_on(both, directories.mktemp("site"), partitions=1, rabbitmq_url=url))
        made.start_all(WORKER, RELAY, JOBS, SCHEDULER)
        yield made
