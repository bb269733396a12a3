"""What other clients write into a message and py-amqp cannot read: left out of it.

Otherwise such a message would end the connection each time that it is delivered, and nothing behind it would ever be read.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from struct import pack, unpack_from
from typing import Any

from amqp import spec
from amqp.method_framing import frame_handler

_HEADER = 2
_CONTENT_TYPE, _CONTENT_ENCODING, _HEADERS = 0x8000, 0x4000, 0x2000
Dispatch = Callable[[int, tuple[int, int], bytes, Any], Any]


def tolerant(connection: Any, dispatch: Dispatch) -> Any:
    """py-amqp's own frame handler, for messages whose properties or routing key may be anything."""
    handle = frame_handler(connection, _with_legible_key(dispatch))

    def on_frame(frame: tuple[int, int, bytes]) -> bool:
        kind, channel, payload = frame
        if kind != _HEADER:
            return bool(handle(frame))
        for attempt in (_as_it_is, _headers_alone):
            with suppress(Exception):  # of what is written in there nothing is known
                return bool(handle((kind, channel, attempt(payload))))
        return bool(handle((kind, channel, _nothing_of(payload))))

    return on_frame


def _as_it_is(payload: bytes) -> bytes:
    return payload


def _nothing_of(payload: bytes) -> bytes:
    class_id, size = unpack_from(">HxxQ", payload, 0)
    return pack(">HHQH", class_id, 0, size, 0)


def _headers_alone(payload: bytes) -> bytes:
    """Without all other properties: class, size of the body, flags; two short texts stand before the headers."""
    class_id, size, flags = unpack_from(">HxxQH", payload, 0)
    at = 14
    for before in (_CONTENT_TYPE, _CONTENT_ENCODING):
        if flags & before:
            at += 1 + payload[at]
    (length,) = unpack_from(">I", payload, at)
    return pack(">HHQH", class_id, 0, size, flags & _HEADERS) + payload[at : at + 4 + length]


def _with_legible_key(dispatch: Dispatch) -> Dispatch:
    def passed_on(channel: int, method: tuple[int, int], arguments: bytes, content: Any) -> Any:
        if method == spec.Basic.Deliver:
            arguments = _legible(arguments)
        return dispatch(channel, method, arguments, content)

    return passed_on


def _legible(arguments: bytes) -> bytes:
    """Of a delivery: class and method, tag of the consumer and of the message, again or not, exchange, routing key."""
    exchange_at = 4 + 1 + arguments[4] + 8 + 1
    key_at = exchange_at + 1 + arguments[exchange_at]
    key = arguments[key_at + 1 :]
    if key.isascii():
        return arguments
    return arguments[: key_at + 1] + bytes(byte if byte < 0x80 else ord("?") for byte in key)
