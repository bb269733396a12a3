"""What other clients write into a message and py-amqp cannot read: left out of it.

Otherwise such a message would end the connection each time that it is delivered, and nothing behind it would ever be read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from struct import error, pack, unpack_from
from typing import Any

from amqp import spec
from amqp.method_framing import frame_handler
from amqp.serialization import loads

_HEADER = 2
_CONTENT_TYPE, _CONTENT_ENCODING, _HEADERS = 0x8000, 0x4000, 0x2000
# What a value of each kind takes; of the others their length stands before them.
_SIZED = ((0, b"V"), (1, b"tbB"), (2, b"sUu"), (4, b"Iif"), (5, b"D"), (8, b"lLdT"))
_SIZES = {kind: size for size, kinds in _SIZED for kind in kinds}
_LONG = b"SxFA"
# A field of the server's own stands before those of the same name that a producer has written.
_OFFSET = b"\x0fx-stream-offset"
Dispatch = Callable[[int, tuple[int, int], bytes, Any], Any]


def tolerant(connection: Any, dispatch: Dispatch) -> Any:
    """py-amqp's own frame handler, for messages whose properties or routing key may be anything."""
    dispatched = False

    def passed_on(channel: int, method: tuple[int, int], arguments: bytes, content: Any) -> Any:
        nonlocal dispatched
        dispatched = True
        if method == spec.Basic.Deliver:
            arguments = _legible(arguments)
        return dispatch(channel, method, arguments, content)

    handle = frame_handler(connection, passed_on)

    def on_frame(frame: tuple[int, int, bytes]) -> bool:
        nonlocal dispatched
        kind, channel, payload = frame
        if kind != _HEADER:
            return bool(handle(frame))
        dispatched = False
        attempts = (_as_it_is, _headers_alone, _legible_headers)
        for attempt in attempts[2:] if is_odd(payload) else attempts:
            try:
                return bool(handle((kind, channel, attempt(payload))))
            except Exception:  # of what is written in there nothing is known
                if dispatched:  # it was read, and whoever was given it has failed
                    raise
        return bool(handle((kind, channel, _nothing_of(payload))))

    return on_frame


def is_odd(properties: bytes) -> bool:
    """Whether py-amqp would take what a producer has written for the server's own."""
    return properties.count(_OFFSET) > 1


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


def _legible_headers(payload: bytes) -> bytes:
    """Of the headers those that can be read; of several by the same name the first."""
    alone = _headers_alone(payload)
    kept: dict[bytes, bytes] = {}
    with suppress(IndexError, error):  # it ends within a field
        for name, field in _fields(alone[18:]):
            with suppress(Exception):
                loads("F", pack(">I", len(field)) + field, 0)
                kept.setdefault(name, field)
    written = b"".join(kept.values())
    return alone[:14] + pack(">I", len(written)) + written


def _fields(table: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and whole field, one after the other; what has no known size ends it."""
    at = 0
    while at < len(table):
        value_at = at + 1 + table[at]
        kind, end = table[value_at], value_at + 1
        if kind in _LONG:
            end += 4 + unpack_from(">I", table, end)[0]
        elif kind in _SIZES:
            end += _SIZES[kind]
        else:
            return
        yield table[at + 1 : value_at], table[at:end]
        at = end


def _legible(arguments: bytes) -> bytes:
    """Of a delivery: class and method, tag of the consumer and of the message, again or not, exchange, routing key."""
    exchange_at = 4 + 1 + arguments[4] + 8 + 1
    key_at = exchange_at + 1 + arguments[exchange_at]
    key = arguments[key_at + 1 :]
    if key.isascii():
        return arguments
    return arguments[: key_at + 1] + bytes(byte if byte < 0x80 else ord("?") for byte in key)
