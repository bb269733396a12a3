"""Subscriptions: how they begin, what a cycle costs, how they change and end."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from ledger.records import Order, Subscription, SubscriptionCycle
from messages.events import EventType
from messages.reasons import Reason
from tests.builders import (
    MONTHLY,
    YEARLY,
    adjustment,
    cancel,
    change,
    closing,
    delete,
    department,
    enterprise,
    funding,
    next_cycle,
    onboarding,
    plan,
    refund_of_order,
    subscribe,
    top_up,
)
from tests.desk import NOW, PureDesk
from tests.ledger.decide.looking import announced

LATER = "2026-05-31T10:00:00Z"


@pytest.fixture
def desk() -> PureDesk:
    desk = PureDesk()
    desk.do(
        enterprise(),
        department("dept"),
        top_up("acme", 1000),
        plan("pro", "package", price=10, cycle=MONTHLY),
        plan("year", "package", price=100, cycle=YEARLY),
        plan("proxy", "proxy", price=7, cycle=MONTHLY),
        plan("mobile", "phone", price=5, cycle=MONTHLY),
    )
    return desk


def row(desk: PureDesk, id_: str = "s1") -> Subscription:
    found: Subscription = desk.book.get(Subscription, id_)
    return found


def cycle(desk: PureDesk, number: int, id_: str = "s1") -> SubscriptionCycle | None:
    found: SubscriptionCycle | None = desk.book.get(SubscriptionCycle, (id_, number))
    return found


def day(month: int, of_month: int, hour: int = 12, year: int = 2026) -> datetime:
    return datetime(year, month, of_month, hour, tzinfo=UTC)


# How it begins


def test_the_first_cycle_is_charged_at_once(desk: PureDesk) -> None:
    number = desk.do(subscribe(user="ops@acme.example", goods=["seat"]))
    found = row(desk)
    assert (found.status, found.paid_cycles, found.used_by) == ("active", 1, "ops@acme.example")
    assert found.paid_until == found.next_payment_at == day(4, 1)
    first = cycle(desk, 1)
    assert first is not None
    assert (first.begins_at, first.ends_at, first.amount, first.goods) == (NOW, day(4, 1), 10, ["seat"])
    assert (desk.credit("acme"), desk.lines()[-1]["number"]) == (990, number)


def test_or_it_is_refused_and_nothing_is_created(desk: PureDesk) -> None:
    desk.do(adjustment("acme", -991))
    assert desk.refused(subscribe()) == Reason.INSUFFICIENT_CREDIT
    assert desk.refused(cancel()) == Reason.SUBSCRIPTION_NOT_FOUND
    desk.do(top_up("acme", 1), subscribe())


def test_one_that_begins_later_takes_nothing_and_needs_nothing(desk: PureDesk) -> None:
    desk.do(adjustment("acme", -1000), subscribe(start_at=LATER))
    found = row(desk)
    assert (found.status, found.paid_cycles, found.paid_until) == ("scheduled", 0, None)
    assert found.next_payment_at == found.anchor == day(5, 31, 10)


def test_a_manual_one_is_live_and_unpaid_until_somebody_pays(desk: PureDesk) -> None:
    desk.do(subscribe(payment_method="manual"))
    assert (row(desk).status, row(desk).paid_cycles, row(desk).next_payment_at) == ("active", 0, NOW)
    assert desk.credit("acme") == 1000
    desk.later(days=10)
    desk.do(next_cycle())
    assert (row(desk).paid_until, desk.credit("acme")) == (day(4, 1), 990)


def test_one_that_began_in_the_past_pays_its_first_cycle_from_there(desk: PureDesk) -> None:
    desk.do(subscribe(start_at="2025-12-31T00:00:00Z"))
    assert row(desk).paid_until == day(1, 31, 0)
    desk.do(next_cycle(cycle_no=2), next_cycle(cycle_no=3))
    assert row(desk).paid_until == day(3, 31, 0)
    assert desk.credit("acme") == 970


@pytest.mark.parametrize(
    ("kind", "plan_", "types"),
    [
        ("package", "pro", ["order", "renewal"]),
        ("proxy", "proxy", ["order", "renewal"]),
        ("phone", "mobile", ["renewal", "renewal"]),
    ],
)
def test_the_first_cycle_of_what_is_ordered_is_an_order_and_all_else_a_renewal(
    desk: PureDesk, kind: str, plan_: str, types: list[str]
) -> None:
    desk.do(subscribe(plan=plan_, kind=kind, goods=["g1"]), next_cycle())
    lines = desk.lines()[-2:]
    assert [line["type"] for line in lines] == types
    ordered = kind != "phone"
    assert [line["order"] for line in lines] == (["s1/1", "s1/2"] if ordered else [None, None])
    assert [line["devices"] for line in lines] == [None if ordered else ["g1"]] * 2


# Its cycles


def test_each_cycle_of_a_package_is_a_completed_order(desk: PureDesk) -> None:
    desk.do(subscribe())
    desk.later(days=40)
    number = desk.do(next_cycle())
    second: Order = desk.book.get(Order, "s1/2")
    assert (second.status, second.kind, second.amount, second.quantity, second.method) == (
        "completed",
        "package",
        10,
        1,
        "balance",
    )
    assert second.created_at == second.paid_at == desk.now
    assert desk.lines()[-1]["number"] == number
    desk.do(refund_of_order("s1/2", 4), refund_of_order("s1/2"))
    assert desk.refused(refund_of_order("s1/2", 1)) == Reason.REFUND_EXCEEDS_CHARGE
    assert desk.refused(refund_of_order("s1/3")) == Reason.ORDER_NOT_FOUND
    assert desk.credit("acme") == 990


def test_a_cycle_is_paid_once_and_in_its_turn(desk: PureDesk) -> None:
    desk.do(subscribe())
    assert desk.refused(next_cycle(cycle_no=1)) == Reason.ALREADY_RENEWED
    assert desk.refused(next_cycle(cycle_no=3)) == Reason.CYCLE_NOT_DUE
    desk.do(next_cycle(cycle_no=2))
    assert desk.refused(next_cycle(cycle_no=2)) == Reason.ALREADY_RENEWED
    assert desk.credit("acme") == 980


def test_a_renewal_says_so_to_everybody(desk: PureDesk) -> None:
    assert announced(desk, subscribe()) == []
    desk.do(subscribe())
    (told,) = announced(desk, next_cycle())
    assert (told.type, told.account.account) == (EventType.SUBSCRIPTION_RENEWED, "acme")
    assert told.data == {
        "subscription": "s1",
        "cycle_no": 2,
        "period": {"from": "2026-04-01T12:00:00Z", "to": "2026-05-01T12:00:00Z"},
        "reason": None,
        "next_try": None,
    }


def test_periods_touch_and_are_clamped_without_drifting(desk: PureDesk) -> None:
    desk.do(subscribe(start_at="2026-01-31T00:00:00Z"), *(next_cycle() for _ in range(3)))
    periods = [cycle(desk, number) for number in range(1, 5)]
    ends = [one.ends_at for one in periods if one]
    assert ends == [day(2, 28, 0), day(3, 31, 0), day(4, 30, 0), day(5, 31, 0)]
    assert [one.begins_at for one in periods if one] == [day(1, 31, 0), *ends[:-1]]


def test_dates_are_those_of_the_accounts_zone_when_it_began(desk: PureDesk) -> None:
    desk.do(enterprise("tokyo", timezone="Asia/Tokyo"), top_up("tokyo", 100))
    desk.now = datetime(2026, 1, 30, 15, tzinfo=UTC)  # midnight of the 31st in Tokyo
    desk.do(subscribe("s1", "tokyo"), next_cycle("s1", "tokyo"))
    assert row(desk).paid_until == datetime(2026, 3, 30, 15, tzinfo=UTC)


@pytest.mark.parametrize("status", ["past_due", "suspended"])
def test_paying_revives_it_once_all_is_paid_for(desk: PureDesk, status: str) -> None:
    # Given a subscription that has missed two cycles
    desk.do(subscribe())
    desk.later(days=35)
    _put(desk, status=status)
    desk.later(days=30)
    # When the first of them is paid, it is still behind
    desk.do(next_cycle())
    assert row(desk).status == "past_due"
    # And when all are paid, it is not, and its dates are as ever
    desk.do(next_cycle())
    assert (row(desk).status, row(desk).paid_until) == ("active", day(6, 1))


def _put(desk: PureDesk, **changed: object) -> None:
    desk.book.put(Subscription, "s1", replace(row(desk), **changed))  # type: ignore[arg-type]


def test_of_a_shared_account_the_master_pays(desk: PureDesk) -> None:
    desk.do(subscribe("s1", "dept"))
    assert desk.refused(next_cycle("s1", "acme")) == Reason.SUBSCRIPTION_NOT_FOUND
    desk.do(next_cycle("s1", "dept"))
    assert (desk.credit("acme"), desk.lines()[-1]["consumer"]) == (980, "dept")


def test_who_pays_is_settled_cycle_by_cycle(desk: PureDesk) -> None:
    desk.do(department("team", "dept"), subscribe("s1", "team"), funding("dept", "own"), top_up("dept", 50))
    desk.do(next_cycle("s1", "team"))
    assert (desk.credit("acme"), desk.credit("dept")) == (990, 40)
    desk.do(adjustment("dept", -40))
    assert desk.refused(funding("dept", "shared")) == Reason.ACCOUNT_IN_USE


# How it changes


def test_a_change_takes_effect_with_the_next_cycle(desk: PureDesk) -> None:
    desk.do(
        subscribe(goods=["a"]),
        change(goods=["b"], plan="pro"),
        plan("pro", "package", price=25, cycle=MONTHLY),
    )
    first = cycle(desk, 1)
    assert first is not None
    assert (first.goods, desk.credit("acme")) == (["a"], 990)
    desk.do(next_cycle())
    second = cycle(desk, 2)
    assert second is not None
    assert (second.goods, second.amount, desk.credit("acme")) == (["b"], 25, 965)


@pytest.mark.parametrize("by", ["a change of plan", "a plan that is replaced"])
def test_another_cycle_anchors_at_the_end_of_what_is_paid(desk: PureDesk, by: str) -> None:
    # Given a monthly subscription of the 31st, paid until 28 February
    desk.now = day(1, 31)
    desk.do(subscribe())
    # When its cycle becomes a year
    if by == "a change of plan":
        desk.do(change(plan="year"))
    else:
        desk.do(plan("pro", "package", price=100, cycle=YEARLY))
    desk.do(next_cycle(), next_cycle())
    # Then years are counted from there, and nothing is paid for twice
    assert [cycle(desk, number).ends_at for number in (1, 2, 3)] == [  # type: ignore[union-attr]
        day(2, 28),
        day(2, 28, year=2027),
        day(2, 28, year=2028),
    ]
    # And back again from the end of those
    desk.do(change(plan="pro"), plan("pro", "package", price=10, cycle=MONTHLY), next_cycle())
    assert row(desk).paid_until == day(3, 28, year=2028)


def test_another_plan_of_the_same_cycle_keeps_the_anchor(desk: PureDesk) -> None:
    desk.now = day(1, 31)
    desk.do(subscribe(), plan("big", "package", price=20, cycle=MONTHLY), change(plan="big"), next_cycle())
    assert row(desk).paid_until == day(3, 31)


def test_one_that_has_not_begun_anchors_at_its_start_whatever_its_cycle(desk: PureDesk) -> None:
    desk.do(subscribe(start_at=LATER), change(plan="year"), next_cycle())
    first = cycle(desk, 1)
    assert first is not None
    assert (first.begins_at, first.ends_at) == (day(5, 31, 10), day(5, 31, 10, 2027))


def test_only_what_is_given_changes(desk: PureDesk) -> None:
    desk.do(subscribe(goods=["a"]), change(payment_method="manual"))
    assert (row(desk).payment_method, row(desk).goods, row(desk).plan) == ("manual", ["a"], "pro")
    desk.do(change(goods=[]), change(payment_method="balance"))
    assert (row(desk).payment_method, row(desk).goods) == ("balance", [])


def test_goods_that_are_no_devices_are_never_looked_for(desk: PureDesk) -> None:
    desk.do(onboarding("acme", "a"), subscribe(goods=["a", "any text at all"]), change(goods=["no device"]))
    desk.do(next_cycle())
    assert desk.devices()["a"][1] is None


# How it ends


def test_canceled_at_once_it_is_never_charged_again(desk: PureDesk) -> None:
    desk.do(subscribe())
    (told,) = announced(desk, cancel())
    assert (told.type, told.data["cycle_no"]) == (EventType.SUBSCRIPTION_CANCELED, 1)
    desk.do(cancel())
    assert (row(desk).status, row(desk).canceled_at, row(desk).next_payment_at) == ("canceled", NOW, None)
    for command in (next_cycle(), change(payment_method="manual"), cancel(), cancel(at="period_end")):
        assert desk.refused(command) == Reason.SUBSCRIPTION_NOT_ACTIVE


def test_canceled_with_its_period_it_lives_until_then_and_is_not_charged(desk: PureDesk) -> None:
    desk.do(subscribe())
    assert announced(desk, cancel(at="period_end")) == []
    desk.do(cancel(at="period_end"))
    assert (row(desk).status, row(desk).cancel_at, row(desk).next_payment_at) == ("active", day(4, 1), None)
    for command in (next_cycle(), change(payment_method="manual"), cancel(at="period_end")):
        assert desk.refused(command) == Reason.SUBSCRIPTION_NOT_ACTIVE
    assert desk.refused(delete()) == Reason.SUBSCRIPTION_NOT_CANCELED
    desk.do(cancel(), delete())


@pytest.mark.parametrize(
    "given", [{"start_at": LATER}, {"payment_method": "manual"}, {"start_at": "2025-01-01T00:00:00Z"}]
)
def test_with_nothing_paid_ahead_its_period_has_ended(desk: PureDesk, given: dict[str, str]) -> None:
    desk.do(subscribe(**given), cancel(at="period_end"))
    assert (row(desk).status, row(desk).cancel_at) == ("canceled", None)


def test_at_the_very_end_of_its_period_it_ends_at_once(desk: PureDesk) -> None:
    desk.do(subscribe())
    desk.now = day(4, 1)
    desk.do(cancel(at="period_end"))
    assert (row(desk).status, row(desk).canceled_at) == ("canceled", day(4, 1))


def test_deleted_it_is_not_found_and_its_id_stays_taken(desk: PureDesk) -> None:
    desk.do(subscribe(), cancel(), delete())
    for command in (next_cycle(), change(), cancel(), delete()):
        assert desk.refused(command) == Reason.SUBSCRIPTION_NOT_FOUND
    assert desk.refused(subscribe()) == Reason.SUBSCRIPTION_EXISTS
    desk.do(refund_of_order("s1/1"))
    assert cycle(desk, 1) is not None


@pytest.mark.parametrize("given", [{}, {"start_at": LATER}, {"payment_method": "manual"}])
def test_while_it_lives_its_account_stays_as_it_is(desk: PureDesk, given: dict[str, str]) -> None:
    desk.do(subscribe("s1", "dept", **given))
    assert desk.refused(closing("dept")) == Reason.ACCOUNT_IN_USE
    assert desk.refused(funding("dept", "own")) == Reason.ACCOUNT_IN_USE
    desk.do(cancel(), funding("dept", "own"), closing("dept"))
