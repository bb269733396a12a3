"""Bytes in, commands out, and for every part that is no command the reason why: nothing is ever dropped here.

A message is one event or an array of 1 to 1,000 events, at most 1 MiB. Each event of an array is decoded on its own.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

import orjson
from pydantic import ValidationError

from .commands import COMMANDS
from .envelope import EVENTS, MAX_BATCH, MAX_MESSAGE_BYTES, Event, fingerprint
from .fields import MESSAGE_ID_PATTERN, SOURCE_PATTERN
from .tracing import traceparent_in
from .wording import say

_ID = re.compile(MESSAGE_ID_PATTERN)
_SOURCE = re.compile(SOURCE_PATTERN)
_SHOWN_ERRORS = 5
_SPACE = b" \t\n\r"
# The closing quotation mark may be missing: so every mark is looked at once, whatever stands behind it.
_STEPS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[\]{},]', re.DOTALL)
_MOST_DIGITS = 400
_TYPE_NAME = re.compile(r"coins\.([A-Za-z]{1,64})\.v1")


class Decoded(NamedTuple):
    """A valid command: its event, what its content is recognised by, and its place in its message."""

    event: Event[Any]
    fingerprint: bytes
    place: int

    @property
    def source(self) -> str:
        return self.event.source

    @property
    def id(self) -> str:
        return self.event.id

    @property
    def type(self) -> str:
        return self.event.type

    @property
    def traceparent(self) -> str | None:
        return traceparent_in(self.event.traceparent)


class Unreadable(NamedTuple):
    """Bytes that are no event: no key can be read, so nobody can be answered."""

    why: str
    place: int


class Invalid(NamedTuple):
    """An event that breaks the contract, with the key it was sent under; the key stays free."""

    source: str
    id: str
    type: str | None
    why: str
    place: int
    traceparent: str | None = None


class Unauthenticated(NamedTuple):
    """A message that nobody can be held to: nothing of it was read, and nobody is answered. `decode` never makes one."""

    why: str
    place: int = 0


Part = Decoded | Unreadable | Invalid | Unauthenticated


def decode(body: bytes) -> list[Part]:
    """What a message holds, in its order. Never raises: what cannot be used comes as `Unreadable` or `Invalid`."""
    if len(body) > MAX_MESSAGE_BYTES:
        return [Unreadable(f"a message may have 1 MiB at most, this one has {len(body):,} bytes", 0)]
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return _beyond_json(body, str(error))
    nulls = b"null" in body
    if not isinstance(content, list):
        return [_part(content, 0, nulls)]
    if not 1 <= len(content) <= MAX_BATCH:
        return [_too_many(len(content))]
    return [_part(element, place, nulls) for place, element in enumerate(content)]


def decode_event(body: bytes) -> Part:
    """One event that was cut out of a message: never an array, whatever it holds. Never raises."""
    return _element(body, 0)


def command_name(type_: str | None) -> str | None:
    """`coins.TopUp.v1` → `TopUp`; None for what is no command's type."""
    found = _TYPE_NAME.fullmatch(type_ or "")
    return found[1] if found and found[1] in COMMANDS else None


def _part(content: Any, place: int, nulls: bool) -> Part:
    if nulls and isinstance(content, dict):
        content = _without_nulls(content)
    if isinstance(content, dict) and not isinstance(content.get("type", ""), str):
        return _refused(content, "type: must be a text, as in coins.TopUp.v1", place)
    try:
        event = EVENTS.validate_python(content)
    except ValidationError as error:
        return _refused(content, _explain(content, error), place)
    except RecursionError:
        return _refused(content, "it is nested too deeply", place)
    return Decoded(event, fingerprint(event.data), place)


def _refused(content: Any, why: str, place: int) -> Unreadable | Invalid:
    if isinstance(content, dict):
        id_, source, type_ = content.get("id"), content.get("source"), content.get("type")
        if (
            isinstance(id_, str)
            and isinstance(source, str)
            and _ID.fullmatch(id_)
            and _SOURCE.fullmatch(source)
        ):
            shown = _printable(type_) if isinstance(type_, str) else None
            return Invalid(source, id_, shown, why, place, traceparent_in(content.get("traceparent")))
        return Unreadable(f"no usable id and source: {why}", place)
    return Unreadable(f"an event must be a JSON object, this is {_json_name(content)}", place)


def _beyond_json(body: bytes, why: str) -> list[Part]:
    """What strict JSON refuses (a lone surrogate, NaN, endless digits or depth) may still hold events that are fine, and
    keys to answer under."""
    try:
        content = _nearly_json(body)
    except ValueError:
        return [Unreadable(f"not JSON: {why}", 0)]
    except RecursionError:
        content = []
    elements = _elements(body) if isinstance(content, list) else None
    if elements is None:
        return [_refused(content, f"not JSON: {why}", 0) if content else Unreadable(f"not JSON: {why}", 0)]
    if not 1 <= len(elements) <= MAX_BATCH:
        return [_too_many(len(elements))]
    return [_element(element, place) for place, element in enumerate(elements)]


def _element(body: bytes, place: int) -> Part:
    """An event by itself; an array in its place is no event."""
    try:
        return _part(orjson.loads(body), place, b"null" in body)
    except orjson.JSONDecodeError as error:
        why = f"not JSON: {error}"
    try:
        return _refused(_nearly_json(body), why, place)
    except (ValueError, RecursionError):
        return Unreadable(why, place)


def _nearly_json(body: bytes) -> Any:
    """Raises ValueError for what is no JSON even with some leniency, RecursionError for what is too deep to tell."""
    return json.loads(body.decode(), parse_constant=_NotJson, parse_int=_integer)


class _NotJson:
    """NaN and the infinities, which are no JSON, and integers that nobody would write."""

    def __init__(self, name: str) -> None:
        self.name = name


def _integer(digits: str) -> int | _NotJson:
    return int(digits) if len(digits) <= _MOST_DIGITS else _NotJson(digits)


def _elements(body: bytes) -> list[bytes] | None:
    """The bytes of each element of an array, whatever the elements are; None for what is no array."""
    array = body.strip(_SPACE)
    if not array.startswith(b"["):
        return None
    found: list[bytes] = []
    depth, begin = 0, 1
    for step in _STEPS.finditer(array):
        sign = step[0]
        if sign in b"[{":
            depth += 1
        elif sign in b"]}":
            depth -= 1
            if depth == 0:
                if step.end() != len(array):
                    return None
                found.append(array[begin : step.start()].strip(_SPACE))
        elif sign == b"," and depth == 1:
            found.append(array[begin : step.start()].strip(_SPACE))
            begin = step.end()
    if depth != 0:
        return None
    return [] if found == [b""] else found


def _too_many(number: int) -> Unreadable:
    return Unreadable(f"an array must hold 1 to {MAX_BATCH:,} events, this one holds {number:,}", 0)


def bytes_of_parts(body: bytes) -> list[bytes]:
    """The bytes of each event of a message, as many as `decode` finds: of a single one the message itself, of an array each
    element's, to the letter."""
    if len(body) > MAX_MESSAGE_BYTES:
        return [body]
    try:
        try:
            orjson.loads(body)
        except orjson.JSONDecodeError:
            _nearly_json(body)
    except ValueError:
        return [body]
    except RecursionError:
        pass
    elements = _elements(body)
    return elements if elements is not None and 1 <= len(elements) <= MAX_BATCH else [body]


def _without_nulls(event: dict[str, Any]) -> dict[str, Any]:
    """`null` is the same as absent, in the envelope, in `data`, and in the parts of `data` that have fields."""
    kept = {name: value for name, value in event.items() if value is not None}
    data = kept.get("data")
    if isinstance(data, dict):
        kept["data"] = {
            name: {key: inner for key, inner in value.items() if inner is not None}
            if isinstance(value, dict) and name != "details"
            else value
            for name, value in data.items()
            if value is not None
        }
    return kept


def _explain(content: Any, error: ValidationError) -> str:
    if isinstance(content, dict) and command_name(_text(content.get("type"))) is None:
        type_ = content.get("type")
        shown = _printable(repr(type_[:80])) if isinstance(type_, str) else "what is given"
        return f"type: {shown} is no command; they are coins.<Command>.v1, as in coins.TopUp.v1"
    faults = [
        fault
        for fault in error.errors(include_url=False, include_context=False, include_input=False)
        if fault["type"] != "default_factory_not_called"
    ]
    said = []
    for fault in faults[:_SHOWN_ERRORS]:
        location = [str(part) for part in fault["loc"] if not str(part).startswith("coins.")]
        said.append(f"{'.'.join(location) or 'event'}: {say(fault)}")
    if len(faults) > _SHOWN_ERRORS:
        said.append(f"and {len(faults) - _SHOWN_ERRORS} more")
    return "; ".join(_printable(part) for part in said)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _printable(text: str) -> str:
    """At most 500 characters that can be stored, sent and shown: what a producer wrote may hold anything."""
    shown = text[:500]
    if not shown.isprintable():
        shown = "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in shown)
    return shown[:500]


def _json_name(value: Any) -> str:
    names = {str: "a text", int: "a number", float: "a number", bool: "a boolean", list: "an array"}
    return names.get(type(value), "null")
