"""Whatever comes in, every event of it comes out once, and what is wrong with one says nothing about its neighbours."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from messages.codec import Decoded, Invalid, Unreadable, bytes_of_parts, decode
from messages.commands import COMMANDS
from tests.messages.accounting import accounted_for, as_message
from tests.messages.examples import GOOD
from tests.messages.strategies import (
    DEEP,
    NO_INTEGERS,
    NO_JSON,
    NO_TIMES,
    Json,
    damaged,
    events,
    spoiled,
    with_value,
)


def example_of(type_: str, **changed: Json) -> dict[str, Json]:
    event = {"specversion": "1.0", "id": "1", "source": "s", "type": f"coins.{type_}.v1", "data": GOOD[type_]}
    return {**event, **changed}


PLAIN = as_message(example_of("TopUp"))


@given(st.binary(max_size=400))
def test_any_bytes_are_accounted_for(body: bytes) -> None:
    accounted_for(body)


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


@given(ANY_JSON, st.booleans())
def test_any_json_is_accounted_for(content: Json, ascii_only: bool) -> None:
    accounted_for(json.dumps(content, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass"))


@given(spoiled())
def test_a_command_with_a_hostile_value_is_accounted_for(body: bytes) -> None:
    (part,) = accounted_for(body)
    assert isinstance(part, Decoded | Invalid | Unreadable)


@given(data=st.data())
def test_a_damaged_message_is_accounted_for(data: st.DataObject) -> None:
    whole = data.draw(st.lists(events(), min_size=1, max_size=3))
    body = json.dumps(whole if data.draw(st.booleans()) else whole[0]).encode()
    accounted_for(data.draw(damaged(body)))


@given(events(), st.sampled_from(["utf-16", "utf-16-le", "utf-32", "utf-8-sig"]))
def test_text_that_is_no_plain_utf_8_is_unreadable(event: dict[str, Json], encoding: str) -> None:
    (part,) = accounted_for(json.dumps(event).encode(encoding))
    assert isinstance(part, Unreadable)


@given(data=st.data())
def test_what_spoils_one_event_of_an_array_does_not_spoil_its_neighbours(data: st.DataObject) -> None:
    # Given an array of events that are fine and others
    some = data.draw(st.lists(st.tuples(st.just(True), events().map(as_message)), min_size=1, max_size=4))
    some += data.draw(st.lists(st.tuples(st.just(False), spoiled()), min_size=1, max_size=4))
    some = data.draw(st.permutations(some))

    parts = accounted_for(b"[" + b" ,\n".join(body for _, body in some) + b"]")

    assert len(parts) == len(some)
    for part, (fine, body) in zip(parts, some, strict=True):
        assert not fine or isinstance(part, Decoded)
        # And each is what it would be by itself
        (alone,) = decode(body)
        assert type(part) is type(alone)


@given(data=st.data())
def test_the_bytes_of_a_part_are_those_that_came_in(data: st.DataObject) -> None:
    some = data.draw(st.lists(events().map(as_message) | spoiled(), min_size=2, max_size=5))
    assert bytes_of_parts(b"[" + b" , ".join(some) + b"]") == some


INTEGERS = [
    (type_, name)
    for type_, model in COMMANDS.items()
    for name, schema in model.model_json_schema()["properties"].items()
    if "integer" in (schema.get("type"), *(one.get("type") for one in schema.get("anyOf", ())))
]
TIMES = [
    ("PowerOn", "at"),
    ("PowerOff", "at"),
    ("PlaceHold", "expires_at"),
    ("Subscribe", "start_at"),
]


@pytest.mark.parametrize(("type_", "name"), INTEGERS)
@pytest.mark.parametrize(
    "raw", [one for one in NO_INTEGERS if one != b"null"], ids=lambda raw: raw[:9].decode()
)
def test_what_is_no_integer_is_never_taken_for_one(type_: str, name: str, raw: bytes) -> None:
    (part,) = accounted_for(with_value(example_of(type_), ("data", name), raw))
    assert isinstance(part, Invalid)


@pytest.mark.parametrize(("type_", "name"), TIMES)
@pytest.mark.parametrize("raw", NO_TIMES)
def test_what_is_no_moment_within_bounds_is_never_taken_for_one(type_: str, name: str, raw: bytes) -> None:
    (part,) = accounted_for(with_value(example_of(type_), ("data", name), raw))
    assert isinstance(part, Invalid)


@pytest.mark.parametrize(
    "raw", [*NO_JSON, b"9" * 5_000, b"-" + b"9" * 5_000], ids=lambda raw: raw[:12].decode()
)
def test_what_json_has_no_word_for_is_refused_under_its_own_key(raw: bytes) -> None:
    bad = with_value(example_of("TopUp", id="2"), ("data", "amount"), raw)

    first, second, third = accounted_for(b"[" + PLAIN + b"," + bad + b"," + PLAIN + b"]")

    assert isinstance(first, Decoded)
    assert isinstance(second, Invalid)
    assert second.id == "2"
    assert isinstance(third, Decoded)


@pytest.mark.parametrize("raw", DEEP, ids=len)
@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_endless_depth_in_one_event_does_not_spoil_its_neighbours(raw: bytes, opening: bytes) -> None:
    if opening != b"[":
        raw = opening * (len(raw) // 2) + b"1" + b"}" * (len(raw) // 2)
    bad = with_value(example_of("TopUp", id="2"), ("data", "account"), raw)

    parts = accounted_for(b"[" + PLAIN + b"," + bad + b"," + PLAIN + b"]")

    assert [isinstance(part, Decoded) for part in parts] == [True, False, True]


def test_depth_that_is_never_closed_is_unreadable_at_once() -> None:
    # Every mark could begin a text that has no end: looked at more than once each, they would take hours
    (part,) = decode(b"[" * 3_000 + b'\\"' * 500_000)
    assert isinstance(part, Unreadable)


@pytest.mark.parametrize("number", [0, 1_001, 2_000])
def test_an_array_of_another_size_is_one_letter_with_all_its_bytes(number: int) -> None:
    body = b"[" + b",".join([PLAIN] * number) + b"]"
    (part,) = accounted_for(body)
    assert isinstance(part, Unreadable)
    assert bytes_of_parts(body) == [body]


def test_an_array_that_is_too_long_in_bytes_is_one_letter_with_all_its_bytes() -> None:
    body = b"[" + b",".join([PLAIN + b" " * 2_000] * 600) + b"]"
    assert len(body) > 1024 * 1024
    (part,) = accounted_for(body)
    assert isinstance(part, Unreadable)
    assert bytes_of_parts(body) == [body]


def test_what_is_said_of_a_fault_moves_no_cursor() -> None:
    name = "\x1b[2J\r\n\u202e\u00a0"
    for event in (example_of("TopUp", data={name: 1}), example_of("TopUp", type=name)):
        (part,) = accounted_for(as_message(event))
        assert isinstance(part, Invalid)
        assert "\\x1b[2J\\r\\n\\u202e\\xa0" in part.why


@given(st.text(min_size=1, max_size=140))
@example("a\n")
@example("\u0661")
@example("é")
@example("\ud800")
def test_an_id_is_printable_ascii_or_nobody_can_be_answered(id_: str) -> None:
    (part,) = accounted_for(as_message(example_of("TopUp", id=id_)))
    usable = len(id_) <= 128 and all(" " <= one <= "~" for one in id_)
    assert isinstance(part, Decoded if usable else Unreadable)


def test_every_integer_of_every_command_is_tried() -> None:
    tried: set[Any] = set(INTEGERS)
    assert {("TopUp", "amount"), ("Transfer", "amount"), ("Renewal", "cycle_no")} <= tried
    assert len(tried) > 15
