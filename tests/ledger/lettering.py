"""What tests do with dead letters: make them, replay and archive them, and look at what became of them."""

from __future__ import annotations

from typing import Any

import orjson

from ledger import replays
from ledger.acts import Doing
from ledger.queries.dead import LetterFilter
from ledger.replay import Result, Verdict, abandon, replay
from messages.publisher import event
from tests.breaking import BROKEN
from tests.builders import top_up
from tests.desk import SOURCE, LedgerDesk, body_of

ALL = LetterFilter()
DOING = Doing("replay", "ada", "mended", 7)


def keyed(command: Any, id_: str) -> Any:
    return event(command, source=SOURCE, id=id_)


def broken(id_: str, amount: int = 5) -> Any:
    return keyed(top_up(amount=amount, note=BROKEN), id_)


def replayed(desk: LedgerDesk, chosen: LetterFilter = ALL, **how: Any) -> list[Verdict]:
    found = replays.letters(desk.connection, chosen, limit=1_000)
    verdicts = replay(desk.connection, found, desk.now, DOING, **how)
    desk.connection.commit()
    return verdicts


def archived(desk: LedgerDesk, chosen: LetterFilter = ALL, why: str | None = "a test") -> list[Verdict]:
    found = replays.letters(desk.connection, chosen, limit=1_000)
    verdicts = abandon(desk.connection, found, desk.now, Doing("archive", "ada", why))
    desk.connection.commit()
    return verdicts


def results(verdicts: list[Verdict]) -> list[Result]:
    return [one.result for one in verdicts]


def outbox(desk: LedgerDesk) -> list[tuple[str, Any]]:
    """What is to be published, as route and JSON; taken out."""
    rows = desk.all("DELETE FROM outbox RETURNING id, events")
    lines = [line.split(b" ", 2) for _, events in sorted(rows) for line in events.split(b"\n")]
    return [(route.decode(), orjson.loads(raw)) for route, _, raw in lines]


def states(desk: LedgerDesk) -> list[str]:
    return [one["state"] for one in desk.letters()]


def acts(desk: LedgerDesk) -> list[tuple[str, str, str | None, str, int | None]]:
    return desk.all("SELECT act, who, why, result, replay FROM dead_letter_act ORDER BY id")


def late(desk: LedgerDesk, *asks: Any) -> None:
    """Letters of commands that this version refuses and the next one takes."""
    desk.deliver(*(body_of(ask).replace(b'"specversion":"1.0"', b'"specversion":"0"') for ask in asks))
    desk.all(
        "UPDATE dead_letter SET raw = convert_to(replace(convert_from(raw, 'UTF8'), '\"0\"', '\"1.0\"'), 'UTF8')"
    )
