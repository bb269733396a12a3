"""Messages as bytes on the wire, beside how py-amqp itself writes and reads them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import amqp
import pytest
from amqp import spec
from amqp.method_framing import frame_handler, frame_writer
from amqp.serialization import dumps, loads

from messages.amqp_messages import FRAME, Envelope, next_delivery

FRAME_MAX = 4_096
PROPERTIES: dict[str, dict[str, Any]] = {
    "none": {},
    "a command's": {
        "content_type": "application/cloudevents+json",
        "delivery_mode": 2,
        "timestamp": 1_790_000_000,
    },
    "with headers": {"application_headers": {"signature": "mzGu", "n": 7}, "type": "x", "message_id": "m-1"},
    "everything": {
        "content_type": "a",
        "content_encoding": "b",
        "application_headers": {},
        "delivery_mode": 1,
        "priority": 9,
        "correlation_id": "c",
        "reply_to": "d",
        "expiration": "5",
        "message_id": "e",
        "timestamp": 0,
        "type": "f",
        "user_id": "g",
        "app_id": "h",
        "cluster_id": "i",
    },
}
BODIES = {"empty": b"", "short": b'{"id": 1}', "of a frame": b"x" * (FRAME_MAX - 8), "of three": b"y" * 9_000}


def written(method: tuple[int, int], arguments: bytes, message: amqp.Message, channel: int = 3) -> bytes:
    """As py-amqp writes it."""
    some: list[bytes] = []
    transport = SimpleNamespace(write=lambda part: some.append(bytes(part)))
    frame_writer(SimpleNamespace(frame_max=FRAME_MAX, bytes_sent=0), transport)(
        1, channel, method, arguments, message
    )
    return b"".join(some)


def delivered(
    body: bytes,
    key: str = "shop.0",
    *,
    channel: int = 3,
    tag: int = 7,
    again: bool = False,
    **properties: Any,
) -> bytes:
    """What a server sends."""
    arguments = dumps("sLbss", ("consumer", tag, again, "coins.commands", key))
    return written(spec.Basic.Deliver, arguments, amqp.Message(body, **properties), channel)


def read_by_frames(data: bytes) -> tuple[list[Any], amqp.Message]:
    """As py-amqp reads it."""
    found: list[tuple[bytes, amqp.Message]] = []
    handle = frame_handler(
        SimpleNamespace(bytes_recv=0), lambda _c, _m, some, message: found.append((some, message))
    )
    at = 0
    while at < len(data):
        kind, channel, size = FRAME.unpack_from(data, at)
        handle((kind, channel, data[at + FRAME.size : at + FRAME.size + size]))
        at += FRAME.size + size + 1
    arguments, message = found[0]
    return loads("sLbss", arguments, 4)[0], message


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("properties", PROPERTIES.values(), ids=PROPERTIES)
@pytest.mark.parametrize("mandatory", [True, False])
def test_a_message_is_written_as_by_py_amqp(properties: dict[str, Any], body: bytes, mandatory: bool) -> None:
    envelope = Envelope(3, "coins.events", "outcome.shop.x", mandatory=mandatory, properties=properties)
    arguments = dumps("Bssbb", (0, "coins.events", "outcome.shop.x", mandatory, False))
    frames = written(spec.Basic.Publish, arguments, amqp.Message(body, **properties))
    assert envelope.around(body, FRAME_MAX) == frames


@pytest.mark.parametrize("properties", PROPERTIES.values(), ids=PROPERTIES)
def test_a_message_is_read_as_by_py_amqp(properties: dict[str, Any]) -> None:
    data = delivered(b'{"id": 1}', "shop.12", tag=2**40, again=True, **properties)
    found = next_delivery(b"before" + data + b"behind", 6)
    arguments, message = read_by_frames(data)
    assert found is not None
    assert (found.channel, found.end) == (3, 6 + len(data))
    assert found.message.properties == message.properties == properties
    assert found.message.body == message.body
    information = found.message.delivery_info
    names = ["consumer_tag", "delivery_tag", "redelivered", "exchange", "routing_key"]
    assert (
        [information[name] for name in names]
        == arguments
        == [found.consumer, 2**40, True, "coins.commands", "shop.12"]
    )


def test_of_a_message_that_is_not_all_there_nothing_is_read() -> None:
    data = delivered(b"{}", **PROPERTIES["a command's"])
    for length in range(len(data)):
        assert next_delivery(data[:length], 0) is None
    assert next_delivery(data, 0) is not None


def spoiled(data: bytes, at: int, byte: int) -> bytes:
    return data[:at] + bytes([byte]) + data[at + 1 :]


def header_at(data: bytes) -> int:
    return FRAME.size + FRAME.unpack_from(data, 0)[2] + 1


PLAIN = delivered(b"{}", content_type="a")
OFFSET = b"\x0fx-stream-offsetl" + bytes(8)
LEFT = {
    "an empty body": delivered(b""),
    "a body in several frames": delivered(b"y" * 9_000),
    "a heartbeat": FRAME.pack(8, 0, 0) + b"\xce",
    "another method": written(spec.Basic.Return, dumps("Bsss", (312, "", "", "")), amqp.Message(b"{}")),
    "a frame without its end": spoiled(PLAIN, len(PLAIN) - 1, 0),
    "a header of another channel": spoiled(PLAIN, header_at(PLAIN) + 2, 4),
    "something between method and body": spoiled(PLAIN, header_at(PLAIN), 8),
    "a routing key that is no text": delivered(b"{}", "shöp.0"),
    "properties that cannot be read": delivered(b"{}", application_headers={"a": 1}).replace(
        b"\x01aI", b"\x01a?"
    ),
    "two offsets, of which one is the producer's": delivered(
        b"{}", application_headers={"pad": "x" * 41}
    ).replace(b"\x03padS" + (41).to_bytes(4) + b"x" * 41, OFFSET * 2),
}


@pytest.mark.parametrize("data", LEFT.values(), ids=LEFT)
def test_what_is_out_of_the_ordinary_is_left_to_py_amqp(data: bytes) -> None:
    assert next_delivery(data, 0) is None
