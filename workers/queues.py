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
from typing import Any, NamedTuple

import structlog
from amqp.exceptions import ConsumerCancelled

from ledger.batch import Delivery, Move
from ledger.trust import Producers
from messages.amqp_wire import drain, opened
from messages.rabbitmq import close, connect, consuming_channel
from messages.streams import COMMANDS_EXCHANGE, commands_queue, commands_stream, read_routing_key, routing_key
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
# How many messages of a queue we are given before we acknowledge any. The same for every worker, and never lowered: what
# comes back to a quorum queue stands behind what came back before and was not given out again, so each must take all of it.
PREFETCH = 1_000
# What we hold at most; the rest waits in the connection. A message is an object of ours, too.
HELD_BYTES, OBJECT_BYTES = 64 * 1024 * 1024, 1_000
AGAIN_SECONDS = 10.0
# How long queues are declared and consumed at a stretch: at first, and between two readings.
BEGIN_SECONDS, START_SECONDS = 1.0, 0.1

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
    outstanding: deque[Arrived] = field(default_factory=deque)
    waiting: deque[Arrived] = field(default_factory=deque)

    def acknowledge(self) -> None:
        """Whatever is done and has nothing before it that is not: what was passed over is still to come."""
        last: Arrived | None = None
        while self.outstanding and self.outstanding[0].done:
            last = self.outstanding.popleft()
        if last is not None:
            self.channel.basic_ack(last.tag, multiple=True)


class Wanted(NamedTuple):
    """A queue that is to be read, and its binding; without one it is read if it is there."""

    queue: str
    exchange: str | None = None
    key: str = ""


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
        held_bytes: int = HELD_BYTES,
    ) -> None:
        self.partition = partition
        self.partitions = partitions
        self.producers = producers
        self._url = url
        self._name = name
        self._most_bytes = held_bytes
        self._held_bytes = 0
        self._beat_at = 0.0
        self._connection: Any = None
        self._queues: dict[str, Consumed] = {}
        self._to_start: deque[Wanted] = deque()
        self._by_delivery: dict[int, tuple[Consumed, Arrived]] = {}
        self._known: set[str] = set()
        self._seen: Producers | None = None
        self._look_again_at: float | None = None

    def begin(self, positions: Mapping[str, str]) -> list[str]:
        """Consume every queue of the partition: those of today's producers, and those that any worker ever has."""
        self.close()
        self._connection = connect(self._url, heartbeat_seconds=HEARTBEAT_SECONDS, name=self._name)
        self._known = self._remembered(positions)
        self._want()
        names = {one.queue for one in self._to_start}
        self._start_some(BEGIN_SECONDS)
        return sorted(names - positions.keys())

    def read(self, block_milliseconds: int | None) -> list[Delivery]:
        """What has come, a turn for each queue; waits for the first if asked to."""
        if self._has_changed():
            self._want()
        self._start_some(START_SECONDS)
        if block_milliseconds and not any(one.waiting for one in self._queues.values()):
            self._listen(block_milliseconds / 1000)
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
        self._listen(0)

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
                self._held_bytes -= arrived.size
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
        self._held_bytes = 0
        self._to_start.clear()

    # Which queues

    def _remembered(self, positions: Mapping[str, str]) -> set[str]:
        """Queues that were read before. Of a partition that is gone also those of producers who came to it later."""
        places = [(queue, place) for queue in positions if (place := _place(queue)) is not None]
        ours = {queue for queue, place in places if self._is_ours(place)}
        gone = {place for _, place in places if place >= self.partitions and self._is_ours(place)}
        return ours | {commands_queue(place, name) for place in gone for name in owners(self.producers)}

    def _is_ours(self, partition: int) -> bool:
        return partition % self.partitions == self.partition

    def _has_changed(self) -> bool:
        if self.producers is not self._seen:
            return True
        return self._look_again_at is not None and time.monotonic() > self._look_again_at

    def _want(self) -> None:
        """Everything that is to be read and is not yet."""
        self._seen, self._look_again_at = self.producers, None
        wanted = [Wanted(commands_queue(self.partition), OTHERS, routing_key(self.partition, "*"))]
        for name in owners(self.producers):
            key = routing_key(self.partition, name)
            wanted.append(Wanted(commands_queue(self.partition, name), ROUTE, key))
        mine = {one.queue for one in wanted}
        wanted += [Wanted(queue) for queue in sorted(self._known - mine)]
        self._to_start = deque(one for one in wanted if one.queue not in self._queues)

    def _start_some(self, seconds: float) -> None:
        """For so long at most: meanwhile the lease is not renewed, and what has come waits."""
        until = time.monotonic() + seconds
        while self._to_start:
            wanted = self._to_start.popleft()
            if self._is_there(wanted):
                self._start(wanted.queue)
            if time.monotonic() > until:
                return

    def _is_there(self, wanted: Wanted) -> bool:
        """Whether the queue is there, or is now."""
        if wanted.exchange is None:
            return is_there(self._connection, wanted.queue)
        try:
            declare_queue(
                self._connection, Queue(wanted.queue, commands_arguments(version_of(self._connection)))
            )
        except Missing as missing:
            # Its commands come by the common queue as long as it is not there.
            log.warning("a queue is missing", why=str(missing))
            self._look_again_at = time.monotonic() + AGAIN_SECONDS
            return False
        bind(self._connection, Binding(wanted.exchange, wanted.queue, wanted.key))
        return True

    def _start(self, queue: str) -> None:
        one = self._queues[queue] = Consumed(queue, consuming_channel(self._connection))
        one.channel.basic_qos(0, PREFETCH, False)
        one.channel.basic_consume(
            queue,
            callback=lambda message: self._came(one, message),
            on_cancel=lambda tag: _canceled(queue, tag),
        )

    # What comes

    def _listen(self, seconds: float) -> None:
        """Take what the server has sent; say that we live, and look whether it does."""
        if self._held_bytes < self._most_bytes:
            drain(self._connection, seconds, lambda: self._held_bytes >= self._most_bytes)
            self._connection.heartbeat_check()
        elif time.monotonic() > self._beat_at:
            # Its own heartbeats stand behind what we do not take yet.
            opened(self._connection).send_heartbeat()
            self._beat_at = time.monotonic() + HEARTBEAT_SECONDS / 2

    def _came(self, one: Consumed, message: Any) -> None:
        tag = message.delivery_info["delivery_tag"]
        delivery = delivery_of(one.queue, message, self.producers)
        arrived = Arrived(tag, delivery, len(delivery.body) + OBJECT_BYTES)
        self._held_bytes += arrived.size
        one.outstanding.append(arrived)
        one.waiting.append(arrived)
        self._by_delivery[id(arrived.delivery)] = (one, arrived)


def delivery_of(queue: str, message: Any, producers: Producers | None) -> Delivery:
    """A message as it came in: by whose routing key, with its signature."""
    body: bytes = message.body or b""  # an empty one is no bytes to py-amqp
    known = read_routing_key(message.delivery_info["routing_key"])
    signature = _bytes((message.headers or {}).get("signature"))
    made = Delivery(
        commands_stream(*known) if known is not None else queue,
        str(message.delivery_info["delivery_tag"]),
        known[1] if known is not None else None,
        body,
        signature=signature[:LONGEST_SIGNATURE] if signature is not None else None,
        producers=producers,
        arrived_at=arrived_at(message),
    )
    if len(body) > LONGEST_KEPT_BYTES and made.is_genuine:
        made.body, made.parts = cut(body)
        made.verified = True  # what is left of it would not be
    return made


def _canceled(queue: str, tag: str) -> None:
    raise ConsumerCancelled(f"the queue {queue} was deleted, or its node is gone (consumer {tag})")


def _bytes(header: Any) -> bytes | None:
    """A text is one to some clients and bytes to others."""
    if isinstance(header, str):
        return header.encode(errors="replace")
    return bytes(header) if isinstance(header, bytes | bytearray | memoryview) else None


def arrived_at(message: Any) -> float | None:
    """As the server notes it where it is set up to, else as the producer has: in whole seconds, so at the latest."""
    noted = (message.headers or {}).get("timestamp_in_ms")
    sent = message.properties.get("timestamp")
    if isinstance(noted, int):
        return moment(noted / 1000)
    return moment(sent + 1) if isinstance(sent, int) else None


def key_of(queue: str) -> str | None:
    """The routing key of a commands queue's name: `coins.commands.<partition>[.<producer>]`."""
    beginning, _, rest = queue.partition(f"{COMMANDS_EXCHANGE}.")
    partition, _, producer = rest.partition(".")
    return f"{producer}.{partition}" if not beginning and partition else None


def _place(queue: str) -> int | None:
    """The partition of a commands queue; None where it has no such name."""
    key = key_of(queue)
    found = read_routing_key(key) if key is not None else None
    return found[0] if found is not None else None
