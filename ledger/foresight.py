"""What would become of commands: decided on rows as they are and as the ones before would leave them; nothing is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import count
from typing import Any, TypeVar

import psycopg

from ledger.book import Book, Origin
from ledger.decide import Wanted, decide, needs
from ledger.model import Applied, Decision
from ledger.snapshot import load
from messages.commands import Command

# Transactions that will never be have keys that none will ever have.
NEVER = 1 << 62
One = TypeVar("One", bound=Command)


def foresee(
    connection: psycopg.Connection[Any],
    commands: Sequence[One],
    now: datetime,
    following: Callable[[list[One], Book], list[One]] = lambda _applied, _book: [],
) -> list[tuple[One, Decision]]:
    """Decide each in its order, on what is there now; nothing is locked, nothing is written.

    following: the commands that would come of those that would be applied, in their order; decided after all others.
    """
    wanted = Wanted()
    for command in commands:
        needs(command, wanted)
    book = load(connection, [], wanted, never_keys=count(NEVER)).book
    decisions: list[tuple[One, Decision]] = []
    coming = list(commands)
    while coming:
        applied: list[One] = []
        for command in coming:
            decision = decide(command, book, now)
            decisions.append((command, decision))
            if isinstance(decision, Applied):
                book.apply(decision, Origin("foresight", str(len(decisions)), None), now)
                applied.append(command)
        coming = following(applied, book)
    return decisions
