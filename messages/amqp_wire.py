"""py-amqp's connection, but for how bytes go in and out: many messages in a read, many in a write.

py-amqp reads each frame in three pieces and writes each message on its own: 44 and 35 µs of processor time a message, and
62 µs of the server's, which gets each in a packet of its own. In this way reading takes 5, publishing 4, the server 22.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from typing import Any

from amqp import spec
from amqp.connection import NEGOTIATE_CAPABILITIES
from amqp.exceptions import UnexpectedFrame
from amqp.method_framing import frame_writer
from amqp.transport import SSLTransport, TCPTransport
from kombu.transport import pyamqp

from .amqp_messages import FRAME, FRAME_END, Envelope, next_delivery
from .odd_frames import tolerant

_READ_BYTES = 256 * 1024
_WRITE_BYTES = 64 * 1024
# In the middle of a record of TLS a socket that is readable may have nothing to give.
_PATIENCE_SECONDS = 1.0


class _Reading:
    """Reads as much as there is, and gives it out frame by frame."""

    sock: Any
    connected: bool
    having_timeout: Any
    _data = b""
    _at = 0

    @property
    def has_frame(self) -> bool:
        """Whether a whole frame has been read that was not given out."""
        left = len(self._data) - self._at
        return left > FRAME.size and left > FRAME.size + FRAME.unpack_from(self._data, self._at)[2]

    def read_frame(self, *_: Any) -> tuple[int, int, bytes]:
        """Type, channel, payload. Raises TimeoutError, and keeps what there is of it; OSError where the server is gone."""
        while not self.has_frame:
            self._read_more()
        kind, channel, size = FRAME.unpack_from(self._data, self._at)
        begin = self._at + FRAME.size
        self._at = begin + size + 1
        if self._data[begin + size] != FRAME_END:
            raise UnexpectedFrame(f"a frame ends with {self._data[begin + size]:#04x}, not {FRAME_END:#04x}")
        return kind, channel, self._data[begin : begin + size]

    def read_more(self) -> bool:
        """Read once; whether anything has come, which is waited for a second. Raises OSError where the server is gone."""
        try:
            with self.having_timeout(_PATIENCE_SECONDS):
                self._read_more()
        except TimeoutError:
            return False
        return True

    def give_delivery(self, connection: Any) -> bool:
        """Hand out the message that comes next, where that is all there and nothing is odd about it."""
        found = next_delivery(self._data, self._at)
        channel = connection.channels.get(found.channel) if found else None
        if found is None or channel is None or channel.is_closing or channel.auto_decode:
            return False
        came = channel.callbacks.get(found.consumer)
        if came is None:
            return False
        self._at = found.end
        # py-amqp's sign that the server lives. What we write is not counted, so that we say too often that we do.
        connection.bytes_recv += 1
        found.message.channel = channel
        came(found.message)
        return True

    def _read_more(self) -> None:
        try:
            some = self.sock.recv(_READ_BYTES)
        except BlockingIOError:  # the socket's own time-out
            raise TimeoutError("nothing has come") from None
        except TimeoutError:
            raise
        except OSError:
            self.connected = False
            raise
        if not some:
            self.connected = False
            raise OSError("the server has closed the connection")
        self._data, self._at = self._data[self._at :] + some, 0


class _TCP(_Reading, TCPTransport):  # type: ignore[misc]
    pass


class _TLS(_Reading, SSLTransport):  # type: ignore[misc]
    pass


class _Connection(pyamqp.Connection):  # type: ignore[misc]
    # Told of this, py-amqp would look for news before each message that it publishes.
    negotiate_capabilities = {**NEGOTIATE_CAPABILITIES, "connection.blocked": False}  # noqa: RUF012

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, frame_handler=tolerant, frame_writer=_holding, **options)

    def Transport(  # noqa: N802
        self,
        host: str,
        connect_timeout: float,
        ssl: Any = False,
        read_timeout: int | None = None,
        write_timeout: int | None = None,
        **options: Any,
    ) -> Any:
        options |= {"read_timeout": read_timeout, "write_timeout": write_timeout}
        if ssl:
            return _TLS(host, connect_timeout, ssl, **options)
        return _TCP(host, connect_timeout, **options)


class Transport(pyamqp.Transport):  # type: ignore[misc]
    """What kombu is given as `transport`."""

    Connection = _Connection


class _Held:
    """Between py-amqp and the socket: what is held back goes out with what comes next, or when it is much."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._bytes = bytearray()

    def hold(self, some: bytes) -> None:
        self._bytes += some
        if len(self._bytes) > _WRITE_BYTES:
            self.flush()

    def write(self, some: Any) -> None:
        self._bytes += some
        self.flush()

    def flush(self) -> None:
        some, self._bytes = self._bytes, bytearray()
        if some:
            self._transport.write(bytes(some))


def _holding(connection: Any, transport: Any) -> Any:
    connection.held = _Held(transport)
    return frame_writer(connection, connection.held)


def publish(connection: Any, envelope: Envelope, body: bytes) -> None:
    """Write a message; it may wait for more, up to `flush`, or to whatever else is written. Raises OSError."""
    server = opened(connection)
    server.held.hold(envelope.around(body, server.frame_max))


def flush(connection: Any) -> None:
    """Write what was held back."""
    opened(connection).held.flush()


def opened(connection: Any) -> Any:
    """The connection as py-amqp has it. Raises OSError where it is gone: kombu would silently make another."""
    if not connection.connected:
        raise OSError("the connection is closed")
    return connection.connection


def has_channel(connection: Any) -> bool:
    """Whether the server gives this connection one more: 2,047 unless its `channel_max` says otherwise."""
    server = opened(connection)
    return len(server.channels) - 1 < int(server.channel_max)  # it is one of its own


def consume_at_once(
    connection: Any,
    queue: str,
    prefetch: int,
    came: Callable[[Any], None],
    canceled: Callable[[str], None],
) -> Any:
    """Consume a queue on a new channel without waiting for an answer: with that would come all that other queues give.

    What the server does not allow is raised by whoever takes what it sends. See `has_channel`.
    """
    server = opened(connection)
    channel = server.Channel(server)
    channel.auto_decode = False
    channel.send_method(spec.Channel.Open, "s", ("",))
    channel.send_method(spec.Basic.Qos, "lBb", (0, prefetch, False))
    channel.basic_consume(queue, queue, nowait=True, callback=came, on_cancel=canceled)
    return channel


def drain(connection: Any, seconds: float, enough: Callable[[], bool] = lambda: False) -> bool:
    """Handle what the server has sent, until it is enough; wait for the first of it so long. Whether anything came.

    Raises amqp.exceptions.AMQPError and OSError where the connection is gone.
    """
    read_from = opened(connection)
    came = False
    while not (came and enough()) and _readable(read_from, 0 if came else seconds):
        came = True
        transport = read_from.transport
        if not transport.has_frame and not transport.read_more():
            break
        while True:
            if not transport.give_delivery(read_from):
                if not transport.has_frame:
                    break
                read_from.on_inbound_frame(transport.read_frame())
            if enough():
                break
    return came


def _readable(connection: Any, seconds: float) -> bool:
    """Whether something has come that was not handled, or comes within so many seconds."""
    transport = connection.transport
    if transport is None or transport.sock is None:
        raise OSError("the connection is closed")
    pending: Callable[[], int] | None = getattr(transport.sock, "pending", None)  # of TLS
    return bool(
        transport.has_frame or (pending and pending()) or select.select([transport.sock], [], [], seconds)[0]
    )
