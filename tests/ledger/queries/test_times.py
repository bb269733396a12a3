from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from ledger.errors import QueryInvalid
from ledger.queries.times import Span, parse_day, span_of


def test_a_date_or_a_moment_with_its_zone_is_read() -> None:
    assert parse_day("2026-11-22", flag="--from") == date(2026, 11, 22)
    assert parse_day("2026-11-22T08:00:00Z", flag="--from") == datetime(2026, 11, 22, 8, tzinfo=UTC)
    assert parse_day("2026-11-22t08:00:00.25+08:00", flag="--to") == datetime(
        2026, 11, 22, 0, 0, 0, 250_000, tzinfo=UTC
    )
    assert parse_day(None, flag="--from") is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2026-11",
        "20261122",
        "2026-W47-7",
        "2026-02-30",
        "2026-11-22T08:00:00",
        "2026-11-22T25:00:00Z",
        "22.11.2026",
        "0001-01-01T00:00:00+10:00",
    ],
)
def test_what_is_neither_is_refused_with_the_flag_and_an_example(text: str) -> None:
    with pytest.raises(QueryInvalid, match=r"--to: .*write 2026-11-22"):
        parse_day(text, flag="--to")


def test_dates_are_whole_days_of_the_zone() -> None:
    assert span_of(date(2026, 11, 1), date(2026, 11, 30), "Asia/Shanghai") == Span(
        datetime(2026, 10, 31, 16, tzinfo=UTC), datetime(2026, 11, 30, 16, tzinfo=UTC)
    )
    assert span_of(None, None, "UTC") == Span(None, None)


def test_a_day_with_a_clock_change_has_its_own_length() -> None:
    # Given zones where a day has 23 hours, has 25, and begins at one o'clock because midnight is skipped
    def hours(day: date, zone: str) -> float:
        span = span_of(day, day, zone)
        assert span.since is not None
        assert span.before is not None
        return (span.before - span.since) / timedelta(hours=1)

    assert hours(date(2026, 3, 29), "Europe/Berlin") == 23
    assert hours(date(2026, 10, 25), "Europe/Berlin") == 25
    assert span_of(date(2018, 11, 4), None, "America/Sao_Paulo").since == datetime(2018, 11, 4, 3, tzinfo=UTC)


def test_moments_are_included() -> None:
    moment = datetime(2026, 11, 22, 8, tzinfo=UTC)

    assert span_of(moment, moment, "UTC") == Span(moment, moment + timedelta(microseconds=1))


def test_the_wrong_way_round_is_refused() -> None:
    with pytest.raises(QueryInvalid, match="--from lies after --to"):
        span_of(date(2026, 11, 2), date(2026, 11, 1), "UTC")


@pytest.mark.parametrize("day", [date.max, datetime.max.replace(tzinfo=UTC)])
def test_the_end_of_the_calendar_is_refused(day: date) -> None:
    with pytest.raises(QueryInvalid, match="beyond the calendar"):
        span_of(None, day, "UTC")
