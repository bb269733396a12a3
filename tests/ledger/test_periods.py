"""Billing dates: whatever the anchor, the zone and the cycle, periods touch, and nothing drifts."""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from ledger.periods import LAST_YEAR, Cycle, nth
from ledger.records import Subscription, SubscriptionCycle
from messages.commands import Cycle as MessageCycle
from messages.commands import CycleUnit
from tests.builders import change, enterprise, next_cycle, plan, subscribe, top_up
from tests.desk import PureDesk

UNITS = ("day", "week", "month", "year")
ZONES = (
    "UTC",
    "Europe/Berlin",
    "Europe/London",
    "America/New_York",
    "America/St_Johns",
    "America/Santiago",
    "Africa/Casablanca",
    "Asia/Kathmandu",
    "Asia/Tehran",
    "Asia/Shanghai",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Pacific/Auckland",
    "Pacific/Chatham",
    "Pacific/Kiritimati",
    "Pacific/Pago_Pago",
)
DAY, SECOND = Cycle("day", 1), timedelta(seconds=1)
BEGIN = datetime(2000, 1, 1, tzinfo=UTC)

zones = st.sampled_from(ZONES)
cycles = st.builds(Cycle, st.sampled_from(UNITS), st.integers(1, 120))
anchors = st.builds(
    lambda day, minutes: BEGIN + timedelta(days=day, minutes=15 * minutes),
    st.integers(0, 101 * 365),
    st.integers(0, 95),
)
steps = st.integers(0, 40)


def local(moment: datetime, zone: str) -> datetime:
    """The wall time of a moment."""
    return moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None)


def at(zone: str, *wall: int) -> datetime:
    """The moment of a wall time that there is once."""
    return datetime(*wall, tzinfo=ZoneInfo(zone)).astimezone(UTC)  # type: ignore[misc, arg-type]


def wall_of(anchor: datetime, cycle: Cycle, n: int, zone: str) -> datetime:
    """Where period `n` should begin, as a wall time, computed another way."""
    wall = local(anchor, zone)
    if cycle.unit in ("day", "week"):
        return wall + timedelta(days=n * cycle.count * (7 if cycle.unit == "week" else 1))
    months = wall.year * 12 + wall.month - 1 + n * cycle.count * (12 if cycle.unit == "year" else 1)
    year, month = months // 12, months % 12 + 1
    return wall.replace(year=year, month=month, day=min(wall.day, monthrange(year, month)[1]))


def swallowed(anchor: datetime, zone: str) -> bool:
    """Whether it is midnight in Samoa, which has left out a day from midnight to midnight."""
    return zone == "Pacific/Apia" and local(anchor, zone).time() == time()


@given(anchors, cycles, steps, zones)
@example(datetime(2026, 1, 31, 23, 30, tzinfo=UTC), Cycle("month", 1), 1, "Europe/Berlin")
@example(datetime(2024, 2, 29, tzinfo=UTC), Cycle("year", 1), 1, "UTC")
@example(datetime(2011, 12, 28, 20, tzinfo=UTC), DAY, 2, "Pacific/Apia")
def test_a_period_begins_at_the_anchors_wall_time_so_many_cycles_on(
    anchor: datetime, cycle: Cycle, n: int, zone: str
) -> None:
    meant = wall_of(anchor, cycle, n, zone)
    assume(meant.year <= LAST_YEAR)
    moment = nth(anchor, cycle, n, zone)
    exists = local(meant.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC), zone) == meant
    # A wall time that the clock leaves out moves on to the next there is; every other is kept.
    if exists:
        assert local(moment, zone) == meant
    else:
        assert local(moment - SECOND, zone) < meant < local(moment, zone)


@given(anchors, cycles, steps, zones)
def test_periods_follow_each_other_and_none_is_empty(
    anchor: datetime, cycle: Cycle, first: int, zone: str
) -> None:
    assume(wall_of(anchor, cycle, first + 4, zone).year <= LAST_YEAR)
    assume(not swallowed(anchor, zone))
    begins = [nth(anchor, cycle, first + n, zone) for n in range(4)]
    assert all(one < other for one, other in pairwise(begins))


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("year", [2011, 2026])
def test_no_clock_change_of_a_year_makes_days_overlap(zone: str, year: int) -> None:
    for quarter in range(16):
        anchor = at(zone, year, 1, 1, quarter // 4, quarter % 4 * 15)
        begins = [nth(anchor, DAY, n, zone) for n in range(366)]
        lasted = [other - one for one, other in pairwise(begins)]
        assert all(one > timedelta(0) for one in lasted) or swallowed(anchor, zone)
        assert {local(one, zone).timetuple().tm_yday for one in begins} >= set(range(1, 364))


def test_the_first_period_begins_at_the_anchor_even_in_an_hour_that_is_there_twice() -> None:
    for minutes in (30, 90):
        anchor = datetime(2026, 10, 25, 0, tzinfo=UTC) + timedelta(minutes=minutes)
        assert local(anchor, "Europe/Berlin").hour == 2
        assert nth(anchor, DAY, 0, "Europe/Berlin") == anchor
        assert nth(anchor, DAY, 1, "Europe/Berlin") == datetime(2026, 10, 26, 1, 30, tzinfo=UTC)


@given(anchors, cycles, zones)
def test_every_period_lasts_its_cycle_give_or_take_a_clock_change(
    anchor: datetime, cycle: Cycle, zone: str
) -> None:
    lasted = nth(anchor, cycle, 2, zone) - nth(anchor, cycle, 1, zone)
    least, most = {"day": (1, 1), "week": (7, 7), "month": (28, 31), "year": (365, 366)}[cycle.unit]
    # An offset changes by two hours at most; but Samoa's, by a day.
    slack = timedelta(hours=48 if zone == "Pacific/Apia" else 2)
    assert timedelta(days=least) * cycle.count - slack <= lasted <= timedelta(days=most) * cycle.count + slack


@given(anchors, cycles, steps, zones)
def test_a_moment_is_the_same_however_its_anchor_is_written(
    anchor: datetime, cycle: Cycle, n: int, zone: str
) -> None:
    assume(wall_of(anchor, cycle, n, zone).year <= LAST_YEAR)
    there = anchor.astimezone(ZoneInfo("Pacific/Kiritimati"))
    found = nth(there, cycle, n, zone)
    assert found == nth(anchor, cycle, n, zone)
    assert found.utcoffset() == timedelta(0)


@pytest.mark.parametrize("day", [28, 29, 30, 31])
def test_months_are_clamped_and_come_back(day: int) -> None:
    anchor = datetime(2023, 1, day, 6, tzinfo=UTC)
    days = [nth(anchor, Cycle("month", 1), n, "UTC").day for n in range(25)]
    assert days == [min(day, monthrange(2023 + n // 12, n % 12 + 1)[1]) for n in range(25)]


def test_a_leap_day_is_the_28th_but_every_fourth_year() -> None:
    anchor = datetime(2024, 2, 29, tzinfo=UTC)
    found = {2024 + n: nth(anchor, Cycle("year", 1), n, "UTC").strftime("%m-%d") for n in range(77)}
    assert {year for year, day in found.items() if day == "02-29"} == set(range(2024, 2100, 4))
    assert {day for year, day in found.items() if year % 4 or year == 2100} == {"02-28"}
    assert nth(anchor, Cycle("month", 12), 4, "UTC") == nth(anchor, Cycle("year", 4), 1, "UTC")


CLOCK_CHANGES = {
    # Left out: the next there is
    "Berlin, forward": ("Europe/Berlin", (2026, 3, 28, 2, 30), (2026, 3, 29, 1, 0)),
    "New York, forward": ("America/New_York", (2026, 3, 7, 2, 30), (2026, 3, 8, 7, 0)),
    "St. John's, forward": ("America/St_Johns", (2026, 3, 7, 2, 30), (2026, 3, 8, 5, 30)),
    "Lord Howe, forward by half an hour": (
        "Australia/Lord_Howe",
        (2026, 10, 3, 2, 15),
        (2026, 10, 3, 15, 30),
    ),
    "Santiago, at midnight": ("America/Santiago", (2026, 9, 5, 0, 0), (2026, 9, 6, 4, 0)),
    # There twice: the first is meant
    "Berlin, back": ("Europe/Berlin", (2026, 10, 24, 2, 30), (2026, 10, 25, 0, 30)),
    "New York, back": ("America/New_York", (2026, 10, 31, 1, 30), (2026, 11, 1, 5, 30)),
    "Lord Howe, back by half an hour": ("Australia/Lord_Howe", (2026, 4, 4, 1, 45), (2026, 4, 4, 14, 45)),
    # Not touched
    "Kathmandu": ("Asia/Kathmandu", (2026, 3, 28, 2, 30), (2026, 3, 28, 20, 45)),
    "Kiritimati": ("Pacific/Kiritimati", (2026, 3, 28, 2, 30), (2026, 3, 28, 12, 30)),
    "Pago Pago": ("Pacific/Pago_Pago", (2026, 3, 28, 2, 30), (2026, 3, 29, 13, 30)),
}


@pytest.mark.parametrize("name", CLOCK_CHANGES)
def test_the_day_of_a_clock_change(name: str) -> None:
    zone, wall, expected = CLOCK_CHANGES[name]
    anchor = at(zone, *wall)
    assert nth(anchor, DAY, 1, zone) == datetime(*expected, tzinfo=UTC)  # type: ignore[misc, arg-type]
    # And on the day after, everything is as before.
    assert local(nth(anchor, DAY, 2, zone), zone) == local(anchor, zone) + timedelta(days=2)


def test_a_day_that_was_left_out_moves_nothing_behind_it() -> None:
    anchor = at("Pacific/Apia", 2011, 12, 28, 10)
    found = [local(nth(anchor, DAY, n, "Pacific/Apia"), "Pacific/Apia") for n in range(5)]
    assert [(one.day, one.hour) for one in found] == [(28, 10), (29, 10), (31, 0), (31, 10), (1, 10)]


@pytest.mark.parametrize("unit", UNITS)
def test_far_years_are_reached_and_the_last_is_not_passed(unit: str) -> None:
    cycle = Cycle(unit, 120)
    anchor = datetime(2100, 12, 31, tzinfo=UTC)
    years_each = {"day": 120 / 365.2425, "week": 840 / 365.2425, "month": 10, "year": 120}[unit]
    last = int((LAST_YEAR - 2101) / years_each)
    assert nth(anchor, cycle, last, "Asia/Tokyo").year >= LAST_YEAR - 120
    with pytest.raises(OverflowError):
        nth(anchor, cycle, last + int(120 / years_each) + 3, "Asia/Tokyo")


@pytest.mark.parametrize("n", [10**6, 10**9, 10**12])
@pytest.mark.parametrize("unit", UNITS)
def test_what_no_calendar_holds_is_an_overflow_and_nothing_else(unit: str, n: int) -> None:
    with pytest.raises(OverflowError):
        nth(datetime(2026, 1, 31, tzinfo=UTC), Cycle(unit, 120), n, "Pacific/Apia")


@given(
    st.integers(0, 10 * 365 * 24).map(
        lambda hours: datetime(2020, 1, 1, tzinfo=UTC) + timedelta(hours=hours)
    ),
    zones,
    st.lists(st.none() | cycles.filter(lambda one: one.count <= 24), min_size=1, max_size=8),
)
@example(
    datetime(2026, 1, 31, 12, tzinfo=UTC), "Europe/Berlin", [Cycle("month", 1)] * 3 + [Cycle("year", 1), None]
)
def test_the_cycles_of_a_subscription_touch_whatever_becomes_of_its_plan(
    start: datetime, zone: str, plans: list[Cycle | None]
) -> None:
    # Given a subscription whose plan is changed now and then to another cycle
    desk = PureDesk()
    desk.do(enterprise(timezone=zone), top_up("acme", 1000), _plan("p", Cycle("month", 1)))
    desk.do(subscribe(plan="p", start_at=start.isoformat(), payment_method="manual"))
    for number, cycle in enumerate(plans):
        if cycle is not None:
            desk.do(_plan(f"p{number}", cycle), change(plan=f"p{number}"))
        desk.do(next_cycle())
    # Then its periods begin where the one before ended, each one on
    paid = [desk.book.get(SubscriptionCycle, ("s1", number)) for number in range(1, len(plans) + 1)]
    assert all(one.begins_at < one.ends_at for one in paid)
    assert all(one.ends_at == other.begins_at for one, other in pairwise(paid))
    found: Subscription = desk.book.get(Subscription, "s1")
    assert paid[-1].ends_at == found.paid_until == found.next_payment_at
    assert paid[0].begins_at == start


def _plan(id_: str, cycle: Cycle) -> object:
    return plan(id_, "package", price=1, cycle={"unit": cycle.unit, "count": cycle.count})


def test_nobody_pays_for_a_day_that_his_zone_has_left_out() -> None:
    # Given a daily subscription from midnight to midnight in Samoa, which went from 29 to 31 December 2011
    desk = PureDesk()
    desk.do(
        enterprise(timezone="Pacific/Apia"),
        top_up(),
        plan("pro", "package", price=1, cycle=MessageCycle(unit=CycleUnit.DAY, count=1)),
    )
    desk.do(subscribe("s", plan="pro", start_at="2011-12-28T10:00:00Z"))
    # When it is paid day by day
    desk.do(*(next_cycle("s") for _ in range(4)))
    # Then its periods touch, and none is empty
    paid = [desk.book.get(SubscriptionCycle, ("s", number)) for number in range(1, 6)]
    assert [(one.begins_at.day, one.begins_at.hour) for one in paid] == [
        (28, 10),
        (29, 10),
        (30, 10),
        (31, 10),
        (1, 10),
    ]
    assert all(one.ends_at == other.begins_at for one, other in pairwise(paid))
