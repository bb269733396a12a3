"""The books of the reckoning: what everybody has, in plain integers, and who pays for what.

Nothing here and in the `reckon_…` files knows the ledger's code. It is the contract, written down a second time as simply
as it goes, and as far as the day needs it: dicts, and `raise No(…)` for a refusal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from messages.commands import Funding, Kind, PutPlan
from messages.reasons import Reason

PLATFORM = "platform"


class No(Exception):
    """A refusal. `ask` is whom its message must name."""

    def __init__(self, reason: Reason, ask: str | None = None) -> None:
        super().__init__(reason.value)
        self.reason = reason
        self.ask = ask


@dataclass(eq=False)
class Account:
    """`credit` counts coins; of a sponsored one its allotment."""

    id: str
    name: str
    kind: Kind
    funding: Funding
    parent: str
    email: str | None
    country: str | None
    credit: int = 0
    limit: int = 0
    frozen: int = 0
    state: str = "active"

    @property
    def available(self) -> int:
        return self.credit + self.limit - self.frozen

    @property
    def contact(self) -> str:
        return f"{self.name} ({self.email})" if self.email else self.name


@dataclass
class Payers:
    """Who pays for what `account` uses: itself, or its master, or its allotment and its sponsor's coins."""

    account: Account
    all: list[Account]


@dataclass
class Entry:
    """A line of somebody's statement."""

    account: Account
    type: str
    amount: int
    order: str | None


@dataclass
class Posting:
    """A transaction: its entries, for whom it was, and what of it was given back."""

    number: str
    entries: list[Entry]
    consumer: Account
    is_charge: bool
    reference: tuple[str, str, str] | None = None
    returned: int = 0

    @property
    def amount(self) -> int:
        return abs(self.entries[0].amount)


@dataclass
class Order:
    account: Account
    amount: int
    status: str
    method: str = "balance"
    charge: Posting | None = None


@dataclass
class Frozen:
    """A hold, or a resource that is paid for after use; `left` of it is still frozen."""

    payers: Payers
    left: int
    over: Reason | None = None


@dataclass
class Run:
    """A cloud phone that runs, or ran."""

    payers: Payers
    phone: str
    rate: str
    since: datetime
    over: bool = False


@dataclass
class Subscription:
    account: Account
    kind: str
    plan: str
    paid_cycles: int = 0
    canceled: bool = False


@dataclass
class Books:
    accounts: dict[str, Account] = field(default_factory=dict)
    plans: dict[str, PutPlan] = field(default_factory=dict)
    methods: dict[str, list[str]] = field(default_factory=dict)
    references: set[tuple[str, str, str]] = field(default_factory=set)
    devices: dict[str, Account] = field(default_factory=dict)
    orders: dict[str, Order] = field(default_factory=dict)
    holds: dict[str, Frozen] = field(default_factory=dict)
    resources: dict[str, Frozen] = field(default_factory=dict)
    runs: dict[str, Run] = field(default_factory=dict)
    running: set[str] = field(default_factory=set)
    subscriptions: dict[str, Subscription] = field(default_factory=dict)
    postings: dict[str, Posting] = field(default_factory=dict)

    def named(self, *ids: str) -> list[Account]:
        """Those accounts, all of which must be there and open."""
        found = [self.accounts.get(id_) for id_ in ids]
        if None in found:
            raise No(Reason.ACCOUNT_NOT_FOUND)
        there = [account for account in found if account is not None]
        if any(account.state == "closed" for account in there):
            raise No(Reason.ACCOUNT_CLOSED)
        return there

    def above(self, account: Account) -> list[Account]:
        """Its ancestors, from its parent up to its top account."""
        found = []
        while account.parent != PLATFORM:
            account = self.accounts[account.parent]
            found.append(account)
        return found

    def top(self, account: Account) -> str:
        return [account, *self.above(account)][-1].id

    def payers(self, account: Account) -> Payers:
        above = self.above(account)
        match account.funding:
            case Funding.SHARED:
                return Payers(account, [next(one for one in above if one.funding is not Funding.SHARED)])
            case Funding.SPONSORED:
                # A second-level reseller does not pay: its distributor does.
                return Payers(account, [account, above[1] if len(above) > 1 else above[0]])
        return Payers(account, [account])

    def buyer(self, id_: str) -> Payers:
        """Who would pay for a purchase of that account: nobody among them may be suspended."""
        (account,) = self.named(id_)
        payers = self.payers(account)
        if any(one.state != "active" for one in (account, *payers.all)):
            raise No(Reason.ACCOUNT_SUSPENDED, self._whom_to_ask(account))
        return payers

    def can_pay(self, payers: Payers, amount: int) -> None:
        """Everybody must have it available; whoever cannot pay asks the parent."""
        account = payers.account
        for one in payers.all:
            if one.available >= amount:
                continue
            if one is account:
                raise No(Reason.INSUFFICIENT_CREDIT, self._whom_to_ask(account))
            if account.funding is Funding.SHARED:
                raise No(Reason.MASTER_INSUFFICIENT_CREDIT, self._whom_to_ask(account))
            raise No(Reason.SPONSOR_INSUFFICIENT_CREDIT, self._whom_to_ask(account))

    def charge(self, type_: str, payers: Payers, amount: int, order: str | None = None) -> Posting:
        """Everybody who pays, pays all of it: an allotment is no coin."""
        entries = [Entry(one, type_, -amount, order) for one in payers.all]
        return self.post(payers.account, entries, is_charge=True)

    def post(
        self,
        consumer: Account,
        entries: Sequence[Entry],
        *,
        is_charge: bool = False,
        reference: tuple[str, str, str] | None = None,
    ) -> Posting:
        """The only place where credit changes."""
        for entry in entries:
            entry.account.credit += entry.amount
        number = f"T-2026-{len(self.postings) + 1:010d}"
        posting = Posting(number, list(entries), consumer, is_charge, reference)
        self.postings[number] = posting
        return posting

    def freeze(self, payers: Payers, amount: int) -> None:
        """A negative amount gives it back."""
        for one in payers.all:
            one.frozen += amount

    def plan(self, id_: str | None, kind: str) -> PutPlan | None:
        if id_ is None:
            return None
        if id_ not in self.plans:
            raise No(Reason.PLAN_NOT_FOUND)
        if self.plans[id_].kind != kind:
            raise No(Reason.PLAN_KIND_MISMATCH)
        return self.plans[id_]

    def _whom_to_ask(self, account: Account) -> str:
        above = self.above(account)
        return above[0].contact if above else PLATFORM


def with_own_coins(*accounts: Account) -> None:
    if any(account.funding is Funding.SHARED for account in accounts):
        raise No(Reason.SHARED_BALANCE_ACCOUNT)
    if any(account.funding is Funding.SPONSORED for account in accounts):
        raise No(Reason.SPONSORED_ACCOUNT)


def price_of(given: int | None, plan: PutPlan | None) -> int:
    """Of one; the price given wins."""
    price = given if given is not None else plan.price if plan else None
    if price is None:
        raise No(Reason.PRICE_REQUIRED)
    return price
