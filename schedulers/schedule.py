"""The table of jobs: what runs when, and what is made up for after a pause.

Times are UTC. A run that was missed is made up for once, however late: `misfire_grace_time=None` with `coalesce=True` while
the scheduler lives, and `run.py` looks for the rest when it begins to lead. Once is enough: every job finds what is due by
what is written down, not by when it was last called. What is to be done, and how far it is, stands in PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from ledger.errors import QueryInvalid
from ledger.queries.jobs import RunRow
from workers.jobs import (
    billing,
    bills,
    devices,
    exports,
    housekeeping,
    mails,
    receipts,
    replay,
    runway,
    tidying,
    verification,
    warnings,
)
from workers.jobs.performing import Job

_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class Scheduled(NamedTuple):
    """A name for people, when it runs, what is done, and what it makes up for when it comes late."""

    name: str
    trigger: BaseTrigger
    job: Job
    catches_up: str


def every(**period: int) -> IntervalTrigger:
    """At the same moments whoever counts: two schedulers ask for the same run."""
    return IntervalTrigger(start_date=_EPOCH, timezone=UTC, **period)


def daily(hour: int, minute: int) -> CronTrigger:
    return CronTrigger(hour=hour, minute=minute, timezone=UTC)


SCHEDULE: tuple[Scheduled, ...] = (
    Scheduled("threshold-scan", every(seconds=5), warnings.scan, "every account that was touched since"),
    Scheduled("billing-cycle", every(minutes=1), billing.bill, "every missed cycle, the oldest first"),
    Scheduled("hold-expiry", every(minutes=1), tidying.expire_holds, "every hold that is past its time"),
    Scheduled("unpaid-orders", every(hours=1), tidying.cancel_unpaid_orders, "every order that is too old"),
    Scheduled(
        "receipts", every(seconds=10), receipts.issue_receipts, "everything without a receipt, in order"
    ),
    Scheduled("mails", every(seconds=10), mails.send_mails, "every mail that waits"),
    Scheduled(
        "exports", every(seconds=10), exports.build_exports, "what was asked for; every night, one by one"
    ),
    Scheduled("bills", every(hours=1), bills.issue_bills, "every month that is over, each with its bill"),
    Scheduled("runway", every(hours=1), runway.look_ahead, "everybody, by what is due now"),
    Scheduled("device-expiry", every(minutes=1), devices.tell, "every device since the last time"),
    Scheduled(
        "replay", every(minutes=1), replay.replay_letters, "every replay that is not over, where it was"
    ),
    Scheduled("verification", daily(2, 30), verification.verify_ledger, "once, as everything is now"),
    Scheduled("housekeeping", every(hours=1), housekeeping.tidy, "everything past its time"),
)
JOBS: dict[str, Job] = {one.name: one.job for one in SCHEDULE}


class ScheduledRow(NamedTuple):
    """A job as `coins jobs` shows it: when it runs next, and how its last run ended."""

    job: str
    next_at: datetime | None
    run: int | None
    state: str | None
    last_at: datetime | None
    seconds: float | None
    done: int | None
    refused: int | None
    result: str | None
    catches_up: str


def listed(last: Mapping[str, RunRow], now: datetime) -> list[ScheduledRow]:
    """Every job of the table, with its last run where there was one."""
    rows = []
    for one in SCHEDULE:
        coming = one.trigger.get_next_fire_time(None, now)
        run = last.get(one.name)
        rows.append(
            ScheduledRow(
                one.name,
                coming.astimezone(UTC) if coming else None,
                run.run if run else None,
                run.state if run else None,
                run.at if run else None,
                run.seconds if run else None,
                run.done if run else None,
                run.refused if run else None,
                run.result if run else None,
                one.catches_up,
            )
        )
    return rows


def named(name: str) -> Scheduled:
    """The job of that name, or the only one of which it is a word: `billing` is enough. Raises QueryInvalid."""
    wanted = name.strip().lower().replace("_", "-").replace(" ", "-")
    if wanted == "dunning":  # a part of it
        wanted = "billing-cycle"
    found = [one for one in SCHEDULE if one.name == wanted]
    found = found or [one for one in SCHEDULE if any(part == wanted for part in one.name.split("-"))]
    found = found or [one for one in SCHEDULE if one.name.startswith(wanted)]
    if wanted and len(found) == 1:
        return found[0]
    raise QueryInvalid(f"there is no job {name!r}; there are {', '.join(one.name for one in SCHEDULE)}")
