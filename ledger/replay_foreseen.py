"""What replaying letters would do: decided on what is there now and on what the letters before would leave, never written.

Nothing is locked, and no live command waits: it is all done in a snapshot that cannot be written to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from typing import Any

import psycopg

from ledger import last_set
from ledger.authority import keys_of_rules
from ledger.batch import Delivery, Item
from ledger.book import Book, Origin
from ledger.dead_letters import trouble
from ledger.decide import Wanted, needs
from ledger.errors import TooMuchAtOnce
from ledger.foresight import NEVER
from ledger.last_set import Moment, Said
from ledger.letters import Letter, delivery_of
from ledger.model import Applied
from ledger.replay import set_since
from ledger.ruling import ruling
from ledger.snapshot import Known, load
from ledger.trust import Producers
from messages.codec import Decoded

# As many are decided on each other's effects; the next ones begin with what is there now.
AT_ONCE = 10_000


@dataclass(slots=True)
class Foreseen:
    """How many letters would end how. coins: what the applied ones would move, each transaction counted once.

    failed: by what would be wrong with them again. jobs: would be run again, by name.
    """

    letters: int = 0
    already_applied: int = 0
    already_refused: int = 0
    other_decided: int = 0
    would_apply: int = 0
    coins: int = 0
    allotments: int = 0
    would_be_refused: Counter[str] = field(default_factory=Counter)
    would_fail_again: Counter[str] = field(default_factory=Counter)
    older: int = 0
    jobs: Counter[str] = field(default_factory=Counter)

    @property
    def told(self) -> str:
        """In a sentence."""
        parts = [
            _some(self.already_applied, "already applied"),
            _some(self.already_refused, "already refused"),
            _some(self.other_decided, "whose key was decided for another command"),
            _some(self.would_apply, f"would move {self.coins:,} coins"),
            _each(self.would_be_refused, "would still be refused"),
            _each(self.would_fail_again, "would fail again"),
            _some(self.older, "older than the present state (left alone without --even-if-newer)"),
            _each(self.jobs, "jobs would be run again"),
        ]
        if self.allotments:
            parts[3] += f" and {self.allotments:,} of allotments"
        return ", ".join(part for part in parts if part) or "no letter is chosen"

    def as_document(self) -> dict[str, Any]:
        return {
            "letters": self.letters,
            "already_applied": self.already_applied,
            "already_refused": self.already_refused,
            "other_decided": self.other_decided,
            "would_apply": {"count": self.would_apply, "coins": self.coins, "allotments": self.allotments},
            "would_be_refused": _counted(self.would_be_refused),
            "would_fail_again": _counted(self.would_fail_again),
            "older_than_present": self.older,
            "jobs": _counted(self.jobs),
        }


def _some(number: int, what: str) -> str:
    return f"{number:,} {what}" if number else ""


def _each(numbers: Counter[str], what: str) -> str:
    listed = ", ".join(f"{name} {number:,}" for name, number in numbers.most_common())
    return f"{numbers.total():,} {what}: {listed}" if numbers else ""


def _counted(numbers: Counter[str]) -> dict[str, Any]:
    return {"count": numbers.total(), "reasons": dict(numbers.most_common())}


def foresee(
    connection: psycopg.Connection[Any],
    letters: Sequence[Letter],
    now: datetime,
    *,
    even_if_newer: bool,
    foreseen: Foreseen,
    producers: Producers | None = None,
) -> None:
    """Add to `foreseen` what would become of letters that came by the edge. In a snapshot of the caller's.

    producers: who may send, by the producers file that is in force.
    """
    foreseen.letters += len(letters)
    items: list[tuple[Item, Letter]] = []
    deliveries = [delivery_of(letter, producers) for letter in letters]
    for number, (delivery, letter) in enumerate(zip(deliveries, letters, strict=True)):
        for part in delivery.decoded():
            if isinstance(part, Decoded) and delivery.may_come_from(part.source):
                producer = delivery.producer_of(part.event.source)
                items.append((Item.of(part, producer, number, len(items)), letter))
            else:
                foreseen.would_fail_again[f"still {letter.reason}"] += 1
    _Trial(connection, now, even_if_newer, foreseen, deliveries).decide_all(items)


NOT_KNOWN = Known(b"", "it crashed", b"")


def _say(set_at: dict[Said, Moment], item: Item, letter: Letter) -> None:
    """What a later letter would find to be set by then."""
    for one in last_set.sets(item.event.data):
        if one not in set_at or set_at[one].arrival < (letter.arrival or 0):
            set_at[one] = Moment(letter.arrived_at, letter.arrival or 0)


class _Trial:
    def __init__(
        self,
        connection: psycopg.Connection[Any],
        now: datetime,
        even_if_newer: bool,
        foreseen: Foreseen,
        deliveries: Sequence[Delivery],
    ) -> None:
        self._connection = connection
        self._now = now
        self._even_if_newer = even_if_newer
        self._foreseen = foreseen
        self._deliveries = deliveries
        self._keys_of_rules = keys_of_rules(connection, deliveries)

    def decide_all(self, items: list[tuple[Item, Letter]]) -> None:
        wanted = Wanted()
        able: list[tuple[Item, Letter]] = []
        for item, letter in items:
            try:
                needs(item.event.data, wanted)
                able.append((item, letter))
            except Exception as error:  # noqa: BLE001 - whatever a rule raises is what is asked for here
                self._fail(error)
        if not able:
            return
        try:
            snapshot = load(self._connection, [item for item, _ in able], wanted, never_keys=count(NEVER))
        except TooMuchAtOnce:
            middle = len(able) // 2
            self.decide_all(able[:middle])
            self.decide_all(able[middle:])
            return
        said: set[Said] = (
            set()
            if self._even_if_newer
            else {one for item, _ in able for one in last_set.may_undo(item.event.data)}
        )
        set_at = last_set.when(self._connection, said, locked=False)
        known = dict(snapshot.known)
        for place, (item, letter) in enumerate(able):
            if item.key in known:
                self._found(item, known[item.key])
            elif not self._even_if_newer and set_since(item.event.data, letter.arrival, set_at):
                self._foreseen.older += 1
            elif self._decide(item, snapshot.book, known):
                if known.get(item.key, NOT_KNOWN).reason is None:
                    _say(set_at, item, letter)
            else:
                # What it has changed in memory cannot be trusted; the others begin with what is there.
                self.decide_all(able[place + 1 :])
                return

    def _decide(self, item: Item, book: Book, known: dict[tuple[str, str], Known]) -> bool:
        """Whether the book can still be trusted."""
        try:
            sender = self._deliveries[item.delivery].sender
            decision = ruling(item, book, self._now, sender, self._keys_of_rules)
        except Exception as error:  # noqa: BLE001 - as above
            self._fail(error)
            return True
        if not isinstance(decision, Applied):
            self._foreseen.would_be_refused[decision.reason] += 1
            known[item.key] = Known(item.fingerprint, decision.reason, b"")
            return True
        posted = len(book.entries)
        event = item.event
        try:
            book.apply(decision, Origin(event.source, event.id, event.actor), self._now)
        except Exception as error:  # noqa: BLE001 - as above
            self._fail(error)
            return False
        known[item.key] = Known(item.fingerprint, None, b"")
        self._foreseen.would_apply += 1
        for _, _, unit, amount, *_ in book.entries[posted:]:
            if amount > 0 and unit == "coin":
                self._foreseen.coins += amount
            elif amount > 0:
                self._foreseen.allotments += amount
        return True

    def _found(self, item: Item, known: Known) -> None:
        if known.fingerprint != item.fingerprint:
            self._foreseen.other_decided += 1
        elif known.reason is None:
            self._foreseen.already_applied += 1
        else:
            self._foreseen.already_refused += 1

    def _fail(self, error: Exception) -> None:
        self._foreseen.would_fail_again[trouble(error)] += 1
