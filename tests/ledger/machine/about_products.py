"""Random commands about what coins are spent on: devices, orders, phones, holds, resources, subscriptions."""

from __future__ import annotations

from datetime import timedelta

from tests.ledger.machine.world import METHODS, PLAN_KINDS, Data, Made, World

AMOUNTS = [1, 1, 2, 2, 3, 5, 8]

# Plans, devices


def _put_plan(world: World) -> Data:
    rng = world.rng
    kind = rng.choice(PLAN_KINDS)
    return {
        "plan": world.id(rng.choice([f"${kind}", f"${kind}2", f"${kind}2"])),
        "name": kind,
        "kind": rng.choice(PLAN_KINDS) if rng.random() < 0.05 else kind,
        **world.maybe(0.9, price=world.price, cycle=world.cycle),
        **world.maybe(0.8, rate=lambda: rng.choice(["0", "0.05", "0.1", "1"])),
        **world.maybe(0.5, coefficient=lambda: rng.choice(["0.5", "1.25", "2"])),
    }


def _onboard(world: World) -> Data:
    return {"account": world.buyer(), "devices": world.devices(None, 0.3), **world.priced("onboarding")}


def _renew(world: World) -> Data:
    account = world.owner()
    cycle = world.maybe(0.4, cycle=world.cycle)
    return {"account": account, "devices": world.devices(account), **world.priced("renewal"), **cycle}


def _release(world: World) -> Data:
    account = world.owner()
    return {"account": account, "device": world.devices(account)[0]}


# Orders, phones


def _place(world: World) -> Data:
    rng = world.rng
    kind = rng.choice(["package", "proxy"])
    return {
        "order": world.fresh("o", _named(world)),
        "account": world.buyer(),
        "kind": kind,
        "product": kind,
        **world.priced(kind),
        **world.maybe(0.3, quantity=lambda: rng.randint(1, 3), method=lambda: rng.choice(METHODS)),
        **world.maybe(0.5, pay=lambda: "later"),
    }


def _named(world: World) -> list[str]:
    """Orders whose ids a producer chose."""
    return [id_ for id_ in world.model.orders if "/" not in id_]


def _pending(world: World) -> str:
    return world.known(world.model.orders, lambda one: one.status == "pending_payment")


def _pay(world: World) -> Data:
    return {"order": _pending(world), **world.maybe(0.3, method=lambda: world.rng.choice(METHODS))}


def _cancel_order(world: World) -> Data:
    return {"order": _pending(world)}


def _on(world: World) -> Data:
    rate = world.rng.choice(["0", "0.01", "0.1", "0.333333", "1"])
    return {
        "account": world.buyer(),
        "session": world.fresh("o", _named(world)),
        "phone": world.id(world.rng.choice(["$f1", "$f2", "$f3", "$f4"])),
        "at": world.moment(-2, -0.5, 0),
        **world.maybe(0.7, plan=lambda: world.plan("phone")),
        **world.maybe(0.4, rate=lambda: rate),
    }


def _off(world: World) -> Data:
    sessions = world.model.sessions
    session = world.known(sessions, lambda one: not one.power_down_at)
    begun = sessions[session].power_up_at if session in sessions else world.now
    seconds = world.rng.choice([-60, 0, 1, 60, 61, 600, 1800, 7000])
    return {"session": session, "at": (begun + timedelta(seconds=seconds)).isoformat()}


# Holds, postpaid


def _hold(world: World) -> Data:
    return {
        "hold": world.fresh("h", world.model.holds),
        "account": world.buyer(),
        "amount": world.rng.choice(AMOUNTS),
        **world.maybe(0.4, expires_at=lambda: world.moment(-1, 0, 1, 20, 20, 800)),
    }


def _open_hold(world: World) -> str:
    return world.known(world.model.holds, lambda one: one.state == "open")


def _capture(world: World) -> Data:
    amount = world.maybe(0.6, amount=lambda: world.rng.choice(AMOUNTS))
    return {"hold": _open_hold(world), **amount, **world.maybe(0.5, final=lambda: False)}


def _release_hold(world: World) -> Data:
    return {"hold": _open_hold(world)}


def _activate(world: World) -> Data:
    return {
        "resource": world.fresh("u", world.model.resources),
        "account": world.buyer(),
        "estimate": world.rng.choice([*AMOUNTS, *AMOUNTS, 9 * 10**14]),
        **world.maybe(0.6, plan=lambda: world.plan("postpaid")),
        **world.maybe(0.4, coefficient=lambda: world.rng.choice(["0", "0.5", "1.1", "2"])),
    }


def _resource(world: World, chance: float) -> str:
    return world.known(world.model.resources, lambda one: one.state == "active", chance)


def _usage(world: World) -> Data:
    return {"resource": _resource(world, 0.5), "amount": world.rng.choice(AMOUNTS)}


def _terminate(world: World) -> Data:
    return {"resource": _resource(world, 0.7)}


# Subscriptions


def _subscribe(world: World) -> Data:
    rng = world.rng
    kind = rng.choice(["device", "device", "package", "proxy", "phone"])
    account = world.owner() if kind == "device" else world.buyer()
    goods = (lambda: world.devices(account)) if kind == "device" else lambda: ["a", "b"]
    return {
        "subscription": world.fresh("s", world.model.subscriptions),
        "account": account,
        "kind": kind,
        "plan": world.plan("renewal" if kind == "device" else kind),
        **world.maybe(1 if kind == "device" else 0.3, goods=goods),
        **world.maybe(0.2, payment_method=lambda: rng.choice(["balance", "manual"])),
        **world.maybe(0.4, start_at=lambda: world.moment(-24 * 100, -24 * 30, -5, 0, 5, 24 * 20)),
    }


def _live(world: World) -> str:
    return world.known(world.model.subscriptions, lambda one: one.status != "canceled")


def _renew_subscription(world: World) -> Data:
    name = _live(world)
    one = world.model.subscriptions.get(name)
    number = (one.paid_cycles if one else 0) + world.rng.choice([-1, 0, 1, 1, 1, 2, 2])
    account = world.or_any(one.account, 0.1) if one else world.buyer()
    return {"account": account, "subscription": name, **world.maybe(0.7, cycle_no=lambda: max(1, number))}


def _change(world: World) -> Data:
    rng, name = world.rng, _live(world)
    one = world.model.subscriptions.get(name)
    kind, account = (one.kind, one.account) if one else ("package", world.buyer())
    goods = world.devices(account) if kind == "device" else ["c"]
    return {
        "subscription": name,
        **world.maybe(0.5, plan=lambda: world.plan("renewal" if kind == "device" else kind)),
        **world.maybe(0.3, goods=lambda: rng.choice([goods, goods, []])),
        **world.maybe(0.2, payment_method=lambda: rng.choice(["balance", "manual"])),
    }


def _cancel(world: World) -> Data:
    return {
        "subscription": _live(world),
        **world.maybe(0.5, at=lambda: world.rng.choice(["now", "period_end"])),
    }


def _delete(world: World) -> Data:
    canceled = world.known(
        world.model.subscriptions, lambda one: one.status == "canceled" and not one.deleted_at
    )
    return {"subscription": canceled}


MADE: list[Made] = [
    ("PutPlan", _put_plan, 5),
    ("DebitForDeviceOnboarding", _onboard, 18),
    ("Renewal", _renew, 14),
    ("ReleaseDevice", _release, 10),
    ("PlaceOrder", _place, 18),
    ("PayOrder", _pay, 14),
    ("CancelOrder", _cancel_order, 9),
    ("PowerOn", _on, 12),
    ("PowerOff", _off, 14),
    ("PlaceHold", _hold, 12),
    ("CaptureHold", _capture, 14),
    ("ReleaseHold", _release_hold, 8),
    ("ActivatePostpaid", _activate, 14),
    ("ReportUsage", _usage, 14),
    ("TerminatePostpaid", _terminate, 8),
    ("Subscribe", _subscribe, 16),
    ("Renewal", _renew_subscription, 16),
    ("ChangeSubscription", _change, 12),
    ("CancelSubscription", _cancel, 10),
    ("DeleteSubscription", _delete, 9),
]
