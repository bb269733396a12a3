"""Orders, and cloud phones that run by the minute."""

from __future__ import annotations

from datetime import datetime, timedelta
from fractions import Fraction
from math import ceil
from typing import Any

from tests.ledger.machine.naive.books import Books, Order, Posting, Session


class Orders(Books):
    def _pays(self, id_: str, method: str, faults: set[str]) -> bool:
        """Whether the account is there; it must be able to buy and to pay by that method."""
        if not self._buyer(id_, faults):
            return False
        if method != "balance":
            self._own([id_], faults)
            self._method(id_, method, faults)
        return True

    def _settle(self, order: Order, now: datetime) -> None:
        amount = order.amount or 0
        if order.method != "balance":
            self.holders[order.account].credit += amount
            self._post(Posting("recharge", order.account, amount, now, (order.account,)))
        order.transaction = self._charge("order", self.payers(order.account), amount, now)
        order.status = "completed"

    def _PlaceOrder(self, data: dict[str, Any], now: datetime, faults: set[str]) -> Any:  # noqa: N802
        id_, method, at_once = data["account"], data.get("method", "balance"), data.get("pay", "now") == "now"
        plan = self._plan(data.get("plan"), data["kind"], faults)
        total = self._total(data.get("price", plan.get("price")), data.get("quantity", 1), faults)
        if data["order"] in self.orders:
            faults.add("order_exists")
        if self._pays(id_, method, faults) and at_once and method == "balance":
            self._short(id_, total, faults)

        def change() -> None:
            order = Order(id_, data["kind"], total, "pending_payment", method)
            self.orders[data["order"]] = order
            if at_once:
                self._settle(order, now)

        return change

    def _PayOrder(self, data: dict[str, Any], now: datetime, faults: set[str]) -> Any:  # noqa: N802
        order = self.orders.get(data["order"])
        if order is None:
            faults.add("order_not_found")
            return None
        method = data.get("method", order.method)
        self._pays(order.account, method, faults)
        if order.status != "pending_payment":
            faults.add("order_not_payable")
        elif method == "balance":
            self._short(order.account, order.amount, faults)

        def change() -> None:
            order.method = method
            self._settle(order, now)

        return change

    def _CancelOrder(self, data: dict[str, Any], now: datetime, faults: set[str]) -> Any:  # noqa: N802
        order = self.orders.get(data["order"])
        if order is None:
            faults.add("order_not_found")
            return None
        self._find([order.account], faults)
        if order.status != "pending_payment":
            faults.add("order_not_cancelable")
        return lambda: setattr(order, "status", "canceled")

    # Phones

    def phones(self) -> dict[str, str | None]:
        """In which session each phone runs, None for one that is off."""
        return {one.phone: None if one.power_down_at else session for session, one in self.sessions.items()}

    def _PowerOn(self, data: dict[str, Any], now: datetime, faults: set[str]) -> Any:  # noqa: N802
        id_, session = data["account"], data["session"]
        rate = data.get("rate", self._plan(data.get("plan"), "phone", faults).get("rate"))
        if rate is None:
            faults.add("price_required")
        if session in self.orders or self.phones().get(data["phone"]):
            faults.add("session_exists")
        if self._buyer(id_, faults):
            self._short(id_, 1, faults)

        def change() -> None:
            begun = datetime.fromisoformat(data["at"])
            self.orders[session] = Order(id_, "phone", None, "running", "balance")
            self.sessions[session] = Session(*self.payers(id_), data["phone"], rate or "", begun)

        return change

    def _PowerOff(self, data: dict[str, Any], now: datetime, faults: set[str]) -> Any:  # noqa: N802
        session = self.sessions.get(data["session"])
        if session is None:
            faults.add("session_not_found")
            return None
        self._find([session.account], faults)
        at = datetime.fromisoformat(data["at"])
        if session.power_down_at:
            faults.add("session_closed")
        if at < session.power_up_at:
            faults.add("invalid_time")

        def change() -> None:
            order = self.orders[data["session"]]
            minutes = max(1, ceil((at - session.power_up_at) / timedelta(minutes=1)))
            session.power_down_at, session.minutes = at, minutes
            order.status, order.amount = "completed", ceil(minutes * Fraction(session.rate))
            if order.amount:
                order.transaction = self._charge("running_fee", session, order.amount, now)

        return change
