"""A virtual host with queues for commands, and how its messages are put there and read."""

from __future__ import annotations

import time
from typing import Any

from ledger.batch import Delivery
from ledger.trust import Producer, Producers
from messages.rabbitmq import Confirms, close, connect
from messages.streams import COMMANDS_EXCHANGE, commands_queue, routing_key
from tests.system.site import until
from workers.queues import QueueReader
from workers.topology import declare, topology, version_of


class Host:
    """A virtual host in which everything is declared that stands there without a producers file, for one partition."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.connection = connect(url)
        self._confirms = Confirms(self.connection)
        self.declare(None)

    def declare(self, producers: Producers | None) -> None:
        made = topology(1, producers, events_keep=1_000, version=version_of(self.connection))
        declare(self.connection, made)

    def publish(self, key: str, *bodies: bytes, **properties: Any) -> None:
        envelope = self._confirms.envelope(COMMANDS_EXCHANGE, key, mandatory=True, **properties)
        for body in bodies:
            self._confirms.publish(envelope, body)
        self._confirms.wait(10)

    def number(self, producer: str, how_many: int) -> None:
        """Messages that say which one they are."""
        self.publish(routing_key(0, producer), *(b"%d" % number for number in range(how_many)))

    def purge(self) -> None:
        for name in (None, "coins", "cli"):
            self.connection.default_channel.queue_purge(commands_queue(0, name))

    def close(self) -> None:
        close(self.connection)


def ticking(reader: QueueReader) -> None:
    """For some seconds."""
    for _ in range(200):
        reader.tick()
        time.sleep(0.02)


def known(*names: str) -> Producers:
    return Producers({name: Producer(name, (f"{name} has a secret of its own",)) for name in names})


def read(reader: QueueReader, number: int) -> list[Delivery]:
    """So many deliveries, none of them done."""
    found: list[Delivery] = []

    def enough() -> bool:
        reader.tick()
        found.extend(reader.read(20))
        return len(found) >= number

    until(enough, 10, lambda: f"only {len(found)} of {number}")
    return found


def read_rest(reader: QueueReader) -> list[Delivery]:
    """What comes until nothing has come for a moment."""
    found: list[Delivery] = []
    came_at = time.monotonic()
    while time.monotonic() - came_at < 0.5:
        if some := reader.read(100):
            found += some
            came_at = time.monotonic()
    return found


def numbers(deliveries: list[Delivery]) -> list[int]:
    return [int(one.body) for one in deliveries]
