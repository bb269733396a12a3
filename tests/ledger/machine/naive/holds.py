"""Holds, and resources that are paid for after use."""

from __future__ import annotations

from datetime import datetime
from fractions import Fraction
from math import ceil
from typing import Any

from tests.ledger.machine.naive.books import MOST, Books, Hold, Resource


class Holds(Books):
    def _PlaceHold(self, data: dict[str, Any], now: datetime, faults: set[str]) -> Any:  # noqa: N802
        id_, amount = data["account"], data["amount"]
        expires_at = datetime.fromisoformat(data["expires_at"]) if data.get("expires_at") else None
        if expires_at and expires_at <= now:
            faults.add("invalid_time")
        if data["hold"] in self.holds:
            faults.add("hold_exists")
        if self._buyer(id_, faults):
            self._short(id_, amount, faults)

        def change() -> None:
            self.holds[data["hold"]] = Hold(*self.payers(id_), amount, amount, expires_at)

        return change

    def _open(self, id_: str, now: datetime, faults: set[str]) -> Hold | None:
        """The hold; it must be open."""
        hold = self.holds.get(id_)
        if hold is None:
            faults.add("hold_not_found")
            return None
        self._find([hold.account], faults)
        if hold.state == "captured":
            faults.add("hold_already_captured")
        elif hold.state == "released":
            faults.add("hold_already_released")
        elif hold.expires_at and hold.expires_at <= now:
            faults.add("hold_expired")
        return hold

    def _CaptureHold(self, data: dict[str, Any], now: datetime, faults: set[str]) -> Any:  # noqa: N802
        hold = self._open(data["hold"], now, faults)
        if hold is None:
            return None
        amount = data.get("amount", hold.remaining)
        if amount > hold.remaining:
            faults.add("exceeds_hold")

        def change() -> None:
            hold.remaining -= amount
            if data.get("final", True) or hold.remaining == 0:
                hold.state, hold.remaining = "captured", 0
            self._charge("capture", hold, amount, now)

        return change

    def _ReleaseHold(self, data: dict[str, Any], now: datetime, faults: set[str]) -> Any:  # noqa: N802
        hold = self._open(data["hold"], now, faults)

        def change() -> None:
            assert hold is not None
            hold.state, hold.remaining = "released", 0

        return change

    def _ActivatePostpaid(self, data: dict[str, Any], now: datetime, faults: set[str]) -> Any:  # noqa: N802
        id_ = data["account"]
        plan = self._plan(data.get("plan"), "postpaid", faults)
        coefficient = data.get("coefficient", plan.get("coefficient", "1"))
        amount = ceil(data["estimate"] * Fraction(coefficient))
        if amount > MOST:
            faults.add("amount_too_large")
        if data["resource"] in self.resources:
            faults.add("resource_exists")
        if self._buyer(id_, faults):
            self._short(id_, amount, faults)

        def change() -> None:
            self.resources[data["resource"]] = Resource(*self.payers(id_), amount, amount)

        return change

    def _ReportUsage(self, data: dict[str, Any], now: datetime, faults: set[str]) -> Any:  # noqa: N802
        resource = self.resources.get(data["resource"])
        if resource is None:
            faults.add("resource_not_found")
            return None
        charged = resource.sponsor or resource.payer
        self._find([resource.account, charged], faults)
        self._own([charged], faults)

        def change() -> None:
            resource.remaining = max(0, resource.remaining - data["amount"])
            resource.used += data["amount"]
            self._charge("usage", resource, data["amount"], now)

        return change

    def _TerminatePostpaid(self, data: dict[str, Any], now: datetime, faults: set[str]) -> Any:  # noqa: N802
        resource = self.resources.get(data["resource"])
        if resource is None:
            faults.add("resource_not_found")
            return None
        self._find([resource.account], faults)
        if resource.state == "terminated":
            faults.add("resource_terminated")

        def change() -> None:
            resource.state, resource.remaining = "terminated", 0

        return change
