"""One whole system (worker, relay, scheduler and servers as processes) for the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import MACHINE
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


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What the verbs ask is tested on every server in `tests/ledger`; how they show it, on one."""
    here = Path(__file__).parent
    elsewhere = [
        item
        for item in items
        if item.path.is_relative_to(here)
        and getattr(item, "callspec", None) is not None
        and MACHINE in item.callspec.params.values()  # type: ignore[attr-defined]
    ]
    if elsewhere:
        config.hook.pytest_deselected(items=elsewhere)
        items[:] = [item for item in items if item not in elsewhere]
