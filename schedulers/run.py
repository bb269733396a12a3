"""The process `coins scheduler`: one leader by lease, stand-bys that take over, and the table of `schedule.py`.

APScheduler says when; the leader writes down that a job is to be run, and knocks at a worker, also for what was left
lying. A stand-by leads when the lease has run out; two that both believe to lead ask for the same runs, there once.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import structlog
from apscheduler.executors.base import BaseExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger

from ledger.database import connect
from schedulers.ringing import QUEUE, ring
from schedulers.schedule import SCHEDULE
from workers.broker import CoinsBroker
from workers.counts import Leading
from workers.figures import figures_of
from workers.jobs.rows import ask_scheduled
from workers.leases import NamedLease
from workers.metrics import counting
from workers.process import Process
from workers.settings import Settings

RENEW_SECONDS = 1.0
LOOK_BACK = timedelta(days=2)

log = structlog.get_logger(__name__)

_LAST = "SELECT max(at) FROM job_run WHERE job = %b AND asked_by = 'scheduler'"


class Asking(BaseExecutor):  # type: ignore[misc]
    """What APScheduler hands a job over to, with the moment that it was due at: it is asked for, and done elsewhere."""

    def __init__(self, ask: Callable[[str, datetime], None]) -> None:
        super().__init__()
        self._ask = ask

    def _do_submit_job(self, job: Any, run_times: list[datetime]) -> None:
        try:
            self._ask(job.id, run_times[-1].astimezone(UTC))
        except Exception as error:  # noqa: BLE001 - asked for again when it is due next; what is due is not lost by it
            log.warning("a run could not be asked for", job=job.id, why=str(error).strip())
        self._run_job_success(job.id, [])


def run(settings: Settings) -> None:
    """Lead or stand by until told to stop. Raises SettingsInvalid."""
    with (
        counting(settings, figures_of(settings)) as registry,
        Process("scheduler", settings.database) as process,
    ):
        leading = Leading(registry, "scheduler")
        broker = CoinsBroker(settings, owner=process.name)
        broker.declare_queue(QUEUE)
        while not process.stopping.is_set():
            process.retrying(lambda: _serve(settings, process, broker, leading), what="scheduling stopped")
        broker.close()


def _serve(settings: Settings, process: Process, broker: CoinsBroker, leading: Leading) -> None:
    lease = NamedLease("scheduler", process.name)
    with connect(settings.database, name="scheduler") as connection:
        process.ready()
        while not process.stopping.is_set():
            if lease.take(connection) is not None:
                leading.set(True)
                try:
                    _lead(settings, connection, lease, process, broker)
                finally:
                    leading.set(False)
            process.wait(RENEW_SECONDS)
        lease.release(connection)


def _lead(
    settings: Settings,
    connection: psycopg.Connection[Any],
    lease: NamedLease,
    process: Process,
    broker: CoinsBroker,
) -> None:
    def ask(job: str, at: datetime) -> None:
        # On APScheduler's thread: a session for each, so that one that broke is no reason for the next to fail.
        with connect(settings.database, name="scheduler") as own:
            ask_scheduled(own, job, at)

    make_up(connection, datetime.now(UTC))
    scheduler = BackgroundScheduler(
        timezone="UTC", job_defaults={"coalesce": True, "misfire_grace_time": None, "max_instances": 1}
    )
    scheduler.add_executor(Asking(ask), "asking")
    for one in SCHEDULE:
        # It is never called here: its argument will be the run.
        scheduler.add_job(one.job, one.trigger, (None,), id=one.name, name=one.name, executor="asking")
    scheduler.start()
    log.info("scheduling", jobs=len(SCHEDULE))
    try:
        while True:
            ring(connection, broker)
            if process.wait(RENEW_SECONDS):
                return
            if lease.take(connection) is None:
                log.warning("somebody else schedules now")
                return
    finally:
        scheduler.shutdown(wait=False)


def make_up(connection: psycopg.Connection[Any], now: datetime) -> list[str]:
    """Ask for the runs that were due while nobody scheduled: of each job the last one. Their names."""
    made_up = []
    for one in SCHEDULE:
        (last,) = connection.execute(_LAST, (one.name,)).fetchone() or (None,)
        due = last_due(one.trigger, last, now)
        if due is not None and ask_scheduled(connection, one.name, due) is not None:
            made_up.append(one.name)
            log.info("made up for", job=one.name, due_at=due.isoformat(), last=last and last.isoformat())
    return made_up


def last_due(trigger: BaseTrigger, last: datetime | None, now: datetime) -> datetime | None:
    """The latest moment up to `now` at which a job was due after its last run; None where it has never run."""
    if last is None:
        return None
    since = max(last, now - LOOK_BACK)
    # By ever shorter steps from behind: a job of every ten seconds was due very often in two days.
    for step in (timedelta(minutes=2), timedelta(hours=2), LOOK_BACK):
        begin = max(since, now - step)
        due: datetime | None = trigger.get_next_fire_time(None, begin)
        found: datetime | None = None
        while due is not None and due <= now:
            if due > last:
                found = due
            due = trigger.get_next_fire_time(due, due)
        if found is not None:
            return found.astimezone(UTC)
        if begin == since:
            break
    return None
