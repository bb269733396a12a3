"""Subscriptions of devices: what is charged for each, until when each is paid, and those that drop out."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ledger.records import Subscription, SubscriptionCycle
from messages.events import EventType
from messages.reasons import Reason
from tests.builders import (
    LONGEST,
    MONTHLY,
    MOST,
    YEARLY,
    adjustment,
    branch,
    change,
    enterprise,
    next_cycle,
    onboarding,
    plan,
    release,
    renewal,
    subscribe_devices,
    top_up,
)
from tests.desk import PureDesk
from tests.ledger.decide.looking import announced
from tests.ledger.decide.walks.world import paid_until_far

APRIL, MAY = datetime(2026, 4, 1, 12, tzinfo=UTC), datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def desk() -> PureDesk:
    desk = PureDesk()
    desk.do(
        enterprise(),
        branch("north"),
        top_up("acme", 1000),
        top_up("north", 100),
        plan("tracker", price=1, cycle=MONTHLY),
        plan("again", "renewal", price=4, cycle=MONTHLY),
        onboarding("acme", "a", "b", "c"),
    )
    return desk


def row(desk: PureDesk) -> Subscription:
    found: Subscription = desk.book.get(Subscription, "s1")
    return found


def paid_until(desk: PureDesk, *devices: str) -> list[datetime | None]:
    return [desk.devices()[one][1] for one in devices]


def test_the_price_is_for_each_device_and_each_is_paid_until_the_periods_end(desk: PureDesk) -> None:
    desk.do(subscribe_devices("a", "b"))
    assert desk.credit("acme") == 989
    assert paid_until(desk, "a", "b", "c") == [APRIL, APRIL, None]
    line = desk.lines()[-1]
    assert (line["type"], line["devices"], line["item"], line["order"]) == (
        "renewal",
        ["a", "b"],
        "Plan again",
        None,
    )
    desk.do(next_cycle())
    assert (paid_until(desk, "a", "b"), desk.credit("acme")) == ([MAY, MAY], 981)


def test_a_device_that_is_paid_for_beyond_moves_one_cycle_on(desk: PureDesk) -> None:
    desk.do(onboarding("acme", "d", price=None, plan="tracker"), renewal("acme", "a"), renewal("acme", "a"))
    desk.do(subscribe_devices("a", "b", "d"))
    assert paid_until(desk, "a", "b", "d") == [datetime(2026, 6, 1, 12, tzinfo=UTC), APRIL, MAY]


def test_a_device_whose_time_is_over_is_paid_for_from_the_period_on(desk: PureDesk) -> None:
    desk.do(renewal("acme", "a"))
    desk.later(days=60)
    desk.do(subscribe_devices("a"))
    assert paid_until(desk, "a") == [datetime(2026, 5, 30, 12, tzinfo=UTC)]


def test_days_of_the_month_do_not_drift(desk: PureDesk) -> None:
    desk.now = datetime(2026, 1, 31, 12, tzinfo=UTC)
    found = []
    for command in (subscribe_devices("a"), next_cycle(), next_cycle()):
        desk.do(command)
        found += paid_until(desk, "a")
    assert [(one.month, one.day) for one in found if one] == [(2, 28), (3, 31), (4, 30)]


def test_a_device_is_paid_for_where_it_is_active_only(desk: PureDesk) -> None:
    desk.do(onboarding("north", "n"), release("acme", "c"))
    for other in ("n", "c", "unseen"):
        assert desk.refused(subscribe_devices("a", other)) == Reason.DEVICE_NOT_FOUND
    desk.do(subscribe_devices("a"))
    for other in ("n", "c"):
        assert desk.refused(change(goods=["a", other])) == Reason.DEVICE_NOT_FOUND


def test_goods_that_are_gone_drop_out_at_the_next_cycle(desk: PureDesk) -> None:
    # Given three devices, of which one is released, and one onboarded by another account
    desk.do(
        subscribe_devices("a", "b", "c"), release("acme", "a"), release("acme", "b"), onboarding("north", "b")
    )
    assert row(desk).goods == ["a", "b", "c"]
    # When the next cycle is paid
    credit = desk.credit("acme")
    desk.do(next_cycle())
    # Then it is paid for the last one alone
    assert (row(desk).goods, credit - desk.credit("acme")) == (["c"], 4)
    assert desk.book.get(SubscriptionCycle, ("s1", 2)).goods == ["c"]
    assert paid_until(desk, "a", "b", "c") == [APRIL, None, MAY]
    # And a device that comes back does not come back into the subscription
    desk.do(onboarding("acme", "a"), next_cycle())
    assert row(desk).goods == ["c"]


def test_with_its_last_device_it_is_canceled_and_nothing_is_charged(desk: PureDesk) -> None:
    desk.do(subscribe_devices("a", "b"), release("acme", "a"), release("acme", "b"), adjustment("acme", -989))
    (told,) = announced(desk, next_cycle())
    assert (told.type, told.data["subscription"]) == (EventType.SUBSCRIPTION_CANCELED, "s1")
    said = desk.ask(next_cycle())
    assert (said.data.reason, said.data.transaction) == (None, None)
    assert "canceled" in (said.data.message or "")
    assert (row(desk).status, row(desk).paid_cycles, desk.credit("acme")) == ("canceled", 1, 0)
    assert desk.refused(next_cycle()) == Reason.SUBSCRIPTION_NOT_ACTIVE


def test_goods_change_with_the_next_cycle(desk: PureDesk) -> None:
    desk.do(subscribe_devices("a"), change(goods=["b", "c"]))
    assert paid_until(desk, "a", "b", "c") == [APRIL, None, None]
    desk.do(next_cycle())
    assert paid_until(desk, "a", "b", "c") == [APRIL, MAY, MAY]
    assert desk.credit("acme") == 985


def test_what_would_cost_too_much_is_refused_before_it_is_due(desk: PureDesk) -> None:
    desk.do(subscribe_devices("a"), plan("dear", "renewal", price=MOST, cycle=MONTHLY))
    assert desk.refused(change(plan="dear", goods=["b", "c"])) == Reason.AMOUNT_TOO_LARGE
    desk.do(change(plan="dear"))
    assert desk.refused(next_cycle()) == Reason.INSUFFICIENT_CREDIT


def test_another_cycle_moves_each_device_by_that(desk: PureDesk) -> None:
    desk.do(
        subscribe_devices("a"),
        plan("long", "renewal", price=40, cycle=YEARLY),
        change(plan="long"),
        next_cycle(),
    )
    assert paid_until(desk, "a") == [datetime(2027, 4, 1, 12, tzinfo=UTC)]


def test_a_device_of_two_subscriptions_is_paid_for_by_both(desk: PureDesk) -> None:
    desk.do(subscribe_devices("a"), subscribe_devices("a", id_="s2"))
    assert paid_until(desk, "a") == [MAY]


def test_a_device_that_cannot_be_paid_for_any_longer_is_not_charged_for(desk: PureDesk) -> None:
    desk.do(plan("century", "renewal", price=1, cycle=LONGEST), subscribe_devices("a", "b", plan="century"))
    paid_until_far("b")(desk)
    credit = desk.credit("acme")
    assert desk.refused(next_cycle()) == Reason.INVALID_TIME
    desk.do(change(goods=["a"]), next_cycle())
    assert credit - desk.credit("acme") == 1
