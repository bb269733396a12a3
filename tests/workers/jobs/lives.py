"""Random lives of three years: who subscribes to what, who pays, who interferes, and when the scheduler stands still."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from tests.workers.jobs.almanac import Cycle

BEGIN, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2029, 1, 1, tzinfo=UTC)
DAYS = (END - BEGIN).days
MOST_CYCLES = 36

ZONES = (
    "UTC",
    "Europe/Berlin",  # changes at 2 in the night
    "America/Santiago",  # has no midnight on the day
    "Australia/Lord_Howe",  # changes by half an hour
    "Pacific/Chatham",
    "Asia/Kathmandu",
)
KINDS = ("package", "proxy", "device", "phone")
LONG_CYCLES = [Cycle("month", 1), Cycle("month", 2), Cycle("month", 13), Cycle("year", 1), Cycle("week", 7)]
SHORT_CYCLES = [Cycle("day", 1), Cycle("day", 10), Cycle("week", 1), Cycle("day", 45)]
DAYS_OF = {"day": 1, "week": 7, "month": 28, "year": 365}


class Begun(NamedTuple):
    """Somebody subscribes: `kind` and the others are places in the lists above."""

    at: datetime
    account: int
    kind: int
    cycle: int
    price: int
    manual: bool
    devices: int
    start: datetime | None


class Act(NamedTuple):
    """Something else that somebody does, to the account or subscription of that place."""

    at: datetime
    what: str
    which: int
    amount: int
    flag: bool


class Life(NamedTuple):
    """`stops`: after how many looks each run is told to stop, and gone on with by the next, in turn; 0 is never."""

    stops: list[int]
    zones: list[str]
    credit: int
    acts: list[Begun | Act]
    outages: list[tuple[datetime, datetime]]


ACTS = (
    *("top up",) * 4,
    "spend",
    *("pay",) * 2,
    "cancel",
    "change plan",
    "change method",
    "suspend or resume",
    "release",
)


@st.composite
def moments(draw: st.DrawFn, zone: str, first_day: int = 0) -> datetime:
    """Any minute, or one that is hard to count from: at a month's end, in hours that a clock change leaves out or repeats.

    (Of a range as large as three years hypothesis would draw mostly the first days.)
    """
    left = DAYS - 2 - first_day
    day = first_day + left * draw(st.integers(0, 99)) // 100 + draw(st.integers(0, left // 100))
    hour, minute = draw(st.integers(0, 23)), draw(st.integers(0, 59))
    wall = (BEGIN + timedelta(days=day)).replace(hour=hour, minute=minute, tzinfo=ZoneInfo(zone))
    if draw(st.booleans()) and day < DAYS - 40:
        following = (wall.replace(day=1) + timedelta(days=31)).replace(day=1)
        wall = (following - timedelta(days=draw(st.integers(1, 3)))).replace(
            hour=hour % 4, minute=minute // 15 * 15
        )
    return max(BEGIN, wall.astimezone(UTC))


@st.composite
def beginnings(draw: st.DrawFn, zones: list[str]) -> Begun:
    account = draw(st.integers(0, len(zones) - 1))
    cycles = [*LONG_CYCLES, *SHORT_CYCLES]
    number = draw(st.integers(0, len(cycles) - 1))
    cycle = cycles[number]
    # A run with a payment takes long beside one without: of short ones there are not more than of long ones.
    first_day = max(0, DAYS - MOST_CYCLES * cycle.count * DAYS_OF[cycle.unit])
    at = draw(moments(zones[account], first_day))
    start = draw(
        st.none()
        | st.integers(1, 90).map(lambda days: at + timedelta(days=days))
        | st.integers(1, 100).map(
            lambda part: at - part * timedelta(days=3 * cycle.count * DAYS_OF[cycle.unit]) / 100
        )
    )
    return Begun(
        at,
        account,
        draw(st.integers(0, len(KINDS) - 1)),
        number,
        draw(st.integers(1, 40)),
        draw(st.integers(0, 3)) == 3,
        draw(st.integers(1, 3)),
        start,
    )


@st.composite
def lives(draw: st.DrawFn) -> Life:
    zones = draw(st.lists(st.sampled_from(ZONES), min_size=3, max_size=3))
    acts: list[Begun | Act] = list(draw(st.lists(beginnings(zones), min_size=3, max_size=5)))
    acts += draw(
        st.lists(
            st.builds(
                Act,
                moments("UTC"),
                st.sampled_from(ACTS),
                st.integers(0, 11),
                st.integers(1, 300),
                st.booleans(),
            ),
            min_size=10,
            max_size=40,
        )
    )
    outages = draw(
        st.lists(
            st.tuples(moments("UTC"), st.integers(1, 40)).map(
                lambda one: (one[0], one[0] + timedelta(days=one[1]))
            ),
            max_size=4,
        )
    )
    credit = draw(st.sampled_from([0, 100, 1_000, 10_000]))
    stops = draw(st.lists(st.integers(0, 6), min_size=1, max_size=7))
    return Life(stops, zones, credit, sorted(acts, key=lambda one: one.at), sorted(outages))
