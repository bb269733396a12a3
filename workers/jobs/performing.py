"""Performs a run: takes its row, calls the job, and writes down how it ended."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import orjson
import psycopg
import structlog
from structlog.contextvars import bind_contextvars, clear_contextvars

from ledger import dead_letters
from ledger.batch import Delivery
from ledger.database import connect, connect_for_jobs
from ledger.dead_letters import GAVE_UP, DeadLetter
from ledger.errors import DatabaseUnavailable
from ledger.store import publish
from workers.jobs import rows
from workers.jobs.rows import TRIES, Taken
from workers.jobs.run import Run, RunFailed, RunLost, RunStopped, is_outage
from workers.settings import Settings

BEAT_SECONDS = 3.0
# A run that takes its process with it every time is given up, too, after so many.
DEATHS = 20
# Where letters of jobs come from, and those of mails.
JOB_STREAM, MAIL_STREAM = "job:", "mail"
Job = Callable[[Run], str]


class Outcome(StrEnum):
    """How a run ended for whoever worked on it."""

    DONE = "done"
    AGAIN = "again"
    """It is tried again after a pause."""
    FAILED = "failed"
    """It was given up, and a dead letter says so."""
    STOPPED = "stopped"
    """The process was told to end; it goes on elsewhere."""
    LOST = "lost"
    """Somebody else works on it, or will when its lease has run out."""


# The runs that threads of this process work on.
_AT_WORK: set[int] = set()

log = structlog.get_logger(__name__)


def perform(
    id: int,
    jobs: Mapping[str, Job],
    settings: Settings,
    *,
    owner: str,
    stopping: Callable[[], bool] = lambda: False,
    say: Callable[[str], None] = lambda _: None,
    ended: Callable[[Run, Outcome, float], None] = lambda *_: None,
) -> bool:
    """Run the job of that row to its end, if it waits for somebody. Whether it was done.

    A job that raises is tried again after a pause; five times, then it has failed, and a dead letter says so. An outage is
    waited out however long. Raises psycopg.Error, DatabaseUnavailable where not even that can be written down: then the
    lease runs out, and somebody else takes over. ended: is told how a run ended here, and after how many seconds.
    """
    with connect_for_jobs(settings.database, name="job") as connection:
        taken = rows.take(connection, id, owner)
        if taken is None:
            return False
        run = Run(
            taken.job,
            taken.at,
            settings,
            connection,
            id=taken.id,
            epoch=taken.epoch,
            by_hand=taken.by_hand,
            stopping=stopping,
            say=say,
        )
        # Until the thread's next run every line speaks of this one, dramatiq's own about it as well.
        clear_contextvars()
        bind_contextvars(job=taken.job, run=taken.id)
        _AT_WORK.add(id)
        began, outcome = time.perf_counter(), Outcome.LOST
        try:
            outcome = _work(jobs, run, taken)
        finally:
            _AT_WORK.discard(id)
            ended(run, outcome, time.perf_counter() - began)
        return outcome is Outcome.DONE


def _work(jobs: Mapping[str, Job], run: Run, taken: Taken) -> Outcome:
    try:
        if taken.tries > DEATHS:
            raise RunFailed(f"{taken.tries - 1} processes have died of it without a word")
        result = jobs[taken.job](run)
    except RunLost as lost:
        log.warning("run lost", job=taken.job, run=taken.id, why=str(lost))
        return Outcome.LOST
    except RunStopped as stopped:
        rows.again(run.connection, taken, stopped, outage=True, pause_seconds=0)
        return Outcome.STOPPED
    except Exception as error:  # noqa: BLE001 - whatever a job raises is written down with its run
        return _failed(run.settings, taken, error)
    with run.connection.transaction():
        ours = rows.done(run.connection, taken, result)
        if ours:
            dead_letters.ran_again(run.connection, taken.id, datetime.now(UTC))
    if not ours:
        log.warning("run lost", job=taken.job, run=taken.id, why="somebody else has taken it meanwhile")
        return Outcome.LOST
    level = log.info if run.done or run.refused else log.debug
    level("job done", job=taken.job, run=taken.id, result=result)
    return Outcome.DONE


def _failed(settings: Settings, taken: Taken, error: Exception) -> Outcome:
    """On a session of its own: the job's may be what has failed."""
    with connect_for_jobs(settings.database, name="job") as connection:
        outage = is_outage(error)
        if outage or (taken.tries < TRIES and not isinstance(error, RunFailed)):
            pause = rows.again(connection, taken, error, outage=outage)
            log.warning(
                "job to be tried again",
                job=taken.job,
                run=taken.id,
                in_seconds=pause,
                exc_info=None if outage else error,
                why=str(error).strip()[:500],
            )
            return Outcome.AGAIN
        log.error("job failed", job=taken.job, run=taken.id, exc_info=error)
        body = orjson.dumps({"job": taken.job, "at": taken.at, "run": taken.id})
        with connection.transaction():
            if rows.failed(connection, taken, error):
                give_up(connection, body, f"{JOB_STREAM}{taken.job}", str(taken.id), error, datetime.now(UTC))
    return Outcome.FAILED


def give_up(
    connection: psycopg.Connection[Any],
    body: bytes,
    stream: str,
    position: str,
    error: BaseException,
    now: datetime,
) -> None:
    """A dead letter of what a job has tried for long enough, in the caller's transaction.

    Of a run that was asked for because of a letter, it is that one again.
    """
    crashed = DeadLetter.crashed(Delivery(stream, position, None, body), 0, error)
    letter = crashed._replace(reason=GAVE_UP)
    news = None
    if stream.startswith(JOB_STREAM):
        news = dead_letters.failed_run(connection, int(position), letter, now)
    if news is None:
        news = dead_letters.record(connection, [letter], now)
    publish(connection, news)


@contextmanager
def leases_kept(settings: Settings, owner: str) -> Iterator[None]:
    """Within, whatever this process works on as this owner stays its own, however long it takes.

    What could not be written down as ended is not worked on any more: its lease runs out.
    """
    ended = threading.Event()

    def beat() -> None:
        connection: psycopg.Connection[Any] | None = None
        while not ended.wait(BEAT_SECONDS):
            try:
                if connection is None:
                    connection = connect(settings.database, name="job leases")
                rows.beat(connection, owner, set(_AT_WORK))
            except (DatabaseUnavailable, psycopg.Error) as error:
                log.warning("leases of runs not renewed", why=str(error).strip())
                if connection is not None:
                    connection.close()
                connection = None
        if connection is not None:
            connection.close()

    thread = threading.Thread(target=beat, name="job leases", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=2 * BEAT_SECONDS)
