"""What the pure rules make of a day, without servers: the day is decided on a book that is kept over all of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from deploy.demo.story import Evening, Expected, Key, Message, short_type
from ledger.book import Book, Origin
from ledger.decide import decide
from ledger.model import Applied
from ledger.numbers import number_of
from ledger.records import Device
from messages.codec import Decoded, Invalid, decode
from messages.envelope import Event
from messages.reasons import Reason

# Which day it is changes nothing: no command of the day expires or renews on one side of it only.
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
APPLIED = "applied"


def expectation(chapters: Sequence[Iterable[Message]], evening: Evening | None) -> Expected:
    """Decide the chapters in their order, then the evening."""
    rules = _Rules()
    for chapter in chapters:
        rules.take(chapter)
    if evening is not None:
        rules.take(evening.messages(rules.numbers))
    return rules.expected()


class _Rules:
    """Keys, counts and the book, as the ledger would have them."""

    def __init__(self) -> None:
        self.book = Book()
        self.numbers: dict[Key, str] = {}
        self._known: dict[Key, tuple[bytes, str]] = {}
        self._outcomes: Counter[str] = Counter()
        self._duplicates: Counter[str] = Counter()
        self._dead: Counter[str] = Counter()
        self._refused: list[Key] = []
        self._resolved = 0
        self._accounts: list[str] = []
        self._devices: set[str] = set()

    def take(self, messages: Iterable[Message]) -> None:
        for message in messages:
            for part in decode(message.body):
                match part:
                    case Decoded():
                        self._command(part)
                    case Invalid():
                        self._dead["invalid"] += 1
                        self._outcomes[f"{short_type(part.type)} {Reason.INVALID_MESSAGE}"] += 1
                        self._refused.append((part.source, part.id))
                    case _:
                        self._dead["unreadable"] += 1

    def expected(self) -> Expected:
        balances = {}
        for id_ in sorted(self._accounts):
            account = self.book.account(id_)
            assert account is not None
            balances[id_] = {"credit": account.credit, "credit_limit": account.credit_limit}
        rows: list[Device | None] = [self.book.get(Device, id_) for id_ in self._devices]
        return Expected(
            outcomes=dict(sorted(self._outcomes.items())),
            duplicates=dict(sorted(self._duplicates.items())),
            dead_letters=dict(sorted(self._dead.items())),
            dead_letters_resolved=self._resolved,
            balances=balances,
            devices=sum(row is not None and row.account is not None for row in rows),
            transactions=len(self.book.transactions),
        )

    def _command(self, part: Decoded) -> None:
        event = part.event
        key = (event.source, event.id)
        name = short_type(event.type)
        self._resolved += self._refused.count(key)
        self._refused = [one for one in self._refused if one != key]
        if key not in self._known:
            result = self._decide(event, key)
            self._known[key] = part.fingerprint, result
            self._outcomes[f"{name} {result}"] += 1
        elif self._known[key][0] == part.fingerprint:
            self._duplicates[f"{name} {self._known[key][1]}"] += 1
        else:
            self._outcomes[f"{name} {Reason.IDEMPOTENCY_CONFLICT}"] += 1

    def _decide(self, event: Event[Any], key: Key) -> str:
        if event.expirytime is not None and event.expirytime <= NOW:
            return Reason.EXPIRED.value
        decision = decide(event.data, self.book, NOW)
        if not isinstance(decision, Applied):
            return decision.reason.value
        posted = self.book.apply(decision, Origin(event.source, event.id, event.actor), NOW)
        if posted is not None:
            self.numbers[key] = number_of(*posted)
        if type(event.data).__name__ == "OpenAccount":
            self._accounts.append(event.data.account)
        self._devices.update(getattr(event.data, "devices", None) or ())
        return APPLIED
