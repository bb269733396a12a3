"""What RabbitMQ remembers after a restore: all of it, whatever it is and however late it comes, or an error."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from struct import pack
from typing import Any

import amqp
import pytest
from amqp.exceptions import AMQPError

from messages.amqp_wire import drain
from messages.errors import EdgeUnavailable
from messages.rabbitmq import consuming_channel
from messages.streams import COMMANDS_EXCHANGE, commands_stream, routing_key
from tests.rabbitmq import publish_raw, server_address, through
from tests.workers.consuming import Host, known
from tests.workers.test_queues_of_any_client import ODD_PROPERTIES, table
from workers.paging import PAGE_BYTES, ends, offset_of, pages
from workers.remembered import RabbitMemory
from workers.topology import KEPT, declare, topology, version_of

pytestmark = pytest.mark.rabbitmq
DELIVERED = b"\x00\x3c\x00\x3c"  # AMQP's class and method


@pytest.fixture
def kept(host: Host) -> Host:
    """With a copy of all commands, and nothing in it."""
    host.connection.default_channel.queue_delete(KEPT)
    version = version_of(host.connection)
    declare(host.connection, topology(1, None, events_keep=1_000, commands_keep=3_600, version=version))
    return host


@pytest.fixture
def remembered() -> Iterator[Callable[..., RabbitMemory]]:
    made: list[RabbitMemory] = []

    def opened(url: str, since: datetime | None = None) -> RabbitMemory:
        made.append(RabbitMemory(url, since, known("shop"), [], -1))
        return made[-1]

    yield opened
    for one in made:
        one.close()


OFFSET = b"\x0fx-stream-offset"
ODD = ODD_PROPERTIES | {
    "an offset of its own": table(OFFSET + b"l" + pack(">q", 99)),
    "two of them": table(OFFSET + b"l" + pack(">q", 99) + OFFSET + b"S" + pack(">I", 1) + b"x"),
    "a field before it that cannot be read": table(b"\x01aT" + b"\xff" * 8 + b"\x01zT" + b"\xff" * 8),
}
# The server itself writes none into a stream, and ends the connection that it came by.
del ODD["a decimal of many places"]


def test_a_message_with_properties_of_any_kind_has_its_place_in_the_kept_copy(
    kept: Host, remembered: Callable[..., RabbitMemory]
) -> None:
    for properties in ODD.values():
        publish_raw(kept.url, COMMANDS_EXCHANGE, routing_key(0, "shop").encode(), properties, b"odd")
    kept.publish(routing_key(0, "shop"), b"even")
    found = list(remembered(kept.url).rest())
    assert [one.body for one in found] == [b"odd"] * len(ODD) + [b"even"]
    assert [int(one.position) for one in found] == list(range(len(ODD) + 1))


def test_a_signature_is_read_beside_headers_that_cannot_be(
    kept: Host, remembered: Callable[..., RabbitMemory]
) -> None:
    odd = table(b"\x01xT" + b"\xff" * 8 + b"\x09signatureS" + pack(">I", 4) + b"mine")
    publish_raw(kept.url, COMMANDS_EXCHANGE, routing_key(0, "shop").encode(), odd, b"{}")
    (one,) = remembered(kept.url).rest()
    assert one.signature == b"mine"


def test_what_comes_late_is_remembered_all_the_same(
    kept: Host, remembered: Callable[..., RabbitMemory]
) -> None:
    kept.number("shop", 3)
    with late(1.5) as port:
        memory = remembered(through(kept.url, port))
        assert memory.streams() == [commands_stream(0, "shop")]
        assert [one.body for one in memory.rest()] == [b"0", b"1", b"2"]


def test_an_empty_copy_and_one_of_earlier_times_hold_nothing(
    kept: Host, remembered: Callable[..., RabbitMemory]
) -> None:
    assert remembered(kept.url).streams() == []
    kept.number("shop", 3)
    assert remembered(kept.url, datetime.now(UTC) + timedelta(hours=1)).streams() == []


def test_a_stream_that_ends_too_early_is_no_end(kept: Host) -> None:
    kept.number("shop", 3)
    with pytest.raises(EdgeUnavailable, match="ended at 3, before 5"):
        list(pages(kept.connection, KEPT, None, 5, patience_seconds=0.5))


def test_no_more_than_a_page_is_held_however_long_messages_are(kept: Host) -> None:
    kept.publish(routing_key(0, "shop"), *(b"%d" % one + b" " * 300_000 for one in range(40)))
    (end,) = ends(kept.connection, [KEPT]).values()
    assert end == 40
    both = [pages(kept.connection, KEPT, None, end) for _ in range(2)]
    found: list[list[int]] = [[], []]
    for together in zip(*both, strict=True):
        for offsets, page in zip(found, together, strict=True):
            assert sum(len(one.body) for one in page) < PAGE_BYTES + 300_010
            offsets += [offset_of(one) for one in page]
    assert found == [list(range(40))] * 2


def test_whoever_fails_with_a_message_is_not_given_it_again(host: Host) -> None:
    """Also where it is empty: then it is handed over while its properties are read."""
    came: list[Any] = []

    def fails(message: Any) -> None:
        came.append(message)
        raise AMQPError("not that")

    channel = consuming_channel(host.connection)
    channel.queue_declare("given", exclusive=True)
    channel.basic_consume("given", callback=fails, no_ack=True)
    host.connection.default_channel.basic_publish(amqp.Message(b""), "", "given")
    with pytest.raises(AMQPError, match="not that"):
        drain(host.connection, 5)
    channel.close()
    assert len(came) == 1


@contextmanager
def late(seconds: float) -> Iterator[int]:
    """A port of the server by which each first delivery comes so much later than what was sent before it."""
    listening = socket.create_server(("127.0.0.1", 0))
    sockets = [listening]

    def carry(source: socket.socket, target: socket.socket, held_up: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                at = data.find(DELIVERED)
                if held_up and at >= 0:
                    target.sendall(data[: at - 7])  # the frame's own head stands before it
                    time.sleep(seconds)
                    data, held_up = data[at - 7 :], False
                target.sendall(data)

    def accept() -> None:
        client, _ = listening.accept()
        server = socket.create_connection(server_address())
        sockets.extend((client, server))
        threading.Thread(target=carry, args=(client, server, False), daemon=True).start()
        carry(server, client, True)

    serving = threading.Thread(target=accept, daemon=True)
    serving.start()
    yield listening.getsockname()[1]
    for one in sockets:
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()
    serving.join(10)
