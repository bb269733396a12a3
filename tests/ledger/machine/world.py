"""A small world: few accounts, devices, phones and plans, so that commands meet each other often.

A `$` stands for the run: every run has accounts, devices and plans of its own in the same database.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any

from tests.ledger.machine.naive.ledger import NaiveLedger

Data = dict[str, Any]


def _account(id_: str, parent: str, kind: str, **more: Any) -> tuple[str, Data]:
    return "OpenAccount", {"account": id_, "parent": parent, "kind": kind, "name": id_, **more}


def _plan(id_: str, unit: str, **more: Any) -> tuple[str, Data]:
    """A plan that is called as its kind."""
    kind = id_.removeprefix("$")
    return "PutPlan", {"plan": id_, "name": id_, "kind": kind, "cycle": {"unit": unit, "count": 1}, **more}


FIRST: list[tuple[str, Data]] = [
    _account("$dist", "platform", "distributor"),
    _account("$corner", "$dist", "reseller"),
    _account("$carl", "$corner", "customer", funding="sponsored"),
    _account("$kim", "$corner", "customer"),
    _account("$shop", "platform", "reseller"),
    _account("$sue", "$shop", "customer", funding="sponsored", timezone="Asia/Shanghai"),
    _account("$acme", "platform", "enterprise", country="$land"),
    _account("$north", "$acme", "branch", country="$isle", timezone="Europe/Berlin"),
    _account("$dept", "$north", "branch", funding="shared"),
    _account("$desk", "$dept", "agent", funding="shared", timezone="America/New_York"),
    _account("$west", "$acme", "branch"),
    _account("$site", "$west", "agent", funding="shared"),
    ("PutPaymentMethods", {"country": "$land", "methods": ["card"]}),
    _plan("$onboarding", "month", price=2),
    _plan("$renewal", "day", price=1),
    _plan("$package", "month", price=2),
    _plan("$proxy", "week", price=1),
    _plan("$phone", "month", price=1, rate="0.05"),
    _plan("$postpaid", "month", price=1, coefficient="1.5"),
    ("TopUp", {"account": "$acme", "amount": 60}),
    ("TopUp", {"account": "$north", "amount": 60}),
    ("TopUp", {"account": "$dist", "amount": 80}),
    ("TopUp", {"account": "$shop", "amount": 40}),
    ("TopUp", {"account": "$kim", "amount": 20}),
    ("AllocateCredit", {"reseller": "$corner", "customer": "$carl", "amount": 60}),
    ("AllocateCredit", {"reseller": "$shop", "customer": "$sue", "amount": 60}),
]
INVALID: list[tuple[str, Data]] = [
    ("TopUp", {"account": "$acme", "amount": 0}),
    ("TopUp", {"account": "$acme", "amount": 1.0}),
    ("Transfer", {"from_account": "$acme", "amount": 1}),
    ("Adjust", {"account": "$acme", "amount": 1, "note": "a\x00b"}),
    ("ReleaseDevice", {"account": "$acme", "device": "a b"}),
    ("Subscribe", {"subscription": "$s1", "account": "$acme", "plan": "$renewal", "kind": "device"}),
    ("SetWarning", {"warning": "$w1", "account": "$acme", "set_by": "$acme"}),
    ("NoSuchCommand", {"account": "$acme"}),
]

OPENED = ["$dist", "$corner", "$carl", "$kim", "$shop", "$sue", "$acme", "$north", "$dept", "$desk"]
NEW = ["$n1", "$n2", "$n3", "$n4", "$n5", "$n6"]
BUYERS = ["$carl", "$carl", "$kim", "$kim", "$sue", "$acme", "$north", "$dept", "$dept", "$desk", "$site"]
EMPTIED = ["$kim", "$kim", "$n1", "$n2", "$sue", "$west", "$west", "$desk"]
PLAN_KINDS = ["onboarding", "renewal", "package", "proxy", "phone", "postpaid"]
METHODS = ["card", "cash", "offline", "balance"]
UNITS = ["day", "week", "month", "year"]


def of_run(prefix: str, value: Any) -> Any:
    """The same with the run in place of each `$`."""
    if isinstance(value, str):
        return value.replace("$", prefix, 1) if value.startswith("$") else value
    if isinstance(value, list):
        return [of_run(prefix, one) for one in value]
    if isinstance(value, dict):
        return {key: of_run(prefix, one) for key, one in value.items()}
    return value


@dataclass
class World:
    """What there is to choose from: the model as it stands.

    told: how many transactions have numbers by now. lacking: whether nothing fitting was found.
    """

    rng: Random
    prefix: str
    model: NaiveLedger
    now: datetime
    told: int
    lacking: bool = False

    def id(self, name: str) -> str:
        return name.replace("$", self.prefix)

    def one_of(self, names: list[str]) -> str:
        """Mostly an account that is there."""
        ids = [self.id(name) for name in names]
        there = [id_ for id_ in ids if id_ in self.model.holders]
        return self.rng.choice(there if there and self.rng.random() < 0.95 else ids)

    def any(self) -> str:
        return self.one_of([*OPENED, *BUYERS, *NEW, *NEW, "$none", "platform"])

    def buyer(self) -> str:
        return self.any() if self.rng.random() < 0.15 else self.one_of([*BUYERS * 2, *NEW])

    def owner(self) -> str:
        """Mostly one that has devices."""
        owners = [one.account for one in self.model.devices.values() if one.account]
        return self.rng.choice(owners) if owners and self.rng.random() < 0.8 else self.buyer()

    def own(self) -> str:
        """Mostly one that has coins of its own."""
        usual = ["$acme", "$acme", "$north", "$north", "$dist", "$dist", "$shop", "$corner", "$west"]
        return self.one_of([*usual * 2, *NEW, *NEW, "$dept", "$carl", "$none"])

    def or_any(self, account: str, chance: float = 0.15) -> str:
        return self.any() if self.rng.random() < chance else account

    def maybe(self, chance: float, **fields: Callable[[], Any]) -> Data:
        return {name: make() for name, make in fields.items() if self.rng.random() < chance}

    def fresh(self, letter: str, known: Iterable[str]) -> str:
        """A new id, or sometimes one that is taken."""
        taken = list(known)
        if taken and self.rng.random() < 0.12:
            return self.rng.choice(taken)
        return f"{self.prefix}{letter}{len(taken) + 1}"

    def known(self, all_: Mapping[str, Any], live: Callable[[Any], bool], chance: float = 0.7) -> str:
        """One that is still open, sometimes one that is not or that never was."""
        open_ = [id_ for id_, one in all_.items() if live(one)]
        over = [id_ for id_ in all_ if id_ not in open_]
        self.lacking = self.lacking or not open_
        if open_ and self.rng.random() < chance:
            return self.rng.choice(open_[-6:])
        return self.rng.choice(over) if over and self.rng.random() < 0.75 else self.id("$none")

    def moment(self, *hours: float) -> str:
        """So many hours from now, one of these."""
        return (self.now + timedelta(hours=self.rng.choice(hours))).isoformat()

    def cycle(self) -> Data:
        return {"unit": self.rng.choice([*UNITS, "day"]), "count": self.rng.randint(1, 3)}

    def price(self) -> int:
        return self.rng.choice([1, 1, 1, 2, 2, 3, 4, 20, 6 * 10**14])

    def plan(self, kind: str) -> str:
        """Mostly a plan of that kind."""
        other = self.rng.choice([*PLAN_KINDS, "none"])
        return self.id(self.rng.choices([f"${kind}", f"${kind}2", f"${other}"], [16, 3, 2])[0])

    def priced(self, kind: str) -> Data:
        """By a plan, by a price, by both, seldom by neither."""
        by_plan, by_price = self.rng.choices([(1, 0), (0, 1), (1, 1), (0, 0)], [12, 4, 2, 1])[0]
        return {
            **({"plan": self.plan(kind)} if by_plan else {}),
            **({"price": self.price()} if by_price else {}),
        }

    def devices(self, owner: str | None, chance: float = 0.15) -> list[str]:
        """Mostly such as are active under the owner, or under nobody."""
        all_ = [f"{self.prefix}d{number}" for number in range(1, 9)]
        held = [one for one in all_ if one in self.model.devices]
        if owner is None:
            fitting = [one for one in all_ if one not in held or self.model.devices[one].account is None]
        else:
            fitting = [one for one in held if self.model.devices[one].account == owner]
        self.lacking = self.lacking or not fitting
        if not fitting or self.rng.random() < chance:
            fitting = all_
        return self.rng.sample(fitting, min(len(fitting), self.rng.choice([1, 1, 2])))

    def transaction(self, *types: str) -> int | None:
        """Mostly a recent one of these types, of which something is left; None for one that never was."""
        past = list(enumerate(self.model.postings[: self.told]))
        fitting = [index for index, one in past if one.type in types and one.returned < one.amount]
        self.lacking = self.lacking or not fitting
        if fitting and self.rng.random() < 0.7:
            return self.rng.choice(fitting[-8:])
        return self.rng.choice([index for index, _ in past[-12:]]) if self.rng.random() < 0.8 else None


# A command's name, what makes its data, and how often it is asked for next to the others.
Made = tuple[str, Callable[[World], Data], int]
