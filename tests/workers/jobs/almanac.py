"""What must become of subscriptions and coins, naively, from the words of CONTRACT §4 and §8 alone: dates, dunning, sums.

Nothing of the product's rules is used here; dates are counted by dateutil, in the wall time of a zone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from dateutil.relativedelta import relativedelta
from dateutil.tz import datetime_exists

DAY = timedelta(days=1)
RETRIED_AFTER = (1 * DAY, 3 * DAY, 7 * DAY)
SUSPENDED_AFTER = 7 * DAY
CANCELED_AFTER = 30 * DAY
COINS_WERE_SHORT = ("insufficient_credit", "master_insufficient_credit", "account_suspended")
LIVE = ("scheduled", "active", "past_due", "suspended")


class Cycle(NamedTuple):
    unit: str
    count: int


class Plan(NamedTuple):
    id: str
    kind: str
    price: int
    cycle: Cycle


class Paid(NamedTuple):
    """A cycle that was charged."""

    cycle_no: int
    begins_at: datetime
    ends_at: datetime
    amount: int
    plan: str
    paid_at: datetime


class Tried(NamedTuple):
    """An attempt of the billing cycle."""

    cycle_no: int
    attempt: int
    tried_at: datetime
    reason: str | None


class Told(NamedTuple):
    """An event: `what` is its type without prefix and version."""

    what: str
    subscription: str
    cycle_no: int
    reason: str | None
    next_try: datetime | None


def nth(anchor: datetime, cycle: Cycle, n: int, zone: str) -> datetime:
    """The anchor plus n cycles, on the clocks of the zone; what a clock change leaves out is its end."""
    if n == 0:
        return anchor
    here = ZoneInfo(zone)
    wall = anchor.astimezone(here).replace(tzinfo=None) + relativedelta(**{f"{cycle.unit}s": n * cycle.count})
    if not datetime_exists(wall, here):
        wall = wall.replace(second=0, microsecond=0)
        while not datetime_exists(wall, here):
            wall += timedelta(minutes=1)
    return wall.replace(tzinfo=here, fold=0).astimezone(UTC)


@dataclass
class Holder:
    """An account. `payer`: whose coins it spends."""

    id: str
    zone: str
    payer: str
    credit: int = 0
    suspended: bool = False


@dataclass
class Subscription:
    id: str
    account: Holder
    plan: Plan
    manual: bool
    goods: list[str]
    created_at: datetime
    start_at: datetime
    status: str
    anchor: datetime
    cycle: Cycle
    look_at: datetime | None
    next_payment_at: datetime | None
    anchor_no: int = 1
    paid: list[Paid] = field(default_factory=list)
    tried: list[Tried] = field(default_factory=list)
    owed_since: datetime | None = None
    refused_for: str | None = None
    cancel_at: datetime | None = None

    @property
    def paid_until(self) -> datetime | None:
        return self.paid[-1].ends_at if self.paid else None

    @property
    def live(self) -> bool:
        return self.status in LIVE

    @property
    def coming(self) -> int:
        return len(self.paid) + 1


class Almanac:
    """Accounts, subscriptions and devices; what is done to them, and what the billing cycle does at a moment."""

    def __init__(self) -> None:
        self.holders: dict[str, Holder] = {}
        self.subscriptions: dict[str, Subscription] = {}
        self.active_devices: dict[str, str] = {}
        self.told: list[Told] = []

    # What people do: each says why it is refused, None if it is not

    def subscribe(
        self,
        id_: str,
        account: str,
        plan: Plan,
        at: datetime,
        *,
        manual: bool,
        goods: list[str],
        start_at: datetime | None,
    ) -> str | None:
        holder, start = self.holders[account], start_at or at
        if self._may_not_buy(holder):
            return "account_suspended"
        made = Subscription(
            id=id_,
            account=holder,
            plan=plan,
            manual=manual,
            goods=list(goods),
            created_at=at,
            start_at=start,
            status="active" if start <= at else "scheduled",
            anchor=start,
            cycle=plan.cycle,
            look_at=start,
            next_payment_at=start,
        )
        if start <= at and not manual:
            refused = self._charge(made, at)
            if refused:
                return refused
        self.subscriptions[id_] = made
        return None

    def spend(self, account: str, amount: int) -> str | None:
        holder = self.holders[account]
        if self._may_not_buy(holder):
            return "account_suspended"
        return self._take(holder, amount)

    def pay(self, id_: str, at: datetime) -> str | None:
        """The next cycle, whoever asks for it."""
        one = self.subscriptions[id_]
        if self._may_not_buy(one.account):
            return "account_suspended"
        if not one.live or one.cancel_at is not None:
            return "subscription_not_active"
        if one.plan.kind == "renewal":
            one_left = [device for device in one.goods if self.active_devices.get(device) == one.account.id]
            if not one_left:
                one.goods = []
                self._cancel(one, "no device of it is active any more")
                return None
            before, one.goods = one.goods, one_left
            refused = self._charge(one, at)
            if refused:
                one.goods = before
                return refused
        elif refused := self._charge(one, at):
            return refused
        self.told.append(Told("SubscriptionRenewed", id_, len(one.paid), None, None))
        return None

    def cancel(self, id_: str, at: datetime, *, now: bool) -> str | None:
        one = self.subscriptions[id_]
        if not one.live or (one.cancel_at is not None and not now):
            return "subscription_not_active"
        if not now and one.paid_until is not None and one.paid_until > at:
            one.cancel_at, one.next_payment_at = one.paid_until, None
            one.look_at = one.start_at if one.status == "scheduled" else one.cancel_at
        else:
            self._cancel(one, None)
        return None

    def change_plan(self, id_: str, plan: Plan) -> str | None:
        one = self.subscriptions[id_]
        if not one.live or one.cancel_at is not None:
            return "subscription_not_active"
        one.plan = plan
        return None

    def change_method(self, id_: str, *, manual: bool) -> str | None:
        """What is owed is looked at at once, by the new method."""
        one = self.subscriptions[id_]
        if not one.live or one.cancel_at is not None:
            return "subscription_not_active"
        if manual != one.manual and one.status in ("past_due", "suspended"):
            one.look_at = one.next_payment_at
        one.manual = manual
        return None

    # What the clock does

    def next_look(self) -> datetime | None:
        return min((one.look_at for one in self.subscriptions.values() if one.look_at), default=None)

    def bill(self, at: datetime) -> None:
        """Turn after turn, the oldest first, until nothing is due: each is looked at once a turn.

        Before one is given up it is tried once more, if there are coins for it by then.
        """
        tried_last: set[str] = set()
        while due := sorted(self._due(at)):
            last_tries = {id_ for _, id_ in due if self._deserves_a_last_try(id_, at)} - tried_last
            tried_last |= last_tries
            charged = [
                id_ for _, id_ in due if id_ in last_tries or not self._turned(self.subscriptions[id_], at)
            ]
            for id_ in charged:
                self._try(self.subscriptions[id_], at)

    def _deserves_a_last_try(self, id_: str, at: datetime) -> bool:
        one = self.subscriptions[id_]
        if one.owed_since is None or at < one.owed_since + CANCELED_AFTER:
            return False
        if one.manual or one.cancel_at is not None or one.refused_for not in COINS_WERE_SHORT:
            return False
        active = [device for device in one.goods if self.active_devices.get(device) == one.account.id]
        price = one.plan.price * (len(active) if one.plan.kind == "renewal" else 1)
        return not self._may_not_buy(one.account) and self.holders[one.account.payer].credit >= price

    def _due(self, at: datetime) -> list[tuple[datetime, str]]:
        return [
            (one.look_at, id_)
            for id_, one in self.subscriptions.items()
            if one.look_at is not None and one.look_at <= at
        ]

    def _turned(self, one: Subscription, at: datetime) -> bool:
        """Whether it ends, begins or is owed by hand: whatever needs no charge."""
        if one.cancel_at is not None and one.cancel_at <= at:
            self._cancel(one, None)
        elif one.status == "scheduled" and one.paid:
            one.status, one.look_at = "active", one.cancel_at or one.next_payment_at
        elif one.owed_since is not None and at >= one.owed_since + CANCELED_AFTER:
            self._cancel(one, one.refused_for)
        elif one.manual:
            self._owe(one, "not_paid", at)
        else:
            return False
        return True

    def _try(self, one: Subscription, at: datetime) -> None:
        number = one.coming
        attempt = sum(before.cycle_no == number for before in one.tried) + 1
        reason = self.pay(one.id, at)
        one.tried.append(Tried(number, attempt, at, reason))
        if reason is not None:
            self._owe(one, reason, at)

    def _owe(self, one: Subscription, reason: str, at: datetime) -> None:
        """Past due with the first refusal, suspended when it stays unpaid for seven days."""
        first = one.owed_since is None
        one.owed_since = one.owed_since or at
        one.refused_for = reason
        was = one.status
        if (was == "suspended" and not first) or at >= one.owed_since + SUSPENDED_AFTER:
            one.status, one.look_at = "suspended", one.owed_since + CANCELED_AFTER
        else:
            days = (SUSPENDED_AFTER,) if one.manual else RETRIED_AFTER
            one.status = "past_due"
            one.look_at = min(one.owed_since + after for after in days if one.owed_since + after > at)
        if one.status == "past_due":
            next_try = None if one.manual else one.look_at
            self.told.append(Told("SubscriptionPastDue", one.id, one.coming, reason, next_try))
        elif was != "suspended":
            self.told.append(Told("SubscriptionSuspended", one.id, one.coming, reason, None))

    def _cancel(self, one: Subscription, reason: str | None) -> None:
        one.status, one.cancel_at, one.next_payment_at, one.look_at = "canceled", None, None, None
        self.told.append(Told("SubscriptionCanceled", one.id, len(one.paid), reason, None))

    # Coins

    def _may_not_buy(self, holder: Holder) -> bool:
        return holder.suspended or self.holders[holder.payer].suspended

    def _take(self, holder: Holder, amount: int) -> str | None:
        payer = self.holders[holder.payer]
        if payer.credit < amount:
            return "insufficient_credit" if payer is holder else "master_insufficient_credit"
        payer.credit -= amount
        return None

    def _charge(self, one: Subscription, at: datetime) -> str | None:
        """The next cycle: from the anchor, or with another cycle from the end of what is paid."""
        amount = one.plan.price * (len(one.goods) if one.plan.kind == "renewal" else 1)
        anchor, anchor_no, number = one.anchor, one.anchor_no, one.coming
        if one.plan.cycle != one.cycle:
            anchor, anchor_no = one.paid_until or one.start_at, number
        refused = self._take(one.account, amount)
        if refused:
            return refused
        one.anchor, one.anchor_no, one.cycle = anchor, anchor_no, one.plan.cycle
        begins, ends = (
            nth(anchor, one.cycle, n, one.account.zone) for n in (number - anchor_no, number - anchor_no + 1)
        )
        one.paid.append(Paid(number, begins, ends, amount, one.plan.id, at))
        one.next_payment_at = ends
        one.owed_since = one.refused_for = None
        if one.start_at > at:
            one.look_at = one.start_at
            return None
        one.look_at = ends
        if ends > at or one.status not in ("past_due", "suspended"):
            one.status = "active"
        else:
            one.status = "past_due"
        return None
