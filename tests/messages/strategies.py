"""Events drawn at random from the models: valid ones of every command, the same ones written otherwise, and hostile values.

What a field takes is drawn by its type, so that a command or a field that is added is fuzzed without a word here.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cache
from typing import Any, get_args, get_type_hints

from hypothesis import strategies as st
from pydantic import TypeAdapter

from messages import fields
from messages.commands import COMMANDS, Part
from messages.fields import MAX_AMOUNT, time_text
from messages.reports import DAYS, FILTERS, NUMBERS, SWITCHES, Report

Json = Any
Strategy = st.SearchStrategy[Any]

STORABLE = st.characters(exclude_characters="\x00", exclude_categories=["Cs"])
NAMED = ["acme", "north", "carl", "shop", "platform", "x"]
ENVELOPE = ("time", "expirytime", "partitionkey", "actor", "traceparent")


def texts(min_size: int, max_size: int) -> Strategy:
    """Any that may be stored; now and then as long as it may be."""
    usual = st.text(STORABLE, min_size=min_size, max_size=min(max_size, 12))
    longest = STORABLE.map(lambda one: one * max_size)
    return st.one_of(usual, usual, usual, longest)


def ids(longest: int = 64) -> Strategy:
    return st.sampled_from(NAMED) | st.text("ABCXYZabcxyz0189._-", min_size=1, max_size=longest)


def amounts(lowest: int, highest: int) -> Strategy:
    edges = [one for one in (lowest, 1, 2, highest) if lowest <= one <= highest]
    return st.sampled_from(edges) | st.integers(lowest, highest)


def _decimal(parts: tuple[int, str]) -> str:
    whole, places = parts
    return f"{whole}.{places}" if places else str(whole)


def decimals(highest: int) -> Strategy:
    return st.tuples(st.integers(0, highest), st.text("0123456789", max_size=6)).map(_decimal)


# Hypothesis wants its bounds without a zone.
FIRST, LAST = datetime(2000, 1, 1), datetime(2100, 12, 31, 23, 59, 59)  # noqa: DTZ001


@st.composite
def times(draw: st.DrawFn) -> str:
    """A moment within bounds, in one of the ways in which it may be written."""
    moment = draw(st.datetimes(FIRST, LAST))
    if draw(st.booleans()):
        return time_text(moment.replace(tzinfo=UTC))
    minutes = draw(st.integers(-23 * 60 - 59, 23 * 60 + 59))
    local = (moment + timedelta(minutes=minutes)).isoformat(draw(st.sampled_from("Tt")))
    sign = "-" if minutes < 0 else "+"
    return f"{local}{sign}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"


PLAIN = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(-1e18, 1e18)
    | st.text(STORABLE, max_size=8)
)
NESTED = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(STORABLE, max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
DEVICES = st.text("".join(map(chr, range(33, 127))), min_size=1, max_size=64)
EMAILS = st.sampled_from(["", "li.na@acme.example", "ü@ü", "a+b@c.d"])
ZONES = st.sampled_from(["UTC", "Asia/Shanghai", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe"])

OF_TYPES: list[tuple[Any, Strategy]] = [
    (fields.Id, ids()),
    (fields.DeviceId, DEVICES),
    (fields.OrderName, st.tuples(ids(), st.sampled_from(["", "/1", "/9999999"])).map("".join)),
    (fields.BillId, ids(80)),
    (fields.TransactionNumber, st.sampled_from(["T-2026-0000000001", "T-2026-0000000003"]) | ids()),
    (fields.Devices, st.lists(DEVICES, min_size=1, max_size=3, unique=True)),
    (fields.Ids, st.lists(ids(), max_size=3, unique=True)),
    (fields.Goods, st.lists(texts(1, 200), max_size=3, unique=True)),
    (fields.Details, st.dictionaries(texts(0, 20), NESTED, max_size=3)),
    (fields.SignedAmount, amounts(1, MAX_AMOUNT).flatmap(lambda one: st.sampled_from([one, -one]))),
    (fields.DecimalText, decimals(10**16 - 1)),
    (fields.Factor, decimals(fields.MAX_FACTOR - 1)),
    (fields.Currency, st.sampled_from(["EUR", "CNY", "XXX"])),
    (fields.Email, EMAILS),
    (fields.Zone, ZONES | st.just("")),
    (fields.Time, times()),
]
WITHOUT_EMPTY = {"emails": st.lists(EMAILS.filter(bool), max_size=3)}


def _of_type(hint: Any) -> Strategy:
    for type_, strategy in OF_TYPES:
        if hint is type_:
            return strategy
    if type(None) in get_args(hint):
        return st.none() | _of_type(next(one for one in get_args(hint) if one is not type(None)))
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return st.sampled_from([one.value for one in hint])
    if isinstance(hint, type) and issubclass(hint, Part):
        return _of_fields(hint)
    schema = TypeAdapter(hint).json_schema()
    match schema["type"]:
        case "boolean":
            return st.booleans()
        case "integer":
            return amounts(schema["minimum"], schema["maximum"])
        case "string":
            return texts(schema.get("minLength", 0), schema["maxLength"])
    raise AssertionError(f"no values are known for {hint}")


def _of_fields(model: type[Part]) -> Strategy:
    hints = get_type_hints(model, include_extras=True)
    hints.pop("model_config", None)
    drawn = {
        name: WITHOUT_EMPTY[name] if name in WITHOUT_EMPTY else st.deferred(lambda hint=hint: _of_type(hint))
        for name, hint in hints.items()
        if name != "filters"
    }
    required = {name for name, field in model.model_fields.items() if field.is_required()}
    return st.fixed_dictionaries(
        {name: one for name, one in drawn.items() if name in required},
        optional={name: one for name, one in drawn.items() if name not in required},
    )


def _one_of(data: dict[str, Json], *names: str, pick: int, otherwise: dict[str, Json]) -> dict[str, Json]:
    """Exactly one of the fields, the picked one."""
    kept = names[pick % len(names)]
    found = {name: value for name, value in data.items() if name not in names}
    value = data.get(kept)
    return {**found, kept: otherwise[kept] if value is None else value}


@st.composite
def filters_of(draw: st.DrawFn, report: str) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for name in draw(st.lists(st.sampled_from(sorted(FILTERS[Report(report)])), max_size=3)):
        if name in SWITCHES:
            found[name] = draw(st.booleans())
        elif name in NUMBERS:
            found[name] = draw(st.integers(0, 36_500))
        elif name in DAYS:
            found[name] = draw(times() | st.just("2026-11-22"))
        elif name == "search":
            found[name] = draw(texts(0, 500))
        else:
            found[name] = draw(st.lists(texts(0, 20), min_size=1, max_size=3) | texts(0, 20))
    return found


@cache
def _any_data_of(type_: str) -> Strategy:
    return _of_fields(COMMANDS[type_])


@st.composite
def data_of(draw: st.DrawFn, type_: str) -> dict[str, Json]:
    """Valid data of a command: what is drawn by field, put right where fields depend on each other."""
    data: dict[str, Json] = draw(_any_data_of(type_))
    return _coherent(type_, data, draw(st.integers(0, 1)), draw)


def _coherent(type_: str, data: dict[str, Json], pick: int, draw: st.DrawFn) -> dict[str, Json]:
    match type_:
        case "Refund":
            otherwise: dict[str, Json] = {"transaction": "T-2026-0000000001", "order": "o"}
            return _one_of(data, "transaction", "order", pick=pick, otherwise=otherwise)
        case "SetWarning":
            return _one_of(data, "amount", "percent", pick=pick, otherwise={"amount": 1, "percent": 20})
        case "Renewal":
            otherwise = {"devices": ["d"], "subscription": "s"}
            chosen = _one_of(data, "devices", "subscription", pick=pick, otherwise=otherwise)
            useless = ("cycle_no",) if "devices" in chosen else ("plan", "price", "cycle")
            return {name: value for name, value in chosen.items() if name not in useless}
        case "Subscribe" if data["kind"] == "device":
            return {**data, "goods": draw(st.lists(DEVICES, min_size=1, max_size=3, unique=True))}
        case "RequestExport":
            return {**data, "filters": draw(filters_of(data["report"]))}
    return data


NAMES = st.text("ABCabc019_-", min_size=1, max_size=64)
SOURCES = NAMES | st.tuples(NAMES, st.text("ABCabc019_.-", min_size=1, max_size=63)).map("/".join)
MESSAGE_IDS = st.text("".join(map(chr, range(32, 127))), min_size=1, max_size=128)
TYPES = st.sampled_from(sorted(COMMANDS))


@st.composite
def events(draw: st.DrawFn, types: Strategy = TYPES) -> dict[str, Json]:
    """A valid event of some command."""
    type_ = draw(types)
    event: dict[str, Json] = {
        "specversion": "1.0",
        "id": draw(MESSAGE_IDS),
        "source": draw(SOURCES),
        "type": f"coins.{type_}.v1",
        "data": draw(data_of(type_)),
    }
    for name in draw(st.lists(st.sampled_from(ENVELOPE), max_size=2)):
        event[name] = draw(times() if name in ("time", "expirytime") else texts(0, 200))
    return event


def name_of(event: dict[str, Json]) -> str:
    return str(event["type"]).split(".")[1]


def defaults_of(type_: str) -> dict[str, Json]:
    """What may be spelled out: the default of every field that has one of its own."""
    given = COMMANDS[type_].model_json_schema()["properties"]
    return {name: schema["default"] for name, schema in given.items() if "default" in schema}


@st.composite
def written_otherwise(draw: st.DrawFn, event: dict[str, Json]) -> bytes:
    """The same content: other key order, spelled-out defaults and nulls, escapes, spaces, an attribute that is ignored."""
    data = {
        name: value
        for name, value in event["data"].items()
        # An absent default and a null mean the same, too.
        if value is not None or draw(st.booleans())
    }
    for name, value in defaults_of(name_of(event)).items():
        if name not in data and draw(st.booleans()):
            data[name] = value
    reordered = {**event, "data": dict(draw(st.permutations(list(data.items()))))}
    if draw(st.booleans()):
        reordered["extension"] = draw(NESTED)
    reordered = dict(draw(st.permutations(list(reordered.items()))))
    return json.dumps(
        reordered,
        ensure_ascii=draw(st.booleans()),
        indent=draw(st.sampled_from([None, 0, 3])),
        separators=draw(st.sampled_from([(",", ":"), (" , ", " :\t")])),
    ).encode()


# What is put in the place of a value, as bytes: not all of it is JSON.
NO_INTEGERS = [
    b"3.0",
    b"1e2",
    b"-0.0",
    b"true",
    b"false",
    b'"3"',
    b"[3]",
    b'{"a":3}',
    b"null",
    b"9" * 30,
    b"9" * 5_000,
]
NO_JSON = [b"NaN", b"Infinity", b"-Infinity", b"1e400", b'"\\ud800"', b'"a\\udfffb"']
DEEP = [b"[" * depth + b"]" * depth for depth in (900, 1_100, 3_000)]
STRANGE = [
    b'""',
    b'"\\u0000"',
    b'"\xef\xbb\xbf"',
    b'"\\u202e\\u200b\\ufeff"',
    '"\U0001f600é"'.encode(),
    b'" "',
    b'"' + b"x" * 70_000 + b'"',
    b"[]",
    b"{}",
    b"[null]",
    b'{"":null}',
    b"-1",
    b"0",
    b"9223372036854775808",
]
NO_TIMES = [
    b'"2026-11-22T08:00:00"',
    b'"2026-11-22"',
    b'"1999-12-31T23:59:59Z"',
    b'"2101-01-01T00:00:00Z"',
    b'"0000-01-01T00:00:00Z"',
    b'"0001-01-01T00:00:00+23:59"',
    b'"9999-12-31T23:59:59-23:59"',
    b'"2026-02-30T00:00:00Z"',
    b'"2026-11-22T25:00:00Z"',
    b'"2026-11-22T08:00:60Z"',
    b'"2026-11-22T08:00:00+24:00"',
    b'"\xd9\xa2026-11-22T08:00:00Z"',
    b"1795334400",
]
HOSTILE = st.sampled_from([*NO_INTEGERS, *NO_JSON, *DEEP, *STRANGE, *NO_TIMES])
_MARK = "put something else here"


def places_of(value: Json, before: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value inside of a value."""
    inner: list[tuple[Any, Json]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    return [place for name, one in inner for place in ((*before, name), *places_of(one, (*before, name)))]


def with_value(event: dict[str, Json], place: tuple[Any, ...], raw: bytes) -> bytes:
    """The event as JSON with those bytes at that place."""
    copy = json.loads(json.dumps(event))
    at = copy
    for name in place[:-1]:
        at = at[name]
    at[place[-1]] = _MARK
    return json.dumps(copy).encode().replace(f'"{_MARK}"'.encode(), raw)


@st.composite
def spoiled(draw: st.DrawFn) -> bytes:
    """A valid event in which one value, or more, is another one."""
    event = draw(events())
    place = draw(st.sampled_from(places_of(event)))
    return with_value(event, place, draw(HOSTILE))


@st.composite
def damaged(draw: st.DrawFn, body: bytes) -> bytes:
    """Bytes that were flipped, cut off, cut out, put in or doubled."""
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(0, len(body) - 1)))
        to = draw(st.integers(at, min(len(body), at + 20)))
        body = draw(
            st.sampled_from(
                [
                    body[:at] + bytes([draw(st.integers(0, 255))]) + body[at + 1 :],
                    body[:at],
                    body[at:],
                    body[:at] + body[to:],
                    body[:to] + body[at:],
                    body[:at]
                    + draw(st.binary(max_size=5) | st.sampled_from([b'"', b",", b"]", b"}", b"\\"]))
                    + body[at:],
                ]
            )
        )
    return body
