"""The process `coins worker jobs`: performs runs when it is knocked at. Apart from commands, whose latency it would ruin."""

from __future__ import annotations

import os
from typing import Any

import dramatiq
import structlog

from messages.publisher import connect
from messages.streams import SCHEDULER
from schedulers.ringing import ACTOR, QUEUE
from schedulers.schedule import JOBS
from workers.broker import CoinsBroker, has_its_threads
from workers.counts import JobCounts
from workers.jobs.performing import leases_kept, perform
from workers.metrics import counting
from workers.process import Process
from workers.producers import secret_of
from workers.settings import Settings

# A run of each job at a time, and none waits for another to be over.
THREADS = len(JOBS)
STOP_MILLISECONDS = 8_000
# Where there are not enough cores, a command goes first: nobody waits for a receipt to be printed.
NICENESS = 10

log = structlog.get_logger(__name__)


def declare(broker: dramatiq.Broker, settings: Settings, process: Process, counts: JobCounts) -> Any:
    """The actor `run_job`: a message says no more than which row to look at, and may be lost, late or doubled."""

    @dramatiq.actor(broker=broker, actor_name=ACTOR, queue_name=QUEUE)
    def run_job(run: int) -> None:
        stopping = process.stopping.is_set
        perform(run, JOBS, settings, owner=process.name, stopping=stopping, ended=counts.ended)

    return run_job


def run(settings: Settings) -> None:
    """Perform runs until told to stop; what is not finished then goes on elsewhere, or with the next start."""
    connect(settings.redis).close()  # a URL that is none is no reason to wait
    secret_of(settings, SCHEDULER)  # nor is a producers file by which no renewal could be sent
    os.nice(NICENESS)
    with (
        counting(settings) as registry,
        Process("jobs", settings.database) as process,
        leases_kept(settings, process.name),
    ):
        broker = CoinsBroker(settings, owner=process.name)
        declare(broker, settings, process, JobCounts(registry))
        worker = dramatiq.Worker(broker, worker_threads=THREADS, worker_timeout=250)
        worker.start()
        process.whole = lambda: has_its_threads(worker)
        process.ready()
        process.stopping.wait()
        log.info("stopping")
        worker.stop(STOP_MILLISECONDS)
        broker.close()
