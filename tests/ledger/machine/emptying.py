"""How an account is emptied step by step."""

from __future__ import annotations

from tests.ledger.machine.world import Data, World


def next_step(world: World, id_: str) -> tuple[str, Data]:
    """The next step to an account that has nothing left, so that its funding may change, or it may be closed."""
    rng, one, open_ = world.rng, world.model.holders[id_], _open_things(world, id_)
    if open_:
        return rng.choice(open_)
    if one.credit and one.funding == "sponsored":
        return "AllocateCredit", {"reseller": one.parent, "customer": id_, "amount": -one.credit}
    if one.credit > 0 and one.parent != "platform":
        moved = {"from_account": id_, "to_account": one.parent, "amount": one.credit}
        return "Transfer", {**moved, "ordered_by": one.parent}
    if one.credit < 0:
        return "TopUp", {"account": id_, "amount": -one.credit}
    if rng.random() < 0.05:
        return "CloseAccount", {"account": id_}
    return "UpdateAccount", {"account": id_, "funding": rng.choice(["own", "shared", "sponsored"])}


def _open_things(world: World, id_: str) -> list[tuple[str, Data]]:
    """What would end each thing that the account has open."""
    model, now = world.model, world.now.isoformat()
    holds = [name for name, one in model.holds.items() if one.account == id_ and one.state == "open"]
    resources = [
        name for name, one in model.resources.items() if one.account == id_ and one.state == "active"
    ]
    sessions = [name for name, one in model.sessions.items() if one.account == id_ and not one.power_down_at]
    orders = [
        name for name, one in model.orders.items() if one.account == id_ and one.status == "pending_payment"
    ]
    live = [
        name for name, one in model.subscriptions.items() if one.account == id_ and one.status != "canceled"
    ]
    return [
        *(("ReleaseHold", {"hold": name}) for name in holds),
        *(("TerminatePostpaid", {"resource": name}) for name in resources),
        *(("PowerOff", {"session": name, "at": now}) for name in sessions),
        *(("CancelOrder", {"order": name}) for name in orders),
        *(("CancelSubscription", {"subscription": name, "at": "now"}) for name in live),
    ]
