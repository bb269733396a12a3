"""The work that is measured: who there is, and a mix of commands all of which can be applied.

70 % onboardings of one device, 20 % renewals, 10 % transfers. The messages are built without the models, for speed;
they are what `Publisher` would have written.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from messages import event
from messages.commands import (
    Command,
    Cycle,
    CycleUnit,
    DebitForDeviceOnboarding,
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
BRANCHES = 4
TOP_ACCOUNTS = 2_000
COMMANDS_PER_TOP_ACCOUNT = 25  # fewer commands, fewer accounts: a small run is to be over soon
DEVICES, DEVICES_OF_THE_HOT = 2, 500
FUNDS = 10**12
PRICE = 10
ONBOARDING_PLAN, RENEWAL_PLAN = "bench-onboarding", "bench-renewal"
ONBOARDINGS, RENEWALS = 0.7, 0.2  # the rest are transfers
_TYPE = "coins.{}.v1"


@dataclass(slots=True)
class Member:
    """An account, its top account, the branches of that one, and devices that can be renewed."""

    account: str
    top: str
    branches: list[str]
    devices: list[str]
    turn: int = 0

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
        return len(self.members)

    @classmethod
    def for_commands(cls, commands: int) -> Workload:
        """As many accounts as so many commands deserve: 10,000 for 50,000 or more."""
        tops = min(TOP_ACCOUNTS, max(4, commands // COMMANDS_PER_TOP_ACCOUNT))
        members: list[Member] = []
        for number in range(tops):
            top = f"enterprise-{number:04}"
            branches = [f"{top}.branch-{branch}" for branch in range(BRANCHES)]
            for account in (top, *branches):
                count = DEVICES if members else DEVICES_OF_THE_HOT
                devices = [f"{account}/seed-{device}" for device in range(count)]
                members.append(Member(account, top, branches, devices))
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
                    kind=Kind.ENTERPRISE if is_top else Kind.BRANCH,
                    name=f"The account {one.account}",
                ),
                TopUp(account=one.account, amount=FUNDS),
                DebitForDeviceOnboarding(account=one.account, devices=one.devices, price=1),
            ):
                yield self._event(command, one.top)

    def mixed(self, commands: int, *, hot_share: float) -> list[Built]:
        """So many commands, `hot_share` of them on one account, the others on any other."""
        others = self.members[1:]
        chance = self.chance
        return [
            self._command(self.hot if chance.random() < hot_share else chance.choice(others))
            for _ in range(commands)
        ]

    def _command(self, member: Member) -> Built:
        which = self.chance.random()
        data: dict[str, object]
        if which < ONBOARDINGS:
            name = "DebitForDeviceOnboarding"
            device = f"{self.chance.getrandbits(64):016x}"
            data = {"account": member.account, "devices": [device], "plan": ONBOARDING_PLAN}
        elif which < ONBOARDINGS + RENEWALS:
            name = "Renewal"
            data = {"account": member.account, "devices": [member.next_device()], "plan": RENEWAL_PLAN}
        else:
            name = "Transfer"
            to = self.chance.choice(member.branches) if member.account == member.top else member.account
            data = {"from_account": member.top, "to_account": to, "amount": PRICE}
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
