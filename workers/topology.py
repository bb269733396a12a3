"""What has to be declared on RabbitMQ: exchanges, a queue for each partition and producer, streams for events.

    coins.commands ──#──▸ coins.commands.route ──<producer>.<partition>──▸ queue coins.commands.<partition>.<producer>
        │                     └─ else ▸ coins.commands.others ──*.<partition>──▸ queue coins.commands.<partition>
        │                                   └─ else ▸ coins.commands.strays ──▸ queue coins.commands.0
        └─ with COINS_COMMANDS_KEEP ▸ stream coins.commands.kept

So every message that a producer may send arrives in a queue, also one of a producer without a queue of its own, or with a
routing key that is none.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

from amqp.exceptions import AccessRefused, NotFound, PreconditionFailed

from ledger.trust import Producers
from messages.rabbitmq import common_channel, stream_arguments
from messages.streams import (
    COMMANDS_EXCHANGE,
    EVENTS_EXCHANGE,
    SCHEDULER,
    commands_queue,
    outcomes_binding,
    outcomes_queue,
    routing_key,
)

ROUTE, OTHERS, STRAYS = (f"{COMMANDS_EXCHANGE}.{name}" for name in ("route", "others", "strays"))
KEPT = f"{COMMANDS_EXCHANGE}.kept"
COMMAND_LINE = "cli"
# From this release on the number of deliveries is limited unless it is said that it is not.
LIMITING = (4, 0)


class Exchange(NamedTuple):
    name: str
    type: str
    arguments: dict[str, Any]


class Queue(NamedTuple):
    name: str
    arguments: dict[str, Any]


class Binding(NamedTuple):
    """`to_queue`: whether `destination` is a queue, or an exchange."""

    source: str
    destination: str
    key: str
    to_queue: bool = True


class Topology(NamedTuple):
    exchanges: list[Exchange]
    queues: list[Queue]
    bindings: list[Binding]


def owners(producers: Producers | None) -> list[str]:
    """Who has a queue of his own in each partition: the system's own producers, and those of the producers file."""
    names = producers.by_name if producers is not None else ()
    return list(dict.fromkeys([SCHEDULER, COMMAND_LINE, *names]))


def topology(
    partitions: int,
    producers: Producers | None,
    *,
    events_keep: int,
    commands_keep: int = 0,
    version: tuple[int, ...] = LIMITING,
) -> Topology:
    """Everything that is to be there. `version`: of the server."""
    names = owners(producers)
    made = Topology(_exchanges(), [], [Binding(COMMANDS_EXCHANGE, ROUTE, "#", to_queue=False)])
    commands = commands_arguments(version)
    for partition in range(partitions):
        made.queues.append(Queue(commands_queue(partition), commands))
        made.bindings.append(Binding(OTHERS, commands_queue(partition), routing_key(partition, "*")))
        for name in names:
            made.queues.append(Queue(commands_queue(partition, name), commands))
            made.bindings.append(
                Binding(ROUTE, commands_queue(partition, name), routing_key(partition, name))
            )
    made.bindings.append(Binding(STRAYS, commands_queue(0), ""))
    streams = {EVENTS_EXCHANGE: "event.#", **{outcomes_queue(name): outcomes_binding(name) for name in names}}
    for queue, key in streams.items():
        made.queues.append(Queue(queue, stream_arguments(events_keep)))
        made.bindings.append(Binding(EVENTS_EXCHANGE, queue, key))
    if commands_keep:
        made.queues.append(Queue(KEPT, kept_arguments(commands_keep)))
        made.bindings.append(Binding(COMMANDS_EXCHANGE, KEPT, "#"))
    return made


def _exchanges() -> list[Exchange]:
    return [
        Exchange(STRAYS, "fanout", {}),
        Exchange(OTHERS, "topic", {"alternate-exchange": STRAYS}),
        Exchange(ROUTE, "topic", {"alternate-exchange": OTHERS}),
        Exchange(COMMANDS_EXCHANGE, "topic", {}),
        Exchange(EVENTS_EXCHANGE, "topic", {}),
    ]


def commands_arguments(version: tuple[int, ...]) -> dict[str, Any]:
    """Of a queue that commands stand in: kept by a majority of the nodes, read by one at a time, never given up on."""
    arguments: dict[str, Any] = {"x-queue-type": "quorum", "x-single-active-consumer": True}
    if version >= LIMITING:
        arguments["x-delivery-limit"] = -1
    return arguments


def kept_arguments(seconds: int) -> dict[str, Any]:
    """Of the copy of all commands. It drops whole segments: small ones, so that a quiet system keeps not much longer."""
    return {
        "x-queue-type": "stream",
        "x-max-age": f"{seconds}s",
        "x-stream-max-segment-size-bytes": 20_000_000,
    }


def version_of(connection: Any) -> tuple[int, ...]:
    """The server's release."""
    said = str(connection.connection.server_properties.get("version", ""))
    return tuple(int(part) for part in said.split(".")[:2] if part.isdigit())


def objections(connection: Any, wanted: Topology) -> list[str]:
    """What is there and is not as it has to be, a sentence each. Of what this user may not declare nothing can be known."""
    found = [_objection(connection, one) for one in wanted.queues]
    return [one for one in found if one is not None]


def _objection(connection: Any, one: Queue) -> str | None:
    if not is_there(connection, one.name):
        return f"queue {one.name} is missing: run `coins migrate`"
    try:
        _on_channel(connection, partial(_queue, one=one, passive=False))
    except AccessRefused:
        return None
    except PreconditionFailed as failed:
        said = str(failed)
        if "x-delivery-limit" in said:
            return (
                f"queue {one.name} was made by a RabbitMQ before 4.0: since then what has been given back 20 times would be "
                "dropped. Set a policy: rabbitmqctl set_policy --apply-to queues coins-no-limit '^coins\\.commands\\.' "
                "'{\"delivery-limit\": -1}'"
            )
        if one.name == KEPT:
            return f"stream {KEPT} keeps commands for another time than COINS_COMMANDS_KEEP says; to change it delete it"
        if one.arguments.get("x-queue-type") == "stream" and "x-queue-type" not in said:
            return None  # how much it keeps is up to whoever made it
        return f"queue {one.name} is not as it has to be ({said}); delete it when nothing is in it, and migrate again"
    return None


class Missing(Exception):
    """Something is not there, and this user may not declare it."""


def declare(connection: Any, wanted: Topology) -> list[str]:
    """Declare what is missing; what is there stays as it is. The names of what was declared.

    Raises Missing, and what else the server says.
    """
    made = [
        one.name
        for one in wanted.exchanges
        if _ensure(
            connection,
            f"exchange {one.name}",
            partial(_exchange, one=one, passive=True),
            partial(_exchange, one=one, passive=False),
        )
    ]
    made += [one.name for one in wanted.queues if declare_queue(connection, one)]
    for binding in wanted.bindings:
        bind(connection, binding)
    return made


def declare_queue(connection: Any, one: Queue) -> bool:
    """Whether it had to be declared. Raises Missing."""
    return _ensure(
        connection,
        f"queue {one.name}",
        partial(_queue, one=one, passive=True),
        partial(_queue, one=one, passive=False),
    )


def bind(connection: Any, one: Binding) -> None:
    """Bind it, if this user may: who may not relies on whoever declared it."""
    with suppress(AccessRefused):
        _on_channel(connection, partial(_binding, one=one))


def is_there(connection: Any, queue: str) -> bool:
    """Whether there is a queue of that name."""
    try:
        _on_channel(connection, partial(_queue, one=Queue(queue, {}), passive=True))
    except NotFound:
        return False
    return True


def _ensure(
    connection: Any, what: str, look: Callable[[Any], None], declare_it: Callable[[Any], None]
) -> bool:
    try:
        _on_channel(connection, look)
    except NotFound:
        try:
            _on_channel(connection, declare_it)
        except AccessRefused as refused:
            raise Missing(f"{what} is missing, and this user may not declare it ({refused})") from refused
        return True
    return False


def _exchange(channel: Any, one: Exchange, passive: bool) -> None:
    channel.exchange_declare(
        one.name, one.type, passive=passive, durable=True, auto_delete=False, arguments=one.arguments
    )


def _queue(channel: Any, one: Queue, passive: bool) -> None:
    channel.queue_declare(one.name, passive=passive, durable=True, auto_delete=False, arguments=one.arguments)


def _binding(channel: Any, one: Binding) -> None:
    if one.to_queue:
        channel.queue_bind(one.destination, one.source, one.key)
    else:
        channel.exchange_bind(one.destination, one.source, one.key)


def _on_channel(connection: Any, work: Callable[[Any], None]) -> None:
    work(common_channel(connection))
