"""What is told step by step: after each command everybody's figures are read from the ledger, and kept to be compared."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import psycopg

from deploy.demo.producing import Outcome
from deploy.demo.screen import Screen
from deploy.demo.story import APPLIED, Chapter, Entry, Figures, Look, Looked, ToldOutcome
from ledger.queries.balance import balance
from ledger.queries.orders import order
from ledger.queries.reading import connected, snapshot
from ledger.queries.statement import statement

NEWEST = 4  # lines of a statement: more than one command brings to one account


class Telling:
    """`told` and `looked` are what was seen, under the same names as what is expected."""

    def __init__(self, connection: psycopg.Connection[Any], screen: Screen) -> None:
        self._connection = connection
        self._screen = screen
        self._before: dict[str, Figures] = {}
        self.told: dict[str, ToldOutcome] = {}
        self.messages: dict[str, str] = {}
        self.looked: dict[str, Looked] = {}

    def begin(self, chapter: Chapter) -> None:
        self._before = self._figures(chapter)
        self._screen.scene(chapter.title, chapter.why)

    def tell(self, chapter: Chapter, number: int, outcome: Outcome) -> None:
        """The step of that number, which has come out so. Raises LedgerError."""
        with snapshot(self._connection):
            figures = self._figures(chapter)
            entries = [entry for id_ in chapter.watched for entry in self._entries(id_, outcome)]
        name = " ".join(outcome.key)
        self.told[name] = ToldOutcome(outcome.result, None, figures, entries)
        self.messages[name] = outcome.message
        if outcome.result == APPLIED:
            changes = " · ".join(_changes(self._before, figures, entries))
            self._screen.applied(chapter.tells[number], changes)
        else:
            self._screen.refused(chapter.tells[number], outcome.result, outcome.message)
        self._before = figures
        for look in chapter.looks:
            if look.after == number + 1:
                self._look(look)

    def _look(self, look: Look) -> None:
        """A running order's fee, as it stands at that time."""
        report = order(self._connection, look.order, now=datetime.fromisoformat(look.at))
        self.looked[look.order] = Looked(report.minutes or 0, report.running_fee or 0)
        minutes, fee = self.looked[look.order]
        self._screen.applied(look.tells, f"{minutes:,} started minutes, {fee:,} so far")

    def _figures(self, chapter: Chapter) -> dict[str, Figures]:
        found = {id_: balance(self._connection, id_) for id_ in chapter.watched}
        return {id_: (one.credit, one.frozen or 0, one.available or 0) for id_, one in found.items()}

    def _entries(self, account: str, outcome: Outcome) -> list[Entry]:
        """What a command posted to an account, in its order."""
        lines = statement(self._connection, account, limit=NEWEST).rows
        return [
            (account, line.type, line.amount, line.order)
            for line in reversed(lines)
            if (line.command_source, line.command_id) == outcome.key
        ]


@contextlib.contextmanager
def telling(database_url: str, screen: Screen) -> Iterator[Telling]:
    with connected(database_url, name="demo") as connection:
        yield Telling(connection, screen)


def mismatches(expected: dict[str, ToldOutcome], looks: dict[str, Looked], seen: Telling) -> list[str]:
    """Each step that came out otherwise than reckoned, in words."""
    wrong = []
    for name in sorted(expected.keys() | seen.told.keys()):
        wanted, found = expected.get(name), seen.told.get(name)
        if wanted is None or found is None:
            wrong.append(f"the step {name}: {'not expected' if wanted is None else 'not told'}")
            continue
        if found.result != wanted.result:
            wrong.append(f"the step {name}: {wanted.result} expected, {found.result} found")
        if wanted.ask is not None and f"ask {wanted.ask}" not in seen.messages[name]:
            wrong.append(f"the step {name}: {wanted.ask} is to be asked, but it says: {seen.messages[name]}")
        for account, figures in wanted.figures.items():
            if found.figures.get(account) != figures:
                wrong.append(
                    f"{account} after the step {name}: {figures} expected, {found.figures.get(account)} found"
                )
        if sorted(found.entries, key=str) != sorted(wanted.entries, key=str):
            wrong.append(f"the entries of the step {name}: {wanted.entries} expected, {found.entries} found")
    for order_ in sorted(looks.keys() | seen.looked.keys()):
        if looks.get(order_) != seen.looked.get(order_):
            wrong.append(f"{order_} so far: {looks.get(order_)} expected, {seen.looked.get(order_)} found")
    return wrong


def _changes(before: dict[str, Figures], after: dict[str, Figures], entries: list[Entry]) -> Iterator[str]:
    """How available comes about where something is frozen, else from what to what it went."""
    for account, (credit, frozen, available) in after.items():
        amounts = [amount for owner, _, amount, _ in entries if owner == account]
        was = before[account][2]
        if len(amounts) > 1:
            sums = " ".join(f"{'−' if amount < 0 else '+'} {abs(amount):,}" for amount in amounts)
            yield f"{account} {was:,} {sums} = {available:,}"
        elif before[account] == (credit, frozen, available):
            continue
        elif frozen:
            yield f"{account} {credit:,} − {frozen:,} frozen = {available:,}"
        else:
            yield f"{account} {was:,} → {available:,}"
