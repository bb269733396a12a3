"""Dead letters as they are read: grouped by trouble, listed, one by one."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from ledger.batch import Delivery
from ledger.dead_letters import DeadLetter, record
from ledger.errors import NotFound, QueryInvalid
from ledger.queries.dead import OPEN, LetterFilter, groups, letter, letters
from tests import builders as a
from tests.desk import NOW, SOURCE, LedgerDesk, body_of

Reader = psycopg.Connection[Any]


def invalid(id_: str) -> dict[str, Any]:
    return {"type": "TopUp", "id": id_, "source": SOURCE, "data": {"account": "acme", "amount": "5"}}


def stumble() -> Exception:
    try:
        raise ZeroDivisionError("by nought")
    except ZeroDivisionError as error:
        return error


@pytest.fixture
def troubled(desk: LedgerDesk) -> LedgerDesk:
    """An enterprise; three invalid recharges, one of them twice; a crashed transfer; and, an hour later, garbage."""
    desk.do(a.enterprise())
    for id_ in ("t1", "t2", "t1", "t3"):
        desk.refused(invalid(id_))
    delivery = Delivery("coins:commands:0:shop", "17-1", "shop", body_of(invalid("c1")))
    crashed = DeadLetter.crashed(
        delivery, 0, stumble(), producer="shop", source="shop/eu", id="c1", type="Transfer"
    )
    with desk.connection.transaction():
        record(desk.connection, [crashed], NOW)
    desk.later(hours=1)
    desk.deliver(b"\xff{not json \x00")
    return desk


def numbers(reader: Reader, **chosen: Any) -> list[str | None]:
    return [row.id for row in letters(reader, LetterFilter(**chosen)).rows]


def test_groups_tell_what_the_trouble_is_the_latest_first(troubled: LedgerDesk, reader: Reader) -> None:
    found = groups(reader)
    assert [(one.reason, one.type, one.open, one.kept, one.times) for one in found] == [
        ("unreadable", None, 1, 1, 1),
        ("crashed", "Transfer", 1, 1, 1),
        ("invalid", "TopUp", 3, 3, 4),
    ]
    assert found[1].exception == "builtins.ZeroDivisionError"
    assert found[1].why == "builtins.ZeroDivisionError: by nought"
    assert "amount" in (found[2].why or "")
    assert [one.last_at for one in found] == [NOW + timedelta(hours=1), NOW, NOW]


def test_a_group_of_which_nothing_waits_is_shown_when_it_is_asked_for(
    troubled: LedgerDesk, reader: Reader
) -> None:
    for id_ in ("t1", "t2", "t3"):
        troubled.ask({**invalid(id_), "data": {"account": "acme", "amount": 5}})
    assert [one.reason for one in groups(reader)] == ["unreadable", "crashed"]
    everything = groups(reader, everything=True)
    assert [(one.reason, one.open) for one in everything] == [
        ("unreadable", 1),
        ("crashed", 1),
        ("invalid", 0),
    ]
    assert [one.reason for one in groups(reader, everything=True, limit=1)] == ["unreadable"]


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({}, [None, "c1", "t3", "t2", "t1"]),
        ({"reasons": ["crashed", "unreadable"]}, [None, "c1"]),
        ({"types": ["TopUp"]}, ["t3", "t2", "t1"]),
        ({"sources": ["shop/eu"]}, ["c1"]),
        ({"exceptions": ["builtins.ZeroDivisionError"]}, ["c1"]),
        ({"states": ["resolved"]}, []),
        ({"states": OPEN, "search": "T2"}, ["t2"]),
        ({"search": "nought"}, ["c1"]),
        ({"since": NOW + timedelta(seconds=1)}, [None]),
        ({"until": NOW}, ["c1", "t3", "t2", "t1"]),
    ],
)
def test_letters_are_chosen(
    troubled: LedgerDesk, reader: Reader, chosen: dict[str, Any], expected: list[str | None]
) -> None:
    assert numbers(reader, **chosen) == expected


def test_letters_of_a_group_come_in_pages(troubled: LedgerDesk, reader: Reader) -> None:
    (group,) = (one.group for one in groups(reader) if one.reason == "invalid")
    seen: list[str | None] = []
    after = None
    while True:
        page = letters(reader, LetterFilter(groups=[group]), limit=2, after=after)
        seen += [row.id for row in page.rows]
        after = page.next
        if after is None:
            break
    assert seen == ["t3", "t2", "t1"]
    (last,) = letters(reader, LetterFilter(groups=[group], search="t1")).rows
    assert (last.times, last.state, last.source) == (2, "waiting", SOURCE)


@pytest.mark.parametrize(
    "chosen", [{"reasons": ["odd"]}, {"states": ["gone"]}, {"types": ["a\x00"]}, {"search": "\ud800"}]
)
def test_what_cannot_be_chosen_is_told(troubled: LedgerDesk, reader: Reader, chosen: dict[str, Any]) -> None:
    with pytest.raises(QueryInvalid):
        letters(reader, LetterFilter(**chosen))


@pytest.mark.parametrize("after", ["x", "-1", "9" * 19, "１"])
def test_a_cursor_is_the_number_of_a_letter(reader: Reader, after: str) -> None:
    with pytest.raises(QueryInvalid, match="--after"):
        letters(reader, LetterFilter(), after=after)


def test_a_letter_is_shown_with_all_there_is(troubled: LedgerDesk, reader: Reader) -> None:
    garbage, crashed, *_, first = letters(reader, LetterFilter()).rows
    shown = letter(reader, crashed.letter)
    assert (shown.stream, shown.position, shown.place, shown.producer) == (
        "coins:commands:0:shop",
        "17-1",
        0,
        "shop",
    )
    assert "ZeroDivisionError: by nought" in (shown.traceback or "")
    assert (shown.outcome, shown.decided_at) == (None, None)
    assert json.loads(shown.raw)["id"] == "c1"
    assert letter(reader, garbage.letter).raw == "\\xff{not json \x00"
    # And what has become of its key
    troubled.ask({**invalid("t1"), "data": {"account": "nobody", "amount": 5}})
    shown = letter(reader, first.letter)
    assert (shown.state, shown.outcome, shown.outcome_reason) == ("resolved", "rejected", "account_not_found")
    assert shown.decided_at == shown.resolved_at == troubled.now


@pytest.mark.parametrize("number", [0, -1, 4711, 1 << 70])
def test_a_letter_that_is_not_there_is_not_found(reader: Reader, number: int) -> None:
    with pytest.raises(NotFound, match="coins dead list"):
        letter(reader, number)
