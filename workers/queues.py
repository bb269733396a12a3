"""Commands out of RabbitMQ queues: one for each producer, read in turn, acknowledged when the ledger has committed them.

A queue has one active consumer. What it was given and has not acknowledged goes back to its place when the connection ends,
and only then the next consumer is given anything: the order is kept whoever dies, hangs or is frozen. All of this runs on
the consumer's thread. An acknowledgement is made on the channel that the message came by, or not at all.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog
from amqp.exceptions import ConsumerCancelled

from ledger.batch import Delivery, Move
from ledger.trust import Producers
from messages.amqp_wire import drain
from messages.rabbitmq import close, connect
from messages.streams import commands_queue, commands_stream, read_routing_key, routing_key
from workers.lag import moment
from workers.streams import LONGEST_KEPT_BYTES, LONGEST_SIGNATURE, MAX_BYTES, MAX_DELIVERIES, cut
from workers.topology import (
    OTHERS,
    ROUTE,
    Binding,
    Missing,
    Queue,
    bind,
    commands_arguments,
    declare_queue,
    is_there,
    owners,
    version_of,
)

# Two to three of them without a word, and the server gives what we were given to the next.
HEARTBEAT_SECONDS = 1
# How many messages of a queue the server gives us ahead: few until it is known how long they are.
FIRST_PREFETCH, LEAST_PREFETCH, MOST_PREFETCH = 20, 2, 1_000
AHEAD_BYTES = 2 * 1024 * 1024
AGAIN_SECONDS = 10.0

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Arrived:
    """A message of a queue: the tag by which its channel knows it, and whether it is done."""

    tag: int
    delivery: Delivery
    size: int
    done: bool = False


@dataclass(slots=True)
class Consumed:
    """A queue that is being read, on a channel of its own.

    outstanding: what came and is not acknowledged, in its order; waiting: what of it nobody has taken yet.
    """

    queue: str
    channel: Any
    tag: str = ""
    prefetch: int = FIRST_PREFETCH
    outstanding: deque[Arrived] = field(default_factory=deque)
    waiting: deque[Arrived] = field(default_factory=deque)
    average_bytes: float = 0.0

    def acknowledge(self) -> None:
        """Whatever is done and has nothing before it that is not: what was passed over is still to come."""
        last: Arrived | None = None
        while self.outstanding and self.outstanding[0].done:
            last = self.outstanding.popleft()
        if last is not None:
            self.channel.basic_ack(last.tag, multiple=True)

    @property
    def fitting_prefetch(self) -> int:
        """As many as have the room that a queue is given, by how long they have been so far."""
        if not self.average_bytes:
            return FIRST_PREFETCH
        return int(min(MOST_PREFETCH, max(LEAST_PREFETCH, AHEAD_BYTES / self.average_bytes)))


class QueueReader:
    """Reads the queues of one partition (`reading.CommandReader`). Raises what py-amqp does, and OSError."""

    def __init__(
        self,
        url: str,
        partition: int,
        partitions: int,
        *,
        producers: Producers | None = None,
        name: str = "coins worker",
    ) -> None:
        self.partition = partition
        self.partitions = partitions
        self.producers = producers
        self._url = url
        self._name = name
        self._connection: Any = None
        self._queues: dict[str, Consumed] = {}
        self._by_delivery: dict[int, tuple[Consumed, Arrived]] = {}
        self._known: set[str] = set()
        self._seen: Producers | None = None
        self._look_again_at: float | None = None

    def begin(self, positions: Mapping[str, str]) -> list[str]:
        """Consume every queue of the partition: those of today's producers, and those that any worker ever has."""
        self.close()
        self._connection = connect(self._url, heartbeat_seconds=HEARTBEAT_SECONDS, name=self._name)
        self._known = {name for name in positions if self._is_ours(name)}
        self._consume_all()
        return sorted(self._queues.keys() - self._known)

    def read(self, block_milliseconds: int | None) -> list[Delivery]:
        """What has come, a turn for each queue; waits for the first if asked to."""
        if self._has_changed():
            self._consume_all()
        if block_milliseconds and not any(one.waiting for one in self._queues.values()):
            drain(self._connection, block_milliseconds / 1000)
        self._connection.heartbeat_check()
        taken: list[Delivery] = []
        size = 0
        turns = itertools.zip_longest(*(list(one.waiting) for one in self._queues.values()))
        for arrived in itertools.chain.from_iterable(turns):
            if arrived is None:
                continue
            if taken and (len(taken) == MAX_DELIVERIES or size + arrived.size > MAX_BYTES):
                break
            taken.append(arrived.delivery)
            size += arrived.size
        for delivery in taken:
            consumed, _ = self._by_delivery[id(delivery)]
            consumed.waiting.popleft()
        return taken

    def tick(self) -> None:
        """Take what the server has sent, so that it knows that we live, and we that it does."""
        drain(self._connection, 0)
        self._connection.heartbeat_check()
        for one in self._queues.values():
            self._fit(one)

    def moves(self, deliveries: Iterable[Delivery]) -> list[Move]:
        """None: the server knows what was acknowledged. The epoch alone fences."""
        return []

    def done(self, deliveries: Iterable[Delivery], moves: Iterable[Move]) -> None:
        """Acknowledge them, as far as the channel that they came by is still there."""
        touched: dict[str, Consumed] = {}
        for delivery in deliveries:
            found = self._by_delivery.pop(id(delivery), None)
            if found is not None:
                consumed, arrived = found
                arrived.done = True
                touched[consumed.queue] = consumed
        for consumed in touched.values():
            consumed.acknowledge()

    def tidy(self, *, idle: bool) -> None:
        """Nothing to do: what is acknowledged is gone."""

    def close(self) -> None:
        """End the connection: what is not acknowledged goes back to its place."""
        if self._connection is not None:
            close(self._connection)
        self._connection = None
        self._queues, self._by_delivery = {}, {}

    # Which queues

    def _is_ours(self, queue: str) -> bool:
        key = key_of(queue)
        found = read_routing_key(key) if key is not None else None
        return found is not None and found[0] % self.partitions == self.partition

    def _has_changed(self) -> bool:
        if self.producers is not self._seen:
            return True
        return self._look_again_at is not None and time.monotonic() > self._look_again_at

    def _consume_all(self) -> None:
        self._seen, self._look_again_at = self.producers, None
        self._consume(commands_queue(self.partition), OTHERS, routing_key(self.partition, "*"))
        for name in owners(self.producers):
            key = routing_key(self.partition, name)
            self._consume(commands_queue(self.partition, name), ROUTE, key)
        for queue in self._known - self._queues.keys():
            if is_there(self._connection, queue):
                self._start(queue)

    def _consume(self, queue: str, exchange: str, key: str) -> None:
        if queue in self._queues:
            return
        try:
            declare_queue(self._connection, Queue(queue, commands_arguments(version_of(self._connection))))
        except Missing as missing:
            # Its commands come by the common queue as long as it is not there.
            log.warning("a queue is missing", why=str(missing))
            self._look_again_at = time.monotonic() + AGAIN_SECONDS
            return
        bind(self._connection, Binding(exchange, queue, key))
        self._start(queue)

    def _start(self, queue: str) -> None:
        consumed = Consumed(queue, self._connection.channel())
        self._queues[queue] = consumed
        self._subscribe(consumed)

    def _subscribe(self, one: Consumed) -> None:
        one.channel.basic_qos(0, one.prefetch, False)
        one.tag = one.channel.basic_consume(
            one.queue,
            callback=lambda message: self._came(one, message),
            on_cancel=lambda tag: _canceled(one.queue, tag),
        )

    def _fit(self, one: Consumed) -> None:
        """Have the server give more ahead, or less, where messages are much shorter or longer than was thought."""
        fitting = one.fitting_prefetch
        if not (fitting >= 2 * one.prefetch or 2 * fitting <= one.prefetch):
            return
        one.channel.basic_cancel(one.tag)
        one.prefetch = fitting
        self._subscribe(one)

    # What comes

    def _came(self, one: Consumed, message: Any) -> None:
        tag = message.delivery_info["delivery_tag"]
        size = len(message.body) + 200
        one.average_bytes = 0.9 * one.average_bytes + 0.1 * size if one.average_bytes else size
        arrived = Arrived(tag, delivery_of(one.queue, message, self.producers), size)
        one.outstanding.append(arrived)
        one.waiting.append(arrived)
        self._by_delivery[id(arrived.delivery)] = (one, arrived)


def delivery_of(queue: str, message: Any, producers: Producers | None) -> Delivery:
    """A message as it came in: by whose routing key, with its signature."""
    body = message.body if isinstance(message.body, bytes) else b""
    known = read_routing_key(message.delivery_info["routing_key"])
    signature = (message.headers or {}).get("signature")
    made = Delivery(
        commands_stream(*known) if known is not None else queue,
        str(message.delivery_info["delivery_tag"]),
        known[1] if known is not None else None,
        body,
        signature=signature.encode()[:LONGEST_SIGNATURE] if isinstance(signature, str) else None,
        producers=producers,
        arrived_at=arrived_at(message),
    )
    if len(body) > LONGEST_KEPT_BYTES and made.is_genuine:
        made.body, made.parts = cut(body)
        made.verified = True  # what is left of it would not be
    return made


def _canceled(queue: str, tag: str) -> None:
    raise ConsumerCancelled(f"the queue {queue} was deleted, or its node is gone (consumer {tag})")


def arrived_at(message: Any) -> float | None:
    """As the server notes it where it is set up to, else as the producer has: in whole seconds, so at the latest."""
    noted = (message.headers or {}).get("timestamp_in_ms")
    sent = message.properties.get("timestamp")
    if isinstance(noted, int):
        return moment(noted / 1000)
    return moment(sent + 1) if isinstance(sent, int) else None


def key_of(queue: str) -> str | None:
    """The routing key of a commands queue's name: `coins.commands.<partition>[.<producer>]`."""
    beginning, _, rest = queue.partition("coins.commands.")
    partition, _, producer = rest.partition(".")
    return f"{producer}.{partition}" if not beginning and partition else None
