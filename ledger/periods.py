"""Billing dates: always counted from an anchor, in the wall time of a zone, clamped to the month's last day.

period(31 Jan, 1 month, n): 31 Jan, 28 Feb, 31 Mar, 30 Apr … : nothing drifts, because nothing is counted from the
previous date. Wall time is kept over a clock change; a wall time that does not exist moves on to the next that does, and of
one that exists twice the first is taken. So periods touch; one is empty only where a zone skips the whole day that it is.
"""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

LAST_YEAR = 9000
_TICK = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Cycle:
    """`count` (1–120) of `unit`: day, week, month or year."""

    unit: str
    count: int

    def __str__(self) -> str:
        """In words: `1 month`, `3 months`."""
        return f"{self.count} {self.unit}{'s' if self.count > 1 else ''}"


@lru_cache(maxsize=4096)
def nth(anchor: datetime, cycle: Cycle, n: int, zone: str) -> datetime:
    """The beginning of period `n` (0 is the anchor itself), in UTC.

    Raises OverflowError past the year 9000.
    """
    if n == 0:
        return anchor.astimezone(UTC)
    local = anchor.astimezone(_zone(zone))
    steps = n * cycle.count
    match cycle.unit:
        case "day":
            moved = local.replace(tzinfo=None) + timedelta(days=steps)
        case "week":
            moved = local.replace(tzinfo=None) + timedelta(weeks=steps)
        case "month":
            moved = _months_on(local.replace(tzinfo=None), steps)
        case "year":
            moved = _months_on(local.replace(tzinfo=None), steps * 12)
        case _:
            raise ValueError(f"no such unit of a cycle: {cycle.unit!r}")
    if moved.year > LAST_YEAR:
        raise OverflowError(f"no period begins after the year {LAST_YEAR}")
    return _existing(moved, _zone(zone)).astimezone(UTC)


def _months_on(moment: datetime, months: int) -> datetime:
    years, month = divmod(moment.month - 1 + months, 12)
    year = moment.year + years
    if year > LAST_YEAR:
        raise OverflowError(f"no period begins after the year {LAST_YEAR}")
    return moment.replace(year=year, month=month + 1, day=min(moment.day, monthrange(year, month + 1)[1]))


def _existing(wall: datetime, zone: ZoneInfo) -> datetime:
    first = wall.replace(tzinfo=zone, fold=0)
    moment = first.astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) == wall:
        return first
    # In a gap, the offset after it leads to before it, and the offset before it to after it: between them lies its end.
    low, high = wall.replace(tzinfo=zone, fold=1).astimezone(UTC), moment
    after = high.astimezone(zone).utcoffset()
    while high - low > _TICK:
        middle = low + (high - low) // 2
        if middle.astimezone(zone).utcoffset() == after:
            high = middle
        else:
            low = middle
    return high.replace(microsecond=0).astimezone(zone)


@lru_cache(maxsize=1024)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
