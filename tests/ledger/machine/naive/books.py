"""What the naive ledger writes down, and what most of its rules ask of it: who is there, who pays, who can."""

from __future__ import annotations

import calendar
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

MOST = 10**15
CHARGES = ["onboarding", "renewal", "order", "running_fee", "usage", "capture"]


@dataclass
class Holder:
    """An account."""

    parent: str
    kind: str
    funding: str
    credit_limit: int = 0
    credit: int = 0
    state: str = "active"
    country: str | None = None
    timezone: str = "UTC"
    notifications: bool = True
    reference: int | None = None


@dataclass
class Posting:
    """A transaction: whom it was for, whose coins it moved, and what of it was given back.

    allotment: whether it took the account's allotment as well. bill: on which bill it stands.
    """

    type: str
    account: str
    amount: int
    time: datetime
    coins: tuple[str, ...]
    allotment: bool = False
    reference: tuple[str, str, str] | None = None
    returned: int = 0
    bill: str | None = None


class Payers(NamedTuple):
    """Who pays for what an account uses: itself or its master, and its sponsor where it has one."""

    account: str
    payer: str
    sponsor: str | None


@dataclass
class Device:
    account: str | None
    paid_until: datetime | None


@dataclass
class Order:
    account: str
    kind: str
    amount: int | None
    status: str
    method: str
    transaction: int | None = None


@dataclass
class Session:
    account: str
    payer: str
    sponsor: str | None
    phone: str
    rate: str
    power_up_at: datetime
    power_down_at: datetime | None = None
    minutes: int | None = None


@dataclass
class Hold:
    account: str
    payer: str
    sponsor: str | None
    amount: int
    remaining: int
    expires_at: datetime | None
    state: str = "open"


@dataclass
class Resource:
    account: str
    payer: str
    sponsor: str | None
    frozen: int
    remaining: int
    used: int = 0
    state: str = "active"


@dataclass
class Subscription:
    """What is paid cycle by cycle: cycle `anchor_no` begins at `anchor`, and they are counted by `cycle`."""

    account: str
    plan: str
    kind: str
    goods: list[str]
    payment_method: str
    status: str
    start_at: datetime
    zone: str
    cycle: dict[str, Any]
    anchor: datetime
    next_payment_at: datetime | None
    anchor_no: int = 1
    paid_cycles: int = 0
    paid_until: datetime | None = None
    cancel_at: datetime | None = None
    canceled_at: datetime | None = None
    deleted_at: datetime | None = None


@dataclass
class PaidCycle:
    begins_at: datetime
    ends_at: datetime
    plan: str
    goods: list[str]
    amount: int
    transaction: int


@dataclass
class Bill:
    account: str
    charged: int
    refunded: int
    status: str = "issued"
    transaction: int | None = None


@dataclass
class CustomWarning:
    account: str
    set_by: str
    amount: int | None
    percent: int | None
    removed_at: datetime | None = None


@dataclass
class Export:
    account: str
    report: str
    format: str


@dataclass
class Books:
    """Dicts by the ids that producers know. Transactions are indexes of `postings`."""

    holders: dict[str, Holder] = field(default_factory=dict)
    plans: dict[str, dict[str, Any]] = field(default_factory=dict)
    methods: dict[str, list[str]] = field(default_factory=dict)
    devices: dict[str, Device] = field(default_factory=dict)
    references: set[tuple[str, str, str]] = field(default_factory=set)
    postings: list[Posting] = field(default_factory=list)
    orders: dict[str, Order] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    holds: dict[str, Hold] = field(default_factory=dict)
    resources: dict[str, Resource] = field(default_factory=dict)
    subscriptions: dict[str, Subscription] = field(default_factory=dict)
    cycles: dict[tuple[str, int], PaidCycle] = field(default_factory=dict)
    bills: dict[str, Bill] = field(default_factory=dict)
    warnings: dict[str, CustomWarning] = field(default_factory=dict)
    exports: dict[str, Export] = field(default_factory=dict)

    # The tree

    def lineage(self, id_: str) -> list[str]:
        """The account and its ancestors, without the platform."""
        found = [id_]
        while (parent := self.holders[found[-1]].parent) != "platform":
            found.append(parent)
        return found

    def _over(self, upper: str, lower: str) -> bool:
        return upper != lower and upper in self.lineage(lower)

    def _is_or_over(self, upper: str, lower: str) -> bool:
        return upper in self.lineage(lower)

    def master(self, id_: str) -> str:
        """Who is drawn on: the account itself, or of a shared one the nearest ancestor that is not shared."""
        return next(one for one in self.lineage(id_) if self.holders[one].funding != "shared")

    def sponsor(self, id_: str) -> str | None:
        if self.holders[id_].funding != "sponsored":
            return None
        parent = self.holders[id_].parent
        above = self.holders[parent].parent
        return parent if above == "platform" else above

    def payers(self, id_: str) -> Payers:
        """Who would pay now."""
        return Payers(id_, self.master(id_), self.sponsor(id_))

    # What is open

    def _settled(self) -> list[Hold | Resource | Session]:
        """What is open and has its payers settled."""
        return [
            *(hold for hold in self.holds.values() if hold.state == "open"),
            *(resource for resource in self.resources.values() if resource.state == "active"),
            *(session for session in self.sessions.values() if session.power_down_at is None),
        ]

    def settled(self, id_: str) -> int:
        """How many open holds, resources and sessions are the account's or on its coins."""
        return sum(id_ in (one.account, one.payer, one.sponsor) for one in self._settled())

    def running(self, id_: str) -> int:
        """How many pending orders and live subscriptions the account has."""
        orders = [one for one in self.orders.values() if one.account == id_]
        live = [one for one in self.subscriptions.values() if one.account == id_]
        return sum(one.status == "pending_payment" for one in orders) + sum(
            one.status != "canceled" for one in live
        )

    def frozen(self, id_: str) -> int:
        open_ = [one for one in self._settled() if not isinstance(one, Session)]
        return sum(one.remaining for one in open_ if id_ in (one.payer, one.sponsor))

    def available(self, id_: str) -> int:
        return self.holders[id_].credit + self.holders[id_].credit_limit - self.frozen(id_)

    def figures(self) -> dict[str, tuple[int, int, int, int | None]]:
        """Credit, limit, frozen and available of all, as outcomes show them: what a shared one draws on they do not show."""
        frozen: Counter[str | None] = Counter()
        for one in self._settled():
            for id_ in {one.payer, one.sponsor}:
                frozen[id_] += 0 if isinstance(one, Session) else one.remaining
        found = {}
        for id_, one in self.holders.items():
            available = None if one.funding == "shared" else one.credit + one.credit_limit - frozen[id_]
            found[id_] = (one.credit, one.credit_limit, frozen[id_], available)
        return found

    # Faults that many commands share

    def _find(self, ids: list[str], faults: set[str]) -> bool:
        """Whether all are there; those that are must not be closed."""
        missing = [id_ for id_ in ids if id_ not in self.holders]
        if missing:
            faults.add("account_not_found")
        if any(self.holders[id_].state == "closed" for id_ in ids if id_ in self.holders):
            faults.add("account_closed")
        return not missing

    def _own(self, ids: list[str], faults: set[str]) -> None:
        for id_ in ids:
            if self.holders[id_].funding == "shared":
                faults.add("shared_balance_account")
            if self.holders[id_].funding == "sponsored":
                faults.add("sponsored_account")

    def _buyer(self, id_: str, faults: set[str]) -> bool:
        """Whether the account is there; it and whoever pays must be able to buy."""
        if not self._find([id_], faults):
            return False
        paying = [one for one in self.payers(id_) if one]
        self._find(paying, faults)
        if any(self.holders[one].state == "suspended" for one in paying):
            faults.add("account_suspended")
        return True

    def _short(self, id_: str, total: int | None, faults: set[str]) -> None:
        """Whether everybody who would pay has so much available."""
        if total is None:
            return
        _, payer, sponsor = self.payers(id_)
        if self.available(payer) < total:
            faults.add("insufficient_credit" if payer == id_ else "master_insufficient_credit")
        if sponsor and self.available(sponsor) < total:
            faults.add("sponsor_insufficient_credit")

    def _method(self, id_: str, method: str, faults: set[str]) -> None:
        """Whether the account may pay in by that method."""
        allowed = self.methods.get(self.holders[id_].country or "")
        if allowed is not None and method not in ("offline", *allowed):
            faults.add("payment_method_not_available")

    def _plan(self, id_: str | None, kind: str, faults: set[str]) -> dict[str, Any]:
        """The plan, or nothing."""
        if id_ is None:
            return {}
        if id_ not in self.plans:
            faults.add("plan_not_found")
            return {}
        if self.plans[id_]["kind"] != kind:
            faults.add("plan_kind_mismatch")
        return self.plans[id_]

    def _total(self, price: int | None, quantity: int, faults: set[str]) -> int | None:
        if price is None:
            faults.add("price_required")
            return None
        if price * quantity > MOST:
            faults.add("amount_too_large")
        return price * quantity

    # Writing

    def _post(self, posting: Posting) -> int:
        self.postings.append(posting)
        return len(self.postings) - 1

    def _charge(self, type_: str, by: Any, amount: int, now: datetime) -> int:
        """Take it from `by`: coins of the payer, or of the sponsor together with the allotment, if there still is one."""
        coins = by.sponsor or by.payer
        allotment = by.sponsor is not None and self.holders[by.account].funding == "sponsored"
        self.holders[coins].credit -= amount
        if allotment:
            self.holders[by.account].credit -= amount
        return self._post(Posting(type_, by.account, amount, now, (coins,), allotment))

    def _rebase(self, id_: str) -> None:
        """What comes later is measured by what is available now."""
        self.holders[id_].reference = self.available(id_)

    def _rebase_silently(self, id_: str) -> None:
        if self.available(id_) > 0:
            self._rebase(id_)


def cycles_on(moment: datetime, cycle: dict[str, Any], n: int, zone: str) -> datetime:
    """So many cycles later, by the clocks of the zone, clamped to the month's last day."""
    wall = moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    steps = n * cycle["count"]
    if cycle["unit"] in ("day", "week"):
        wall += timedelta(days=steps * (7 if cycle["unit"] == "week" else 1))
    else:
        months = wall.year * 12 + wall.month - 1 + steps * (12 if cycle["unit"] == "year" else 1)
        year, month = months // 12, months % 12 + 1
        wall = wall.replace(year=year, month=month, day=min(wall.day, calendar.monthrange(year, month)[1]))
    return wall.replace(tzinfo=ZoneInfo(zone)).astimezone(moment.tzinfo)
