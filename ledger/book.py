"""The rows of a batch in memory, and what its commands change in them. No database: decisions are tried on it as they are.

`apply` is the only place where anything changes. What it collects is written by `store.py`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from itertools import chain, count
from typing import Any, NamedTuple

from ledger.model import (
    PLATFORM,
    PLATFORM_ID,
    Account,
    AccountChanged,
    AccountOpened,
    Applied,
    DevicesReleased,
    Leg,
    System,
    Transaction,
    WithTransaction,
)
from ledger.records import Burden, Device, PastTransaction, Row
from ledger.rows import KINDS

PLATFORM_ACCOUNT = Account(
    id=PLATFORM_ID,
    account=PLATFORM,
    parent=-1,
    path=[],
    kind=PLATFORM,
    name="the platform",
    funding="own",
    state="active",
    credit=0,
    credit_limit=0,
    frozen=0,
    reference=None,
    version=0,
    posted_at=None,
    running=0,
    settled=0,
    notifications=True,
    draws_from=PLATFORM_ID,
    sponsor=None,
    email=None,
    boss_email=None,
    country=None,
    timezone="UTC",
    legal_name=None,
    tax_id=None,
    address=None,
    contact_name="the platform",
    contact_email=None,
)
FIGURES = frozenset({"credit_limit", "reference"})


class Origin(NamedTuple):
    """Which command a transaction comes from."""

    source: str
    id: str
    actor: str | None


class Unbalanced(Exception):
    """A rule has made a transaction whose entries do not sum to zero: a defect, never a refusal."""


class Book:
    """What a batch may look at, and what it has changed so far."""

    def __init__(
        self,
        accounts: Iterable[Account] = (),
        *,
        transaction_keys: Iterator[int] | None = None,
        account_keys: Iterator[int] | None = None,
    ) -> None:
        self._by_id: dict[str, Account] = {}
        self._by_key: dict[int, Account] = {PLATFORM_ID: PLATFORM_ACCOUNT}
        for account in accounts:
            self._by_id[account.account] = account
            self._by_key[account.id] = account
        self._rows: dict[type[Row], dict[Any, Row]] = defaultdict(dict)
        self._transaction_keys = transaction_keys if transaction_keys is not None else count(1)
        self._account_keys = account_keys if account_keys is not None else count(1)
        # What is to be written:
        self.opened: list[Account] = []
        self.posted: dict[int, Account] = {}
        self.described: dict[int, Account] = {}
        self.released: list[int] = []
        self.inserted: dict[type[Row], dict[Any, Row]] = defaultdict(dict)
        self.changed: dict[type[Row], dict[Any, Row]] = defaultdict(dict)
        self.transactions: list[tuple[Any, ...]] = []
        self.entries: list[tuple[Any, ...]] = []

    # What decisions may look at

    def account(self, id: str) -> Account | None:
        return self._by_id.get(id)

    def parent(self, id: str) -> Account | None:
        return PLATFORM_ACCOUNT if id == PLATFORM else self._by_id.get(id)

    def by_key(self, key: int) -> Account:
        return self._by_key[key]

    def descendants(self, account: Account) -> list[Account]:
        found = [one for one in self._by_key.values() if account.stands_over(one)]
        return sorted(found, key=lambda one: len(one.path))

    def get(self, kind: type[Row], key: Any) -> Any:
        return self._rows[kind].get(key)

    def past(self, transaction: int) -> PastTransaction | None:
        return self.get(PastTransaction, transaction) or self._just_posted(transaction)

    def next_account_key(self) -> int:
        return next(self._account_keys)

    def number_next(self, keys: Iterable[int]) -> None:
        """The next transactions get these keys, those after them go on as before."""
        self._transaction_keys = chain(keys, self._transaction_keys)

    # Loading

    def put(self, kind: type[Row], key: Any, row: Row) -> None:
        self._rows[kind][key] = row

    # Applying

    def apply(self, applied: Applied, origin: Origin, now: datetime) -> tuple[int, datetime] | None:
        """Change the book by a decision. The key and time of its transaction, where it has one.

        Raises Unbalanced; then the book is void.
        """
        if applied.recharge is not None:
            self._post(applied.recharge, origin, now)
        posted = self._post(applied.transaction, origin, now) if applied.transaction is not None else None
        for change in applied.changes:
            match change:
                case AccountOpened(account):
                    self._by_id[account.account] = account
                    self._by_key[account.id] = account
                    self.opened.append(account)
                case AccountChanged(account, fields):
                    self._change(account, fields)
                case DevicesReleased(account):
                    self._release_devices(account)
                case WithTransaction(row):
                    assert posted is not None
                    self._write(replace(row, transaction=posted[0]))  # type: ignore[call-arg]
                case Row():
                    self._write(change)
        return posted

    def _post(self, draft: Transaction, origin: Origin, now: datetime) -> tuple[int, datetime]:
        key = next(self._transaction_keys)
        # An account's entries are in the order of its versions; their times are, too, whatever the clock does.
        time = now
        for leg in draft.legs:
            if type(leg.account) is Account:
                last = leg.account.posted_at
                if last is not None and last > time:
                    time = last
        top = draft.account.path[0]
        entries = self.entries
        sums: dict[str, int] = {}
        for leg in draft.legs:
            account, amount, type_, unit = leg.account, leg.amount, leg.type, leg.unit
            sums[unit] = sums.get(unit, 0) + amount
            if type(account) is System:
                entries.append(
                    (
                        key,
                        account._value_,
                        unit._value_,
                        amount,
                        None,
                        None,
                        top,
                        type_._value_,
                        time,
                        None,
                        None,
                    )
                )
                continue
            assert type(account) is Account
            account.credit += amount
            account.version += 1
            account.posted_at = time
            if leg.inflow:
                account.reference = account.available
            self.posted[account.id] = account
            entries.append(_entry_row(key, time, leg, account))
        if any(sums.values()):
            raise Unbalanced(f"the entries of {origin.source} {origin.id} sum to {sums}")
        self.transactions.append(_transaction_row(key, time, draft, origin))
        return key, time

    def _change(self, account: Account, fields: dict[str, Any]) -> None:
        for name, value in fields.items():
            setattr(account, name, value)
            if name in FIGURES:
                self.posted[account.id] = account
            else:
                self.described[account.id] = account

    def _release_devices(self, account: Account) -> None:
        self.released.append(account.id)
        for device in list(self._rows[Device].values()):
            if isinstance(device, Device) and device.account == account.id:
                self._write(Device(device.device, None, device.plan, device.onboarded_at, device.paid_until))

    def _write(self, row: Row) -> None:
        kind = type(row)
        key = KINDS[kind].key_of(row)
        known = self._rows[kind]
        if kind.burdens:
            before = known.get(key)
            if before is not None:
                self._lay(before.burden, -1)
            self._lay(row.burden, 1)
        if key in self.inserted[kind] or key not in known:
            self.inserted[kind][key] = row
        else:
            self.changed[kind][key] = row
        known[key] = row

    def _lay(self, burden: Burden, times: int) -> None:
        """What is open and what is frozen at accounts follows from the rows, here and nowhere else."""
        for key in burden.running:
            self._by_key[key].running += times
        for key in burden.settled:
            self._by_key[key].settled += times
        for key in burden.frozen_at:
            self._by_key[key].frozen += times * burden.frozen
        for key in (*burden.running, *burden.settled):
            self.posted[key] = self._by_key[key]

    def _just_posted(self, transaction: int) -> PastTransaction | None:
        for row in self.transactions:
            if row[0] == transaction:
                postings = tuple(
                    (entry[1], entry[2], entry[3])
                    for entry in self.entries
                    if entry[0] == transaction and entry[1] > 0
                )
                return PastTransaction(
                    transaction, row[1], row[2], row[4], row[3], row[9], row[10], row[8], postings
                )
        return None


def _entry_row(key: int, time: datetime, leg: Leg, account: Account) -> tuple[Any, ...]:
    """An entry of an account that has just been changed by it, in the order of the columns in `store.py`."""
    return (
        key,
        account.id,
        leg.unit._value_,
        leg.amount,
        account.credit,
        account.version,
        account.path[0],
        leg.type._value_,
        time,
        leg.counterparty,
        leg.consumer if leg.consumer != account.id else None,
    )


def _transaction_row(key: int, time: datetime, draft: Transaction, origin: Origin) -> tuple[Any, ...]:
    """A transaction in the order of the columns in `store.py`."""
    return (
        key,
        time,
        draft.legs[0].type._value_,
        draft.account.path[0],
        draft.account.id,
        draft.item,
        draft.devices,
        draft.note,
        draft.order,
        draft.method,
        draft.reference,
        draft.payer,
        draft.paid_currency,
        draft.paid_amount,
        draft.ordered_by,
        draft.reverses,
        origin.source,
        origin.id,
        origin.actor,
    )
