"""What goes into the next batch of what was read ahead: whoever is waited for first, of renewals few or many."""

from __future__ import annotations

from collections.abc import Callable

import orjson
import pytest

from ledger.batch import Delivery
from ledger.trust import Producer, Producers
from messages.streams import SCHEDULER
from workers.ahead import FEW, MANY, MAX_COMMANDS, Ahead
from workers.streams import MAX_BYTES, MAX_DELIVERIES

Read = Callable[..., list[Delivery]]


def messages(producer: str, number: int, *, commands: int = 1, first: int = 1) -> list[Delivery]:
    """So many messages of so many commands each, as they were read from a producer's stream."""
    event = {
        "specversion": "1.0",
        "source": producer,
        "type": "coins.ReleaseHold.v1",
        "data": {"hold": "h"},
    }
    return [
        Delivery(
            f"coins:commands:0:{producer}",
            f"{place}-0",
            producer,
            orjson.dumps([{**event, "id": f"{producer}-{place}-{one}"} for one in range(commands)]),
        )
        for place in range(first, first + number)
    ]


def places(portion: list[Delivery], producer: str) -> list[int]:
    return [int(one.position.partition("-")[0]) for one in portion if one.producer == producer]


@pytest.fixture
def ahead() -> Ahead:
    return Ahead()


def test_what_others_send_goes_before_renewals_that_were_read_earlier(ahead: Ahead) -> None:
    ahead.extend(messages(SCHEDULER, 20, commands=FEW))
    ahead.extend(messages("shop", 3))
    portion = ahead.portion()
    assert places(portion, "shop") == [1, 2, 3]
    assert places(portion, SCHEDULER) == [1]


def test_renewals_come_many_at_a_time_while_nobody_else_sends_anything(ahead: Ahead) -> None:
    ahead.extend(messages(SCHEDULER, 20, commands=FEW))
    assert not ahead.somebody_waits
    assert places(ahead.portion(), SCHEDULER) == list(range(1, MANY // FEW + 1))


def test_shortly_after_somebody_has_sent_something_they_still_come_few_at_a_time(ahead: Ahead) -> None:
    ahead.extend([*messages("shop", 1), *messages(SCHEDULER, 20, commands=FEW)])
    ahead.portion()
    assert places(ahead.portion(), SCHEDULER) == [2]


def test_each_stream_is_handed_on_in_its_order_and_nothing_is_left_behind(ahead: Ahead) -> None:
    read = [
        *messages(SCHEDULER, 9, commands=30),
        *messages("shop", 700),
        *messages(SCHEDULER, 9, commands=30, first=10),
    ]
    ahead.extend(read)
    portions = []
    while ahead:
        portions.append(ahead.portion())
        assert portions[-1]
    handed = [one for portion in portions for one in portion]
    assert places(handed, SCHEDULER) == list(range(1, 19))
    assert places(handed, "shop") == list(range(1, 701))
    assert all(len(portion) <= MAX_DELIVERIES for portion in portions)


def test_a_message_larger_than_its_room_is_a_batch_of_its_own(ahead: Ahead) -> None:
    ahead.extend(messages(SCHEDULER, 2, commands=MAX_COMMANDS))
    assert places(ahead.portion(), SCHEDULER) == [1]
    assert places(ahead.portion(), SCHEDULER) == [2]


def test_no_more_commands_than_a_batch_may_have_unless_one_message_has_them(ahead: Ahead) -> None:
    ahead.extend(messages("shop", 3, commands=400))
    assert [places(ahead.portion(), "shop") for _ in range(2)] == [[1, 2], [3]]


@pytest.mark.parametrize(
    ("number", "commands", "padding"),
    [(MAX_DELIVERIES, 1, 0), (10, MAX_COMMANDS // 10, 0), (8, 1, MAX_BYTES // 8)],
    ids=["messages", "commands", "bytes"],
)
def test_there_is_enough_when_a_batch_would_be_full(
    ahead: Ahead, number: int, commands: int, padding: int
) -> None:
    read = messages("shop", number, commands=commands)
    for one in read:
        one.body += b" " * padding
    ahead.extend(read[:-1])
    assert not ahead.is_full
    ahead.extend(read[-1:])
    assert ahead.is_full
    ahead.portion()
    assert not ahead.is_full


def test_who_may_not_send_any_more_leaves_room(ahead: Ahead) -> None:
    read = messages("shop", 2, commands=MAX_COMMANDS // 2)
    for one in read:
        one.producers = Producers({"shop": Producer("shop", ())})
        one.verified = True
    ahead.extend(read)
    assert ahead.is_full
    ahead.judge_anew(Producers({}))
    assert not ahead.is_full


def test_what_is_forgotten_is_gone(ahead: Ahead) -> None:
    ahead.extend(messages("shop", 3))
    ahead.clear()
    assert not ahead
    assert not ahead.portion()
