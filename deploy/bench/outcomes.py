"""A producer's outcomes on the edge, as its clients read them: how many there are, and each of them."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import Any, Protocol

import redis

from deploy.bench.errors import FigureFailed
from messages.amqp_wire import drain
from messages.publisher import connect
from messages.rabbitmq import READ_AHEAD, close, consuming_channel, declare_stream
from messages.rabbitmq import connect as connect_rabbitmq
from messages.streams import outcomes_binding, outcomes_queue, outcomes_stream

PAGE = 5_000
LOOK_SECONDS = 0.25
KEEP = 10_000_000
# So many from the end each is looked at.
NEARLY = 3_000
# RabbitMQ writes no more messages of a stream at once (gen_batch_server's `max_batch_size`), and finds them by the first.
CHUNK = 8_192


class Outcomes(Protocol):
    """Positions are the edge's own."""

    def count(self, enough: int = 0) -> int:
        """How many outcomes have been published so far; it may be fewer while more are coming, up to `enough`."""

    def position(self) -> str: ...

    def after(self, position: str) -> Iterator[bytes]:
        """All that stand behind a position."""

    def follow(self, position: str, give_up_seconds: float) -> Iterator[bytes]:
        """Each behind a position as it comes. Raises FigureFailed when none has come for so long."""

    def close(self) -> None: ...


class RedisOutcomes:
    """In a stream of Redis or Valkey."""

    def __init__(self, url: str, producer: str) -> None:
        self._url = url
        self._stream = outcomes_stream(producer)
        self._redis = connect(url, timeout_seconds=30.0)

    def count(self, enough: int = 0) -> int:
        try:
            found: Any = self._redis.xinfo_stream(self._stream)
        except redis.ResponseError:  # there was none yet
            return 0
        return int(found["entries-added"])

    def position(self) -> str:
        last: Any = self._redis.xrevrange(self._stream, count=1)
        return last[0][0].decode() if last else "0-0"

    def after(self, position: str) -> Iterator[bytes]:
        while page := self._page(position):
            for place, fields in page:
                yield fields[b"event"]
                position = place.decode()

    def follow(self, position: str, give_up_seconds: float) -> Iterator[bytes]:
        client = connect(self._url, timeout_seconds=2 * give_up_seconds)
        try:
            while True:
                found: Any = client.xread({self._stream: position}, block=int(give_up_seconds * 1000))
                if not found:
                    raise FigureFailed(f"no outcome has come for {give_up_seconds:g} s")
                for place, fields in found[0][1]:
                    yield fields[b"event"]
                    position = place.decode()
        finally:
            client.close()

    def close(self) -> None:
        self._redis.close()

    def _page(self, after: str) -> list[Any]:
        page: Any = self._redis.xrange(self._stream, min=f"({after}", count=PAGE)
        return list(page)


class RabbitOutcomes:
    """In a stream of RabbitMQ; a position is the offset of what comes next."""

    def __init__(self, url: str, producer: str) -> None:
        self._url = url
        self._queue = outcomes_queue(producer)
        self._seen = 0
        self._connection = connect_rabbitmq(url, timeout_seconds=30.0, name="coins bench")
        declare_stream(self._connection, self._queue, outcomes_binding(producer), keep=KEEP)

    def count(self, enough: int = 0) -> int:
        """By the offset of the last one: the server's own count comes late. While more come a look at one is enough."""
        seen, self._seen = self._seen, next(self._offsets(1), 0)
        if enough and seen < self._seen < enough - NEARLY:
            time.sleep(LOOK_SECONDS)
            return self._seen
        end = 0
        for end in itertools.islice(self._offsets(READ_AHEAD), CHUNK if enough else None):
            if end >= enough > 0:
                break
        return end

    def position(self) -> str:
        return str(self.count())

    def after(self, position: str) -> Iterator[bytes]:
        return self._behind(position, 2 * LOOK_SECONDS)

    def follow(self, position: str, give_up_seconds: float) -> Iterator[bytes]:
        yield from self._behind(position, give_up_seconds)
        raise FigureFailed(f"no outcome has come for {give_up_seconds:g} s")

    def close(self) -> None:
        close(self._connection)

    def _behind(self, position: str, quiet_seconds: float) -> Iterator[bytes]:
        for message in self._messages(int(position), quiet_seconds):
            if message.headers["x-stream-offset"] >= int(position):  # a stream gives whole chunks
                yield message.body

    def _offsets(self, at_once: int) -> Iterator[int]:
        """Behind each message of the last chunk, and of what comes then."""
        for message in self._messages("last", LOOK_SECONDS, at_once):
            yield message.headers["x-stream-offset"] + 1

    def _messages(self, offset: int | str, quiet_seconds: float, at_once: int = READ_AHEAD) -> Iterator[Any]:
        """Those from an offset on, until none has come for so long."""
        came: list[Any] = []
        channel = consuming_channel(self._connection)
        try:
            channel.basic_qos(0, at_once, False)
            channel.basic_consume(self._queue, callback=came.append, arguments={"x-stream-offset": offset})
            while drain(self._connection, quiet_seconds):
                if not came:
                    continue
                channel.basic_ack(came[-1].delivery_tag, multiple=True)
                found, came[:] = list(came), []
                yield from found
        finally:
            channel.close()
