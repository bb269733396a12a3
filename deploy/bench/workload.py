"""The work that is measured: who there is, and a mix of commands all of which can be applied.

Of a hundred commands 40 onboard a device, 10 one of a sponsored customer, 20 renew one, 10 move coins, 10 place or capture
a hold, 10 place an order. Messages are built without the models, for speed; they are what `Publisher` would have written.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from messages import event
from messages.commands import (
    AllocateCredit,
    Command,
    Cycle,
    CycleUnit,
    DebitForDeviceOnboarding,
    Funding,
    Kind,
    OpenAccount,
    PlanKind,
    PutPlan,
    TopUp,
)
from messages.envelope import Event
from messages.publisher import Message, arrays
from messages.streams import partition_of

PRODUCER = "bench"
BRANCHES = 3
TOP_ACCOUNTS = 2_000
COMMANDS_PER_TOP_ACCOUNT = 25  # fewer commands, fewer accounts: a small run is to be over soon
DEVICES, DEVICES_OF_THE_HOT = 2, 500
FUNDS = 10**12
PRICE = 10
ONBOARDING_PLAN, RENEWAL_PLAN = "bench-onboarding", "bench-renewal"
# How often each kind of command comes, of a hundred.
MIX = {"onboard": 40, "onboard_sponsored": 10, "renew": 20, "transfer": 10, "hold": 10, "order": 10}
_KINDS, _WEIGHTS = list(MIX), list(MIX.values())
_TYPE = "coins.{}.v1"
Asked = tuple[str, dict[str, object]]


@dataclass(slots=True)
class Member:
    """An account, its top account, the branches and the sponsored customer of that one, devices that can be renewed."""

    account: str
    top: str
    branches: list[str]
    customer: str
    devices: list[str]
    turn: int = 0
    held: str | None = None

    def next_device(self) -> str:
        self.turn += 1
        return self.devices[self.turn % len(self.devices)]


class Built(NamedTuple):
    """A command as bytes, with its id and its partition key."""

    id: str
    partitionkey: str
    body: bytes


@dataclass(slots=True)
class Workload:
    """Accounts with coins and devices, `hot` being the first of them, and commands on them.

    The same seed makes the same work; no id comes twice.
    """

    members: list[Member]
    chance: random.Random = field(default_factory=lambda: random.Random(20_261_122))

    @property
    def hot(self) -> Member:
        return self.members[0]

    @property
    def accounts(self) -> int:
        return len(self.members) + len({one.top for one in self.members})

    @classmethod
    def for_commands(cls, commands: int) -> Workload:
        """As many accounts as so many commands deserve: 10,000 for 50,000 or more, a fifth of them sponsored customers."""
        tops = min(TOP_ACCOUNTS, max(4, commands // COMMANDS_PER_TOP_ACCOUNT))
        members: list[Member] = []
        for number in range(tops):
            top = f"reseller-{number:04}"
            branches = [f"{top}.branch-{branch}" for branch in range(BRANCHES)]
            customer = f"{top}.customer"
            for account in (top, *branches):
                count = DEVICES if members else DEVICES_OF_THE_HOT
                devices = [f"{account}/seed-{device}" for device in range(count)]
                members.append(Member(account, top, branches, customer, devices))
        return cls(members)

    def preparation(self) -> Iterator[Event[Any]]:
        """Plans, accounts, coins and devices: in this order within each tree."""
        month = Cycle(unit=CycleUnit.MONTH, count=1)
        for plan, kind in ((ONBOARDING_PLAN, PlanKind.ONBOARDING), (RENEWAL_PLAN, PlanKind.RENEWAL)):
            # Seen by every partition, whichever is the faster: it is put before anything else is sent.
            yield self._event(PutPlan(plan=plan, name=plan, kind=kind, price=PRICE, cycle=month), "")
        for one in self.members:
            is_top = one.account == one.top
            for command in (
                OpenAccount(
                    account=one.account,
                    parent="platform" if is_top else one.top,
                    kind=Kind.RESELLER if is_top else Kind.BRANCH,
                    name=f"The account {one.account}",
                ),
                TopUp(account=one.account, amount=FUNDS),
                DebitForDeviceOnboarding(account=one.account, devices=one.devices, price=1),
            ):
                yield self._event(command, one.top)
            if is_top:
                yield from self._customer_of(one)

    def _customer_of(self, sponsor: Member) -> Iterator[Event[Any]]:
        """A customer with an allotment; its sponsor pays with it."""
        for command in (
            OpenAccount(
                account=sponsor.customer,
                parent=sponsor.top,
                kind=Kind.CUSTOMER,
                name=f"The customer {sponsor.customer}",
                funding=Funding.SPONSORED,
            ),
            AllocateCredit(reseller=sponsor.top, customer=sponsor.customer, amount=FUNDS),
        ):
            yield self._event(command, sponsor.top)

    def mixed(self, commands: int, *, hot_share: float) -> list[Built]:
        """So many commands, `hot_share` of them on one account, the others on any other."""
        others = self.members[1:]
        chance = self.chance
        return [
            self._command(self.hot if chance.random() < hot_share else chance.choice(others))
            for _ in range(commands)
        ]

    def _command(self, member: Member) -> Built:
        kind = self.chance.choices(_KINDS, _WEIGHTS)[0]
        name, data = getattr(self, f"_{kind}")(member)
        id_ = self._id()
        body = orjson.dumps(
            {
                "specversion": "1.0",
                "id": id_,
                "source": PRODUCER,
                "type": _TYPE.format(name),
                "time": "2026-11-22T08:00:00Z",
                "partitionkey": member.top,
                "data": data,
            }
        )
        return Built(id_, member.top, body)

    def _onboard(self, member: Member) -> Asked:
        return "DebitForDeviceOnboarding", {
            "account": member.account,
            "devices": [self._device()],
            "plan": ONBOARDING_PLAN,
        }

    def _onboard_sponsored(self, member: Member) -> Asked:
        return "DebitForDeviceOnboarding", {
            "account": member.customer,
            "devices": [self._device()],
            "plan": ONBOARDING_PLAN,
        }

    def _renew(self, member: Member) -> Asked:
        return "Renewal", {
            "account": member.account,
            "devices": [member.next_device()],
            "plan": RENEWAL_PLAN,
        }

    def _transfer(self, member: Member) -> Asked:
        to = self.chance.choice(member.branches) if member.account == member.top else member.account
        return "Transfer", {"from_account": member.top, "to_account": to, "amount": PRICE}

    def _hold(self, member: Member) -> Asked:
        """One is placed, the next time it is captured."""
        held, member.held = member.held, None
        if held is not None:
            return "CaptureHold", {"hold": held}
        member.held = self._device()
        return "PlaceHold", {"hold": member.held, "account": member.account, "amount": PRICE}

    def _order(self, member: Member) -> Asked:
        return "PlaceOrder", {
            "order": self._device(),
            "account": member.account,
            "kind": "proxy",
            "product": "Static residential, DE",
            "price": PRICE,
            "quantity": 2,
        }

    def _device(self) -> str:
        return f"{self.chance.getrandbits(64):016x}"

    def _event(self, command: Command, partitionkey: str) -> Event[Any]:
        return event(command, source=PRODUCER, id=self._id(), partitionkey=partitionkey or None)

    def _id(self) -> str:
        return f"{self.chance.getrandbits(128):032x}"


def one_by_one(commands: list[Built], partitions: int) -> list[Message]:
    """A message for each command, each in the partition of its top account."""
    return [Message(one.body, partition_of(one.partitionkey, partitions)) for one in commands]


def in_arrays(commands: list[Built], partitions: int, size: int) -> list[Message]:
    """The same in arrays of so many events, the partitions in turn."""
    by_partition: list[list[bytes]] = [[] for _ in range(partitions)]
    for one in commands:
        by_partition[partition_of(one.partitionkey, partitions)].append(one.body)
    return [
        Message(body, partition)
        for partition, bodies in enumerate(by_partition)
        for body in arrays(bodies, size)
    ]
