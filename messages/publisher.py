"""The Python producer: build a command, publish it, read what became of it.

    from messages import Publisher, TopUp, event

    with Publisher("redis://localhost:6379", producer="device-mgmt") as publisher:
        publisher.send(event(TopUp(account="acme", amount=500), source="device-mgmt"))

Any client of the queue's server can do the same with no code of ours; see the README of this folder.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self

import redis
from pydantic import ValidationError
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from .commands import Command, type_of
from .envelope import EVENT_OF, MAX_BATCH, MAX_MESSAGE_BYTES, Event, encode
from .errors import EdgeRefused, EdgeUnavailable, EventInvalid
from .fields import NAME_PATTERN
from .signing import sign
from .streams import commands_stream, partition_of

PIPELINED = 1_000
RABBITMQ = ("amqp://", "amqps://")
# A password that is wrong or missing, and what the server's access rules do not grant.
REFUSALS = (redis.AuthenticationError, redis.exceptions.NoPermissionError)
ATTRIBUTES = frozenset({"time", "expirytime", "partitionkey", "actor", "traceparent"})


class Message(NamedTuple):
    """Bytes for one partition: one event, or an array of events; `signature` is made by a Publisher that has a secret."""

    body: bytes
    partition: int = 0
    signature: str | None = None


class Edge(Protocol):
    """A queue that commands can be written to. It has returned only when the server has confirmed all of them.

    Raises EdgeUnavailable, after which any part of the messages may have arrived, or EdgeRefused.
    """

    def publish(self, messages: Sequence[Message]) -> None: ...

    def close(self) -> None: ...


def event(
    command: Command,
    *,
    source: str,
    id: str | None = None,
    **attributes: Any,
) -> Event[Any]:
    """The command in its envelope. Without an id it gets a new one; to repeat a command, repeat its id.

    `attributes` are the optional ones: time, expirytime, partitionkey, actor, traceparent.
    Raises EventInvalid.
    """
    type_ = type_of(type(command).__name__)
    if unknown := sorted(set(attributes) - ATTRIBUTES):
        raise EventInvalid(
            f"{', '.join(unknown)}: no attribute of an event; they are {', '.join(sorted(ATTRIBUTES))}"
        )
    try:
        made: Event[Any] = EVENT_OF[type_](
            specversion="1.0",
            id=str(uuid.uuid4()) if id is None else id,
            source=source,
            type=type_,
            data=command,
            **attributes,
        )
    except ValidationError as error:
        raise EventInvalid(
            "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        ) from None
    return made


class Publisher:
    """Writes commands to the edge.

    Parameters
        url: of the Redis or Valkey, `redis://…`, `rediss://…` or `unix://…`, or of RabbitMQ, `amqp://…` or `amqps://…`.
        producer: whose stream to write to; without one the common stream is used (no producers file).
        partitions: the same number that the system runs with (`COINS_PARTITIONS`).
        secret: the producer's, to sign every message with; needed where the system has a producers file.
        timeout_seconds: how long a write may take before EdgeUnavailable is raised.

    What sends raises EdgeRefused where the server does not let this user do that.
    """

    def __init__(
        self,
        url: str,
        *,
        producer: str | None = None,
        partitions: int = 1,
        secret: str | None = None,
        timeout_seconds: float = 5.0,
    ) -> None:
        if partitions < 1:
            raise EventInvalid(f"partitions: there is at least 1, not {partitions}")
        if producer is not None and not re.fullmatch(NAME_PATTERN, producer):
            raise EventInvalid(
                f"producer: {producer!r} is no name; use 1 to 64 letters, digits, underscores and hyphens"
            )
        self._edge = _edge_at(url, producer, timeout_seconds)
        self._partitions = partitions
        self._secret = secret.encode() if secret is not None else None

    def send(self, command: Event[Any]) -> None:
        """Publish one command. Raises EdgeUnavailable, EdgeRefused."""
        self.send_many([command])

    def send_many(self, commands: Iterable[Event[Any]]) -> None:
        """Publish each command as a message of its own, pipelined, in order within a partition."""
        for some in _portions((self._message(command) for command in commands), PIPELINED):
            self._publish(some)

    def send_batch(self, commands: Iterable[Event[Any]], *, size: int = 500) -> None:
        """Publish the commands as arrays of up to `size` (1–1,000): the fastest way in. Order holds within a partition."""
        if not 1 <= size <= MAX_BATCH:
            raise EventInvalid(f"size: an array holds 1 to {MAX_BATCH:,} events, not {size}")
        by_partition: dict[int, list[bytes]] = {}
        for command in commands:
            partition = partition_of(command.partitionkey, self._partitions)
            by_partition.setdefault(partition, []).append(encode(command))
        messages = (
            Message(body, partition)
            for partition, events in by_partition.items()
            for body in arrays(events, size)
        )
        for some in _portions(messages, 16):
            self._publish(some)

    def send_raw(self, messages: Sequence[Message]) -> None:
        """Publish bytes as they are, valid or not, and with the signature that they have, if any."""
        for some in _portions(messages, PIPELINED):
            self._publish(some)

    def close(self) -> None:
        self._edge.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _value: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _publish(self, messages: Sequence[Message]) -> None:
        if self._secret is not None:
            messages = [
                one if one.signature is not None else one._replace(signature=sign(one.body, self._secret))
                for one in messages
            ]
        self._edge.publish(messages)

    def _message(self, command: Event[Any]) -> Message:
        return Message(encode(command), partition_of(command.partitionkey, self._partitions))


def check_url(url: str) -> None:
    """Raises EdgeUnavailable where it is no URL of a queue; nothing is connected to."""
    edge = _edge_at(url, None, 1.0)
    edge.close()


def _edge_at(url: str, producer: str | None, timeout_seconds: float) -> Edge:
    if not url.startswith(RABBITMQ):
        return RedisEdge(url, producer=producer, timeout_seconds=timeout_seconds)
    # Its client is only there where it is needed.
    from .rabbitmq import RabbitEdge

    return RabbitEdge(url, producer=producer, timeout_seconds=timeout_seconds)


class RedisEdge:
    """Commands into Redis or Valkey streams: `XADD coins:commands:<partition>:<producer> * event <json>`."""

    def __init__(self, url: str, *, producer: str | None = None, timeout_seconds: float = 5.0) -> None:
        self._client = connect(url, timeout_seconds=timeout_seconds)
        self._producer = producer

    def publish(self, messages: Sequence[Message]) -> None:
        # Not retried by the client: a repeated XADD would be a second delivery. The ledger would know it by
        # its key, but who repeats should be whoever knows whether it still matters.
        pipeline = self._client.pipeline(transaction=False)
        for message in messages:
            fields: dict[Any, Any] = {"event": message.body}
            if message.signature is not None:
                fields["signature"] = message.signature
            pipeline.xadd(commands_stream(message.partition, self._producer), fields)
        try:
            pipeline.execute()
        except REFUSALS as error:
            raise refused(error) from error
        except redis.RedisError as error:
            raise EdgeUnavailable(
                f"the commands were not confirmed ({error}); send them again with the same ids"
            ) from error

    def close(self) -> None:
        self._client.close()


def refused(error: redis.RedisError) -> EdgeRefused:
    """What to look at where the server has said one of REFUSALS."""
    return EdgeRefused(
        f"the queue's server does not let this user do that ({error}); look at the user and the password in the URL, and "
        "ask the operator whether the stream is that user's own (`coins producer list`)"
    )


def connect(url: str, *, timeout_seconds: float = 5.0, retries: int = 0) -> redis.Redis:
    """A client with time-outs. Raises EdgeUnavailable where the URL is none.

    User and password stand before an `@`: `redis://user:password@host:port`, `unix://user:password@/path`.
    """
    if url.startswith("unix://") and not re.match(r"unix://([^/@]*@)?/", url):
        shown = re.sub(r"//[^/]*@", "//…@", url)
        raise EdgeUnavailable(
            f"{shown!r} is no address of a queue: after unix:// write an absolute path, as in unix:///tmp/x.sock"
        )
    try:
        return redis.Redis.from_url(
            url,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            retry=Retry(ExponentialBackoff(cap=1.0, base=0.05), retries),
            protocol=2,
        )
    except ValueError:
        raise EdgeUnavailable(
            "the queue's URL cannot be read; use redis://…, unix:///… or amqp://…"
        ) from None


def arrays(events: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Events as arrays of up to `size`, none beyond 1 MiB."""
    waiting: list[bytes] = []
    held = 2
    for one in events:
        if waiting and (len(waiting) == size or held + len(one) + 1 > MAX_MESSAGE_BYTES):
            yield b"[" + b",".join(waiting) + b"]"
            waiting, held = [], 2
        waiting.append(one)
        held += len(one) + 1
    if waiting:
        yield b"[" + b",".join(waiting) + b"]"


def _portions(messages: Iterable[Message], size: int) -> Iterator[list[Message]]:
    portion: list[Message] = []
    for message in messages:
        portion.append(message)
        if len(portion) == size:
            yield portion
            portion = []
    if portion:
        yield portion
