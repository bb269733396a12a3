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
from functools import partial
from typing import Any, NamedTuple

import structlog
from amqp.exceptions import ConsumerCancelled

from ledger.batch import Delivery, Move
from ledger.trust import Producers
from messages.amqp_wire import consume_at_once, drain, has_channel, opened
from messages.rabbitmq import close, common_channel, connect
from messages.streams import commands_queue, routing_key
from workers.from_queues import delivery_of, place_of
from workers.settling import LOOK_SECONDS, PREDECESSOR_SECONDS, Settling
from workers.streams import MAX_BYTES, MAX_DELIVERIES
from workers.topology import (
    OTHERS,
    ROUTE,
    STRAYS,
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
# How long queues are declared at a stretch: at first, and between two readings.
BEGIN_SECONDS, DECLARE_SECONDS = 1.0, 0.1
# What the ledger has as a queue's position: it is bound, or also read because nothing stands before it any more.
BOUND, READ = "0-0", "1-0"

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

    outstanding: what came and is not acknowledged, in its order; waiting: what of it nobody has taken yet. came, taken:
    how many there were so far.
    """

    queue: str
    channel: Any = None
    came: int = 0
    taken: int = 0
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
    """Reads the queues of one partition (`reading.CommandReader`). Raises what py-amqp does, OSError and EdgeUnavailable.

    Queues are declared by another connection: while that waits for an answer, nothing comes that would have to be held.
    """

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
        self.held_bytes = 0
        self._beat_at = 0.0
        self._connection: Any = None
        self._declaring: Any = None
        self._queues: dict[str, Consumed] = {}
        self._to_declare: deque[Wanted] = deque()
        self._to_consume: deque[str] = deque()
        self._settling: dict[str, Settling] = {}
        self._positions: dict[str, str] = {}
        self._to_remember: dict[str, str] = {}
        self._read_before: set[str] = set()
        self._began_at = 0.0
        self._by_delivery: dict[int, tuple[Consumed, Arrived]] = {}
        self._known: set[str] = set()
        self._seen: Producers | None = None
        self._look_again_at: float | None = None

    def begin(self, positions: Mapping[str, str]) -> None:
        """Every queue of the partition: those of today's producers, and those that any worker ever had."""
        self.close()
        self._connection = connect(self._url, heartbeat_seconds=HEARTBEAT_SECONDS, name=self._name)
        self._began_at = time.monotonic()
        self._positions, self._read_before = dict(positions), set(positions)
        self._known = self._remembered(positions)
        self._want()
        self._declare_some(BEGIN_SECONDS)
        self._settle()

    def to_remember(self) -> Mapping[str, str]:
        """Which queues there are, and which of them are read: whatever becomes of their producers."""
        told, self._to_remember = self._to_remember, {}
        return told

    def read(self, block_milliseconds: int | None) -> list[Delivery]:
        """What has come, a turn for each queue; waits for the first if asked to."""
        if self._has_changed():
            self._want()
        self._declare_some(DECLARE_SECONDS)
        self._settle()
        self._consume_some()
        if block_milliseconds and not any(one.waiting for one in self._queues.values()):
            wait_seconds = block_milliseconds / 1000
            self._listen(min(wait_seconds, LOOK_SECONDS) if self._settling else wait_seconds)
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
            consumed.taken += 1
        return taken

    def tick(self) -> None:
        """Take what the server has sent, so that it knows that we live, and we that it does."""
        self._consume_some()
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
                self.held_bytes -= arrived.size
                touched[consumed.queue] = consumed
        for consumed in touched.values():
            consumed.acknowledge()

    def tidy(self, *, idle: bool) -> None:
        """Nothing to do: what is acknowledged is gone."""

    def close(self) -> None:
        """End the connection: what is not acknowledged goes back to its place."""
        self._queues, self._by_delivery = {}, {}  # what comes while it is closed is not held
        self.held_bytes = 0
        if self._connection is not None:
            close(self._connection)
        self._connection = None
        self._end_declaring()
        self._to_declare.clear()
        self._to_consume.clear()
        self._settling.clear()
        self._to_remember.clear()

    # Which queues

    def _remembered(self, positions: Mapping[str, str]) -> set[str]:
        """Queues that were read before. Of a partition that is gone also those of producers who came to it later."""
        places = [(queue, place) for queue in positions if (place := place_of(queue)) is not None]
        ours = {queue for queue, place in places if self._is_ours(place)}
        gone = {place for _, place in places if place >= self.partitions and self._is_ours(place)}
        names = [None, *owners(self.producers)]
        return ours | {commands_queue(place, name) for place in gone for name in names}

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
        begun = {*self._queues, *self._to_consume}.union(*(one.queues for one in self._settling.values()))
        self._to_declare = deque(one for one in wanted if one.queue not in begun)

    def _declare_some(self, seconds: float) -> None:
        """For so long at most: meanwhile the lease is not renewed, and what has come waits."""
        until = time.monotonic() + seconds
        while self._to_declare and time.monotonic() <= until:
            wanted = self._to_declare.popleft()
            if self._is_there(wanted):
                self._begin_queue(wanted.queue)
        if not self._to_declare and not self._settling:
            self._end_declaring()

    def _is_there(self, wanted: Wanted) -> bool:
        """Whether the queue is there, or is now."""
        connection = self._to_declare_by()
        if wanted.exchange is None:
            return is_there(connection, wanted.queue)
        try:
            made = declare_queue(connection, Queue(wanted.queue, commands_arguments(version_of(connection))))
        except Missing as missing:
            # Its commands come by the common queue as long as it is not there.
            log.warning("a queue is missing", why=str(missing))
            self._look_again_at = time.monotonic() + AGAIN_SECONDS
            return False
        bind(connection, Binding(wanted.exchange, wanted.queue, wanted.key))
        if wanted.queue == commands_queue(0):
            bind(connection, Binding(STRAYS, wanted.queue, ""))
        if made:  # also if there was one before: meanwhile its commands came by the common queue
            self._positions.pop(wanted.queue, None)
            self._read_before.discard(wanted.queue)
        return True

    def _begin_queue(self, queue: str) -> None:
        """Read a queue; a new one when what stands in the common one is handed out."""
        place = place_of(queue)
        common = commands_queue(place) if place is not None else queue
        if self._positions.get(queue) == READ:
            self._to_consume.append(queue)
            return
        if queue == common:
            self._read_from_now(queue)
            return
        self._remember(queue, BOUND)
        if common not in self._settling:
            before = PREDECESSOR_SECONDS if common in self._read_before else 0.0
            self._settling[common] = Settling(self._began_at + before)
        self._settling[common].add(queue)

    def _settle(self) -> None:
        """Look whether new queues may be read, once all are bound."""
        if self._to_declare:
            return
        for common, one in list(self._settling.items()):
            if one.is_due() and self._is_settled(common, one):
                del self._settling[common]
                for queue in one.queues:
                    self._read_from_now(queue)

    def _is_settled(self, common: str, one: Settling) -> bool:
        connection = self._to_declare_by()
        if not is_there(connection, common):
            return True
        standing = common_channel(connection).queue_declare(common, passive=True).message_count
        consumed = self._queues.get(common)
        if consumed is None:
            # Nobody has ever read it, and nothing is in it.
            return standing == 0 and one.calm_from <= self._began_at
        self._listen(0)
        if self.held_bytes >= self._most_bytes:
            one.came = -1  # there may be more than we know of
        return one.look(standing, came=consumed.came, taken=consumed.taken, unacknowledged=PREFETCH)

    def _read_from_now(self, queue: str) -> None:
        self._remember(queue, READ)
        self._to_consume.append(queue)

    def _remember(self, queue: str, position: str) -> None:
        if self._positions.get(queue) != position:
            self._positions[queue] = self._to_remember[queue] = position

    def _consume_some(self) -> None:
        """As long as there is room for what they give."""
        while self._to_consume and self.held_bytes < self._most_bytes:
            if not has_channel(self._connection):
                log.error(
                    "queues are not read: RabbitMQ gives a connection no more channels",
                    queues=len(self._to_consume),
                    first=self._to_consume[0],
                    what="set channel_max in rabbitmq.conf above the number of producers, and restart RabbitMQ",
                )
                self._to_consume.clear()
                self._look_again_at = time.monotonic() + AGAIN_SECONDS
                return
            one = Consumed(self._to_consume.popleft())
            one.channel = consume_at_once(
                self._connection,
                one.queue,
                PREFETCH,
                partial(self._came, one),
                partial(_canceled, one.queue),
            )
            self._queues[one.queue] = one

    def _to_declare_by(self) -> Any:
        if self._declaring is None:
            self._declaring = connect(self._url, name=f"{self._name}, declaring")
        return self._declaring

    def _end_declaring(self) -> None:
        if self._declaring is not None:
            close(self._declaring)
        self._declaring = None

    # What comes

    def _listen(self, seconds: float) -> None:
        """Take what the server has sent; say that we live, and look whether it does."""
        if self.held_bytes < self._most_bytes:
            drain(self._connection, seconds, lambda: self.held_bytes >= self._most_bytes)
            self._connection.heartbeat_check()
        elif time.monotonic() > self._beat_at:
            # Its own heartbeats stand behind what we do not take yet.
            opened(self._connection).send_heartbeat()
            self._beat_at = time.monotonic() + HEARTBEAT_SECONDS / 2

    def _came(self, one: Consumed, message: Any) -> None:
        if one.queue not in self._queues:
            return
        tag = message.delivery_info["delivery_tag"]
        delivery = delivery_of(one.queue, message, self.producers)
        arrived = Arrived(tag, delivery, len(delivery.body) + OBJECT_BYTES)
        self.held_bytes += arrived.size
        one.came += 1
        one.outstanding.append(arrived)
        one.waiting.append(arrived)
        self._by_delivery[id(arrived.delivery)] = (one, arrived)


def _canceled(queue: str, tag: str) -> None:
    raise ConsumerCancelled(f"the queue {queue} was deleted, or its node is gone (consumer {tag})")
