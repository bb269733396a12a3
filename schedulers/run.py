"""The process `coins scheduler`: one leader by lease, stand-bys that take over, and the table of `schedule.py`."""

from __future__ import annotations

from typing import Any

import psycopg
import structlog
from apscheduler.schedulers.background import BackgroundScheduler

from ledger.database import connect
from schedulers.schedule import JOBS
from workers.leases import NamedLease
from workers.process import Process
from workers.settings import Settings

RENEW_SECONDS = 1.0

log = structlog.get_logger(__name__)


def run(settings: Settings) -> None:
    """Lead or stand by until told to stop."""
    with Process("scheduler", settings.database) as process:
        while not process.stopping.is_set():
            process.retrying(lambda: _serve(settings, process), what="scheduling stopped")


def _serve(settings: Settings, process: Process) -> None:
    lease = NamedLease("scheduler", process.name)
    with connect(settings.database, name="scheduler") as connection:
        process.ready()
        while not process.stopping.is_set():
            if lease.take(connection) is not None:
                _lead(connection, lease, process)
            process.wait(RENEW_SECONDS)
        lease.release(connection)


def _lead(connection: psycopg.Connection[Any], lease: NamedLease, process: Process) -> None:
    scheduler = BackgroundScheduler(
        timezone="UTC", job_defaults={"coalesce": True, "misfire_grace_time": None, "max_instances": 1}
    )
    for job in JOBS:
        scheduler.add_job(job.actor, job.trigger, id=job.name, name=job.name)
    scheduler.start()
    log.info("scheduling", jobs=len(JOBS))
    try:
        while not process.wait(RENEW_SECONDS):
            if lease.take(connection) is None:
                log.warning("somebody else schedules now")
                return
    finally:
        scheduler.shutdown(wait=False)
