"""latency: from publishing a command to reading its outcome, on a system that has little to do."""

from __future__ import annotations

import threading
import time

import orjson

from deploy.bench.results import Latency
from deploy.bench.system import PARTITIONS, Bench, System
from deploy.bench.workload import Built, one_by_one
from messages.errors import EdgeUnavailable

A_SECOND = 200
SECONDS = 10
WARM_UP = A_SECOND
GIVE_UP_SECONDS = 10.0


def latency(bench: Bench) -> Latency:
    """200 commands a second for ten seconds, after one second that is not counted."""
    return _latency_of(bench.system())


def rabbitmq(bench: Bench) -> Latency:
    """The same through RabbitMQ."""
    with bench.on_rabbitmq() as system:
        return _latency_of(system)


def _latency_of(system: System) -> Latency:
    time.sleep(1.0)  # what was measured before is to be over
    commands = system.workload.mixed(WARM_UP + SECONDS * A_SECOND, hot_share=0.1)
    after = system.outcomes.position()
    due = _Due(time.perf_counter() + 0.1)
    publisher = threading.Thread(target=_publish, args=(system, commands, due), daemon=True)
    publisher.start()
    seen = _read(system, len(commands), after)
    publisher.join()
    system.verify((one.id for one in commands), after)
    waited = sorted(
        (seen[one.id] - due.at(number)) * 1000 for number, one in enumerate(commands[WARM_UP:], WARM_UP)
    )
    return Latency(percentile(waited, 0.50), percentile(waited, 0.99))


def percentile(ordered: list[float], share: float) -> float:
    """The value below which that share lies."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class _Due:
    """When each command is to be published. Counted from there, so that a late publisher hides nothing."""

    def __init__(self, began: float) -> None:
        self._began = began

    def at(self, number: int) -> float:
        return self._began + number / A_SECOND


def _publish(system: System, commands: list[Built], due: _Due) -> None:
    """Each when it is due; what has become due while an earlier one was being written goes together."""
    messages = one_by_one(commands, PARTITIONS)
    sent = 0
    while sent < len(messages):
        now = time.perf_counter()
        ready = sent
        while ready < len(messages) and due.at(ready) <= now:
            ready += 1
        if ready == sent:
            time.sleep(due.at(sent) - now)
            continue
        try:
            system.publisher.send_raw(messages[sent:ready])
        except EdgeUnavailable:
            return  # the reader misses it
        sent = ready


def _read(system: System, count: int, after: str) -> dict[str, float]:
    """When the outcome of each command was read."""
    seen: dict[str, float] = {}
    for outcome in system.outcomes.follow(after, GIVE_UP_SECONDS):
        seen[orjson.loads(outcome)["causationid"]] = time.perf_counter()
        if len(seen) == count:
            break
    return seen
