"""When a command came in, as far as its edge says so."""

from __future__ import annotations

import time
from typing import Any

import amqp
import pytest

from workers.from_queues import arrived_at as arrived_by_queue
from workers.lag import arrived_at

NOW = int(time.time())


def test_the_id_of_an_entry_is_when_it_came() -> None:
    assert arrived_at("1700000000123-4") == 1_700_000_000.123


@pytest.mark.parametrize("made_up", ["5-1", f"{2**64 - 1}-0", f"{(NOW + 86_400) * 1000}-0"])
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
