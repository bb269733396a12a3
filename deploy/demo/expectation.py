"""What must come of a day, without servers and without the ledger's code: reckoned by hand, from the contract.

Whether a message has the form of a command is asked of `messages`, as any producer would. What a command does is reckoned
in `books.py` and the `reckon_…` files, on books that are kept over all of the day.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from deploy.demo import reckon_accounts, reckon_sales, reckon_usage
from deploy.demo.books import Books, No
from deploy.demo.reckon_usage import minutes_started, running_fee
from deploy.demo.story import (
    APPLIED,
    Chapter,
    Evening,
    Expected,
    Key,
    Look,
    Looked,
    Message,
    ToldOutcome,
    short_type,
)
from messages.codec import Decoded, Invalid, decode
from messages.envelope import Event
from messages.reasons import Reason

# Which day it is changes nothing: no command of the day expires on one side of it only.
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
RULES = reckon_accounts.RULES | reckon_sales.RULES | reckon_usage.RULES


def expectation(chapters: Sequence[tuple[Chapter, Iterable[Message]]], evening: Evening | None) -> Expected:
    """Reckon the chapters in their order, then the evening."""
    reckoning = _Reckoning()
    for chapter, messages in chapters:
        for number, message in enumerate(messages, 1):
            reckoning.take(message, watched=chapter.watched)
            reckoning.look([look for look in chapter.looks if look.after == number])
    if evening is not None:
        for message in evening.messages(reckoning.numbers):
            reckoning.take(message)
    return reckoning.expected()


class _Reckoning:
    """Keys, counts and the books, as the ledger should have them."""

    def __init__(self) -> None:
        self.books = Books()
        self.numbers: dict[Key, str] = {}
        self._known: dict[Key, tuple[bytes, str]] = {}
        self._outcomes: Counter[str] = Counter()
        self._duplicates: Counter[str] = Counter()
        self._dead: Counter[str] = Counter()
        self._refused: list[Key] = []
        self._resolved = 0
        self._told: dict[str, ToldOutcome] = {}
        self._looks: dict[str, Looked] = {}

    def take(self, message: Message, watched: Sequence[str] = ()) -> None:
        """`watched`: the accounts that are shown after each command."""
        for part in decode(message.body):
            match part:
                case Decoded():
                    self._command(part, watched)
                case Invalid():
                    self._dead["invalid"] += 1
                    self._outcomes[f"{short_type(part.type)} {Reason.INVALID_MESSAGE}"] += 1
                    self._refused.append((part.source, part.id))
                case _:
                    self._dead["unreadable"] += 1

    def look(self, looks: Iterable[Look]) -> None:
        for one in looks:
            run = self.books.runs[one.order]
            minutes = minutes_started(run.since, datetime.fromisoformat(one.at))
            self._looks[one.order] = Looked(minutes, running_fee(run.rate, minutes))

    def expected(self) -> Expected:
        balances = {
            id_: {"credit": account.credit, "credit_limit": account.limit, "frozen": account.frozen}
            for id_, account in sorted(self.books.accounts.items())
        }
        orders = Counter(order.status for order in self.books.orders.values())
        return Expected(
            told=self._told,
            looks=self._looks,
            outcomes=dict(sorted(self._outcomes.items())),
            duplicates=dict(sorted(self._duplicates.items())),
            dead_letters=dict(sorted(self._dead.items())),
            dead_letters_resolved=self._resolved,
            balances=balances,
            devices=len(self.books.devices),
            orders=dict(sorted(orders.items())),
            transactions=len(self.books.postings),
        )

    def _command(self, part: Decoded, watched: Sequence[str]) -> None:
        event = part.event
        key = (event.source, event.id)
        name = short_type(event.type)
        self._resolved += self._refused.count(key)
        self._refused = [one for one in self._refused if one != key]
        if key not in self._known:
            result = self._decide(event, key, watched)
            self._known[key] = part.fingerprint, result
            self._outcomes[f"{name} {result}"] += 1
        elif self._known[key][0] == part.fingerprint:
            self._duplicates[f"{name} {self._known[key][1]}"] += 1
        else:
            self._outcomes[f"{name} {Reason.IDEMPOTENCY_CONFLICT}"] += 1

    def _decide(self, event: Event[Any], key: Key, watched: Sequence[str]) -> str:
        before = len(self.books.postings)
        result, ask = APPLIED, None
        try:
            if event.expirytime is not None and event.expirytime <= NOW:
                raise No(Reason.EXPIRED)
            RULES[type(event.data)](self.books, event.data)
        except No as no:
            result, ask = no.reason.value, no.ask
        posted = list(self.books.postings.values())[before:]
        if posted:
            self.numbers[key] = posted[-1].number
        if watched:
            self._told[" ".join(key)] = ToldOutcome(
                result,
                ask,
                {id_: self._figures(id_) for id_ in watched},
                [
                    (entry.account.id, entry.type, entry.amount, entry.order)
                    for posting in posted
                    for entry in posting.entries
                    if entry.account.id in watched
                ],
            )
        return result

    def _figures(self, id_: str) -> tuple[int, int, int]:
        account = self.books.accounts[id_]
        return account.credit, account.frozen, account.available
