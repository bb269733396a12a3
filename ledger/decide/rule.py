"""What a command needs to be decided, and the shape of a rule.

A rule is a pair of pure functions: `needs` names the rows, `decide` looks at them and answers. Neither does I/O, looks at
a clock, or raises for a business refusal. `decide` checks in the order of precedence of `messages/reasons.py`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from ledger.model import Account, Decision
from ledger.records import PastTransaction, Row


class Wanted:
    """What the commands of a batch need, by public ids. Collected first, then loaded and locked at once.

    `accounts` come with whoever pays for them. `subtrees`: an account with all that stand under it; `lineages`: an account
    with all that it stands under. `two_transactions`: how many of the commands may post two.
    """

    __slots__ = ("accounts", "lineages", "new_accounts", "rows", "subtrees", "two_transactions")

    def __init__(self) -> None:
        self.accounts: set[str] = set()
        self.subtrees: set[str] = set()
        self.lineages: set[str] = set()
        self.rows: dict[type[Row], set[Hashable]] = defaultdict(set)
        self.new_accounts = 0
        self.two_transactions = 0

    def row(self, kind: type[Row], *keys: Hashable) -> None:
        self.rows[kind].update(keys)


class Ledger(Protocol):
    """What a decision may look at: the rows it asked for, as the commands before it left them."""

    def account(self, id: str) -> Account | None: ...

    def parent(self, id: str) -> Account | None: ...

    def by_key(self, key: int) -> Account: ...

    def descendants(self, account: Account) -> list[Account]: ...

    def get(self, kind: type[Row], key: Any) -> Any: ...

    def past(self, transaction: int) -> PastTransaction | None: ...

    def next_account_key(self) -> int: ...


class Rule(NamedTuple):
    needs: Callable[[Any, Wanted], None]
    decide: Callable[[Any, Ledger, datetime], Decision]
