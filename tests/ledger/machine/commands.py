"""Random commands of a small world: few accounts, devices, plans and amounts, so that they meet each other often.

A `$` stands for the run: every run has accounts, devices and plans of its own in the same database.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

Data = dict[str, Any]

FIRST: list[tuple[str, Data]] = [
    ("OpenAccount", {"account": "$dist", "parent": "platform", "kind": "distributor", "name": "dist"}),
    ("OpenAccount", {"account": "$corner", "parent": "$dist", "kind": "reseller", "name": "corner"}),
    (
        "OpenAccount",
        {"account": "$carl", "parent": "$corner", "kind": "customer", "name": "carl", "funding": "sponsored"},
    ),
    ("OpenAccount", {"account": "$acme", "parent": "platform", "kind": "enterprise", "name": "acme"}),
    ("OpenAccount", {"account": "$north", "parent": "$acme", "kind": "branch", "name": "north"}),
    (
        "OpenAccount",
        {"account": "$dept", "parent": "$north", "kind": "branch", "name": "dept", "funding": "shared"},
    ),
    (
        "PutPlan",
        {"plan": "$p", "name": "p", "kind": "onboarding", "price": 3, "cycle": {"unit": "month", "count": 1}},
    ),
    (
        "PutPlan",
        {"plan": "$q", "name": "q", "kind": "renewal", "price": 2, "cycle": {"unit": "day", "count": 10}},
    ),
    ("TopUp", {"account": "$acme", "amount": 60}),
    ("TopUp", {"account": "$north", "amount": 30}),
    ("TopUp", {"account": "$dist", "amount": 10}),
]
INVALID: list[tuple[str, Data]] = [
    ("TopUp", {"account": "$acme", "amount": 0}),
    ("TopUp", {"account": "$acme", "amount": 1.0}),
    ("Transfer", {"from_account": "$acme", "amount": 1}),
    ("Adjust", {"account": "$acme", "amount": 1, "note": "a\x00b"}),
    ("ReleaseDevice", {"account": "$acme", "device": "a b"}),
    ("NoSuchCommand", {"account": "$acme"}),
]

OPENED = ["$dist", "$corner", "$carl", "$acme", "$north", "$dept"]
NEW = ["$n1", "$n2", "$n3"]


class Asked(NamedTuple):
    """A command, and how it is keyed: `new`, or under the id of an earlier one, repeated or with other content."""

    name: str
    data: Data
    valid: bool
    key: str
    earlier: int


def first() -> list[Asked]:
    return [Asked(name, data, True, "new", 0) for name, data in FIRST]


def random_command(rng: Random) -> Asked:
    key = rng.choices(["new", "repeat", "steal"], [18, 2, 1])[0]
    earlier = rng.randrange(20)
    if rng.random() < 0.03:
        return Asked(*rng.choice(INVALID), False, key, earlier)
    name, make = rng.choices(*_WEIGHED)[0]
    return Asked(name, make(rng), True, key, earlier)


def _any(rng: Random) -> str:
    return rng.choice([*OPENED, *["$acme", "$north", "$dept"] * 3, *NEW, *NEW, "$none", "platform"])


def _buyer(rng: Random) -> str:
    return rng.choice([*["$acme", "$north", "$dept"] * 4, "$n1", "$n2", _any(rng)])


def _own(rng: Random) -> str:
    return rng.choice(["$acme", "$acme", "$north", "$north", "$dist", "$corner", *NEW, "$dept", "$carl"])


def _maybe(rng: Random, chance: float, **fields: Callable[[], Any]) -> Data:
    return {name: make() for name, make in fields.items() if rng.random() < chance}


def _devices(rng: Random) -> list[str]:
    return rng.sample(["$d1", "$d2", "$d3", "$d4", "$d5"], rng.choice([1, 1, 1, 2]))


def _cycle(rng: Random) -> Data:
    return {"unit": rng.choice(["day", "week", "month", "year"]), "count": rng.randint(1, 3)}


def _plan(rng: Random) -> str:
    return rng.choice(["$p", "$p", "$q", "$q", "$r", "$none"])


def _price(rng: Random) -> int:
    return rng.choice([1, 1, 2, 2, 3, 20, 6 * 10**14])


def _open(rng: Random) -> Data:
    return {
        "account": rng.choice([*NEW, *NEW, "$acme"]),
        "parent": _any(rng),
        "kind": rng.choice(["branch", "branch", "agent", "customer", "reseller", "enterprise"]),
        "name": "new",
        **_maybe(
            rng,
            0.6,
            funding=lambda: rng.choice(["own", "shared", "sponsored"]),
            credit_limit=lambda: rng.choice([0, 5]),
        ),
    }


def _update(rng: Random) -> Data:
    fundings = ["own", "shared", "sponsored"]
    return {"account": _any(rng), "name": "renamed", **_maybe(rng, 0.9, funding=lambda: rng.choice(fundings))}


def _top_up(rng: Random) -> Data:
    return {
        "account": _own(rng),
        "amount": rng.randint(1, 12),
        **_maybe(
            rng,
            0.5,
            reference=lambda: rng.choice(["W1", "W2"]),
            method=lambda: rng.choice(["offline", "card"]),
        ),
    }


def _transfer(rng: Random) -> Data:
    return {
        "from_account": _own(rng),
        "to_account": _own(rng),
        "amount": rng.randint(1, 12),
        **_maybe(rng, 0.6, ordered_by=lambda: rng.choice(["$acme", "$acme", "$dist", _own(rng)])),
    }


def _recall(rng: Random) -> Data:
    """What empties an account, so that its funding may change and it may be closed."""
    source = rng.choice(["$north", "$n1", "$n2", "$n3"])
    return {
        "from_account": source,
        "to_account": "$acme",
        "amount": rng.choice([1, 2, 5, 10, 20, 30]),
        "ordered_by": "$acme",
    }


def _adjust(rng: Random) -> Data:
    return {"account": _own(rng), "amount": rng.choice([-30, -10, -5, -3, -2, -1, 1, 3]), "note": "n"}


def _put_plan(rng: Random) -> Data:
    return {
        "plan": rng.choice(["$p", "$q", "$r"]),
        "name": "p",
        "kind": rng.choice(["onboarding", "onboarding", "renewal", "renewal", "package"]),
        **_maybe(rng, 0.7, price=lambda: _price(rng), cycle=lambda: _cycle(rng)),
    }


def _onboard(rng: Random) -> Data:
    return {
        "account": _buyer(rng),
        "devices": _devices(rng),
        **_maybe(rng, 0.7, plan=lambda: rng.choice(["$p", _plan(rng)]), price=lambda: _price(rng)),
    }


def _renew(rng: Random) -> Data:
    named = {"account": _buyer(rng), "devices": _devices(rng)}
    if rng.random() < 0.5:
        return {**named, "price": rng.choice([1, 2, 3]), "cycle": _cycle(rng)}
    fields = {
        "plan": lambda: rng.choice(["$q", _plan(rng)]),
        "price": lambda: _price(rng),
        "cycle": lambda: _cycle(rng),
    }
    return {**named, **_maybe(rng, 0.6, **fields)}


def _release(rng: Random) -> Data:
    return {"account": _buyer(rng), "device": rng.choice(["$d1", "$d2", "$d3", "$d4", "$d5"])}


def _transaction(rng: Random) -> Data:
    """Which one is meant, counted from the newest; more than there are: one that does not exist."""
    return {"transaction": min(int(rng.expovariate(0.25)), 40)}


def _refund(rng: Random) -> Data:
    return {**_transaction(rng), **_maybe(rng, 0.6, amount=lambda: rng.randint(1, 6))}


def _account(rng: Random) -> Data:
    return {"account": _any(rng)}


_MADE: list[tuple[str, Callable[[Random], Data], int]] = [
    ("OpenAccount", _open, 6),
    ("UpdateAccount", _update, 8),
    ("SetCreditLimit", lambda rng: {"account": _own(rng), "credit_limit": rng.choice([0, 0, 5, 20])}, 4),
    ("SuspendAccount", _account, 3),
    ("ResumeAccount", _account, 8),
    ("CloseAccount", lambda rng: {"account": rng.choice([*NEW, *NEW, *OPENED])}, 5),
    ("TopUp", _top_up, 12),
    ("ReverseTopUp", _transaction, 8),
    ("Transfer", _transfer, 12),
    ("Transfer", _recall, 6),
    ("Adjust", _adjust, 6),
    ("PutPlan", _put_plan, 3),
    ("DebitForDeviceOnboarding", _onboard, 18),
    ("Renewal", _renew, 20),
    ("Renewal", lambda rng: {"account": _any(rng), "subscription": "$none"}, 1),
    ("ReleaseDevice", _release, 8),
    ("Refund", _refund, 14),
    ("Refund", lambda rng: {"order": "$none"}, 1),
]
_WEIGHED = [(name, make) for name, make, _ in _MADE], [weight for *_, weight in _MADE]
