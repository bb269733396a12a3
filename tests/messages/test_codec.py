"""From bytes to commands: whatever comes in, every part of it is a command, or says why it is none."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from messages.codec import Decoded, Invalid, Part, Unreadable, command_name, decode
from messages.commands import COMMANDS
from tests.messages.examples import GOOD as EXAMPLES

GOOD: dict[str, Any] = {
    "specversion": "1.0",
    "id": "1",
    "source": "s",
    "type": "coins.TopUp.v1",
    "data": {"account": "acme", "amount": 1},
}


def encoded(**changed: Any) -> bytes:
    return json.dumps({**GOOD, **changed}).encode()


def kinds(parts: list[Part]) -> list[str]:
    return [type(part).__name__ for part in parts]


def raw(data: bytes) -> bytes:
    return b'{"specversion":"1.0","id":"1","source":"s","type":"coins.TopUp.v1","data":' + data + b"}"


@pytest.mark.parametrize("number", [1, 2, 1000])
def test_an_array_is_as_many_events(number: int) -> None:
    parts = decode(b"[" + b",".join([encoded()] * number) + b"]")
    assert kinds(parts) == ["Decoded"] * number
    assert [part.place for part in parts] == list(range(number))


def test_an_array_holds_one_to_a_thousand_events() -> None:
    assert kinds(decode(b"[]")) == ["Unreadable"]
    assert kinds(decode(b"[" + b",".join([encoded()] * 1001) + b"]")) == ["Unreadable"]


def test_a_message_may_have_one_mebibyte() -> None:
    event = encoded()
    assert kinds(decode(event + b" " * (1024 * 1024 - len(event)))) == ["Decoded"]
    assert kinds(decode(event + b" " * (1024 * 1024 - len(event) + 1))) == ["Unreadable"]


def test_each_event_of_an_array_is_decoded_on_its_own() -> None:
    parts = decode(b"[" + encoded() + b',{},7,null,"x",[],' + encoded(data={}) + b"," + encoded() + b"]")
    assert kinds(parts) == ["Decoded", *["Unreadable"] * 5, "Invalid", "Decoded"]
    assert [part.place for part in parts] == list(range(8))


def test_one_lone_surrogate_does_not_spoil_an_array() -> None:
    bad = encoded(id="2", data={"account": "acme", "amount": 1, "note": "\ud800"})
    parts = decode(b"[" + encoded() + b"," + bad + b"," + encoded(id="3") + b"]")
    assert kinds(parts) == ["Decoded", "Invalid", "Decoded"]


@pytest.mark.parametrize(
    "number", [b"9" * 30, b"-" + b"9" * 30, b"9" * 4000, b"1e400", b"1E5", b"1.0", b"-0"]
)
def test_numbers_of_any_size_are_refused_and_their_sender_is_known(number: bytes) -> None:
    (part,) = decode(raw(b'{"account":"acme","amount":' + number + b"}"))
    assert isinstance(part, Invalid)
    assert (part.source, part.id) == ("s", "1")


@pytest.mark.parametrize("word", [b"NaN", b"Infinity", b"-Infinity"])
def test_what_is_no_json_number_is_never_an_amount(word: bytes) -> None:
    (part,) = decode(raw(b'{"account":"acme","amount":' + word + b"}"))
    assert not isinstance(part, Decoded)


def test_of_a_field_given_twice_one_value_counts_throughout() -> None:
    (part,) = decode(raw(b'{"account":"acme","amount":1,"amount":2}'))
    assert isinstance(part, Decoded)
    assert part.event.data.amount == 2


@pytest.mark.parametrize("depth", [1, 100, 500, 999, 1000, 1005, 1015, 1023, 1024, 5000, 200_000])
@pytest.mark.parametrize("where", ["data", "type", "id", "account", "extension", "all", "objects"])
def test_nothing_is_too_deep_to_be_answered(depth: int, where: str) -> None:
    deep = b"[" * depth + b"]" * depth
    body = {
        "data": raw(deep),
        "type": b'{"id":"1","source":"s","specversion":"1.0","type":' + deep + b',"data":{}}',
        "id": b'{"id":' + deep + b',"source":"s"}',
        "account": raw(b'{"amount":1,"account":' + deep + b"}"),
        "extension": raw(b'{"account":"a","amount":1},"ext":' + deep),
        "all": deep,
        "objects": b'{"a":' * depth + b"1" + b"}" * depth,
    }[where]
    (part, *_) = decode(body)
    assert isinstance(part, Decoded | Invalid | Unreadable)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"\x00",
        b"{",
        b"\xef\xbb\xbf{}",
        b"\xff\xfe{\x00}\x00",
        b"{}{}",
        b"'a'",
        b'{"a":1,}',
        b"nul",
        b"// x",
    ],
)
def test_what_is_no_json_is_unreadable(body: bytes) -> None:
    assert kinds(decode(body)) == ["Unreadable"]


def test_bytes_that_are_no_utf_8_are_unreadable() -> None:
    assert kinds(decode(encoded().replace(b"acme", b"\xff\xfe"))) == ["Unreadable"]


def test_null_is_the_same_as_absent() -> None:
    (plain,) = decode(encoded())
    (spelled,) = decode(
        encoded(time=None, actor=None, data={**GOOD["data"], "note": None, "paid": None, "x": None})
    )
    assert isinstance(plain, Decoded)
    assert isinstance(spelled, Decoded)
    assert plain.fingerprint == spelled.fingerprint


def test_null_in_a_list_is_not_absent() -> None:
    body = encoded(type="coins.ReleaseDevice.v1", data={"account": "a", "device": None})
    assert kinds(decode(body)) == ["Invalid"]
    body = encoded(
        type="coins.DebitForDeviceOnboarding.v1", data={"account": "a", "devices": ["d", None], "price": 1}
    )
    assert kinds(decode(body)) == ["Invalid"]


def test_what_is_wrong_is_named_for_a_person() -> None:
    (part,) = decode(encoded(data={"account": "a b", "amount": "3", "colour": "red"}))
    assert isinstance(part, Invalid)
    assert all(name in part.why for name in ("account", "amount", "colour"))
    (part,) = decode(encoded(type="coins.Nothing.v1"))
    assert isinstance(part, Invalid)
    assert "coins.Nothing.v1" in part.why


def test_what_is_said_of_a_fault_can_be_stored_and_sent() -> None:
    strange = "\x00\ud800\x7f\n" + "x" * 10_000
    for changed in (
        {"type": strange},
        {"data": {strange: 1}},
        {"data": {"account": strange}},
        {strange: 1, "type": 7},
    ):
        for part in decode(encoded(**changed)):
            assert not isinstance(part, Decoded)
            part.why.encode()
            assert "\x00" not in part.why
            assert len(part.why) < 5_000


def test_a_name_is_that_of_a_type_or_none() -> None:
    assert command_name("coins.TopUp.v1") == "TopUp"
    for wrong in (None, "", "TopUp", "coins.TopUp.v2", "coins.Top Up.v1", "coins.TopUp.v1\n", "coins..v1"):
        assert command_name(wrong) is None


def every_element_is_accounted_for(body: bytes) -> None:
    parts = decode(body)
    assert parts
    assert all(isinstance(part, Decoded | Unreadable | Invalid) for part in parts)
    assert [part.place for part in parts] == list(range(len(parts)))
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return
    if isinstance(content, list) and 1 <= len(content) <= 1000 and len(parts) > 1:
        assert len(parts) == len(content)


@given(st.binary(max_size=300))
@example(b'{"id":"1","source":"s","type":"\\ud800"}')
def test_any_bytes_are_accounted_for(body: bytes) -> None:
    every_element_is_accounted_for(body)


NAMES = ["devices", "cycle", "paid", "note", "details", "goods", "filters", "emails", "methods", "at"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from([*GOOD, *GOOD["data"], *NAMES, "x"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(st.lists(JSON | JSON.map(lambda data: {**GOOD, "data": data}), max_size=5) | JSON)
def test_any_json_is_accounted_for(content: Any) -> None:
    every_element_is_accounted_for(json.dumps(content).encode())


@given(
    st.dictionaries(
        st.sampled_from([*GOOD, "actor", "time", "expirytime", "partitionkey", "x"]), JSON, max_size=3
    ),
    st.sampled_from(list(COMMANDS)),
)
def test_any_envelope_is_accounted_for(changed: dict[str, Any], type_: str) -> None:
    every_element_is_accounted_for(encoded(**{"type": f"coins.{type_}.v1", **changed}))


@given(st.sampled_from(list(EXAMPLES)), st.dictionaries(st.sampled_from(NAMES), JSON, min_size=1, max_size=2))
def test_an_example_with_anything_in_it_is_accounted_for(type_: str, changed: dict[str, Any]) -> None:
    every_element_is_accounted_for(encoded(type=f"coins.{type_}.v1", data={**EXAMPLES[type_], **changed}))


@given(JSON)
def test_details_are_kept_to_the_letter_or_refused(value: Any) -> None:
    body = encoded(type="coins.PlaceOrder.v1", data={**EXAMPLES["PlaceOrder"], "details": {"a": value}})
    (part,) = decode(body)
    if isinstance(part, Decoded):
        assert json.dumps(part.event.data.details) == json.dumps({"a": value})
