"""The cloud platform: phones go on and off all day, packages are ordered, resources are used, rooms are held.

It alone sells to the distributor's customers, who have enough for all of it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random
from typing import Any

from deploy.demo.scenes import granted, topped_up
from deploy.demo.story import CLOUD, OFFICE, Message, encoded, event

COMMANDS = 1_100
OPENS_AT = datetime(2026, 3, 2, 8, tzinfo=UTC)
CUSTOMERS = ("farol", "luanova", "ipanema")
PHONES = 60
SPREAD = 40  # how many messages may lie between a delivery and its repetition

Event = dict[str, Any]


def coins_for_the_day() -> list[Message]:
    """Before it begins; the reseller grants, the distributor sees to it that the coins are there."""
    steps: list[tuple[str, Event]] = [
        ("TopUp", topped_up(250_000, "PIX-1003")),
        ("AllocateCredit", granted("farol", 90_000)),
        ("AllocateCredit", granted("luanova", 90_000)),
        ("AllocateCredit", granted("luanova", -5_000)),
        ("Transfer", {"from_account": "atlantico", "to_account": "ipanema", "amount": 60_000}),
    ]
    return [
        Message(encoded(event(OFFICE, f"coins-{number}", type_, data)), OFFICE)
        for number, (type_, data) in enumerate(steps, 1)
    ]


class CloudSide:
    """Makes the cloud platform's messages."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._time = OPENS_AT
        self._numbers = count(1)
        self._names = count(1)
        self._on: dict[str, str] = {}  # phone → session
        self._since: dict[str, datetime] = {}
        self._over: list[str] = ["bakery-live"]
        self._orders: list[str] = ["shop-1"]
        self._resources: list[str] = []
        self._holds: list[str] = []

    def day(self) -> list[Event]:
        """Everything of a day, in order, about 2 % of it twice."""
        events = [self._some() for _ in range(COMMANDS)]
        for at in sorted(self._random.sample(range(len(events)), COMMANDS // 50), reverse=True):
            events.insert(min(len(events), at + self._random.randrange(1, SPREAD)), events[at])
        return events

    def _some(self) -> Event:
        draw = self._random.random()
        customer = self._random.choice(CUSTOMERS)
        if draw < 0.62:
            return self._phone(customer)
        if draw < 0.72:
            return self._order(customer)
        if draw < 0.86:
            return self._resource(customer)
        if draw < 0.95:
            return self._hold(customer)
        return self._mistake(customer, self._random.randrange(7))

    def _phone(self, customer: str) -> Event:
        phone = f"CP-{self._random.randrange(100, 100 + PHONES)}"
        if phone not in self._on:
            session = self._on[phone] = f"run-{next(self._names)}"
            self._since[session] = self._time
            return self._power_on(customer, session, phone)
        session = self._on.pop(phone)
        self._over.append(session)
        minutes_later = self._random.randrange(1, 400)
        off_at = self._since[session] + timedelta(minutes=minutes_later, seconds=self._random.randrange(60))
        return self._event("PowerOff", {"session": session, "at": _text(off_at)})

    def _power_on(self, customer: str, session: str, phone: str) -> Event:
        data: Event = {"account": customer, "session": session, "phone": phone, "at": _text(self._time)}
        data |= {"rate": "0.5"} if self._random.random() < 0.1 else {"plan": "cloud-phone"}
        return self._event("PowerOn", data)

    def _order(self, customer: str) -> Event:
        draw = self._random.random()
        if draw < 0.25:
            back = {"order": self._random.choice(self._orders), "amount": self._random.randrange(5, 40)}
            return self._event("Refund", {**back, "note": "short of what was promised"})
        order = f"order-{next(self._names)}"
        self._orders.append(order)
        data: Event = {"order": order, "account": customer, "kind": "package", "product": "Cloud Pro"}
        data |= {"plan": "cloud-pro", "quantity": self._random.randrange(1, 4)}
        if customer == "ipanema" and draw < 0.6:
            data["method"] = "pix"
        return self._event("PlaceOrder", data)

    def _resource(self, customer: str) -> Event:
        if len(self._resources) < 4 or self._random.random() < 0.2:
            resource = f"cdn-{next(self._names) + 100}"
            self._resources.append(resource)
            data = {"account": customer, "resource": resource, "plan": "cdn"}
            return self._event("ActivatePostpaid", {**data, "estimate": self._random.randrange(40, 200)})
        at = self._random.randrange(len(self._resources))
        if self._random.random() < 0.8:
            data = {"resource": self._resources[at]}
            return self._event("ReportUsage", {**data, "amount": self._random.randrange(5, 80)})
        return self._event("TerminatePostpaid", {"resource": self._resources.pop(at)})

    def _hold(self, customer: str) -> Event:
        if len(self._holds) < 3 or self._random.random() < 0.4:
            hold = f"room-{next(self._names)}"
            self._holds.append(hold)
            data = {"account": customer, "hold": hold, "amount": self._random.randrange(20, 200)}
            return self._event("PlaceHold", {**data, "purpose": "meeting room"})
        hold = self._holds.pop(self._random.randrange(len(self._holds)))
        if self._random.random() < 0.3:
            return self._event("ReleaseHold", {"hold": hold})
        return self._event("CaptureHold", {"hold": hold, "amount": self._random.randrange(10, 20)})

    def _mistake(self, customer: str, which: int) -> Event:
        mistakes: list[tuple[str, Event]] = [
            ("PowerOff", {"session": "nobody-knows", "at": _text(self._time)}),
            ("PowerOff", {"session": self._over[-1], "at": _text(self._time)}),
            ("ReportUsage", {"resource": "cdn-none", "amount": 5}),
            ("TerminatePostpaid", {"resource": "cdn-1"}),
            (
                "PlaceOrder",
                {
                    "order": self._orders[-1],
                    "account": customer,
                    "kind": "package",
                    "product": "X",
                    "price": 9,
                },
            ),
            ("CaptureHold", {"hold": self._holds[-1] if self._holds else "room-0", "amount": 5_000}),
            (
                "PlaceOrder",
                {
                    "order": "big",
                    "account": customer,
                    "kind": "package",
                    "product": "All of it",
                    "price": 900_000,
                },
            ),
        ]
        return self._event(*mistakes[which])

    def _event(self, type_: str, data: Event) -> Event:
        self._time += timedelta(seconds=self._random.randrange(5, 50))
        return event(
            f"{CLOUD}/br",
            f"cp-{next(self._numbers):05d}",
            type_,
            data,
            time=_text(self._time),
            partitionkey="atlantico",
        )


def _text(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
