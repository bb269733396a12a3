"""Device management: devices are onboarded, renewed and released all day, one by one and by the box."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random
from typing import Any

from deploy.demo.cast import BRANCHES, BUYERS, SHORT_OF_COINS, SUSPENDED
from deploy.demo.story import DEVICES, Key, event

COMMANDS = 3_950
OPENS_AT = datetime(2026, 3, 2, 8, tzinfo=UTC)
SPREAD = 60  # how many messages may lie between a delivery and its repetition
PARTS = {"huaxin": "cn", "rheintal": "de", "solsur": "es"}
PREFIXES = {"huaxin": "HX", "rheintal": "RT", "solsur": "SS"}
LARGEST_BOX, LARGEST_SHORT_BOX = 200, 40

Event = dict[str, Any]


class DevicesSide:
    """Makes the devices' messages; each is an event or an array. `refundable` is a charge for the evening."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._time = OPENS_AT
        self._numbers = count(1)
        self._serials = count(100_001)
        self._active: dict[str, list[str]] = defaultdict(list)
        self._tops = {branch.account: branch.top for branch in BRANCHES}
        self.refundable: Key = (DEVICES, "")

    def test_call(self) -> Event:
        """A first message in the morning, to see whether anybody answers: that account does not exist."""
        data = {"account": "huaxin-test", "devices": ["HX-TEST-1"], "plan": "tracker-month"}
        return self._event("huaxin-pudong", "DebitForDeviceOnboarding", data)

    def day(self) -> list[Event | list[Event]]:
        """Everything of a day, in order."""
        events = [self._first()]
        while len(events) < COMMANDS:
            events += self._some()
        self._repeat(events)
        self._break(events)
        return self._in_arrays(events)

    def _first(self) -> Event:
        onboarding = self._onboard("huaxin-pudong", 12, "tracker-year")
        self.refundable = (onboarding["source"], onboarding["id"])
        return onboarding

    def _some(self) -> list[Event]:
        """What happens next: mostly one command."""
        draw = self._random.random()
        buyer = self._random.choice(BUYERS)
        if draw < 0.50:
            return [self._onboard(buyer, 1, self._one_of("tracker-month", "tracker-year", 0.8))]
        if draw < 0.508:
            size = self._random.choice((25, 50, 80, 120, LARGEST_BOX))
            return [self._onboard(buyer, size, "tracker-month")]
        if draw < 0.87:
            return [self._renew(buyer, 1)]
        if draw < 0.88:
            return [self._renew(buyer, self._random.randrange(5, 60))]
        if draw < 0.91:
            return self._released(buyer)
        if draw < 0.96:
            short = self._random.choice(SHORT_OF_COINS)
            return [self._onboard(short, self._random.randrange(1, LARGEST_SHORT_BOX), "tracker-month")]
        return [self._mistake(buyer, self._random.randrange(9))]

    def _onboard(self, account: str, number: int, plan: str) -> Event:
        top = self._tops[account]
        devices = [f"{PREFIXES[top]}{next(self._serials)}" for _ in range(number)]
        if account not in SHORT_OF_COINS:  # there nobody knows whether it went through
            self._active[account] += devices
        return self._event(
            account, "DebitForDeviceOnboarding", {"account": account, "devices": devices, "plan": plan}
        )

    def _renew(self, account: str, number: int) -> Event:
        known = self._active[account]
        if len(known) < number:
            return self._onboard(account, number, "tracker-month")
        data: Event = {"account": account, "devices": self._random.sample(known, number)}
        if self._random.random() < 0.1:
            data |= {"price": 9, "cycle": {"unit": "week", "count": 2}}
        else:
            data["plan"] = self._one_of("renew-month", "renew-year", 0.85)
        return self._event(account, "Renewal", data)

    def _released(self, account: str) -> list[Event]:
        """A device leaves; sometimes it comes back elsewhere."""
        if not self._active[account]:
            return []
        device = self._active[account].pop(self._random.randrange(len(self._active[account])))
        released = self._event(account, "ReleaseDevice", {"account": account, "device": device})
        if self._random.random() < 0.5:
            return [released]
        other = self._random.choice(BUYERS)
        data = {"account": other, "devices": [device], "plan": "tracker-month", "note": f"from {account}"}
        self._active[other].append(device)
        return [released, self._event(other, "DebitForDeviceOnboarding", data)]

    def _mistake(self, account: str, which: int) -> Event:
        device = f"{PREFIXES[self._tops[account]]}9{next(self._serials)}"
        taken = self._active["huaxin-pudong"][0]
        onboarding: dict[int, Event] = {
            0: {"account": account, "devices": [device, taken], "plan": "tracker-year"},
            1: {"account": SUSPENDED, "devices": [device], "plan": "tracker-month"},
            2: {"account": account, "devices": [device], "plan": "tracker-decade"},
            3: {"account": account, "devices": [device], "plan": "renew-month"},
            4: {"account": account, "devices": [device], "plan": "by-agreement"},
            5: {"account": f"{account}-2", "devices": [device], "plan": "tracker-month"},
        }
        if which in onboarding:
            return self._event(account, "DebitForDeviceOnboarding", onboarding[which])
        if which == 6:
            return self._event(
                account, "Renewal", {"account": account, "devices": [device], "plan": "renew-year"}
            )
        if which == 7:
            return self._event(account, "ReleaseDevice", {"account": account, "device": device})
        late = {"account": account, "devices": [device], "plan": "tracker-month"}
        return self._event(account, "DebitForDeviceOnboarding", late, expirytime="2026-03-01T00:00:00Z")

    def _repeat(self, events: list[Event]) -> None:
        """About 2 % are delivered again; a few come again with other content."""
        for at in sorted(self._random.sample(range(1, len(events)), len(events) // 50), reverse=True):
            original = events[at]
            again = {**original, "data": dict(reversed(original["data"].items()))}
            events.insert(min(len(events), at + self._random.randrange(1, SPREAD)), again)
        for at in sorted(self._random.sample(range(1, len(events)), 9), reverse=True):
            original = events[at]
            if "devices" in original["data"]:
                changed = {**original, "data": {**original["data"], "price": 1}}
                events.insert(min(len(events), at + self._random.randrange(1, SPREAD)), changed)

    def _break(self, events: list[Event]) -> None:
        """Messages with a key, and a fault."""
        devices = ["HX300001"]
        broken: list[tuple[str, Event]] = [
            ("DebitForDeviceOnboarding", {"account": "huaxin-pudong", "devices": devices, "price": "110"}),
            ("DebitForDeviceOnboarding", {"account": "huaxin-pudong", "devices": devices, "prise": 110}),
            ("DebitForDeviceOnboarding", {"account": "huaxin-pudong", "devices": []}),
            ("DebitForDeviceOnboarding", {"account": "huaxin-pudong", "devices": devices * 2, "price": 5}),
            ("DebitForDeviceOnboarding", {"devices": devices, "plan": "tracker-month"}),
            ("Renewal", {"account": "huaxin-pudong", "plan": "renew-month"}),
            ("Renewal", {"account": "Köln", "devices": devices, "plan": "renew-month"}),
            ("ActivateSim", {"account": "rheintal-koeln", "sim": "89490200001"}),
            ("RebootDevice", {"device": "RT100200"}),
        ]
        for type_, data in broken:
            events.insert(self._random.randrange(1, len(events)), self._event("huaxin-pudong", type_, data))

    def _in_arrays(self, events: list[Event]) -> list[Event | list[Event]]:
        """A dozen stretches of the day come as arrays, up to 60 commands in a message."""
        starts = sorted(self._random.sample(range(0, len(events) - SPREAD, 2 * SPREAD), 12))
        messages: list[Event | list[Event]] = []
        done = 0
        for start in starts:
            messages += events[done:start]
            done = start + self._random.randrange(5, SPREAD)
            messages.append(events[start:done])
        return messages + events[done:]

    def _one_of(self, usual: str, other: str, chance: float) -> str:
        return usual if self._random.random() < chance else other

    def _event(self, account: str, type_: str, data: Event, expirytime: str | None = None) -> Event:
        self._time += timedelta(seconds=self._random.randrange(2, 16))
        top = self._tops[account]
        return event(
            f"{DEVICES}/{PARTS[top]}",
            f"dm-{next(self._numbers):05d}",
            type_,
            data,
            time=self._time.isoformat().replace("+00:00", "Z"),
            expirytime=expirytime,
            partitionkey=top,
        )
