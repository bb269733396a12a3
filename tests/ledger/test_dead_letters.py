"""What is no valid command: answered where that is possible, kept as a dead letter, and in nobody's way."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from ledger.dead_letters import KEPT_WHOLE_BYTES, NAMES
from ledger.letter_groups import KEPT_A_GROUP_BYTES
from messages.reasons import Reason
from tests.builders import enterprise, top_up
from tests.desk import SOURCE, LedgerDesk, array_of, body_of


def top_up_with(id_: str, **data: Any) -> dict[str, Any]:
    return {"type": "TopUp", "id": id_, "source": SOURCE, "data": {"account": "acme", "amount": 5, **data}}


def invalid(id_: str) -> dict[str, Any]:
    return top_up_with(id_, amount="5")


def reasons(said: list[Any]) -> list[Reason | None]:
    return [one.data.reason for one in said]


def test_an_invalid_message_is_answered_and_its_key_stays_free(desk: LedgerDesk) -> None:
    desk.do(enterprise())
    assert desk.refused(invalid("t1")) == Reason.INVALID_MESSAGE
    assert desk.refused(invalid("t1")) == Reason.INVALID_MESSAGE
    assert desk.one("SELECT count(*) FROM command WHERE id = 't1'") == (0,)
    (letter,) = desk.letters()
    assert (letter["reason"], letter["state"], letter["count"]) == ("invalid", "waiting", 2)
    assert (letter["source"], letter["command_id"], letter["type"]) == (SOURCE, "t1", "TopUp")
    assert "amount" in letter["why"]
    said = desk.ask(top_up_with("t1"))
    assert said.data.reason is None
    assert not said.data.duplicate
    assert [letter["state"] for letter in desk.letters()] == ["resolved"]
    assert desk.credit("acme") == 5


@pytest.mark.parametrize("arrayed", [False, True])
def test_a_letter_is_resolved_by_what_comes_later_in_its_own_batch(desk: LedgerDesk, arrayed: bool) -> None:
    desk.do(enterprise())
    asks = [invalid("t1"), top_up_with("t1")]
    said = desk.deliver(array_of(*asks)) if arrayed else desk.send(*asks)
    assert reasons(said) == [Reason.INVALID_MESSAGE, None]
    assert [letter["state"] for letter in desk.letters()] == ["resolved"]


def test_a_letter_is_not_resolved_by_what_came_before_it(desk: LedgerDesk) -> None:
    desk.do(enterprise())
    said = desk.send(top_up_with("t1"), invalid("t1"))
    assert reasons(said) == [None, Reason.INVALID_MESSAGE]
    assert [letter["state"] for letter in desk.letters()] == ["waiting"]


def test_a_valid_rejection_resolves_the_letter_as_well(desk: LedgerDesk) -> None:
    desk.refused(invalid("t1"))
    assert desk.refused(top_up_with("t1")) == Reason.ACCOUNT_NOT_FOUND
    assert [letter["state"] for letter in desk.letters()] == ["resolved"]


def test_an_invalid_event_between_valid_ones_harms_nobody(desk: LedgerDesk) -> None:
    desk.do(enterprise())
    said = desk.deliver(array_of(top_up_with("a"), invalid("b"), top_up_with("c")))
    assert reasons(said) == [None, Reason.INVALID_MESSAGE, None]
    assert desk.credit("acme") == 10


def test_a_lone_surrogate_in_one_event_of_an_array_harms_nobody(desk: LedgerDesk) -> None:
    desk.do(enterprise())
    said = desk.deliver(array_of(top_up_with("a"), top_up_with("b", note="\ud800"), top_up_with("c")))
    assert reasons(said) == [None, Reason.INVALID_MESSAGE, None]
    assert desk.credit("acme") == 10


@pytest.mark.parametrize(
    "type_",
    [
        "\ud800",
        "coins.\ud800.v1",
        "a\x00b",
        "x" * 100_000,
        "coins.NoSuch.v1",
        "coins.TopUp.v2",
        'a"b\\',
        "",
        "\n",
        "钱",
    ],
)
def test_no_type_stalls_the_queue(desk: LedgerDesk, type_: str) -> None:
    desk.do(enterprise())
    strange = {
        "specversion": "1.0",
        "id": "t1",
        "source": SOURCE,
        "type": type_,
        "data": {"account": "acme", "amount": 1},
    }
    said = desk.deliver(json.dumps(strange).encode(), body_of(top_up(amount=1)))
    assert reasons(said)[-1] is None
    assert reasons(said)[:-1] in ([Reason.INVALID_MESSAGE], [])
    assert desk.credit("acme") == 1
    assert len(desk.letters()) == 1


UNREADABLE = [
    b"",
    b"\x00",
    b"\xff\xfe",
    b"{",
    b"null",
    b"1",
    b'"x"',
    b"[]",
    b"{}",
    b'{"id":"a"}',
    b'{"id":1,"source":"s"}',
    b'{"id":"a","source":"not a source!"}',
    b'{"id":"\\ud800","source":"s","data":{}}',
    b'{"id":"a\\u0000","source":"s"}',
    b"[1,2]",
    b"[[]]",
    b"[" * 100_000,
    b"[" + b",".join([b"{}"] * 1001) + b"]",
    b" " * (1024 * 1024 + 1),
]


@pytest.mark.parametrize("body", UNREADABLE, ids=lambda body: repr(body[:20]))
def test_what_cannot_be_read_is_kept_and_nobody_waits_for_it(desk: LedgerDesk, body: bytes) -> None:
    desk.do(enterprise())
    said = desk.deliver(body, body_of(top_up(amount=3)), body)
    assert reasons(said) == [None]
    assert desk.credit("acme") == 3
    letters = desk.letters()
    assert {letter["reason"] for letter in letters} == {"unreadable"}
    assert all(bytes(letter["raw"]) == body for letter in letters)
    assert all(letter["count"] == 2 for letter in letters)
    assert desk.read == 2 + 2


def test_equal_garbage_is_counted_and_not_stored_again(desk: LedgerDesk) -> None:
    for _ in range(3):
        desk.deliver(b"garbage", b"garbage")
    (letter,) = desk.letters()
    assert letter["count"] == letter["group_count"] == 6
    assert letter["kept"] == 1
    desk.later(hours=1)
    desk.deliver(b"garbage")
    (letter,) = desk.letters()
    assert letter["last_at"] - letter["first_at"] == timedelta(hours=1)


def test_of_a_group_a_thousand_letters_wait_and_the_rest_is_counted(desk: LedgerDesk) -> None:
    desk.deliver(*(b"garbage %d" % number for number in range(1_000)))
    desk.deliver(b"one more", b"garbage 1", b"one more")
    assert len(desk.letters()) == 1_000
    assert desk.one("SELECT count, kept, not_kept FROM dead_letter_group") == (1_003, 1_000, 2)
    # Those that somebody has dealt with leave room, and it is told anew when they all are
    desk.all("UPDATE dead_letter SET state = 'archived'")
    desk.deliver(b"one more")
    assert [bytes(one["raw"]) for one in desk.letters() if one["state"] == "waiting"] == [b"one more"]
    assert desk.routes == ["event.platform.coins.DeadLetterGroupOpened.v1"]
    desk.deliver(b"and another")
    assert desk.routes == []


def test_of_long_letters_fewer_wait(desk: LedgerDesk) -> None:
    for number in range(3):
        desk.deliver(*(b"%d " % (30 * number + one) + b"x" * 1_000_000 for one in range(30)))
    (kept,) = desk.one("SELECT sum(length(raw)) FROM dead_letter")
    assert kept <= KEPT_A_GROUP_BYTES < 90 * 1_000_000
    assert desk.one("SELECT not_kept FROM dead_letter_group") == (90 - len(desk.letters()),)


def test_the_flood_of_one_producer_takes_no_room_of_another(open_desk: Any) -> None:
    loud, quiet = open_desk(producer="loud"), open_desk(producer="quiet")
    for desk in (loud, quiet):
        desk.deliver(*(b"garbage %d" % number for number in range(1_000 if desk is loud else 1)))
        desk.deliver(
            *(
                body_of({**invalid(f"t{one}"), "source": desk.producer})
                for one in range(1_001 if desk is loud else 1)
            )
        )
    assert {(one["reason"], one["producer"]) for one in quiet.letters() if one["producer"] == "quiet"} == {
        ("unreadable", "quiet"),
        ("invalid", "quiet"),
    }
    assert quiet.all("SELECT producer, not_kept FROM dead_letter_group ORDER BY not_kept DESC LIMIT 1") == [
        ("loud", 1)
    ]


def test_whoever_makes_up_names_makes_no_group_of_each(desk: LedgerDesk) -> None:
    """Without a producers file a name is nothing but a stream's."""
    for number in range(NAMES + 5):
        desk.producer = f"made-up-{number}"
        desk.deliver(b"garbage")
    desk.producer = "made-up-0"
    desk.deliver(b"more of it")
    groups = desk.all("SELECT producer, count FROM dead_letter_group ORDER BY id")
    assert len(groups) == NAMES + 1
    assert (groups[0], groups[-1]) == (("made-up-0", 2), (None, 5))


def test_a_flood_of_invalid_events_in_one_message_does_not_multiply_its_bytes(desk: LedgerDesk) -> None:
    bad = [top_up_with(f"b{number}", amount="x" * 900) for number in range(200)]
    body = array_of(*bad)
    said = desk.deliver(body)
    assert reasons(said) == [Reason.INVALID_MESSAGE] * 200
    (kept,) = desk.one("SELECT sum(length(raw)) FROM dead_letter")
    assert kept <= 3 * len(body)


def test_the_same_letter_after_its_resolution_does_not_wait_again(desk: LedgerDesk) -> None:
    desk.do(enterprise())
    desk.send(invalid("t1"), top_up_with("t1"))
    assert desk.refused(invalid("t1")) == Reason.INVALID_MESSAGE
    assert desk.ask(top_up_with("t1")).data.duplicate
    assert {letter["state"] for letter in desk.letters()} == {"resolved"}


def test_a_flood_of_the_same_garbage_fills_no_disk(desk: LedgerDesk) -> None:
    """Whether it comes message by message or in long arrays: it is kept once, and counted."""
    garbage = b"\xff" * 50_000
    spoiled = array_of(*(invalid(f"t{number}") for number in range(200)))
    assert len(spoiled) > KEPT_WHOLE_BYTES

    def kept_bytes() -> int:
        (size,) = desk.one(
            "SELECT (SELECT coalesce(sum(length(raw)), 0) FROM dead_letter) + (SELECT sum(length(bodies)) FROM batch)"
        )
        return int(size)

    desk.deliver(garbage, spoiled)
    once = kept_bytes()
    for _ in range(5):
        desk.deliver(*[garbage] * 20, *[spoiled] * 5)
    assert kept_bytes() == once
    assert {one["count"] for one in desk.letters()} == {101, 26}
