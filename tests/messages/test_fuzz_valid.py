"""Whatever a valid command says, it is taken, comes back from its own bytes, and is recognised by its content alone."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from messages.codec import Decoded, decode
from messages.commands import COMMANDS
from tests.messages.accounting import accounted_for, as_message
from tests.messages.strategies import data_of, events, name_of, written_otherwise


def decoded(body: bytes) -> Decoded:
    (part,) = accounted_for(body)
    assert isinstance(part, Decoded), part
    return part


def content(part: Decoded) -> str:
    return json.dumps([part.event.type, part.event.data.model_dump(mode="json")], sort_keys=True)


@pytest.mark.parametrize("type_", sorted(COMMANDS))
@given(data=st.data())
def test_a_valid_command_is_taken_and_comes_back_from_its_own_bytes(type_: str, data: st.DataObject) -> None:
    event = data.draw(events(st.just(type_)))

    part = decoded(as_message(event))

    assert (part.event.source, part.event.id, part.event.type) == (
        event["source"],
        event["id"],
        event["type"],
    )
    for name in ("actor", "partitionkey", "traceparent"):
        assert getattr(part.event, name) == event.get(name)


@given(data=st.data())
def test_the_same_content_written_otherwise_is_recognised(data: st.DataObject) -> None:
    event = data.draw(events())

    otherwise = data.draw(written_otherwise(event))

    assert decoded(otherwise).fingerprint == decoded(as_message(event)).fingerprint


@given(data=st.data())
def test_two_commands_are_taken_for_the_same_only_if_they_say_the_same(data: st.DataObject) -> None:
    # Given a command and another of its type that differs in some fields, if at all
    event = data.draw(events())
    drawn = data.draw(data_of(name_of(event)))
    changed = data.draw(st.sets(st.sampled_from(sorted({*event["data"], *drawn})), max_size=2))
    mixed = {name: value for name, value in event["data"].items() if name not in changed}
    mixed |= {name: drawn[name] for name in changed if name in drawn}
    (other,) = decode(as_message({**event, "data": mixed}))
    if not isinstance(other, Decoded):
        (other,) = decode(as_message({**event, "data": drawn}))
        assert isinstance(other, Decoded)

    one = decoded(as_message(event))

    assert (one.fingerprint == other.fingerprint) is (content(one) == content(other))


@given(st.lists(events(), min_size=1, max_size=6), st.integers(1, 1_000))
def test_an_array_has_as_many_parts_as_events(drawn: list[dict[str, Any]], number: int) -> None:
    some = [as_message(event) for event in drawn]
    # As many as go into one message
    longest = max(len(one) for one in some)
    number = min(number, 1024 * 1024 // (longest + 1) - 1) or 1
    body = b"[" + b",".join(some[place % len(some)] for place in range(number)) + b"]"

    parts = decode(body)

    assert [part.place for part in parts] == list(range(number))
    assert all(isinstance(part, Decoded) for part in parts)


@given(data=st.data())
def test_of_a_key_that_stands_there_twice_the_last_one_counts(data: st.DataObject) -> None:
    event = data.draw(events())
    other = data.draw(events(st.just(name_of(event))))
    twice = as_message(other)[:-1] + b"," + as_message(event)[1:]

    part = decoded(twice)

    assert part.fingerprint == decoded(as_message(event)).fingerprint
    assert (part.event.source, part.event.id) == (event["source"], event["id"])
