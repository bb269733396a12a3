"""Batches are decided once more as they were told: what came after the moment to which a database was restored.

Producers and people have acted on those outcomes. So a batch is put together as it was, decided by the clock of then, and
its transactions get the numbers that were told; where all of it comes out as it did, its events have the same ids, too.
Where something comes out otherwise, nothing of it goes by an id or a number that was told of something else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import psycopg

from ledger import outcome
from ledger.batch import Batch, Item
from ledger.book import Book
from ledger.fence import Claim, claim
from ledger.handle import Work
from ledger.model import Applied
from messages.reasons import Reason

Key = tuple[str, str]

_TAKEN = "SELECT id FROM transaction WHERE id = ANY(%b::int8[])"
_BEYOND = "SELECT setval(%s::text::regclass, greatest((SELECT last_value FROM pg_sequences WHERE sequencename = %s), %s))"
_LAST = "SELECT coalesce(last_value, 0) FROM pg_sequences WHERE sequencename = %s"
_DECIDED = """
SELECT c.source, c.id
FROM unnest(%s::text[], %s::text[]) AS u(source, id) JOIN command c ON c.source = u.source AND c.id = u.id"""


class Told(NamedTuple):
    """What a producer was told of a command when it was decided. `message`: of what was abandoned, in whose words."""

    reason: str | None
    transaction: int | None
    message: str | None = None


class Difference(NamedTuple):
    """A command of which something else was told than the ledger says; `now` is None where it says nothing."""

    source: str
    id: str
    told: str
    now: str | None


@dataclass(frozen=True, slots=True)
class History:
    """What was told of a batch that the ledger does not have. `events`: what each outcome event looked like, by its id.

    numbers: those told that come just before a number of this batch. later: what was decided in a batch after it.
    """

    told: Mapping[Key, Told]
    events: Mapping[str, bytes]
    numbers: Collection[int] = ()
    later: Collection[Key] = ()


def digest(event: bytes) -> bytes:
    """By which two events of the same id are compared."""
    return hashlib.blake2b(event, digest_size=16).digest()


def decide_again(
    connection: psycopg.Connection[Any], batch: Batch, number: int | None, at: datetime, history: History
) -> bool:
    """Decide a batch that was `number`, at the moment it was decided, and commit. Whether all of it came out as told.

    number: None where the number is another part's of that batch. Raises what `handle` raises; then nothing is done.
    """
    for numbered in (number, None) if number is not None else (None,):
        claimed = claim(connection, batch)
        if numbered is not None:
            claimed = claimed._replace(batch=numbered)
        work = _Retold(connection, batch, claimed, at, history)
        work.sort_out()
        work.decide_all(work.items)
        work.write()
        # Under a new number it has ids that nobody has seen.
        if numbered is None or work.is_as_told():
            connection.commit()
            return numbered is not None
        connection.rollback()
    raise AssertionError("the second attempt is final")


def leave_out(connection: psycopg.Connection[Any], *, transaction: int, batch: int) -> None:
    """New transactions and batches get numbers beyond these."""
    for sequence, last in (("transaction_key", transaction), ("batch_key", batch)):
        connection.execute(_BEYOND, (sequence, sequence, last))


def last_number(connection: psycopg.Connection[Any], sequence: str) -> int:
    row = connection.execute(_LAST, (sequence,)).fetchone()
    assert row is not None
    found: int = row[0]
    return found


def difference(source: str, id: str, told: Told, now: Told | None) -> Difference:
    """In words."""
    return Difference(source, id, _in_words(told), _in_words(now) if now is not None else None)


def decided_keys(connection: psycopg.Connection[Any], keys: Collection[Key]) -> set[Key]:
    """Which of these have been decided."""
    sources, ids = [source for source, _ in keys], [id_ for _, id_ in keys]
    return set(connection.execute(_DECIDED, (sources, ids)).fetchall())


def _in_words(said: Told) -> str:
    if said.reason is not None:
        return f"rejected {said.reason}"
    return "applied" if said.transaction is None else f"applied as transaction {said.transaction}"


class _Retold(Work):
    """A batch whose outcomes are known. Numbers that were told are given again, to the commands of which they were told."""

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        batch: Batch,
        claimed: Claim,
        now: datetime,
        history: History,
    ) -> None:
        super().__init__(connection, batch, claimed, now)
        self._history = history
        self._taken: set[int] = set()

    def sort_out(self) -> None:
        super().sort_out()
        self.items = [item for item in self.items if item.key not in self._history.later]
        told = [
            one.transaction for item in self.items if (one := self._history.told.get(item.key)) is not None
        ]
        numbers = [one for one in told if one is not None]
        wanted = [*numbers, *(one - 1 for one in numbers)]
        self._taken = {one for (one,) in self.connection.execute(_TAKEN, (wanted,))} if wanted else set()

    def decide_new(self, item: Item, book: Book) -> Exception | None:
        told = self._history.told.get(item.key)
        if told is None or told.reason != Reason.ABANDONED:
            return super().decide_new(item, book)
        # An operator has given it up, and its producer knows: it is not to be applied after all.
        item.reason = Reason.ABANDONED
        item.body = outcome.stored(Reason.ABANDONED, told.message, None)
        return None

    def about_to_apply(self, item: Item, decision: Applied, book: Book) -> None:
        told = self._history.told.get(item.key)
        number = told.transaction if told is not None else None
        if number is None or decision.transaction is None or number in self._taken:
            return
        if decision.recharge is None:
            book.number_next([number])
        elif number - 1 not in self._taken and number - 1 not in self._history.numbers:
            # Nobody was told the recharge's own: it was the one before.
            book.number_next([number - 1, number])

    def is_as_told(self) -> bool:
        """Whether no event of this batch has the id of one that says something else."""
        return all(
            self._history.events.get(id_) in (None, digest(event)) for id_, event in self.answering.by_id()
        )
