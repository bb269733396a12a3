"""Messages as bytes on the wire: read where one is there as a whole, and written as a whole.

py-amqp goes frame by frame and looks up what each means, which takes several times as long. Whatever is out of the ordinary
is still left to it: a message in many frames, for nobody, or with properties or a routing key that cannot be read.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from struct import Struct, error
from typing import Any, NamedTuple

import amqp
from amqp import spec
from amqp.serialization import PROPERTY_CLASSES, dumps

from .odd_frames import is_odd

FRAME = Struct(">BHI")  # kind, channel, size; as many bytes; the end
FRAME_END = 0xCE
_METHOD, _HEADER, _BODY = 1, 2, 3
_BASIC = spec.Basic.CLASS_ID
_METHOD_FRAME = Struct(">BHIHH")  # class, method; its arguments
_HEADER_FRAME = Struct(">BHIHHQ")  # class, weight, size of the body; the properties
_DELIVERY = Struct(">Q?")  # its tag, whether it was delivered before
_AROUND = FRAME.size + 1
_END = bytes([FRAME_END])
# Longer ones are rarely alike, as signatures are not, and may be as long as a producer likes.
_KEPT_BYTES = 64


class Delivered(NamedTuple):
    """A message out of what has come: by which channel, for which consumer there, and where it ends."""

    channel: int
    consumer: str
    message: amqp.Message
    end: int


def next_delivery(data: bytes, at: int) -> Delivered | None:
    """The delivery that begins there; None where none does, or it is not all there, or py-amqp has to look at it."""
    try:
        kind, channel, size, *method = _METHOD_FRAME.unpack_from(data, at)
        if kind != _METHOD or tuple(method) != spec.Basic.Deliver:
            return None
        header_at = at + _AROUND + size
        header, header_channel, header_size, class_id, _, length = _HEADER_FRAME.unpack_from(data, header_at)
        body_at = header_at + _AROUND + header_size
        body, body_channel, body_size = FRAME.unpack_from(data, body_at)
        end = body_at + _AROUND + body_size
        if data[header_at - 1] != FRAME_END or data[body_at - 1] != FRAME_END or data[end - 1] != FRAME_END:
            return None
    except (error, IndexError):
        return None
    if (header, body, class_id, body_size) != (_HEADER, _BODY, _BASIC, length):
        return None
    if not channel == header_channel == body_channel:
        return None
    consumer_at = at + _METHOD_FRAME.size
    tag_at = consumer_at + 1 + data[consumer_at]
    route = _route(data[consumer_at + 1 : tag_at], data[tag_at + _DELIVERY.size : header_at - 1])
    properties = _properties_of(data[header_at + _HEADER_FRAME.size : body_at - 1])
    if route is None or properties is None:
        return None
    tag, again = _DELIVERY.unpack_from(data, tag_at)
    message = amqp.Message(data[body_at + FRAME.size : end - 1])
    message.properties = properties
    message.delivery_info = {**route, "delivery_tag": tag, "redelivered": again}
    return Delivered(channel, route["consumer_tag"], message, end)


@lru_cache(1_024)
def _route(consumer: bytes, names: bytes) -> dict[str, str] | None:
    """For which consumer, from which exchange, with which routing key: the same for many messages."""
    if not (consumer.isascii() and names.isascii()):
        return None
    key_at = 1 + names[0]
    exchange, key = names[1:key_at], names[key_at + 1 :]
    return {
        "consumer_tag": consumer.decode(),
        "exchange": exchange.decode(),
        "routing_key": key.decode(),
    }


def _properties_of(some: bytes) -> Mapping[str, Any] | None:
    """None where they cannot be read as they stand. Short ones are kept: many messages have the same."""
    return _short(some) if len(some) <= _KEPT_BYTES else _read(some)


@lru_cache(256)
def _short(some: bytes) -> Mapping[str, Any] | None:
    return _read(some)


def _read(some: bytes) -> Mapping[str, Any] | None:
    if is_odd(some):
        return None
    try:
        made: tuple[dict[str, Any], int] = PROPERTY_CLASSES[_BASIC](some, 0)
    except Exception:  # noqa: BLE001 - py-amqp raises anything; what can be read of them is found elsewhere
        return None
    return made[0]


class Envelope:
    """All that messages to the same place with the same properties have in common; a signed message has one of its own."""

    def __init__(
        self, channel: int, exchange: str, key: str, *, mandatory: bool, properties: Mapping[str, Any]
    ) -> None:
        arguments: bytes = dumps("Bssbb", (0, exchange, key, mandatory, False))
        self._properties: bytes = amqp.Message(**properties)._serialize_properties()
        method = _METHOD_FRAME.pack(_METHOD, channel, 4 + len(arguments), *spec.Basic.Publish)
        self._before = method + arguments + _END
        self._header_size = _HEADER_FRAME.size - FRAME.size + len(self._properties)
        self._channel = channel

    def around(self, body: bytes, frame_max: int) -> bytes:
        """A message as it is written."""
        header = _HEADER_FRAME.pack(_HEADER, self._channel, self._header_size, _BASIC, 0, len(body))
        parts = [self._before, header, self._properties, _END]
        most = frame_max - _AROUND
        for begin in range(0, len(body), most):
            some = body[begin : begin + most]
            parts += (FRAME.pack(_BODY, self._channel, len(some)), some, _END)
        return b"".join(parts)
