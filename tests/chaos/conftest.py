"""Servers that keep what they have acknowledged, and a system on them for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from deploy.embedded import EmbeddedServers
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
