"""The edge on RabbitMQ, as a producer sees it: a connection, commands into an exchange, outcomes out of a stream.

Commands go to the topic exchange `coins.commands` with the routing key `<producer>.<partition>`. Outcomes are read from the
stream `coins.events.<producer>`: any number of readers, each from its own place.
"""

from __future__ import annotations

import re
import socket
import ssl
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from struct import pack
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

try:
    import kombu
    from amqp.exceptions import AccessRefused, AMQPError, NotAllowed, NotFound
    from kombu.exceptions import KombuError
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("RabbitMQ needs kombu: pip install 'coinworks-client[amqp]'") from error

from .amqp_messages import Envelope
from .amqp_wire import Transport, drain, flush, opened, publish
from .errors import EdgeRefused, EdgeUnavailable, MessagesError
from .publisher import RABBITMQ, Message
from .streams import (
    COMMANDS_EXCHANGE,
    EVENTS_EXCHANGE,
    outcomes_binding,
    outcomes_queue,
    routing_key,
)

EVENT, BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"
PERSISTENT = 2
# The last: a host's name that is none.
FAILURES = (AMQPError, KombuError, OSError, UnicodeError)
REFUSALS = (AccessRefused, NotAllowed)
READ_AHEAD = 1_000
ACKNOWLEDGED_AT_ONCE = 100
# A struct timeval.
CLOSE_TIMEOUT = pack("@ll", 1, 0)
BEAT_SECONDS = 0.25
OUTCOMES_HEARTBEAT_SECONDS = 60
# About how long an outcome is: what a stream keeps is counted in bytes.
EVENT_BYTES = 700
EVENTS_KEEP = 1_000_000
# As RabbitMQ's own clients call them in a URL's query.
_QUERY = {"cacertfile": "ca_certs", "certfile": "certfile", "keyfile": "keyfile"}


def connect(
    url: str, *, timeout_seconds: float = 5.0, heartbeat_seconds: int = 0, name: str = "coins producer"
) -> Any:
    """An open kombu connection: `amqp://user:password@host:port/vhost`, `amqps://…?cacertfile=…&certfile=…&keyfile=…`.

    Several with a `;` between them are the nodes of a cluster, and tried in turn. With a heartbeat whoever holds the
    connection calls its `heartbeat_check` about twice as often.

    Raises EdgeUnavailable, EdgeRefused.
    """
    failed: MessagesError | None = None
    for one in url.split(";"):
        connection = kombu.Connection(
            **_parameters(one),
            transport=Transport,
            connect_timeout=timeout_seconds,
            heartbeat=heartbeat_seconds,
            transport_options={
                "write_timeout": max(1, round(timeout_seconds)),
                "read_timeout": max(1, round(timeout_seconds)),
                "client_properties": {"connection_name": name},
            },
        )
        try:
            connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0)
        except FAILURES as error:
            connection.collect()
            server = f"RabbitMQ at {shown(one)}"
            failed = failure(error, f"{server} cannot be reached", server=server)
        else:
            return connection
    assert failed is not None
    raise failed


def shown(url: str) -> str:
    """The URL without its password."""
    return re.sub(r"//.*@", "//", url).partition("?")[0]


def _parameters(url: str) -> dict[str, Any]:
    """What kombu is told of a URL. Raises EdgeUnavailable where it is none."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not url.startswith(RABBITMQ) or not host:
        raise EdgeUnavailable(
            f"{shown(url)!r} is no address of RabbitMQ: write amqp://user:password@host:port/vhost, or amqps://…"
        )
    query = dict(parse_qsl(parts.query))
    if unknown := sorted(query.keys() - _QUERY.keys()):
        raise EdgeUnavailable(
            f"{shown(url)}: no such parameter: {unknown[0]}; there are {', '.join(sorted(_QUERY))}"
        )
    secure = parts.scheme == "amqps"
    if query and not secure:
        raise EdgeUnavailable(f"{shown(url)}: certificates go with amqps://")
    vhost = unquote(parts.path[1:]) if parts.path.strip("/") else "/"
    return {
        "hostname": f"[{host}]" if ":" in host else host,
        "port": port or (5671 if secure else 5672),
        "userid": unquote(parts.username or "guest"),
        "password": unquote(parts.password or "guest"),
        "virtual_host": vhost,
        "ssl": {
            "cert_reqs": ssl.CERT_REQUIRED,
            "server_hostname": host,
            **{_QUERY[key]: value for key, value in query.items()},
        }
        if secure
        else False,
    }


def failure(error: Exception, what: str, *, server: str = "RabbitMQ") -> MessagesError:
    """EdgeRefused or EdgeUnavailable, by what the server has said.

    A refusal leaves out `what`, which may ask for another try.
    """
    said = str(error).strip() or type(error).__name__
    if isinstance(error, REFUSALS):
        return EdgeRefused(
            f"{server} does not let this user do that ({said}); look at user, password and vhost in the URL, and ask the "
            "operator for this user's permissions (`coins producer list`)"
        )
    if isinstance(error, NotFound):
        return EdgeUnavailable(
            f"{what}: {said}; `coins migrate` declares what is missing, or import its definitions"
        )
    return EdgeUnavailable(f"{what} ({said})")


def close(connection: Any) -> None:
    """Close a connection, whatever state it is in. The server is given a second to say good-bye."""
    with suppress(*FAILURES, AttributeError):
        if connection.connected:
            sock = connection.connection.transport.sock
            for direction in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
                sock.setsockopt(socket.SOL_SOCKET, direction, CLOSE_TIMEOUT)
        connection.release()


def common_channel(connection: Any) -> Any:
    """For what the server may refuse. It closes the channel then, and py-amqp opens it again. Raises OSError."""
    opened(connection)
    return connection.default_channel


def consuming_channel(connection: Any) -> Any:
    """A new channel whose messages come as the bytes that were sent, whatever encoding they claim to have."""
    channel = connection.channel()
    channel.auto_decode = False
    return channel


class Confirms:
    """Messages on a channel that the server has to confirm: published without waiting for each, awaited together."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.channel = connection.channel()
        self.channel.confirm_select()
        self.channel.events["basic_ack"].add(self._on_ack)
        self.channel.events["basic_nack"].add(self._on_nack)
        self.channel.events["basic_return"].add(self._on_return)
        self._published = 0
        # Every tag up to this one was confirmed or refused, and of those behind it these.
        self._settled = 0
        self._early: set[int] = set()
        self._refused = 0
        self.returned: list[str] = []

    def envelope(
        self,
        exchange: str,
        key: str,
        *,
        mandatory: bool,
        headers: dict[str, Any] | None = None,
        **properties: Any,
    ) -> Envelope:
        """For messages that `publish` sends there, persistent, with these properties."""
        properties["delivery_mode"] = PERSISTENT
        if headers:
            properties["application_headers"] = headers
        return Envelope(self.channel.channel_id, exchange, key, mandatory=mandatory, properties=properties)

    def publish(self, envelope: Envelope, body: bytes) -> None:
        """Send it off. Raises FAILURES."""
        self._published += 1
        publish(self._connection, envelope, body)

    def wait(self, seconds: float) -> None:
        """Until everything is confirmed. Raises TimeoutError when nothing was for so long, and FAILURES."""
        flush(self._connection)
        while before := self._waiting():
            deadline = time.monotonic() + seconds
            while self._waiting() == before:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError(f"{before:,} messages were not confirmed within {seconds:g} s")
                drain(self._connection, min(left, BEAT_SECONDS))
                self._connection.heartbeat_check()
        refused, self._refused = self._refused, 0
        if refused:
            raise AMQPError(f"the server could not take {refused:,} messages")

    def _waiting(self) -> int:
        return self._published - self._settled - len(self._early)

    def _on_ack(self, tag: int, multiple: bool) -> None:
        if multiple:
            self._settled = max(self._settled, tag)
            self._early = {one for one in self._early if one > tag}
        elif tag > self._settled:
            self._early.add(tag)
        while self._settled + 1 in self._early:
            self._settled += 1
            self._early.remove(self._settled)

    def _on_nack(self, tag: int, multiple: bool) -> None:
        before = self._waiting()
        self._on_ack(tag, multiple)
        self._refused += before - self._waiting()

    def _on_return(self, _error: Any, _exchange: str, key: str, _message: Any) -> None:
        self.returned.append(key)


class RabbitEdge:
    """Commands into RabbitMQ, persistent, confirmed by the server, and returned where no queue takes them.

    There is no heartbeat, as nothing runs between two publications: a connection that has gone is noticed with the next
    one, which has the time-out, or by TCP's own keepalive.
    """

    def __init__(self, url: str, *, producer: str | None = None, timeout_seconds: float = 5.0) -> None:
        for one in url.split(";"):
            _parameters(one)
        self._url = url
        self._producer = producer
        self._timeout_seconds = timeout_seconds
        self._connection: Any = None
        self._confirms: Confirms | None = None

    def publish(self, messages: Sequence[Message]) -> None:
        try:
            confirms = self._opened()
            envelopes: dict[tuple[int, str | None, str], Envelope] = {}
            now = int(time.time())
            for message in messages:
                kind = BATCH if message.body[:1] == b"[" else EVENT
                into = message.partition, message.signature, kind
                envelope = envelopes.get(into)
                if envelope is None:
                    envelope = envelopes[into] = confirms.envelope(
                        COMMANDS_EXCHANGE,
                        routing_key(message.partition, self._producer),
                        mandatory=True,
                        headers={"signature": message.signature} if message.signature is not None else None,
                        content_type=kind,
                        timestamp=now,
                    )
                confirms.publish(envelope, message.body)
            confirms.wait(self._timeout_seconds)
        except FAILURES as error:
            self.close()
            raise failure(
                error, "the commands were not confirmed; send them again with the same ids"
            ) from error
        except BaseException:
            self.close()  # what was not waited for must not be counted with what comes next
            raise
        returned, confirms.returned = confirms.returned, []
        if returned:
            raise EdgeUnavailable(
                f"RabbitMQ returned {len(returned):,} of the messages: no queue takes the routing key {returned[0]!r} at "
                f"{COMMANDS_EXCHANGE}. Declare them with `coins migrate`, then send the commands again with the same ids"
            )

    def close(self) -> None:
        if self._connection is not None:
            close(self._connection)
        self._connection, self._confirms = None, None

    def _opened(self) -> Confirms:
        """A channel of a connection that is alive: nothing of what is to be sent has been yet, so it may be made anew."""
        if self._connection is not None:
            try:
                drain(self._connection, 0)
            except (*FAILURES, AttributeError):
                self.close()
        if self._connection is None or self._confirms is None or not self._connection.connected:
            self._connection = connect(self._url, timeout_seconds=self._timeout_seconds)
            self._confirms = Confirms(self._connection)
        return self._confirms


class RabbitOutcomes:
    """Outcomes of a producer out of its stream, from where that ends when this is made.

    A stream that is not there is made, where this user may, with the size for EVENTS_KEEP outcomes: a client does not know
    what COINS_EVENTS_KEEP says on the other side. To have it as that says, declare it first (`coins migrate`).

    A server that is gone is noticed by heartbeats while it is read. It ends, in turn, a connection by which nothing is read
    for two minutes.
    """

    def __init__(self, url: str, producer: str, *, timeout_seconds: float = 5.0) -> None:
        self._waiting: deque[Any] = deque()
        self._unacknowledged = 0
        self._connection = connect(
            url, timeout_seconds=timeout_seconds, heartbeat_seconds=OUTCOMES_HEARTBEAT_SECONDS
        )
        with self._told():
            declare_stream(
                self._connection, outcomes_queue(producer), outcomes_binding(producer), keep=EVENTS_KEEP
            )
            self._channel = consuming_channel(self._connection)
            self._channel.basic_qos(0, READ_AHEAD, False)
            self._channel.basic_consume(
                outcomes_queue(producer),
                callback=self._waiting.append,
                arguments={"x-stream-offset": "next"},
            )

    def read(self, *, within_seconds: float) -> Iterator[bytes]:
        """Outcome events as JSON, in order, until none has come for `within_seconds`."""
        deadline = time.monotonic() + within_seconds
        while (left := deadline - time.monotonic()) > 0 or self._waiting:
            if not self._waiting:
                with self._told():
                    drain(self._connection, min(left, 1.0))
                    self._connection.heartbeat_check()
                continue
            one = self._waiting.popleft()
            yield one.body
            self._read(one)
            deadline = time.monotonic() + within_seconds

    def close(self) -> None:
        close(self._connection)

    def _read(self, one: Any) -> None:
        """Now and then the server hears how far we are: it gives no more ahead than so many."""
        self._unacknowledged += 1
        if self._unacknowledged >= ACKNOWLEDGED_AT_ONCE or not self._waiting:
            with self._told():
                self._channel.basic_ack(one.delivery_tag, multiple=True)
            self._unacknowledged = 0

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except FAILURES as error:
            self.close()
            raise failure(error, "outcomes cannot be read") from error


def declare_stream(connection: Any, queue: str, binding: str, *, keep: int) -> None:
    """The stream for events with such routing keys, unless it is there: one that is stays as somebody has made it.

    keep: about how many events stay in it. Raises FAILURES.
    """
    channel = common_channel(connection)
    try:
        channel.queue_declare(queue, passive=True)
    except NotFound:
        channel.queue_declare(queue, durable=True, auto_delete=False, arguments=stream_arguments(keep))
        channel.queue_bind(queue, EVENTS_EXCHANGE, binding)


def stream_arguments(keep: int) -> dict[str, Any]:
    """Of a stream that keeps about so many events. It drops whole segments, and always has two of them."""
    size = keep * EVENT_BYTES
    return {
        "x-queue-type": "stream",
        "x-max-length-bytes": size,
        "x-stream-max-segment-size-bytes": min(max(size // 10, 1_000_000), 100_000_000),
    }
