"""Commands of several producers at once, and what must become of each: a naive ledger decides as they are made.

Each producer has accounts of its own (a reseller, two branches with coins of their own, a sponsored customer), so that the
order of its one stream settles everything. It repeats commands, contradicts itself and sends garbage, as producers do.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from messages.errors import EdgeUnavailable
from messages.publisher import Message, Publisher
from messages.streams import partition_of
from tests.system.listening import Answer

GARBAGE = (
    b"no json at all",
    b"",
    b"\xff\xfe\x00",
    b"[]",
    b'{"specversion":"1.0","type":"coins.TopUp.v1","data":{}}',
    b'{"a":' * 2_000,
    b'"\\ud800"',
)


class Sent(NamedTuple):
    """A command as it was sent, and whether it was decided (an invalid one leaves its key free)."""

    event: dict[str, Any]
    reason: str | None


class ProducerLoad:
    """One producer: makes its commands and knows what must be answered, in order, and what every account must have."""

    def __init__(self, name: str, seed: int, exports: float = 0.0) -> None:
        self.name = name
        self.random = random.Random(f"{seed}-{name}")
        self.own = [name, f"{name}-a", f"{name}-b"]
        self.customer = f"{name}-c"
        self.credit = dict.fromkeys([*self.own, self.customer], 0)
        self.holds: dict[str, int] = {}
        self.devices: list[str] = []
        self.customer_devices: list[str] = []
        self.garbage: Counter[bytes] = Counter()
        self.expected: list[Answer] = []
        self._decided: list[Sent] = []
        self._number = 0
        self._exports = exports

    @property
    def keys(self) -> set[str]:
        """The ids of all commands that must have been decided."""
        return {one.event["id"] for one in self._decided}

    @property
    def receipts(self) -> int:
        """How many are to be written: one for each recharge, and for each order that was paid."""
        paid = ("coins.TopUp.v1", "coins.PlaceOrder.v1")
        return sum(one.reason is None and one.event["type"] in paid for one in self._decided)

    @property
    def exports(self) -> set[str]:
        """The ids of those that were asked for."""
        asked = (one.event for one in self._decided if one.event["type"] == "coins.RequestExport.v1")
        return {event["data"]["export"] for event in asked}

    def opening(self) -> list[bytes]:
        """Its accounts, and coins to begin with."""
        top, a, b = self.own
        self.credit[top], self.credit[self.customer] = 100_000, 500
        return [
            self._applied("OpenAccount", account=top, parent="platform", kind="reseller", name=top),
            self._applied("OpenAccount", account=a, parent=top, kind="branch", name=a),
            self._applied("OpenAccount", account=b, parent=top, kind="branch", name=b),
            self._applied(
                "OpenAccount",
                account=self.customer,
                parent=top,
                kind="customer",
                name=self.customer,
                funding="sponsored",
            ),
            self._applied("TopUp", account=top, amount=100_000),
            self._applied("AllocateCredit", reseller=top, customer=self.customer, amount=500),
        ]

    def messages(self, number: int) -> list[bytes]:
        """The next messages; some hold several events."""
        made: list[bytes] = []
        while len(made) < number:
            size = self.random.choice((1, 1, 1, 1, 1, 1, 1, 7))
            if size == 1:
                made.append(self._any())
            else:
                made.append(b"[" + b",".join(self._command() for _ in range(size)) + b"]")
        return made

    def _any(self) -> bytes:
        if self.random.random() < 0.03:
            garbage = self.random.choice(GARBAGE)
            self.garbage[garbage] += 1
            return garbage
        return self._command()

    def _command(self) -> bytes:
        if self._exports and self.random.random() < self._exports:
            return self._applied(
                "RequestExport",
                export=f"{self.name}-{self._number}",
                account=self.name,
                report="payment-methods",
                format="csv",
            )
        match self.random.random():
            case dice if dice < 0.10:
                return self._again()
            case dice if dice < 0.13:
                return self._contradiction()
            case dice if dice < 0.15:
                return self._invalid()
            case dice if dice < 0.30:
                return self._top_up()
            case dice if dice < 0.45:
                return self._transfer()
            case dice if dice < 0.60:
                return self._onboarding()
            case dice if dice < 0.70:
                return self._renewal()
            case dice if dice < 0.80:
                return self._sponsored()
            case dice if dice < 0.90:
                return self._hold()
            case _:
                return self._order()

    def _top_up(self) -> bytes:
        amount = self.random.randint(1, 500)
        self.credit[self.name] += amount
        return self._applied("TopUp", account=self.name, amount=amount)

    def _transfer(self) -> bytes:
        from_, to = self.random.sample(self.own, 2)
        amount = self.random.randint(1, 2_000)
        enough = self._available(from_) >= amount
        data = {"from_account": from_, "to_account": to, "amount": amount, "ordered_by": self.name}
        if enough:
            self.credit[from_] -= amount
            self.credit[to] += amount
        return self._decide("Transfer", data, None if enough else "insufficient_credit")

    def frozen(self, account: str) -> int:
        """What holds freeze: all of them are the second branch's."""
        return sum(self.holds.values()) if account == self.own[2] else 0

    def _available(self, account: str) -> int:
        return self.credit[account] - self.frozen(account)

    def _sponsored(self) -> bytes:
        """The customer onboards; its allotment pays, and so do its sponsor's coins."""
        if self.random.random() < 0.2:
            self.credit[self.customer] += 20
            return self._applied("AllocateCredit", reseller=self.name, customer=self.customer, amount=20)
        price = self.random.randint(1, 30)
        reason = None
        if self.credit[self.customer] < price:
            reason = "insufficient_credit"
        elif self._available(self.name) < price:
            reason = "sponsor_insufficient_credit"
        else:
            self.credit[self.customer] -= price
            self.credit[self.name] -= price
            self.customer_devices.append(f"{self.name}-c-{self._number}")
        device = f"{self.name}-c-{self._number}"
        data = {"account": self.customer, "devices": [device], "price": price}
        return self._decide("DebitForDeviceOnboarding", data, reason)

    def _hold(self) -> bytes:
        """One is placed, captured in part or in full, or released."""
        if len(self.holds) > 3:
            hold = self.random.choice(sorted(self.holds))
            held = self.holds.pop(hold)
            if self.random.random() < 0.3:
                return self._applied("ReleaseHold", hold=hold)
            amount = self.random.randint(1, held)
            self.credit[self.own[2]] -= amount
            return self._applied("CaptureHold", hold=hold, amount=amount)
        hold, amount = f"{self.name}-{self._number}", self.random.randint(1, 300)
        enough = self._available(self.own[2]) >= amount
        if enough:
            self.holds[hold] = amount
        data = {"hold": hold, "account": self.own[2], "amount": amount}
        return self._decide("PlaceHold", data, None if enough else "insufficient_credit")

    def _order(self) -> bytes:
        """By balance, or by card, which brings in what it spends."""
        account, price = self.random.choice(self.own), self.random.randint(1, 50)
        data = {
            "order": f"{self.name}-{self._number}",
            "account": account,
            "kind": "proxy",
            "product": "x",
            "price": price,
        }
        if self.random.random() < 0.3:
            return self._applied("PlaceOrder", **data, method="card")
        enough = self._available(account) >= price
        if enough:
            self.credit[account] -= price
        return self._decide("PlaceOrder", data, None if enough else "insufficient_credit")

    def _onboarding(self) -> bytes:
        account = f"{self.name}-a"
        devices = [f"{self.name}-{self._number}-{one}" for one in range(self.random.randint(1, 5))]
        cost = 3 * len(devices)
        enough = self._available(account) >= cost
        if enough:
            self.credit[account] -= cost
            self.devices += devices
        data = {"account": account, "devices": devices, "price": 3}
        return self._decide("DebitForDeviceOnboarding", data, None if enough else "insufficient_credit")

    def _renewal(self) -> bytes:
        if not self.devices:
            return self._top_up()
        account = f"{self.name}-a"
        chosen = self.random.sample(self.devices, min(3, len(self.devices)))
        enough = self.credit[account] >= 2 * len(chosen)
        if enough:
            self.credit[account] -= 2 * len(chosen)
        data = {
            "account": account,
            "devices": chosen,
            "price": 2,
            "cycle": {"unit": "day", "count": 1},
        }
        return self._decide("Renewal", data, None if enough else "insufficient_credit")

    def _again(self) -> bytes:
        sent = self.random.choice(self._decided)
        self.expected.append(Answer(sent.event["id"], True, sent.reason))
        return json.dumps(sent.event).encode()

    def _contradiction(self) -> bytes:
        sent = self.random.choice(self._decided)
        other = {**sent.event, "type": "coins.TopUp.v1", "data": {"account": self.name, "amount": 987_654}}
        self.expected.append(Answer(sent.event["id"], False, "idempotency_conflict"))
        return json.dumps(other).encode()

    def _invalid(self) -> bytes:
        event = self._event("TopUp", {"account": self.name, "amount": "many"})
        self.expected.append(Answer(event["id"], False, "invalid_message"))
        return json.dumps(event).encode()

    def _applied(self, type_: str, **data: Any) -> bytes:
        return self._decide(type_, data, None)

    def _decide(self, type_: str, data: dict[str, Any], reason: str | None) -> bytes:
        event = self._event(type_, data)
        self._decided.append(Sent(event, reason))
        self.expected.append(Answer(event["id"], False, reason))
        return json.dumps(event).encode()

    def _event(self, type_: str, data: dict[str, Any]) -> dict[str, Any]:
        self._number += 1
        return {
            "specversion": "1.0",
            "id": f"{self._number}",
            "source": self.name,
            "type": f"coins.{type_}.v1",
            "partitionkey": self.name,
            "data": data,
        }


class Load:
    """Publishes for all producers in turn, on a thread, until it is told to stop. What is not confirmed is sent again."""

    def __init__(
        self,
        url: str,
        *,
        seed: int,
        producers: Sequence[str] = ("north", "south", "east"),
        partitions: int = 1,
        at_once: int = 12,
        pause_seconds: float = 0.02,
        most: int = 4_000,
        back_seconds: float = 60.0,
        exports: float = 0.0,
    ) -> None:
        """`exports`: the share of commands that ask for one. `at_once`: messages of each producer before a pause."""
        print(f"seed {seed}")  # noqa: T201 - with it a failure can be run again
        self.producers = [ProducerLoad(name, seed, exports) for name in producers]
        self.repeated = False
        self._partitions = partitions
        self._at_once = at_once
        self._pause_seconds = pause_seconds
        self._most = most
        self._back_seconds = back_seconds
        self._publishers = [
            Publisher(url, producer=one.name, partitions=partitions, timeout_seconds=2.0)
            for one in self.producers
        ]
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._publish, name="load", daemon=True)
        self._failure: BaseException | None = None

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        for publisher in self._publishers:
            publisher.close()

    def stop(self) -> None:
        """Send no more; everything made so far has been confirmed."""
        self._stopping.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def run_for(self, seconds: float) -> None:
        time.sleep(seconds)

    @property
    def size(self) -> int:
        return sum(len(one.expected) for one in self.producers)

    def _publish(self) -> None:
        try:
            first = True
            while first or not self._stopping.is_set():
                for producer, publisher in zip(self.producers, self._publishers, strict=True):
                    bodies = producer.opening() if first else producer.messages(self._at_once)
                    self._confirm(producer, publisher, bodies)
                first = False
                # Enough is enough: while nobody reads, a trickle shows when somebody does again.
                self._stopping.wait(self._pause_seconds if self.size < self._most else 0.2)
        except BaseException as error:  # noqa: BLE001 - handed to whoever stops the load
            self._failure = error

    def _confirm(self, producer: ProducerLoad, publisher: Publisher, bodies: list[bytes]) -> None:
        partition = partition_of(producer.name, self._partitions)
        deadline = time.monotonic() + self._back_seconds
        while True:
            try:
                publisher.send_raw([Message(body, partition) for body in bodies])
            except EdgeUnavailable:
                assert time.monotonic() < deadline, "the edge did not come back"
                self.repeated = True
                time.sleep(0.1)
            else:
                return
