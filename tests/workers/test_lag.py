"""When a command came in, as far as its edge says so."""

from __future__ import annotations

import time
from typing import Any

import amqp
import pytest

from tests.system.site import Site
from workers.from_queues import arrived_at as arrived_by_queue
from workers.lag import arrived_at, behind_seconds

NOW = int(time.time())


def test_the_id_of_an_entry_is_when_it_came() -> None:
    assert arrived_at("1700000000123-4") == 1_700_000_000.123


def test_a_stream_that_has_begun_again_is_behind_from_its_start(site: Site) -> None:
    """It ends before what the ledger has read of that name."""
    arrived = (NOW - 100) * 1000
    with site.edge() as edge:
        edge.xadd(stream := "coins:commands:0:lagging", {"event": "{}"}, id=f"{arrived}-0")
        try:
            for position, is_behind in (
                (0, True),
                (arrived - 1, True),
                (arrived, False),
                (arrived + 1, True),
            ):
                found = behind_seconds(site.redis_url, {stream: f"{position}-0"}, partitions=2, common=False)
                assert (found[0] >= 100, found[1]) == (is_behind, 0)
        finally:
            edge.delete(stream)


@pytest.mark.parametrize(
    "made_up",
    ["5-1", f"{2**64 - 1}-0", f"{(NOW + 86_400) * 1000}-0"],
    ids=["long ago", "the last", "tomorrow"],
)
def test_an_id_that_a_producer_has_made_up_is_no_time(made_up: str) -> None:
    assert arrived_at(made_up) is None


@pytest.mark.parametrize(
    ("noted", "arrived"),
    [
        (
            {"application_headers": {"timestamp_in_ms": 1_700_000_000_123}, "timestamp": NOW},
            1_700_000_000.123,
        ),
        ({"timestamp": 1_700_000_000}, 1_700_000_001.0),
        ({"timestamp": 5}, None),
        ({}, None),
    ],
)
def test_a_message_came_when_the_server_or_its_producer_says(
    noted: dict[str, Any], arrived: float | None
) -> None:
    assert arrived_by_queue(amqp.Message(b"", **noted)) == arrived
