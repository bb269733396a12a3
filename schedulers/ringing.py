"""Knocks at workers for runs that nobody works on: new ones, and those whose owner is gone or whose message was lost."""

from __future__ import annotations

from typing import Any

import dramatiq
import psycopg

from workers.jobs import rows

ACTOR, QUEUE = "run_job", "jobs"


def ring(connection: psycopg.Connection[Any], broker: dramatiq.Broker) -> int:
    """One message a run. How many. Raises what the broker raises; then the rows are rung again some seconds later."""
    found = rows.to_ring(connection)
    for id_ in found:
        broker.enqueue(
            dramatiq.Message(queue_name=QUEUE, actor_name=ACTOR, args=(id_,), kwargs={}, options={})
        )
    return len(found)
