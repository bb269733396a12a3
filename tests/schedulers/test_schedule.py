"""The table of jobs: names, moments, and what was due while nobody looked."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from apscheduler.triggers.base import BaseTrigger

from ledger.errors import QueryInvalid
from ledger.queries.jobs import last_runs
from schedulers.run import last_due, make_up
from schedulers.schedule import JOBS, SCHEDULE, Scheduled, daily, every, listed, named
from workers.jobs import rows
from workers.jobs.rows import Taken, ask_scheduled

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LONG_AGO = NOON - timedelta(days=40)


def test_every_job_has_a_name_of_its_own_and_says_what_it_makes_up_for() -> None:
    names = [one.name for one in SCHEDULE]
    assert len(set(names)) == len(names)
    assert list(JOBS) == names
    for one in SCHEDULE:
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", one.name)
        assert one.catches_up
        assert one.job.__doc__, f"what {one.name} does"


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("billing-cycle", "billing-cycle"),
        ("billing", "billing-cycle"),
        ("Billing Cycle", "billing-cycle"),
        ("hold_expiry", "hold-expiry"),
        ("dunning", "billing-cycle"),
        ("bills", "bills"),
        ("verif", "verification"),
        ("orders", "unpaid-orders"),
    ],
)
def test_a_job_is_known_by_its_name_a_word_of_it_or_how_it_begins(said: str, meant: str) -> None:
    assert named(said).name == meant


@pytest.mark.parametrize("said", ["", " ", "bill", "expiry", "nothing", "cycle-billing", "billing-cycle-2"])
def test_what_could_be_two_jobs_or_is_none_is_told_with_all_names(said: str) -> None:
    with pytest.raises(QueryInvalid, match="threshold-scan, billing-cycle, hold-expiry"):
        named(said)


def test_whoever_counts_counts_the_same_moments() -> None:
    assert every(minutes=1).get_next_fire_time(None, NOON + timedelta(seconds=17)) == NOON + timedelta(
        minutes=1
    )
    assert every(minutes=1).get_next_fire_time(None, NOON) == NOON
    assert every(seconds=10).get_next_fire_time(None, NOON + timedelta(seconds=1)) == NOON + timedelta(
        seconds=10
    )
    assert daily(2, 30).get_next_fire_time(None, NOON) == datetime(2026, 3, 2, 2, 30, tzinfo=UTC)


# What was due in a pause


@pytest.mark.parametrize("scheduled", SCHEDULE, ids=lambda one: one.name)
@pytest.mark.parametrize(
    "pause",
    [
        timedelta(0),
        timedelta(seconds=4),
        timedelta(seconds=59),
        timedelta(seconds=60),
        timedelta(minutes=3),
        timedelta(minutes=119),
        timedelta(hours=5),
        timedelta(hours=26),
        timedelta(days=3),
        timedelta(days=40),
    ],
    ids=str,
)
def test_of_what_was_due_in_a_pause_the_last_is_made_up_for(scheduled: Scheduled, pause: timedelta) -> None:
    last = scheduled.trigger.get_next_fire_time(None, LONG_AGO).astimezone(UTC)
    now = last + pause
    assert last_due(scheduled.trigger, last, now) == latest(scheduled.trigger, last, now)


def latest(trigger: BaseTrigger, last: datetime, now: datetime) -> datetime | None:
    """The last moment in the pause, one by one; every job runs once a day at least."""
    found = None
    due = trigger.get_next_fire_time(None, max(last + timedelta(seconds=1), now - timedelta(hours=25)))
    while due <= now:
        found, due = due, trigger.get_next_fire_time(due, due)
    return found


def test_what_never_ran_has_missed_nothing() -> None:
    assert last_due(every(minutes=1), None, NOON) is None


def run(connection: psycopg.Connection, job: str, at: datetime) -> None:
    """The scheduler's run of that moment, done."""
    id_ = ask_scheduled(connection, job, at)
    assert id_ is not None
    assert rows.take(connection, id_, "tests") is not None
    rows.done(connection, Taken(id_, job, at, 1, 1), "done")


def test_whoever_begins_to_lead_asks_once_for_each_job_that_was_missed(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        assert make_up(connection, NOON) == [], "at a first start nothing was missed"
        run(connection, "billing-cycle", NOON - timedelta(days=20))
        run(connection, "verification", datetime(2026, 2, 27, 2, 30, tzinfo=UTC))
        run(connection, "unpaid-orders", NOON)
        run(connection, "hold-expiry", NOON - timedelta(minutes=2))
        assert ask_scheduled(connection, "hold-expiry", NOON - timedelta(minutes=1)) is not None
        assert make_up(connection, NOON + timedelta(seconds=30)) == ["billing-cycle", "verification"]
        waiting = connection.execute(
            "SELECT job, at FROM job_run WHERE state = 'waiting' ORDER BY job"
        ).fetchall()
        assert waiting == [
            ("billing-cycle", NOON),
            ("hold-expiry", NOON - timedelta(minutes=1)),
            ("verification", datetime(2026, 3, 1, 2, 30, tzinfo=UTC)),
        ]
        assert make_up(connection, NOON + timedelta(seconds=40)) == []


def test_what_people_have_run_is_no_reason_to_skip_what_was_due(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        run(connection, "billing-cycle", NOON)
        rows.ask(connection, "billing-cycle", NOON + timedelta(days=300), "cli:li.na")
        connection.execute("UPDATE job_run SET state = 'done'")
        assert make_up(connection, NOON + timedelta(minutes=5)) == ["billing-cycle"]


def test_a_scheduler_whose_clock_is_far_ahead_asks_by_the_databases(database_url: str) -> None:
    """Else a month would be billed that is not over; a clock that is a little ahead is every second one."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        now = datetime.now(UTC)
        ask_scheduled(connection, "bills", now + timedelta(days=40))
        ask_scheduled(connection, "runway", now + timedelta(seconds=5))
        asked = dict(connection.execute("SELECT job, at FROM job_run").fetchall())
    assert now - timedelta(minutes=1) < asked["bills"] < now + timedelta(minutes=1)
    assert asked["runway"] == now + timedelta(seconds=5)


def test_the_table_is_listed_with_what_comes_and_what_was_last(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        run(connection, "billing-cycle", NOON)
        ask_scheduled(connection, "billing-cycle", NOON + timedelta(minutes=1))
        found = {one.job: one for one in listed(last_runs(connection), NOON + timedelta(seconds=90))}
    assert list(found) == list(JOBS)
    billing, holds = found["billing-cycle"], found["hold-expiry"]
    assert (billing.next_at, billing.last_at, billing.state, billing.result) == (
        NOON + timedelta(minutes=2),
        NOON,
        "done",
        "done",
    )
    assert (holds.run, holds.state, holds.last_at) == (None, None, None)
