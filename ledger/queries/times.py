"""Dates and times that a reader chooses by. A date means the whole day, in the account's zone."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from ledger.errors import QueryInvalid

_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?([Zz]|[+-]\d\d:\d\d)")
_TICK = timedelta(microseconds=1)

Day = date | datetime


class Span(NamedTuple):
    """From `since` on, up to but without `before`; None is open."""

    since: datetime | None
    before: datetime | None


def parse_day(text: str | None, *, flag: str) -> Day | None:
    """A date, or a moment with its zone. Raises QueryInvalid with the flag and what to write."""
    if text is None:
        return None
    try:
        if _DATE.fullmatch(text):
            return date.fromisoformat(text)
        if _TIME.fullmatch(text):
            return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise QueryInvalid(
        f"{flag}: {text!r} is neither a date nor a time; "
        "write 2026-11-22, or with its zone 2026-11-22T08:00:00Z or 2026-11-22T08:00:00+08:00"
    )


def begin_of(day: Day, zone: str) -> datetime:
    """The first moment of the day, or the moment itself, in UTC."""
    if isinstance(day, datetime):
        return day.astimezone(UTC)
    try:
        # Where a clock change skips midnight, fold=0 gives the very moment of the change.
        return datetime.combine(day, time(), ZoneInfo(zone)).astimezone(UTC)
    except OverflowError:
        raise QueryInvalid(f"{day} is beyond the calendar; choose another date") from None


def end_of(day: Day, zone: str) -> datetime:
    """The first moment after the day, or after the moment itself, in UTC."""
    try:
        if isinstance(day, datetime):
            return day.astimezone(UTC) + _TICK
        return begin_of(day + timedelta(days=1), zone)
    except OverflowError:
        raise QueryInvalid(f"{day} is beyond the calendar; choose another date") from None


def span_of(first: Day | None, last: Day | None, zone: str) -> Span:
    """From the first to the last day, both included. Raises QueryInvalid where the last lies before the first."""
    since = begin_of(first, zone) if first is not None else None
    before = end_of(last, zone) if last is not None else None
    if since is not None and before is not None and since >= before:
        raise QueryInvalid("--from lies after --to; exchange them")
    return Span(since, before)
