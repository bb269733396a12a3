"""A ledger as one would write it down on an afternoon: dicts, loops, the rules as the contract words them, one by one.

It knows nothing of how the product decides. For every command it collects *all* faults, and names the first in the order
of precedence.
"""

from __future__ import annotations

import calendar
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

PRECEDENCE = [
    "account_exists",
    "account_not_found",
    "account_closed",
    "account_suspended",
    "parent_not_allowed",
    "same_account",
    "not_in_hierarchy",
    "shared_balance_account",
    "sponsored_account",
    "balance_not_zero",
    "account_in_use",
    "duplicate_reference",
    "plan_not_found",
    "plan_kind_mismatch",
    "price_required",
    "cycle_required",
    "amount_too_large",
    "device_already_onboarded",
    "device_not_found",
    "order_not_found",
    "subscription_not_found",
    "transaction_not_found",
    "not_refundable",
    "refund_exceeds_charge",
    "insufficient_credit",
    "sponsor_insufficient_credit",
    "master_insufficient_credit",
]
STANDS_UNDER = {
    "distributor": ["platform"],
    "reseller": ["platform", "distributor"],
    "enterprise": ["platform"],
    "agent": ["enterprise", "agent", "branch", "reseller", "distributor"],
    "branch": ["enterprise", "agent", "branch", "reseller", "distributor"],
    "customer": ["reseller", "distributor", "agent"],
}
MOST = 10**15


@dataclass
class Holder:
    """An account."""

    parent: str
    kind: str
    funding: str
    limit: int = 0
    credit: int = 0
    state: str = "active"

    @property
    def available(self) -> int:
        return self.credit + self.limit


@dataclass
class Posting:
    """A transaction: whom it was for, whose coins it moved (the payer's first), and what of it was given back."""

    type: str
    account: str
    moved: tuple[str, ...]
    amount: int
    reference: tuple[str, str, str] | None = None
    returned: int = 0


@dataclass
class NaiveLedger:
    holders: dict[str, Holder] = field(default_factory=dict)
    plans: dict[str, dict[str, Any]] = field(default_factory=dict)
    devices: dict[str, tuple[str | None, datetime | None]] = field(default_factory=dict)
    references: set[tuple[str, str, str]] = field(default_factory=set)
    postings: list[Posting] = field(default_factory=list)

    def decide(self, name: str, data: dict[str, Any], now: datetime) -> str | None:
        """Apply the command, or say why it is refused. `transaction` is an index of postings, None for none."""
        faults: set[str] = set()
        change = getattr(self, f"_{name}")(data, now, faults)
        if faults:
            return min(faults, key=PRECEDENCE.index)
        before = {id_: holder.available for id_, holder in self.holders.items()}
        change()
        if name not in ("ReverseTopUp", "SetCreditLimit", "UpdateAccount"):
            for id_, holder in self.holders.items():
                assert holder.available >= min(0, before.get(id_, 0)), f"{id_} has fallen below its limit"
        return None

    # The tree

    def _up(self, id_: str) -> list[str]:
        """The account and its ancestors, without the platform."""
        found = [id_]
        while (parent := self.holders[found[-1]].parent) != "platform":
            found.append(parent)
        return found

    def _over(self, upper: str, lower: str) -> bool:
        return upper != lower and upper in self._up(lower)

    def master(self, id_: str) -> str:
        """Who is drawn on: the account itself, or of a shared one the nearest ancestor that is not shared."""
        return next(one for one in self._up(id_) if self.holders[one].funding != "shared")

    def sponsor(self, id_: str) -> str:
        parent = self.holders[id_].parent
        above = self.holders[parent].parent
        return parent if above == "platform" else above

    def _can_be(self, funding: str, parent: str) -> bool:
        if funding == "shared":
            if parent == "platform":
                return False
            not_shared = [one for one in self._up(parent) if self.holders[one].funding != "shared"]
            return bool(not_shared) and self.holders[not_shared[0]].funding == "own"
        if funding == "sponsored":
            if parent == "platform":
                return False
            return (
                self.holders[parent].kind in ("reseller", "distributor")
                and self.holders[parent].funding == "own"
            )
        return True

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

    # Accounts

    def _OpenAccount(self, data: dict[str, Any], now: datetime, faults: set[str]) -> Any:  # noqa: N802
        funding, limit, parent = data.get("funding", "own"), data.get("credit_limit", 0), data["parent"]
        if data["account"] in self.holders or data["account"] == "platform":
            faults.add("account_exists")
        if parent != "platform":
            self._find([parent], faults)
        if parent == "platform" or parent in self.holders:
            kind = "platform" if parent == "platform" else self.holders[parent].kind
            if kind not in STANDS_UNDER[data["kind"]] or not self._can_be(funding, parent):
                faults.add("parent_not_allowed")
        if limit and funding == "shared":
            faults.add("shared_balance_account")
        if limit and funding == "sponsored":
            faults.add("sponsored_account")
        return lambda: self.holders.update({data["account"]: Holder(parent, data["kind"], funding, limit)})

    def _UpdateAccount(self, data: dict[str, Any], now: datetime, faults: set[str]) -> Any:  # noqa: N802
        id_ = data["account"]
        if not self._find([id_], faults):
            return None
        holder, funding = self.holders[id_], data.get("funding")
        if funding is None or funding == holder.funding:
            return lambda: None
        changed = deepcopy(self)
        changed.holders[id_].funding = funding
        for one, other in changed.holders.items():
            stands = one == id_ or self._over(id_, one)
            if stands and other.state != "closed" and not changed._can_be(other.funding, other.parent):
                faults.add("parent_not_allowed")
        if holder.credit:
            faults.add("balance_not_zero")

        def change() -> None:
            holder.funding, holder.limit = funding, 0

        return change

    def _SetCreditLimit(self, data: dict[str, Any], now: datetime, faults: set[str]) -> Any:  # noqa: N802
        if self._find([data["account"]], faults):
            self._own([data["account"]], faults)
        return lambda: setattr(self.holders[data["account"]], "limit", data["credit_limit"])

    def _SuspendAccount(self, data: dict[str, Any], now: datetime, faults: set[str]) -> Any:  # noqa: N802
        self._find([data["account"]], faults)
        return lambda: setattr(self.holders[data["account"]], "state", "suspended")

    def _ResumeAccount(self, data: dict[str, Any], now: datetime, faults: set[str]) -> Any:  # noqa: N802
        self._find([data["account"]], faults)
        return lambda: setattr(self.holders[data["account"]], "state", "active")

    def _CloseAccount(self, data: dict[str, Any], now: datetime, faults: set[str]) -> Any:  # noqa: N802
        id_ = data["account"]
        if not self._find([id_], faults):
            return None
        if self.holders[id_].credit:
            faults.add("balance_not_zero")
        if any(one.parent == id_ and one.state != "closed" for one in self.holders.values()):
            faults.add("account_in_use")

        def change() -> None:
            self.holders[id_].state = "closed"
            for device, (owner, until) in self.devices.items():
                if owner == id_:
                    self.devices[device] = (None, until)

        return change

    # Coins

    def _TopUp(self, data: dict[str, Any], now: datetime, faults: set[str]) -> Any:  # noqa: N802
        id_, reference = data["account"], None
        if not self._find([id_], faults):
            return None
        self._own([id_], faults)
        if data.get("reference"):
            reference = (self._up(id_)[-1], data.get("method", "offline"), data["reference"])
            if reference in self.references:
                faults.add("duplicate_reference")

        def change() -> None:
            self.holders[id_].credit += data["amount"]
            if reference:
                self.references.add(reference)
            self.postings.append(Posting("recharge", id_, (id_,), data["amount"], reference))

        return change

    def _ReverseTopUp(self, data: dict[str, Any], now: datetime, faults: set[str]) -> Any:  # noqa: N802
        if data["transaction"] is None:
            faults.add("transaction_not_found")
            return None
        past = self.postings[data["transaction"]]
        self._find([past.account], faults)
        self._own([past.account], faults)
        if past.type != "recharge" or past.returned:
            faults.add("not_refundable")

        def change() -> None:
            self.holders[past.account].credit -= past.amount
            past.returned = past.amount
            if past.reference:
                self.references.discard(past.reference)
            self.postings.append(Posting("recharge_reversal", past.account, (past.account,), past.amount))

        return change

    def _Transfer(self, data: dict[str, Any], now: datetime, faults: set[str]) -> Any:  # noqa: N802
        source, target, amount = data["from_account"], data["to_account"], data["amount"]
        orderer = data.get("ordered_by", source)
        if not self._find([source, target, orderer], faults):
            return None
        if self.holders[orderer].state == "suspended":
            faults.add("account_suspended")
        if source == target:
            faults.add("same_account")
        if not all(orderer == one or self._over(orderer, one) for one in (source, target)):
            faults.add("not_in_hierarchy")
        self._own([source, target], faults)
        if self.holders[source].available < amount:
            faults.add("insufficient_credit")

        def change() -> None:
            self.holders[source].credit -= amount
            self.holders[target].credit += amount
            self.postings.append(Posting("transfer", source, (source, target), amount))

        return change

    def _Adjust(self, data: dict[str, Any], now: datetime, faults: set[str]) -> Any:  # noqa: N802
        id_, amount = data["account"], data["amount"]
        if not self._find([id_], faults):
            return None
        self._own([id_], faults)
        if amount < 0 and self.holders[id_].available < -amount:
            faults.add("insufficient_credit")

        def change() -> None:
            self.holders[id_].credit += amount
            self.postings.append(Posting("adjustment", id_, (id_,), amount))

        return change

    # Plans, devices

    def _PutPlan(self, data: dict[str, Any], now: datetime, faults: set[str]) -> Any:  # noqa: N802
        return lambda: self.plans.update({data["plan"]: data})

    def _price(self, data: dict[str, Any], kind: str, faults: set[str]) -> int | None:
        plan = self.plans.get(data["plan"]) if data.get("plan") else None
        if data.get("plan") and plan is None:
            faults.add("plan_not_found")
        if plan and plan["kind"] != kind:
            faults.add("plan_kind_mismatch")
        price: int | None = data.get("price") or (plan or {}).get("price")
        if price is None:
            faults.add("price_required")
            return None
        if price * len(data["devices"]) > MOST:
            faults.add("amount_too_large")
        return price * len(data["devices"])

    def _buyer(self, id_: str, faults: set[str]) -> bool:
        if not self._find([id_], faults):
            return False
        holder = self.holders[id_]
        paying = [id_, self.master(id_)]
        if holder.funding == "sponsored":
            paying.append(self.sponsor(id_))
        self._find(paying, faults)
        if any(self.holders[one].state == "suspended" for one in paying):
            faults.add("account_suspended")
        return True

    def _short(self, id_: str, total: int | None, faults: set[str]) -> None:
        if total is None:
            return
        payer = self.master(id_)
        if self.holders[payer].available < total:
            faults.add("master_insufficient_credit" if payer != id_ else "insufficient_credit")
        if self.holders[id_].funding == "sponsored" and self.holders[self.sponsor(id_)].available < total:
            faults.add("sponsor_insufficient_credit")

    def _charge(self, type_: str, id_: str, total: int) -> None:
        payer = self.master(id_)
        assert self.holders[id_].funding != "sponsored", "no allotment can have been granted"
        self.holders[payer].credit -= total
        self.postings.append(Posting(type_, id_, (payer,), total))

    def _DebitForDeviceOnboarding(self, data: dict[str, Any], now: datetime, faults: set[str]) -> Any:  # noqa: N802
        id_ = data["account"]
        total = self._price(data, "onboarding", faults)
        if any(self.devices.get(device, (None, None))[0] is not None for device in data["devices"]):
            faults.add("device_already_onboarded")
        if self._buyer(id_, faults):
            self._short(id_, total, faults)

        def change() -> None:
            assert total is not None
            cycle = self.plans[data["plan"]].get("cycle") if data.get("plan") else None
            until = one_on(now, cycle) if cycle else None
            self.devices.update(dict.fromkeys(data["devices"], (id_, until)))
            self._charge("onboarding", id_, total)

        return change

    def _Renewal(self, data: dict[str, Any], now: datetime, faults: set[str]) -> Any:  # noqa: N802
        id_ = data["account"]
        there = self._buyer(id_, faults)
        if data.get("subscription"):
            faults.add("subscription_not_found")
            return None
        total = self._price(data, "renewal", faults)
        plan = self.plans.get(data["plan"]) if data.get("plan") else None
        cycle = data.get("cycle") or (plan or {}).get("cycle")
        if cycle is None:
            faults.add("cycle_required")
        if any(self.devices.get(device, (None, None))[0] != id_ for device in data["devices"]):
            faults.add("device_not_found")
        if there:
            self._short(id_, total, faults)

        def change() -> None:
            assert cycle is not None
            assert total is not None
            for device in data["devices"]:
                until = self.devices[device][1]
                self.devices[device] = (id_, one_on(max(now, until or now), cycle))
            self._charge("renewal", id_, total)

        return change

    def _ReleaseDevice(self, data: dict[str, Any], now: datetime, faults: set[str]) -> Any:  # noqa: N802
        id_, device = data["account"], data["device"]
        self._find([id_], faults)
        if self.devices.get(device, (None, None))[0] != id_:
            faults.add("device_not_found")
        return lambda: self.devices.update({device: (None, self.devices[device][1])})

    def _Refund(self, data: dict[str, Any], now: datetime, faults: set[str]) -> Any:  # noqa: N802
        if data.get("order"):
            faults.add("order_not_found")
            return None
        if data["transaction"] is None:
            faults.add("transaction_not_found")
            return None
        past = self.postings[data["transaction"]]
        left = past.amount - past.returned
        amount = data.get("amount", left)
        self._find([past.account, *past.moved], faults)
        self._own(list(past.moved), faults)
        if past.type not in ("onboarding", "renewal"):
            faults.add("not_refundable")
        elif amount > left or left == 0:
            faults.add("refund_exceeds_charge")

        def change() -> None:
            self.holders[past.moved[0]].credit += amount
            past.returned += amount
            self.postings.append(Posting("refund", past.account, past.moved, amount))

        return change


def one_on(moment: datetime, cycle: dict[str, Any]) -> datetime:
    """One cycle later, in UTC, clamped to the month's last day."""
    count = cycle["count"]
    if cycle["unit"] in ("day", "week"):
        return moment + timedelta(days=count * (7 if cycle["unit"] == "week" else 1))
    months = moment.year * 12 + moment.month - 1 + count * (12 if cycle["unit"] == "year" else 1)
    year, month = months // 12, months % 12 + 1
    return moment.replace(year=year, month=month, day=min(moment.day, calendar.monthrange(year, month)[1]))
