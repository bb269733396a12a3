"""Plans and devices."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tests.ledger.machine.naive.books import Books, Device, cycles_on


class Devices(Books):
    def _PutPlan(self, data: dict[str, Any], now: datetime, faults: set[str]) -> Any:  # noqa: N802
        return lambda: self.plans.update({data["plan"]: data})

    def _active(self, device: str, id_: str) -> bool:
        return device in self.devices and self.devices[device].account == id_

    def _DebitForDeviceOnboarding(self, data: dict[str, Any], now: datetime, faults: set[str]) -> Any:  # noqa: N802
        id_, devices = data["account"], data["devices"]
        plan = self._plan(data.get("plan"), "onboarding", faults)
        total = self._total(data.get("price", plan.get("price")), len(devices), faults)
        if any(device in self.devices and self.devices[device].account for device in devices):
            faults.add("device_already_onboarded")
        if self._buyer(id_, faults):
            self._short(id_, total, faults)

        def change() -> None:
            cycle, zone = plan.get("cycle"), self.holders[id_].timezone
            until = cycles_on(now, cycle, 1, zone) if cycle else None
            self.devices.update({device: Device(id_, until) for device in devices})
            self._charge("onboarding", self.payers(id_), total or 0, now)

        return change

    def _renew_devices(self, data: dict[str, Any], now: datetime, faults: set[str]) -> Any:
        id_, devices = data["account"], data["devices"]
        plan = self._plan(data.get("plan"), "renewal", faults)
        total = self._total(data.get("price", plan.get("price")), len(devices), faults)
        cycle = data.get("cycle", plan.get("cycle"))
        if cycle is None:
            faults.add("cycle_required")
        if not all(self._active(device, id_) for device in devices):
            faults.add("device_not_found")
        if self._buyer(id_, faults):
            self._short(id_, total, faults)

        def change() -> None:
            for device in devices:
                until = self.devices[device].paid_until or now
                later = cycles_on(max(now, until), cycle, 1, self.holders[id_].timezone)
                self.devices[device].paid_until = later
            self._charge("renewal", self.payers(id_), total or 0, now)

        return change

    def _ReleaseDevice(self, data: dict[str, Any], now: datetime, faults: set[str]) -> Any:  # noqa: N802
        self._find([data["account"]], faults)
        if not self._active(data["device"], data["account"]):
            faults.add("device_not_found")
        return lambda: setattr(self.devices[data["device"]], "account", None)
