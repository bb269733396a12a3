"""When a mail is tried again, and when it is given up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from workers.mail.retries import next_try

FIRST = datetime(2026, 11, 22, 8, tzinfo=UTC)


def tries_after(first: datetime) -> list[timedelta]:
    now, times, tries = first, [], 1
    while (following := next_try(tries, now)) is not None:
        now, tries = following, tries + 1
        times.append(now - first)
    return times


def test_the_pauses_grow_to_a_day() -> None:
    times = tries_after(FIRST)
    pauses = [after - before for before, after in zip([timedelta(), *times], times, strict=False)]
    minutes = [pause / timedelta(minutes=1) for pause in pauses]
    assert minutes == [1, 5, 15, 60, 180, 360, 720, 1440, 1440, 1440, 1440]


def test_it_is_given_up_within_five_days_of_the_first_try() -> None:
    last = tries_after(FIRST)[-1]
    assert timedelta(days=4) < last <= timedelta(days=5)
    assert next_try(12, FIRST + last) is None
    assert next_try(100, FIRST + last) is None
