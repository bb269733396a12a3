"""The events that go out for a batch: an outcome for each command that came in, and what else there is to be told."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import psycopg

from ledger import outcome
from ledger.batch import Handled, Item
from messages.codec import Decoded, Invalid
from messages.events import EventType
from messages.reasons import Reason

NAMES = "SELECT id, account FROM account WHERE id = ANY(%b::int8[])"
Outgoing = tuple[str, str, bytes]
"""Routing key, type, JSON."""


class Answering:
    """Outcomes by their slots, which are the places in the batch; each is counted in `handled`."""

    def __init__(self, batch: int, now: datetime, handled: Handled) -> None:
        self._answers = outcome.Answers(batch, now)
        self._handled = handled
        self._by_slot: dict[int, Outgoing] = {}
        self._further: list[tuple[str, bytes]] = []

    def refuse(
        self, slot: int, producer: str, name: str, part: Decoded | Invalid, reason: Reason, message: str
    ) -> None:
        """The answer to what is not decided by the ledger; its key stays free."""
        key = (part.source, part.id, part.type)
        lasting = outcome.stored(reason, message, None)
        self._answer(slot, producer, name, *key, lasting, reason, traceparent=part.traceparent)

    def all_of(self, connection: psycopg.Connection[Any], done: list[Item]) -> list[Outgoing]:
        """Outcomes in the order of what came in, those of what was refused before among them, then further events."""
        for item in done:
            event = item.event
            self._answer(
                item.slot,
                item.producer,
                type(event.data).__name__,
                event.source,
                event.id,
                event.type,
                item.body or b"",
                item.reason,
                traceparent=item.traceparent,
                duplicate=item.duplicate,
            )
        return [*(self._by_slot[slot] for slot in sorted(self._by_slot)), *self._announced(connection, done)]

    def by_id(self) -> Iterator[tuple[str, bytes]]:
        """Each event so far, with its id."""
        yield from ((self._answers.id_of(slot), event) for slot, (_, _, event) in self._by_slot.items())
        yield from self._further

    def _announced(self, connection: psycopg.Connection[Any], items: list[Item]) -> list[Outgoing]:
        """Further events: what else there is to be told, and to whom it may be of interest."""
        tops = {one.account.top for item in items for one in item.announced}
        if not tops:
            return []
        names = dict(connection.execute(NAMES, (list(tops),)).fetchall())
        outgoing = []
        for item in items:
            for number, one in enumerate(item.announced):
                top = names[one.account.top]
                event = self._answers.further(item.slot, number, one, top, item.traceparent)
                self._further.append((self._answers.id_of_further(item.slot, number), event))
                outgoing.append((outcome.further_route(top, one.type), one.type.value, event))
        return outgoing

    def _answer(
        self,
        slot: int,
        producer: str,
        name: str,
        source: str,
        id_: str,
        type_: str | None,
        lasting: bytes,
        reason: str | None,
        *,
        traceparent: str | None,
        duplicate: bool = False,
    ) -> None:
        applied = reason is None
        event = self._answers.event(
            slot,
            source=source,
            id=id_,
            type=type_,
            applied=applied,
            duplicate=duplicate,
            lasting=lasting,
            traceparent=traceparent,
        )
        event_type = EventType.APPLIED if applied else EventType.REJECTED
        self._by_slot[slot] = (outcome.route(producer, applied, name), event_type.value, event)
        counted = (name, "duplicate" if duplicate else reason or "applied")
        self._handled.outcomes[counted] = self._handled.outcomes.get(counted, 0) + 1
        self._handled.duplicates += duplicate
