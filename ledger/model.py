"""What the ledger knows: accounts, rows, transactions, decisions. Values only, no behaviour of a database.

Amounts are integers in the smallest unit. Inside, accounts and transactions go by integer keys; outside by their ids.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum, auto
from typing import Any, NamedTuple

from ledger.records import Row
from messages.events import EventType
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
    ALLOCATION = auto()
    RECLAIM = auto()
    CREDIT_RETURN = auto()
    ONBOARDING = auto()
    RENEWAL = auto()
    ORDER = auto()
    RUNNING_FEE = auto()
    USAGE = auto()
    CAPTURE = auto()
    REFUND = auto()
    ADJUSTMENT = auto()


CHARGES = frozenset(
    {
        TransactionType.ONBOARDING,
        TransactionType.RENEWAL,
        TransactionType.ORDER,
        TransactionType.RUNNING_FEE,
        TransactionType.USAGE,
        TransactionType.CAPTURE,
    }
)


@dataclass(slots=True)
class Account:
    """An account as the batch sees it. `decide` only reads it; `Book.apply` alone changes it.

    running: how many pending orders and live subscriptions are its own; who pays for them is settled when they are charged.
    settled: how many open holds, resources and sessions are its own or on its coins.
    """

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
    running: int
    settled: int
    notifications: bool
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


class WithTransaction(NamedTuple):
    """A row to be written with the key of the transaction of its own decision."""

    row: Row


Change = AccountOpened | AccountChanged | DevicesReleased | WithTransaction | Row


class Announcement(NamedTuple):
    """A further event (CONTRACT §5): its type, the account that it is about, and what it says."""

    type: EventType
    account: Account
    data: dict[str, Any]


@dataclass(slots=True)
class Applied:
    """The command is applied: what is posted, what changes, and which accounts the outcome shows.

    recharge: posted just before the transaction, where another payment method brings in what is spent at once.
    announced: further events. message: for a person, where what was done is not what one would expect.
    """

    accounts: tuple[Account, ...] = ()
    transaction: Transaction | None = None
    changes: tuple[Change, ...] = ()
    recharge: Transaction | None = None
    announced: tuple[Announcement, ...] = ()
    message: str | None = None


class Rejected(NamedTuple):
    """The command is refused: nothing changes."""

    reason: Reason
    message: str


Decision = Applied | Rejected
