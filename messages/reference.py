"""The AsyncAPI document as a page to read: `REFERENCE.md` is what `coins contract --markdown` prints."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from .fields import (
    BILL_PATTERN,
    CURRENCY_PATTERN,
    DECIMAL_PATTERN,
    DEVICE_PATTERN,
    EMAIL_PATTERN,
    ID_PATTERN,
    MESSAGE_ID_PATTERN,
    NO_NUL,
    ORDER_NAME_PATTERN,
    PATTERNS_IN_WORDS,
    SOURCE_PATTERN,
)
from .tracing import TRACEPARENT_PATTERN

KINDS = {
    ID_PATTERN: "id",
    DEVICE_PATTERN: "device",
    ORDER_NAME_PATTERN: "order id",
    BILL_PATTERN: "bill id",
    CURRENCY_PATTERN: "currency",
    MESSAGE_ID_PATTERN: "message id",
    SOURCE_PATTERN: "source",
    DECIMAL_PATTERN: "decimal",
    EMAIL_PATTERN: "e-mail",
    TRACEPARENT_PATTERN: "traceparent",
}
FORMATS = {"date-time": "time", "time-zone": "time zone"}
IN_WORDS = {
    **{
        KINDS[pattern]: said.removeprefix("must be ")
        for pattern, said in PATTERNS_IN_WORDS.items()
        if pattern in KINDS
    },
    "decimal": 'text with at most 6 places, as in `"1.25"`; a rate and a coefficient at most 1,000,000',
    "e-mail": "an e-mail address; in `UpdateAccount` an empty text clears it",
    "time": "RFC 3339 with a zone, years 2000 to 2100, as in `2026-11-22T08:00:00Z`",
    "time zone": "of the IANA database, as in `Asia/Shanghai`",
    "traceparent": "of W3C Trace Context, `00-<32 hex>-<16 hex>-<2 hex>` in small letters",
    "text": "valid Unicode without NUL",
    "integer": "neither `3.0` nor `true` nor a text",
}
_NULL = {"type": "null"}
HEAD = """\
# Reference

Every channel, command, event and reason, made from the models by `coins contract --markdown`. For machines the same is
`coins contract --asyncapi` and, as JSON Schema, `coins contract`. How to use it: [README.md](README.md). The rules in full:
[CONTRACT.md](CONTRACT.md).
"""


def reference(document: dict[str, Any]) -> str:
    """The page of an AsyncAPI document (`contract.asyncapi_document`)."""
    return "\n".join(_Page(document).lines()).rstrip() + "\n"


class _Page:
    def __init__(self, document: dict[str, Any]) -> None:
        self._channels: dict[str, Any] = document["channels"]
        self._messages: dict[str, Any] = document["components"]["messages"]
        self._schemas: dict[str, Any] = document["components"]["schemas"]
        # Parts that commands and events share, in the order in which they are met.
        self._parts: dict[str, dict[str, Any]] = {}

    def lines(self) -> Iterator[str]:
        commands = list(self._channels["commands"]["messages"])
        outcomes = list(self._channels["outcomes"]["messages"])
        further = list(self._channels["events"]["messages"])
        yield HEAD
        yield from self._all_channels()
        yield from _kinds()
        yield from self._envelope("Envelope of a command", commands[0])
        yield "## Commands\n"
        yield "Fields of `data`. Unknown ones are an error; null is the same as absent.\n"
        yield from (f"- [{name}](#{name.lower()}): {self._messages[name]['summary']}" for name in commands)
        yield ""
        for name in commands:
            yield from self._command(name)
        yield from self._envelope("Envelope of an outcome", outcomes[0])
        yield from self._outcomes(outcomes)
        yield from self._envelope("Envelope of any other event", further[0])
        yield from self._other_events(further)
        yield from self._reasons()
        yield "## Parts\n"
        for name, schema in self._parts.items():
            yield f"### {name}\n"
            yield from self._described(schema)

    def _all_channels(self) -> Iterator[str]:
        yield "## Channels\n"
        yield from _table(
            ("channel", "address", "what it is"),
            (
                (f"`{name}`", f"`{channel['address']}`", channel["description"])
                for name, channel in self._channels.items()
            ),
        )
        parameters = {
            name: said["description"]
            for channel in self._channels.values()
            for name, said in channel.get("parameters", {}).items()
        }
        yield from (f"- `{{{name}}}`: {said}" for name, said in parameters.items())
        yield ""

    def _envelope(self, title: str, message: str) -> Iterator[str]:
        schema = self._resolved(self._messages[message]["payload"])
        properties = dict(schema["properties"])
        properties["type"] = {"type": "string", "description": "`coins.<Name>.v1`"}
        properties["data"] = {"type": "object", "description": "see below"}
        yield f"## {title}\n"
        yield from self._fields({**schema, "properties": properties})

    def _command(self, name: str) -> Iterator[str]:
        message = self._messages[name]
        yield f"### {name}\n"
        yield from self._described(self._data(message))
        yield "```json"
        yield from (_json(sample["payload"]["data"]) for sample in message["examples"])
        yield "```\n"

    def _outcomes(self, names: list[str]) -> Iterator[str]:
        yield "## Outcomes\n"
        yield from (
            f"- `{self._messages[name]['name']}`: {self._messages[name]['summary']}" for name in names
        )
        yield ""
        yield from self._described(self._data(self._messages[names[0]]))
        yield "```json"
        for name in names:
            yield from (_json(sample["payload"]) for sample in self._messages[name]["examples"])
        yield "```\n"

    def _other_events(self, names: list[str]) -> Iterator[str]:
        yield "## Other events\n"
        alike: dict[str, list[str]] = {}
        for name in names:
            alike.setdefault(
                self._resolved(self._messages[name]["payload"])["properties"]["data"]["$ref"], []
            ).append(name)
        for same in alike.values():
            yield f"### {', '.join(same)}\n"
            yield from (
                f"- `{self._messages[name]['name']}`: {self._messages[name]['summary']}" for name in same
            )
            yield ""
            yield from self._described(self._data(self._messages[same[0]]))

    def _reasons(self) -> Iterator[str]:
        schema = self._schemas["Reason"]
        yield "## Reasons\n"
        yield "In order of precedence: of several faults the first is named.\n"
        meanings = schema["x-enumDescriptions"]
        yield from _table(
            ("reason", "what it means"), ((f"`{one}`", meanings[one]) for one in schema["enum"])
        )

    def _data(self, message: dict[str, Any]) -> dict[str, Any]:
        return self._resolved(self._resolved(message["payload"])["properties"]["data"])

    def _described(self, schema: dict[str, Any]) -> Iterator[str]:
        for paragraph in schema.get("description", "").split("\n\n"):
            if paragraph:
                yield paragraph.replace("\n", " ") + "\n"
        yield from self._fields(schema)

    def _fields(self, schema: dict[str, Any]) -> Iterator[str]:
        required = schema.get("required", ())
        fields: dict[str, Any] = schema["properties"]
        rows = (
            (
                f"`{name}`",
                self._value(field)
                + (" or null" if name in required and _NULL in field.get("anyOf", ()) else ""),
                "required" if name in required else _default(field),
                field.get("description", ""),
            )
            for name, field in fields.items()
        )
        if set(fields) == set(required):
            yield from _table(("field", "value", ""), ((name, value, said) for name, value, _, said in rows))
        else:
            yield from _table(("field", "value", "default", ""), rows)

    def _value(self, field: dict[str, Any]) -> str:
        """What a field takes, in words."""
        if "anyOf" in field:
            kinds = [one for one in field["anyOf"] if one != _NULL]
            return " or ".join(self._value(one) for one in kinds)
        if "$ref" in field:
            return self._referred(field["$ref"])
        if "const" in field:
            return f"`{field['const']}`"
        match field["type"]:
            case "string":
                return _text(field)
            case "integer":
                return _integer(field)
            case "array":
                return f"list of {_length(field)}{self._value(field['items'])}"
            case other:
                return str(other)

    def _referred(self, reference: str) -> str:
        name = reference.rpartition("/")[2]
        schema = self._schemas[name]
        if name == "Reason":
            return "[reason](#reasons)"
        if "enum" in schema:
            return ", ".join(f"`{one}`" for one in schema["enum"])
        self._parts.setdefault(name, schema)
        return f"[{name}](#{name.lower()})"

    def _resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        if "$ref" not in schema:
            return schema
        found: dict[str, Any] = self._schemas[schema["$ref"].rpartition("/")[2]]
        return found


def _kinds() -> Iterator[str]:
    yield "## Kinds of values\n"
    yield from _table(("value", "what it takes"), sorted(IN_WORDS.items()))


def _text(field: dict[str, Any]) -> str:
    if "format" in field:
        return FORMATS[field["format"]]
    pattern = field.get("pattern", NO_NUL)
    if pattern != NO_NUL:
        return KINDS[pattern]
    length = (
        f"{field['minLength']} to {field['maxLength']}"
        if "minLength" in field
        else f"at most {field.get('maxLength')}"
    )
    return f"text, {length} characters" if "maxLength" in field else "text"


def _integer(field: dict[str, Any]) -> str:
    if "minimum" not in field:
        return "integer"
    least, most = (_number(field[end]) for end in ("minimum", "maximum"))
    return f"integer, {least} to {most}" + (", not 0" if "not" in field else "")


def _number(value: int) -> str:
    return f"{value:,}".replace("1,000,000,000,000,000", "10^15")


def _length(field: dict[str, Any]) -> str:
    if "maxItems" not in field:
        return ""
    least = f"{field['minItems']} to " if "minItems" in field else "at most "
    return f"{least}{field['maxItems']}{', none twice' if field.get('uniqueItems') else ''}: "


def _default(field: dict[str, Any]) -> str:
    default = field.get("default")
    return "" if default is None else f"`{_json(default)}`"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|').replace(chr(10), ' ') for cell in row)} |"
    yield ""
