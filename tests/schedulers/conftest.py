"""A system of the test's own for what runs as processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.embedded import EmbeddedServers
from tests.system.site import Site, embedded, site_on


@pytest.fixture(scope="module")
def both_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServers]:
    with embedded(tmp_path_factory.mktemp("schedulers"), durable=False) as both:
        yield both


@pytest.fixture
def site(both_servers: EmbeddedServers, tmp_path: Path) -> Iterator[Site]:
    with site_on(both_servers, tmp_path / "site", partitions=1) as made:
        yield made
