"""Hears every outcome as it is published, with the moment it came: what tests measure and compare."""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import redis

from messages.amqp_wire import drain
from messages.errors import MessagesError
from messages.publisher import RABBITMQ, connect
from messages.rabbitmq import FAILURES, close, declare_stream
from messages.rabbitmq import connect as connect_rabbitmq
from messages.streams import outcomes_binding, outcomes_queue, outcomes_stream


class Answer(NamedTuple):
    """What an outcome says, without what differs between two runs: which command, whether again, why not."""

    id: str
    duplicate: bool
    reason: str | None


@dataclass(frozen=True)
class Heard:
    """An outcome event as it was published."""

    producer: str
    event: str
    raw: bytes
    came_at: float
    decided_at: float
    answer: Answer
    data: dict[str, Any]


def heard(producer: str, raw: bytes, came_at: float) -> Heard:
    event = json.loads(raw)
    data = event["data"]
    return Heard(
        producer,
        event["id"],
        raw,
        came_at,
        datetime.fromisoformat(event["time"]).timestamp(),
        Answer(event["causationid"], data["duplicate"], data["reason"]),
        data,
    )


class Listener:
    """Reads the outcome streams of some producers on a thread of its own. A stream that begins again is read again."""

    def __init__(self, url: str, producers: list[str]) -> None:
        self.heard: list[Heard] = []
        self._first: dict[str, dict[str, Heard]] = {name: {} for name in producers}
        self._url = url
        self._producers = {outcomes_stream(name).encode(): name for name in producers}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="listener", daemon=True)

    def __enter__(self) -> Listener:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def of(self, producer: str) -> list[Heard]:
        """A producer's outcomes in order; of an event that was published again, the first."""
        return list(self._first[producer].values())

    def count(self, producer: str) -> int:
        """How many different outcomes have come for a producer."""
        return len(self._first[producer])

    def by_event(self) -> dict[str, set[bytes]]:
        """All bytes under which each event was ever published: one, if all is well."""
        found: dict[str, set[bytes]] = defaultdict(set)
        for one in list(self.heard):
            found[one.event].add(one.raw)
        return found

    def first_decided_after(self, moment: float) -> Heard | None:
        """The first outcome that came of those decided after a moment (seconds since the epoch)."""
        newest = self.heard[-1] if self.heard else None
        if newest is None or newest.decided_at <= moment:
            return None
        return next(one for one in list(self.heard) if one.decided_at > moment)

    def _listen(self) -> None:
        if self._url.startswith(RABBITMQ):
            self._listen_to_rabbitmq()
        else:
            self._listen_to_redis()

    def _listen_to_rabbitmq(self) -> None:
        """Each producer's stream from its beginning, or from where it was when the connection was lost."""
        offsets: dict[str, int] = {}
        while not self._stopping.is_set():
            try:
                connection = connect_rabbitmq(self._url)
            except MessagesError:
                time.sleep(0.1)
                continue
            try:
                for name in self._producers.values():
                    self._consume(connection, name, offsets)
                while not self._stopping.is_set():
                    drain(connection, 0.1)
            except FAILURES:
                time.sleep(0.1)
            finally:
                close(connection)

    def _consume(self, connection: Any, producer: str, offsets: dict[str, int]) -> None:
        def came(message: Any) -> None:
            offsets[producer] = message.headers["x-stream-offset"] + 1
            one = heard(producer, message.body, time.time())
            self.heard.append(one)
            self._first[producer].setdefault(one.event, one)
            channel.basic_ack(message.delivery_tag)

        declare_stream(connection, outcomes_queue(producer), outcomes_binding(producer), keep=100_000)
        channel = connection.channel()
        channel.basic_qos(0, 1_000, False)
        offset = {"x-stream-offset": offsets.get(producer, "first")}
        channel.basic_consume(outcomes_queue(producer), callback=came, arguments=offset)

    def _listen_to_redis(self) -> None:
        positions: dict[bytes, bytes] = dict.fromkeys(self._producers, b"0-0")
        client = connect(self._url)
        while not self._stopping.is_set():
            try:
                found: Any = client.xread(dict(positions), count=5_000, block=100)  # type: ignore[arg-type]
            except redis.RedisError:
                time.sleep(0.02)
                continue
            came_at = time.time()
            for stream, entries in found or ():
                for place, fields in entries:
                    positions[stream] = place
                    one = heard(self._producers[stream], fields[b"event"], came_at)
                    self.heard.append(one)
                    self._first[one.producer].setdefault(one.event, one)
        client.close()
