"""Walks of the commands about subscriptions."""

from __future__ import annotations

from dataclasses import replace

from ledger.records import Subscription
from messages.reasons import Reason
from tests.builders import (
    LONGEST,
    MONTHLY,
    MOST,
    adjustment,
    cancel,
    change,
    closing,
    delete,
    grant,
    next_cycle,
    onboarding,
    plan,
    resume,
    subscribe,
    subscribe_devices,
    suspend,
    top_up,
)
from tests.desk import PureDesk
from tests.ledger.decide.walks.world import FAR, Row, paid_until_far

SUBSCRIBE: list[Row] = [
    Row(
        subscribe("taken", "none", "none", kind="device", goods=["a", "no"]),
        Reason.ACCOUNT_NOT_FOUND,
        (top_up("acme", 2), onboarding("acme", "a", "b"), top_up("north", 10), subscribe("taken", "north")),
    ),
    Row(subscribe("taken", "platform", "none", kind="device", goods=["a", "no"]), Reason.ACCOUNT_NOT_FOUND),
    Row(subscribe("taken", "gone", "none", kind="device", goods=["a", "no"]), Reason.ACCOUNT_CLOSED),
    Row(subscribe("taken", "off", "none", kind="device", goods=["a", "no"]), Reason.ACCOUNT_SUSPENDED),
    Row(subscribe("taken", "off-dept", "none", kind="device", goods=["no"]), Reason.ACCOUNT_SUSPENDED),
    Row(subscribe("taken", "otto", "none", kind="device", goods=["no"]), Reason.ACCOUNT_SUSPENDED),
    Row(subscribe_devices("a", "no", id_="taken", plan="none"), Reason.PLAN_NOT_FOUND),
    Row(subscribe_devices("a", "no", id_="taken", plan="pro"), Reason.PLAN_KIND_MISMATCH),
    Row(subscribe("taken", plan="again"), Reason.PLAN_KIND_MISMATCH),
    Row(subscribe("taken", plan="pro", kind="phone"), Reason.PLAN_KIND_MISMATCH),
    Row(subscribe_devices("a", "no", id_="taken", plan="unpriced-again"), Reason.PRICE_REQUIRED),
    Row(subscribe_devices("a", "no", id_="taken", plan="endless-again"), Reason.CYCLE_REQUIRED),
    Row(subscribe_devices("a", "no", id_="taken", plan="dear-again"), Reason.AMOUNT_TOO_LARGE),
    Row(subscribe_devices("a", "no", id_="taken"), Reason.DEVICE_NOT_FOUND),
    Row(subscribe("taken", "north", "again", kind="device", goods=["a"]), Reason.DEVICE_NOT_FOUND),
    Row(
        subscribe_devices("b", "a", id_="taken", plan="century"),
        Reason.INVALID_TIME,
        (plan("century", "renewal", price=MOST // 2, cycle=LONGEST), paid_until_far("a")),
    ),
    Row(subscribe_devices("a", "b", id_="taken"), Reason.SUBSCRIPTION_EXISTS),
    Row(subscribe("taken", start_at="2090-01-01T00:00:00Z"), Reason.SUBSCRIPTION_EXISTS),
    Row(subscribe_devices("a", "b", id_="new"), Reason.INSUFFICIENT_CREDIT),
    Row(subscribe("new", "carl"), Reason.INSUFFICIENT_CREDIT),
    Row(subscribe("new", "carl"), Reason.SPONSOR_INSUFFICIENT_CREDIT, (grant("carl", 10),)),
    Row(subscribe("new", "dept"), Reason.MASTER_INSUFFICIENT_CREDIT, (top_up("acme", 9),)),
    Row(subscribe("new", "dept"), None, (top_up("acme", 1),)),
]


def _far(desk: PureDesk) -> None:
    """The subscription is paid until almost the last year that can be counted."""
    row = desk.book.get(Subscription, "far")
    desk.book.put(
        Subscription, "far", replace(row, anchor=FAR, anchor_no=row.paid_cycles + 1, paid_until=FAR)
    )


RENEW: list[Row] = [
    Row(
        next_cycle("ended", "none", 9),
        Reason.ACCOUNT_NOT_FOUND,
        (
            plan("own", "package", price=10, cycle=MONTHLY),
            top_up("acme", 60),
            subscribe("ended", plan="own"),
            cancel("ended"),
            plan("own", "proxy"),
        ),
    ),
    Row(next_cycle("ended", "gone", 9), Reason.ACCOUNT_CLOSED),
    Row(next_cycle("ended", "off", 9), Reason.ACCOUNT_SUSPENDED),
    Row(next_cycle("ended", "otto", 9), Reason.ACCOUNT_SUSPENDED),
    Row(next_cycle("ended", cycle_no=9), Reason.PLAN_KIND_MISMATCH),
    Row(next_cycle("ended", cycle_no=9), Reason.PRICE_REQUIRED, (plan("own", "package"),)),
    Row(next_cycle("ended", cycle_no=9), Reason.CYCLE_REQUIRED, (plan("own", "package", price=5),)),
    Row(
        next_cycle("devices", cycle_no=9),
        Reason.AMOUNT_TOO_LARGE,
        (
            plan("each", "renewal", price=1, cycle=MONTHLY),
            onboarding("acme", "a", "b"),
            subscribe_devices("a", "b", id_="devices", plan="each"),
            cancel("devices"),
            plan("each", "renewal", price=MOST, cycle=MONTHLY),
        ),
    ),
    Row(
        next_cycle("far", cycle_no=9),
        Reason.INVALID_TIME,
        (subscribe("far"), cancel("far", "period_end"), _far, plan("pro", "package", price=5, cycle=LONGEST)),
    ),
    Row(
        next_cycle("ended", cycle_no=9),
        Reason.SUBSCRIPTION_NOT_ACTIVE,
        (plan("own", "package", price=10, cycle=MONTHLY),),
    ),
    Row(
        next_cycle("ending", cycle_no=1),
        Reason.SUBSCRIPTION_NOT_ACTIVE,
        (subscribe("ending", plan="own"), cancel("ending", "period_end")),
    ),
    Row(
        next_cycle("live", cycle_no=1),
        Reason.ALREADY_RENEWED,
        (subscribe("live", plan="own"), adjustment("acme", -11)),
    ),
    Row(next_cycle("live", cycle_no=3), Reason.CYCLE_NOT_DUE),
    Row(next_cycle("live", cycle_no=2), Reason.INSUFFICIENT_CREDIT),
    Row(next_cycle("live"), None, (top_up("acme", 10),)),
    Row(next_cycle("live", "north"), Reason.SUBSCRIPTION_NOT_FOUND),
    Row(next_cycle("none", cycle_no=9), Reason.SUBSCRIPTION_NOT_FOUND),
    Row(next_cycle("ended"), Reason.SUBSCRIPTION_NOT_FOUND, (delete("ended"),)),
]
CHANGE: list[Row] = [
    Row(
        change("wests", plan="none"),
        Reason.ACCOUNT_CLOSED,
        (top_up("west", 10), subscribe("wests", "west"), cancel("wests"), closing("west")),
    ),
    Row(
        change("ended", plan="none", goods=["no"]),
        Reason.PLAN_NOT_FOUND,
        (
            top_up("acme", 10),
            onboarding("acme", "a", "b"),
            subscribe_devices("a", "b", id_="ended"),
            cancel("ended"),
        ),
    ),
    Row(change("ended", plan="pro", goods=["no"]), Reason.PLAN_KIND_MISMATCH),
    Row(change("ended", plan="unpriced-again", goods=["no"]), Reason.PRICE_REQUIRED),
    Row(change("ended", plan="endless-again", goods=["no"]), Reason.CYCLE_REQUIRED),
    Row(change("ended", plan="dear-again", goods=["a", "no"]), Reason.AMOUNT_TOO_LARGE),
    Row(change("ended", plan="dear-again"), Reason.AMOUNT_TOO_LARGE),
    Row(change("ended", plan="dear-again", goods=["no"]), Reason.DEVICE_NOT_FOUND),
    Row(change("ended", goods=[]), Reason.DEVICE_NOT_FOUND),
    Row(change("ended", goods=["a"], plan="dear-again"), Reason.SUBSCRIPTION_NOT_ACTIVE),
    Row(change("ended", payment_method="manual"), Reason.SUBSCRIPTION_NOT_ACTIVE),
    Row(
        change("live", goods=["b"], plan="dear-again"),
        None,
        (top_up("acme", 4), subscribe_devices("a", id_="live"), suspend("acme")),
    ),
    Row(change("none", plan="none"), Reason.PLAN_NOT_FOUND),
    Row(change("ended", plan="none"), Reason.PLAN_NOT_FOUND, (delete("ended"),)),
    Row(change("none", plan="dear-again"), Reason.SUBSCRIPTION_NOT_FOUND),
]
CANCEL: list[Row] = [
    Row(
        cancel("wests"),
        Reason.ACCOUNT_CLOSED,
        (top_up("west", 10), subscribe("wests", "west"), cancel("wests"), closing("west")),
    ),
    Row(
        cancel("ended"),
        Reason.SUBSCRIPTION_NOT_ACTIVE,
        (top_up("acme", 10), subscribe("ended"), cancel("ended")),
    ),
    Row(cancel("ended", "period_end"), Reason.SUBSCRIPTION_NOT_ACTIVE),
    Row(cancel("live", "period_end"), None, (top_up("acme", 10), subscribe("live"), suspend("acme"))),
    Row(cancel("live", "period_end"), Reason.SUBSCRIPTION_NOT_ACTIVE),
    Row(cancel("live"), None),
    Row(cancel("none"), Reason.SUBSCRIPTION_NOT_FOUND),
    Row(cancel("ended"), Reason.SUBSCRIPTION_NOT_FOUND, (delete("ended"),)),
]
DELETE: list[Row] = [
    Row(
        delete("wests"),
        Reason.ACCOUNT_CLOSED,
        (top_up("west", 10), subscribe("wests", "west"), cancel("wests"), closing("west")),
    ),
    Row(delete("live"), Reason.SUBSCRIPTION_NOT_CANCELED, (top_up("acme", 10), subscribe("live"))),
    Row(delete("live"), Reason.SUBSCRIPTION_NOT_CANCELED, (cancel("live", "period_end"),)),
    Row(delete("live"), None, (cancel("live"), suspend("acme"))),
    Row(delete("live"), Reason.SUBSCRIPTION_NOT_FOUND),
    Row(delete("none"), Reason.SUBSCRIPTION_NOT_FOUND),
    Row(subscribe("live"), Reason.SUBSCRIPTION_EXISTS, (resume("acme"),)),
]
WALKS = {
    "Subscribe": SUBSCRIBE,
    "Renewal of a subscription": RENEW,
    "ChangeSubscription": CHANGE,
    "CancelSubscription": CANCEL,
    "DeleteSubscription": DELETE,
}
