"""Random commands about accounts, their coins, and notices."""

from __future__ import annotations

from tests.ledger.machine.naive.books import CHARGES
from tests.ledger.machine.world import METHODS, NEW, Data, Made, World

# Accounts


def _open(world: World) -> Data:
    rng = world.rng
    return {
        "account": world.id(rng.choice([*NEW, *NEW, "$acme", "platform"])),
        "parent": world.id(rng.choice(["$acme", "$north", "$corner", "$shop", "$dept"]))
        if rng.random() < 0.7
        else world.any(),
        "kind": rng.choice(["branch", "branch", "agent", "customer", "customer", "reseller", "enterprise"]),
        "name": "new",
        **world.maybe(0.6, funding=lambda: rng.choice(["own", "shared", "sponsored"])),
        **world.maybe(0.3, credit_limit=lambda: rng.choice([0, 5]), country=lambda: world.id("$land")),
        **world.maybe(0.3, timezone=lambda: "Europe/Berlin"),
    }


def _update(world: World) -> Data:
    rng = world.rng
    return {
        "account": world.one_of(["$dept", "$desk", "$carl", *NEW]) if rng.random() < 0.7 else world.any(),
        **world.maybe(0.7, funding=lambda: rng.choice(["own", "shared", "sponsored"])),
        **world.maybe(0.2, country=lambda: world.id(rng.choice(["$land", "$isle", ""]))),
        **world.maybe(0.2, timezone=lambda: rng.choice(["UTC", "Europe/Berlin", "America/New_York", ""])),
    }


def _limit(world: World) -> Data:
    return {"account": world.own(), "credit_limit": world.rng.choice([0, 0, 5, 20])}


def _account(world: World) -> Data:
    return {"account": world.any()}


def _suspended(world: World) -> Data:
    """Mostly one that is suspended."""
    suspended = [id_ for id_, one in world.model.holders.items() if one.state == "suspended"]
    return {"account": world.or_any(world.rng.choice([*suspended, world.any()]))}


def _close(world: World) -> Data:
    empty = [
        id_ for id_ in map(world.id, NEW) if id_ in world.model.holders and not world.model.available(id_)
    ]
    return {"account": world.or_any(world.rng.choice(empty)) if empty else world.any()}


# Coins


def _methods(world: World) -> Data:
    methods = world.rng.sample(METHODS[:3], world.rng.randint(0, 2))
    return {"country": world.id(world.rng.choice(["$land", "$isle"])), "methods": methods}


def _top_up(world: World) -> Data:
    rng = world.rng
    return {
        "account": world.own(),
        "amount": rng.randint(1, 25),
        **world.maybe(0.5, reference=lambda: f"W{rng.randint(1, 4)}", method=lambda: rng.choice(METHODS)),
    }


def _reverse(world: World) -> Data:
    return {"transaction": world.transaction("recharge")}


def _transfer(world: World) -> Data:
    usual = [("$acme", "$north"), ("$north", "$acme"), ("$dist", "$corner"), ("$corner", "$kim")]
    source, target = (world.id(one) for one in world.rng.choice(usual))
    top = world.model.lineage(source)[-1]
    return {
        "from_account": world.or_any(source),
        "to_account": world.rng.choice([target, target, source, world.any()]),
        "amount": world.rng.choice([1, 2, 5, 10, 30]),
        **world.maybe(0.7, ordered_by=lambda: world.or_any(top)),
    }


def _allocate(world: World) -> Data:
    customer = world.one_of(["$carl", "$carl", "$sue", "$sue", "$kim", *NEW, "$north"])
    parent = world.model.holders[customer].parent if customer in world.model.holders else world.any()
    amount = world.rng.choice([30, 20, 10, 5, 3, -2, -5, -60, -60])
    return {"reseller": world.or_any(parent), "customer": customer, "amount": amount}


def _adjust(world: World) -> Data:
    amount = world.rng.choice([-30, -10, -5, -3, -2, -1, 1, 3, 10, 20])
    return {"account": world.own(), "amount": amount, "note": "n"}


def _refund(world: World) -> Data:
    return {"transaction": world.transaction(*CHARGES), **_in_part(world)}


def _refund_order(world: World) -> Data:
    return {
        "order": world.known(world.model.orders, lambda one: one.transaction is not None),
        **_in_part(world),
    }


def _in_part(world: World) -> Data:
    return world.maybe(0.5, amount=lambda: world.rng.randint(1, 4))


def _confirm(world: World) -> Data:
    bills = world.model.bills
    bill = world.known(bills, lambda one: one.status == "issued")
    parent = world.model.holders[bills[bill].account].parent if bill in bills else world.id("$shop")
    return {"bill": bill, "confirmed_by": world.or_any(parent)}


# Notices


def _warning(world: World) -> Data:
    account = world.any()
    up = world.model.lineage(account) if account in world.model.holders else [account]
    size = world.rng.choice([{"amount": 5}, {"percent": 40}])
    set_by = world.or_any(world.rng.choice(up))
    return {
        "warning": f"{world.prefix}w{world.rng.randint(1, 4)}",
        "account": account,
        "set_by": set_by,
        **size,
    }


def _remove(world: World) -> Data:
    warnings = world.model.warnings
    warning = world.known(warnings, lambda one: not one.removed_at)
    set_by = warnings[warning].set_by if warning in warnings else world.any()
    return {"warning": warning, "set_by": world.or_any(set_by, 0.3)}


def _notifications(world: World) -> Data:
    return {"account": world.any(), "enabled": world.rng.choice([True, False])}


def _export(world: World) -> Data:
    format_ = world.maybe(0.5, format=lambda: world.rng.choice(["xlsx", "csv"]))
    export = f"{world.prefix}x{world.rng.randint(1, 12)}"
    return {"export": export, "account": world.any(), "report": "statement", **format_}


MADE: list[Made] = [
    ("OpenAccount", _open, 8),
    ("UpdateAccount", _update, 12),
    ("SetCreditLimit", _limit, 4),
    ("SuspendAccount", _account, 3),
    ("ResumeAccount", _suspended, 10),
    ("CloseAccount", _close, 4),
    ("PutPaymentMethods", _methods, 2),
    ("TopUp", _top_up, 20),
    ("ReverseTopUp", _reverse, 6),
    ("Transfer", _transfer, 10),
    ("AllocateCredit", _allocate, 12),
    ("Adjust", _adjust, 6),
    ("Refund", _refund, 14),
    ("Refund", _refund_order, 12),
    ("ConfirmBill", _confirm, 12),
    ("SetWarning", _warning, 8),
    ("RemoveWarning", _remove, 6),
    ("SetNotifications", _notifications, 3),
    ("RequestExport", _export, 6),
]
