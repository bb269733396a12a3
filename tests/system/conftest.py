"""One whole system (worker, relay, scheduler and servers as processes) for the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.site import JOBS, RELAY, SCHEDULER, WORKER, Site, embedded, site_on


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """It runs, and nobody stops it."""
    directory = tmp_path_factory.mktemp("system")
    with (
        embedded(directory / "servers", durable=False) as both,
        site_on(both, directory / "site", partitions=1) as made,
    ):
        made.start_all(WORKER, RELAY, JOBS, SCHEDULER)
        yield made
