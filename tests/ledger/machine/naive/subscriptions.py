"""What is paid cycle by cycle."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tests.ledger.machine.naive.books import Device, Order, PaidCycle, Subscription, cycles_on
from tests.ledger.machine.naive.devices import Devices


class Subscriptions(Devices):
    def _terms(
        self, plan_id: str, kind: str, goods: int, faults: set[str]
    ) -> tuple[int | None, dict[str, Any]]:
        """What a cycle costs, and how long it is."""
        plan = self._plan(plan_id, "renewal" if kind == "device" else kind, faults)
        if not plan:
            return None, {}
        if not plan.get("cycle"):
            faults.add("cycle_required")
        return self._total(plan.get("price"), goods if kind == "device" else 1, faults), plan.get("cycle", {})

    def _goods(self, goods: list[str], id_: str, faults: set[str]) -> None:
        """Of a device subscription they must be devices active under the account."""
        if not goods or not all(self._active(one, id_) for one in goods):
            faults.add("device_not_found")

    def _pay_cycle(self, name: str, total: int, cycle: dict[str, Any], now: datetime) -> None:
        one = self.subscriptions[name]
        number = one.paid_cycles + 1
        if cycle != one.cycle:
            one.anchor, one.anchor_no, one.cycle = one.paid_until or one.start_at, number, cycle
        begins = cycles_on(one.anchor, cycle, number - one.anchor_no, one.zone)
        ends = cycles_on(one.anchor, cycle, number - one.anchor_no + 1, one.zone)
        for good in one.goods if one.kind == "device" else ():
            device = self.devices[good]
            device.paid_until = _moved(device, begins, ends, cycle, one.zone)
        ordered = one.kind in ("package", "proxy")
        type_ = "order" if ordered and number == 1 else "renewal"
        charge = self._charge(type_, self.payers(one.account), total, now)
        if ordered:
            self.orders[f"{name}/{number}"] = Order(
                one.account, one.kind, total, "completed", "balance", charge
            )
        self.cycles[name, number] = PaidCycle(begins, ends, one.plan, list(one.goods), total, charge)
        one.paid_cycles, one.paid_until, one.next_payment_at = number, ends, ends
        behind = ends <= now and one.status in ("past_due", "suspended")
        one.status = "scheduled" if one.start_at > now else "past_due" if behind else "active"

    def _Subscribe(self, data: dict[str, Any], now: datetime, faults: set[str]) -> Any:  # noqa: N802
        id_, kind, name, goods = data["account"], data["kind"], data["subscription"], data.get("goods", [])
        method = data.get("payment_method", "balance")
        start = datetime.fromisoformat(data["start_at"]) if data.get("start_at") else now
        total, cycle = self._terms(data["plan"], kind, len(goods), faults)
        if kind == "device":
            self._goods(goods, id_, faults)
        if name in self.subscriptions:
            faults.add("subscription_exists")
        charged = method == "balance" and start <= now
        if self._buyer(id_, faults) and charged:
            self._short(id_, total, faults)

        def change() -> None:
            status = "scheduled" if start > now else "active"
            self.subscriptions[name] = Subscription(
                id_,
                data["plan"],
                kind,
                list(goods),
                method,
                status,
                start,
                self.holders[id_].timezone,
                cycle,
                start,
                start,
            )
            if charged:
                self._pay_cycle(name, total or 0, cycle, now)

        return change

    def _Renewal(self, data: dict[str, Any], now: datetime, faults: set[str]) -> Any:  # noqa: N802
        if data.get("devices"):
            return self._renew_devices(data, now, faults)
        id_, name = data["account"], data["subscription"]
        there = self._buyer(id_, faults)
        one = self.subscriptions.get(name)
        if one is None or one.deleted_at or one.account != id_:
            faults.add("subscription_not_found")
            return None
        goods = [good for good in one.goods if one.kind != "device" or self._active(good, id_)]
        total, cycle = self._terms(one.plan, one.kind, len(goods), faults)
        self._charged(one, faults)
        if data.get("cycle_no", one.paid_cycles + 1) <= one.paid_cycles:
            faults.add("already_renewed")
        if data.get("cycle_no", 0) > one.paid_cycles + 1:
            faults.add("cycle_not_due")
        nothing_left = one.kind == "device" and not goods
        if there and not nothing_left:
            self._short(id_, total, faults)

        def change() -> None:
            one.goods = goods
            if nothing_left:
                _end(one, now)
            else:
                self._pay_cycle(name, total or 0, cycle, now)

        return change

    def _charged(self, one: Subscription, faults: set[str]) -> None:
        """Whether anything is to be charged for it any more."""
        if one.status == "canceled" or one.cancel_at:
            faults.add("subscription_not_active")

    def _named(self, name: str, faults: set[str]) -> Subscription | None:
        one = self.subscriptions.get(name)
        if one is None or one.deleted_at:
            faults.add("subscription_not_found")
            return None
        self._find([one.account], faults)
        return one

    def _ChangeSubscription(self, data: dict[str, Any], now: datetime, faults: set[str]) -> Any:  # noqa: N802
        one = self._named(data["subscription"], faults)
        if one is None:
            if "plan" in data and "account_closed" not in faults:
                kind = self.plans.get(data["plan"], {}).get("kind", "renewal")
                self._terms(data["plan"], "device" if kind == "renewal" else kind, 1, faults)
            return None
        plan, goods = data.get("plan", one.plan), data.get("goods", one.goods)
        if "plan" in data or "goods" in data:
            self._terms(plan, one.kind, len(goods), faults)
        if "goods" in data and one.kind == "device":
            self._goods(goods, one.account, faults)
        self._charged(one, faults)

        def change() -> None:
            one.plan, one.goods = plan, list(goods)
            one.payment_method = data.get("payment_method", one.payment_method)

        return change

    def _CancelSubscription(self, data: dict[str, Any], now: datetime, faults: set[str]) -> Any:  # noqa: N802
        one = self._named(data["subscription"], faults)
        if one is None:
            return None
        at_once = data.get("at", "period_end") == "now"
        if one.status == "canceled" or (one.cancel_at and not at_once):
            faults.add("subscription_not_active")

        def change() -> None:
            if at_once or one.paid_until is None or one.paid_until <= now:
                _end(one, now)
            else:
                one.cancel_at, one.next_payment_at = one.paid_until, None

        return change

    def _DeleteSubscription(self, data: dict[str, Any], now: datetime, faults: set[str]) -> Any:  # noqa: N802
        one = self._named(data["subscription"], faults)
        if one is None:
            return None
        if one.status != "canceled":
            faults.add("subscription_not_canceled")
        return lambda: setattr(one, "deleted_at", now)


def _moved(device: Device, begins: datetime, ends: datetime, cycle: dict[str, Any], zone: str) -> datetime:
    """Until when a device is paid once a subscription has paid a period of it."""
    until = device.paid_until
    return ends if until is None or until <= begins else cycles_on(until, cycle, 1, zone)


def _end(one: Subscription, now: datetime) -> None:
    one.status, one.canceled_at, one.cancel_at, one.next_payment_at = "canceled", now, None, None
