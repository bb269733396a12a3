"""One PostgreSQL and one Valkey for a module, a fresh database and an empty edge for each test, all in this process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.embedded import EmbeddedServers
from tests.system.site import Site, embedded, site_on


@pytest.fixture(scope="module")
def light_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServers]:
    with embedded(tmp_path_factory.mktemp("light"), durable=False) as both:
        yield both


@pytest.fixture
def site(light_servers: EmbeddedServers, tmp_path: Path) -> Iterator[Site]:
    with site_on(light_servers, tmp_path / "site", partitions=3) as made:
        yield made
