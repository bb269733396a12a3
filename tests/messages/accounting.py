"""What holds for every message whatever is in it: each of its events comes out once, in its place, as what it is."""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

from messages.codec import Decoded, Invalid, Part, Unreadable, bytes_of_parts, decode
from messages.envelope import MAX_BATCH, MAX_MESSAGE_BYTES, encode, fingerprint
from messages.fields import MESSAGE_ID_PATTERN, SOURCE_PATTERN

LONGEST_WHY = 4_000


def storable(text: str) -> bool:
    """Whether PostgreSQL keeps it as text."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\x00" not in text


def texts_in(value: Any) -> list[str]:
    """Every text in a value, names included."""
    match value:
        case str():
            return [value]
        case dict():
            return [text for pair in value.items() for one in pair for text in texts_in(one)]
        case list() | tuple():
            return [text for one in value for text in texts_in(one)]
    return []


def accounted_for(body: bytes) -> list[Part]:
    """The parts of the message, after everything was looked at that must hold for any."""
    parts = decode(body)
    assert parts
    assert [part.place for part in parts] == list(range(len(parts)))
    for part in parts:
        match part:
            case Decoded():
                assert part.fingerprint == fingerprint(part.event.data)
                assert all(storable(text) for text in texts_in(part.event.model_dump(mode="json")))
                (again,) = decode(encode(part.event))
                assert isinstance(again, Decoded)
                assert (again.event, again.fingerprint) == (part.event, part.fingerprint)
            case Invalid():
                assert re.fullmatch(MESSAGE_ID_PATTERN, part.id)
                assert re.fullmatch(SOURCE_PATTERN, part.source)
                _can_be_told(part.why)
                _can_be_told(part.type or "")
            case Unreadable():
                _can_be_told(part.why)
            case _:
                raise AssertionError(part)
    _has_as_many_parts_as_it_holds(body, parts)
    return parts


def _can_be_told(text: str) -> None:
    assert text.isprintable()
    assert storable(text)
    assert len(text) <= LONGEST_WHY


def _has_as_many_parts_as_it_holds(body: bytes, parts: list[Part]) -> None:
    pieces = bytes_of_parts(body)
    assert len(pieces) == len(parts)
    try:
        content = orjson.loads(body)
    except ValueError:
        return
    if not isinstance(content, list) or len(body) > MAX_MESSAGE_BYTES or not 1 <= len(content) <= MAX_BATCH:
        assert pieces == [body]
        assert len(parts) == 1
        return
    assert len(parts) == len(content)
    assert [orjson.loads(piece) for piece in pieces] == content


def as_message(event: dict[str, Any]) -> bytes:
    return json.dumps(event).encode()
