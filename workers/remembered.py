"""What the edge remembers of the time after the moment that a database was restored to: commands, and what was told.

Redis and Valkey have it in the streams themselves, RabbitMQ in the kept copy of all commands (COINS_COMMANDS_KEEP) and in
the streams of outcomes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any, Protocol

from ledger.batch import Delivery, Move
from ledger.told import Outcome
from ledger.trust import Producers
from messages.errors import EdgeUnavailable
from messages.events import EventType
from messages.publisher import RABBITMQ
from messages.publisher import connect as connect_redis
from messages.rabbitmq import FAILURES, close, connect, failure
from messages.streams import EVENTS, EVENTS_EXCHANGE, outcomes_queue, read_commands_stream
from workers.from_queues import delivery_of
from workers.paging import ends, offset_of, pages
from workers.settings import Settings
from workers.streams import START, StreamReader
from workers.topology import KEPT, owners

PAGE = 1_000
OUTCOMES = (EventType.APPLIED.value, EventType.REJECTED.value)


class Memory(Protocol):
    """Of either edge. Raises what its client raises."""

    def outcomes(self) -> Iterator[Outcome]:
        """All outcome events, producer by producer, each in its order."""

    def further(self) -> Iterator[bytes]:
        """All other events."""

    def streams(self) -> Sequence[str]:
        """Where commands came by."""

    def messages(self, stream: str) -> Iterator[Delivery]:
        """Those that the ledger does not have, or may have, in their order, from the beginning each time."""

    def moves(self, reached: Mapping[str, str], positions: Mapping[str, str]) -> list[Move]:
        """How to bring the ledger's positions to where these streams were read to."""

    def rest(self) -> Iterator[Delivery]:
        """In the order in which they came: what the workers will not find when they start."""

    def close(self) -> None: ...


def memory_of(
    settings: Settings,
    since: datetime | None,
    positions: Mapping[str, str],
    producers: Producers | None,
    senders: Collection[str],
    kept_read: int,
) -> Memory:
    """What the edge of these settings remembers. senders: who is known to have sent something, whoever else may have.

    kept_read: up to which offset the kept copy was gone through by a run before this one; -1 where none was.

    Raises EdgeUnavailable, EdgeRefused, redis.RedisError.
    """
    if settings.edge.startswith(RABBITMQ):
        return RabbitMemory(settings.edge, since, producers, senders, kept_read)
    return RedisMemory(settings.edge, positions, producers)


class RedisMemory:
    """Streams of commands beyond the ledger's positions."""

    def __init__(self, url: str, positions: Mapping[str, str], producers: Producers | None) -> None:
        self._client = connect_redis(url, timeout_seconds=30.0)
        # One reader for all partitions: a batch is put together whichever of them it was.
        self._reader = StreamReader(url, 0, 1, common=producers is None, producers=producers)
        self._reader.begin(positions)
        self._begin = {name: stream.cursor for name, stream in self._reader.streams.items()}

    def outcomes(self) -> Iterator[Outcome]:
        for stream in self._client.scan_iter(match=f"{EVENTS}:*", count=1_000, _type="stream"):
            info: Any = self._client.xinfo_stream(stream)
            name, cut = stream.decode(), info["entries-added"] > info["length"]
            for fields in self._entries(stream):
                if fields.get(b"type", b"").decode() in OUTCOMES:
                    yield Outcome(name, fields[b"event"], cut)

    def further(self) -> Iterator[bytes]:
        return (fields[b"event"] for fields in self._entries(EVENTS.encode()) if b"event" in fields)

    def streams(self) -> Sequence[str]:
        return list(self._reader.streams)

    def messages(self, stream: str) -> Iterator[Delivery]:
        self._reader.streams[stream].cursor = self._begin[stream]
        return self._reader.rest_of(stream)

    def moves(self, reached: Mapping[str, str], positions: Mapping[str, str]) -> list[Move]:
        moves = [Move(name, positions.get(name, START), after) for name, after in reached.items()]
        return [one for one in moves if one.after != one.before]

    def rest(self) -> Iterator[Delivery]:
        """None: the workers go on from the ledger's positions."""
        return iter(())

    def close(self) -> None:
        self._reader.close()
        self._client.close()

    def _entries(self, stream: bytes) -> Iterator[Any]:
        after = "-"
        while entries := self._page(stream, after):
            yield from (fields for _, fields in entries)
            after = f"({entries[-1][0].decode()}"

    def _page(self, stream: bytes, after: str) -> list[Any]:
        page: Any = self._client.xrange(stream, after, count=PAGE)
        return list(page)


class RabbitMemory:
    """The kept copy of all commands, up to where it ends when this is made."""

    def __init__(
        self,
        url: str,
        since: datetime | None,
        producers: Producers | None,
        senders: Collection[str],
        kept_read: int,
    ) -> None:
        self._since = since
        self._kept_read = kept_read
        self._senders = senders
        self._producers = producers
        self._connection = connect(url, timeout_seconds=30.0, name="coins restored")
        with self._told():
            # Without it no command was kept: then all that was told is found to be not as it was told.
            self._end = ends(self._connection, [KEPT]).get(KEPT, 0)
            self._streams = sorted({one.stream for one in self.rest()})

    def outcomes(self) -> Iterator[Outcome]:
        with self._told():
            queues = [outcomes_queue(name) for name in self._heard()]
            for queue, end in ends(self._connection, queues).items():
                cut: bool | None = None
                for page in pages(self._connection, queue, None, end):
                    for message in page:
                        if cut is None:
                            cut = offset_of(message) > 0
                        if message.properties.get("type") in OUTCOMES:
                            yield Outcome(queue, message.body, cut)

    def further(self) -> Iterator[bytes]:
        with self._told():
            # The stream has the exchange's name.
            for queue, end in ends(self._connection, [EVENTS_EXCHANGE]).items():
                for page in pages(self._connection, queue, None, end):
                    yield from (message.body for message in page)

    def streams(self) -> Sequence[str]:
        return self._streams

    def messages(self, stream: str) -> Iterator[Delivery]:
        return self._deliveries(stream)

    def moves(self, reached: Mapping[str, str], positions: Mapping[str, str]) -> list[Move]:
        """None: RabbitMQ knows what was read."""
        return []

    def rest(self) -> Iterator[Delivery]:
        """All of them: what was acknowledged is gone from the queues."""
        return self._deliveries(None)

    def close(self) -> None:
        close(self._connection)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except FAILURES as error:
            self.close()
            raise failure(error, "what RabbitMQ remembers cannot be read") from error
        except EdgeUnavailable:
            self.close()
            raise

    def _deliveries(self, stream: str | None) -> Iterator[Delivery]:
        """Those of one stream, or of all."""
        with self._told():
            for page in pages(self._connection, KEPT, self._since, self._end):
                made = [
                    replace(delivery_of(KEPT, one, self._producers), position=str(offset_of(one)))
                    for one in page
                    if offset_of(one) > self._kept_read
                ]
                yield from [one for one in made if stream is None or one.stream == stream]

    def _heard(self) -> list[str]:
        """Whose outcomes there may be: producers of the file, and whoever has sent something before or since."""
        names = dict.fromkeys([*owners(self._producers), *self._senders])
        for stream in self._streams:
            known = read_commands_stream(stream)
            if known is not None and known[1] is not None:
                names[known[1]] = None
        return list(names)
