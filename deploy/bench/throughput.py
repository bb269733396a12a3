"""singles, bulk, hot, even: how many commands a second, from a full edge until every outcome can be read."""

from __future__ import annotations

import time

from deploy.bench.results import Rate
from deploy.bench.system import PARTITIONS, Bench, System
from deploy.bench.workload import Built, in_arrays, one_by_one
from deploy.supervisor import say
from messages.publisher import Message

HOT_SHARE = 0.1
ARRAY = 500


def singles(bench: Bench) -> Rate:
    """One command a message, a tenth of them on one account."""
    system = bench.system()
    commands = system.workload.mixed(bench.commands, hot_share=HOT_SHARE)
    return _from_a_full_edge(bench, commands, one_by_one(commands, PARTITIONS))


def rabbitmq(bench: Bench) -> Rate:
    """As singles, through RabbitMQ."""
    with bench.on_rabbitmq() as system:
        commands = system.workload.mixed(bench.commands, hot_share=HOT_SHARE)
        return _from_a_full_edge_of(bench, system, commands, one_by_one(commands, PARTITIONS))


def bulk(bench: Bench) -> Rate:
    """The same in arrays of 500."""
    system = bench.system()
    commands = system.workload.mixed(bench.commands, hot_share=HOT_SHARE)
    return _from_a_full_edge(bench, commands, in_arrays(commands, PARTITIONS, ARRAY))


def hot(bench: Bench) -> Rate:
    """All on one account, in one partition."""
    system = bench.system()
    commands = system.workload.mixed(bench.commands // 2, hot_share=1.0)
    return _from_a_full_edge(bench, commands, one_by_one(commands, 1))


def even(bench: Bench) -> Rate:
    """No account more than another, in one partition."""
    system = bench.system()
    commands = system.workload.mixed(bench.commands // 2, hot_share=0.0)
    return _from_a_full_edge(bench, commands, one_by_one(commands, 1))


def _from_a_full_edge(bench: Bench, commands: list[Built], messages: list[Message]) -> Rate:
    return _from_a_full_edge_of(bench, bench.system(), commands, messages)


def _from_a_full_edge_of(
    bench: Bench, system: System, commands: list[Built], messages: list[Message]
) -> Rate:
    before, after = system.outcomes.count(), system.outcomes.position()
    with system.held():
        say(f"  {len(commands):,} commands in {len(messages):,} messages")
        system.publisher.send_raw(messages)
    meter = bench.cpu_meter()
    began = time.perf_counter()
    ended = system.await_outcomes(before + len(commands))
    each = (f"{part} {spent / len(commands) * 1e6:.0f}" for part, spent in meter.spent().items())
    say(f"  {ended - began:.2f} s; processor time in µs a command: {', '.join(each)}")
    system.verify((one.id for one in commands), after)
    return Rate(len(commands) / (ended - began))
