"""What the ledger knows: accounts, rows, transactions, decisions. Values only, no behaviour of a database.

Amounts are integers in the smallest unit. Inside, accounts and transactions go by integer keys; outside by their ids.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum, auto
from typing import Any, NamedTuple

from messages.reasons import Reason

PLATFORM_ID = 0
PLATFORM = "platform"
# Far above any sum of real money, and far enough below 2^63 for one more amount of 10^15.
MAX_BALANCE = 9 * 10**18


class State(StrEnum):
    ACTIVE = auto()
    SUSPENDED = auto()
    CLOSED = auto()


class Unit(StrEnum):
    COIN = auto()
    ALLOTMENT = auto()


class System(IntEnum):
    """The other side of what comes in and goes out. No rows, no running balance: verification sums their entries."""

    CASH = -1
    REVENUE = -2
    ADJUSTMENTS = -3
    ALLOTMENTS = -4


class TransactionType(StrEnum):
    """The types of CONTRACT §9. A transfer is stored as one transaction with an entry of each direction."""

    RECHARGE = auto()
    RECHARGE_REVERSAL = auto()
    TRANSFER_IN = auto()
    TRANSFER_OUT = auto()
    ONBOARDING = auto()
    RENEWAL = auto()
    ADJUSTMENT = auto()
    REFUND = auto()


CHARGES = frozenset({TransactionType.ONBOARDING, TransactionType.RENEWAL})


@dataclass(slots=True)
class Account:
    """An account as the batch sees it. `decide` only reads it; `Book.apply` alone changes it."""

    id: int
    account: str
    parent: int
    path: list[int]
    kind: str
    name: str
    funding: str
    state: str
    credit: int
    credit_limit: int
    frozen: int
    reference: int | None
    version: int
    posted_at: datetime | None
    draws_from: int
    sponsor: int | None
    email: str | None
    boss_email: str | None
    country: str | None
    timezone: str
    legal_name: str | None
    tax_id: str | None
    address: str | None
    contact_name: str
    contact_email: str | None

    @property
    def top(self) -> int:
        """The ancestor just under the platform."""
        return self.path[0]

    @property
    def available(self) -> int:
        """What is left of its own credit and limit (of a shared account: nothing, see its master)."""
        return self.credit + self.credit_limit - self.frozen

    def stands_over(self, other: Account) -> bool:
        """Whether this account is an ancestor of the other."""
        return self.id != other.id and self.id in other.path


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table that decisions read and write whole; `rows.py` says which table and which key."""


@dataclass(frozen=True, slots=True)
class Plan(Row):
    plan: str
    name: str
    kind: str
    price: int | None
    rate: str | None
    cycle_unit: str | None
    cycle_count: int | None
    coefficient: str | None


@dataclass(frozen=True, slots=True)
class Device(Row):
    """A device; `account` is None once it is released."""

    device: str
    account: int | None
    plan: str | None
    onboarded_at: datetime
    paid_until: datetime | None


@dataclass(frozen=True, slots=True)
class RechargeReference(Row):
    """Which recharge uses a reference under a top account; None once that recharge was taken back."""

    top: int
    method: str
    reference: str
    transaction: int | None


@dataclass(frozen=True, slots=True)
class Returned(Row):
    """How much of a transaction was given or taken back by now."""

    transaction: int
    amount: int


@dataclass(frozen=True, slots=True)
class PastTransaction(Row):
    """A transaction that is in the ledger, with what it posted to accounts (account, unit, amount)."""

    transaction: int
    time: datetime
    type: str
    account: int
    top: int
    method: str | None
    reference: str | None
    postings: tuple[tuple[int, str, int], ...]


class Leg(NamedTuple):
    """One entry to be: an amount (signed) on an account, in a unit.

    `inflow` re-bases the account's reference for warnings; `counterparty` and `consumer` are for its statement.
    """

    account: Account | System
    amount: int
    type: TransactionType
    unit: Unit = Unit.COIN
    counterparty: int | None = None
    consumer: int | None = None
    inflow: bool = False


class Transaction(NamedTuple):
    """What is to be posted for a command, all or nothing: the amounts of the legs sum to zero per unit."""

    account: Account
    legs: tuple[Leg, ...]
    item: str | None = None
    devices: list[str] | None = None
    note: str | None = None
    order: str | None = None
    method: str | None = None
    reference: str | None = None
    payer: str | None = None
    paid_currency: str | None = None
    paid_amount: str | None = None
    ordered_by: str | None = None
    reverses: int | None = None


class AccountOpened(NamedTuple):
    account: Account


class AccountChanged(NamedTuple):
    account: Account
    fields: dict[str, Any]


class DevicesReleased(NamedTuple):
    """Every device of an account becomes free, however many there are."""

    account: Account


class TransactionReference(NamedTuple):
    """A row to be written with the number of the transaction of its own decision."""

    row: RechargeReference


Change = AccountOpened | AccountChanged | DevicesReleased | TransactionReference | Row


@dataclass(slots=True)
class Applied:
    """The command is applied: what is posted, what changes, and which accounts the outcome shows."""

    accounts: tuple[Account, ...] = ()
    transaction: Transaction | None = None
    changes: tuple[Change, ...] = field(default=())


class Rejected(NamedTuple):
    """The command is refused: nothing changes."""

    reason: Reason
    message: str


Decision = Applied | Rejected
