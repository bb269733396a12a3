"""Devices: onboarded, renewed, released; and until when they are paid."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from messages.commands import Cycle, CycleUnit
from messages.reasons import Reason
from tests.builders import (
    MONTHLY,
    YEARLY,
    branch,
    department,
    enterprise,
    onboarding,
    plan,
    release,
    renewal,
    top_up,
)
from tests.desk import NOW, PureDesk


@pytest.fixture
def desk() -> PureDesk:
    desk = PureDesk()
    desk.do(enterprise(), branch("north"), department("dept"), top_up("acme", 1000), top_up("north", 1000))
    return desk


def paid_until(desk: PureDesk, device: str) -> datetime | None:
    return desk.devices()[device][1]


def test_onboarding_is_all_or_nothing(desk: PureDesk) -> None:
    desk.do(onboarding("north", "b"))
    assert desk.refused(onboarding("acme", "a", "b", "c")) == Reason.DEVICE_ALREADY_ONBOARDED
    assert set(desk.devices()) == {"b"}
    assert desk.credit("acme") == 1000


def test_onboarding_takes_the_price_for_each_device(desk: PureDesk) -> None:
    desk.do(plan("tracker", price=10), onboarding("acme", "a", "b", price=None, plan="tracker"))
    assert desk.credit("acme") == 980
    desk.do(onboarding("acme", "c", price=7, plan="tracker"))
    assert desk.credit("acme") == 973


def test_without_a_cycle_a_device_is_paid_until_no_day(desk: PureDesk) -> None:
    desk.do(onboarding("acme", "a"))
    assert paid_until(desk, "a") is None


def test_a_renewal_counts_from_the_later_of_now_and_what_is_paid(desk: PureDesk) -> None:
    desk.do(plan("tracker", cycle=MONTHLY), onboarding("acme", "a", plan="tracker"), onboarding("acme", "b"))
    assert paid_until(desk, "a") == datetime(2026, 4, 1, 12, tzinfo=UTC)
    desk.do(renewal("acme", "a", "b", price=2))
    assert paid_until(desk, "a") == datetime(2026, 5, 1, 12, tzinfo=UTC)
    assert paid_until(desk, "b") == datetime(2026, 4, 1, 12, tzinfo=UTC)
    desk.later(days=200)
    desk.do(renewal("acme", "a", price=2))
    assert paid_until(desk, "a") == datetime(2026, 10, 17, 12, tzinfo=UTC)


def test_the_cycle_given_goes_before_the_plans(desk: PureDesk) -> None:
    desk.do(plan("again", "renewal", price=4, cycle=YEARLY), onboarding("acme", "a"))
    desk.do(renewal("acme", "a", price=None, plan="again", cycle=Cycle(unit=CycleUnit.WEEK, count=2)))
    assert paid_until(desk, "a") == datetime(2026, 3, 15, 12, tzinfo=UTC)
    desk.do(renewal("acme", "a", price=None, plan="again", cycle=None))
    assert paid_until(desk, "a") == datetime(2027, 3, 15, 12, tzinfo=UTC)


def test_months_are_clamped_to_their_last_day_in_the_zone_of_the_account(desk: PureDesk) -> None:
    desk.do(enterprise("berlin", timezone="Europe/Berlin"), top_up("berlin", 10))
    desk.now = datetime(2026, 1, 30, 23, 30, tzinfo=UTC)  # the 31st in Berlin, half past midnight
    desk.do(onboarding("berlin", "a"), renewal("berlin", "a"))
    assert paid_until(desk, "a") == datetime(2026, 2, 27, 23, 30, tzinfo=UTC)


def test_wall_time_is_kept_over_a_clock_change(desk: PureDesk) -> None:
    desk.do(enterprise("berlin", timezone="Europe/Berlin"), top_up("berlin", 10))
    desk.now = datetime(2026, 3, 1, 9, tzinfo=UTC)
    desk.do(onboarding("berlin", "a"), renewal("berlin", "a"))
    assert paid_until(desk, "a") == datetime(2026, 4, 1, 8, tzinfo=UTC)


def test_a_released_device_may_be_onboarded_again_anywhere(desk: PureDesk) -> None:
    desk.do(onboarding("acme", "a"))
    assert desk.refused(onboarding("acme", "a")) == Reason.DEVICE_ALREADY_ONBOARDED
    assert desk.refused(release("north", "a")) == Reason.DEVICE_NOT_FOUND
    desk.do(release("acme", "a"))
    assert desk.refused(renewal("acme", "a")) == Reason.DEVICE_NOT_FOUND
    desk.do(onboarding("north", "a"))
    assert desk.devices()["a"][0] == "north"
    assert desk.credit("acme") == 999


def test_a_device_of_a_shared_account_is_its_own_and_its_master_pays(desk: PureDesk) -> None:
    desk.do(onboarding("dept", "a", price=5))
    assert desk.devices()["a"][0] == "dept"
    assert desk.credit("acme") == 995
    assert desk.refused(renewal("acme", "a")) == Reason.DEVICE_NOT_FOUND
    desk.do(renewal("dept", "a", price=5))
    line = desk.lines()[-1]
    assert (line["account"], line["consumer"], line["amount"]) == ("acme", "dept", -5)


def test_a_replaced_plan_is_what_counts_from_then_on(desk: PureDesk) -> None:
    desk.do(plan("tracker", price=10), plan("tracker", "renewal", price=3, cycle=MONTHLY))
    assert desk.refused(onboarding("acme", "a", plan="tracker")) == Reason.PLAN_KIND_MISMATCH
    desk.do(onboarding("acme", "a"), renewal("acme", "a", price=None, plan="tracker", cycle=None))
    assert desk.now == NOW
    assert paid_until(desk, "a") == datetime(2026, 4, 1, 12, tzinfo=UTC)
