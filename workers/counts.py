"""What processes count of their own work, under the names that Prometheus is told; `deploy/README.md` has the table.

The label of a job is `job_name`: `job` is Prometheus' own, and says which target something came from.
Each kind of process makes the counts that it has something to say about, in the registry of `workers/metrics.py`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from ledger.batch import Batch, Handled, Stage

if TYPE_CHECKING:  # a worker of commands has no use for jobs
    from workers.jobs.performing import Outcome
    from workers.jobs.run import Run

# A batch takes 2 to 500 ms.
BATCH_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
WAIT_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
BATCH_COMMANDS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
JOB_SECONDS = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0)
LEADING = "coins_leading"
NO_REASON = ("applied", "duplicate")


class CommandCounts:
    """Of a worker of commands: what became of them, and where the time goes. Counted by the batch, once it is committed."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._commands = Counter(
            "coins_commands",
            "Commands that were answered; reason: why they were rejected, else empty.",
            ("type", "outcome", "reason"),
            registry=registry,
        )
        self._size = Histogram(
            "coins_batch_commands", "Commands in a batch.", buckets=BATCH_COMMANDS, registry=registry
        )
        seconds = Histogram(
            "coins_batch_seconds",
            "How long a batch was at each stage.",
            ("stage",),
            buckets=BATCH_SECONDS,
            registry=registry,
        )
        self._seconds = {stage: seconds.labels(stage.value) for stage in Stage}
        self._waited = Histogram(
            "coins_oldest_command_seconds",
            "How long the oldest command of a batch had waited, from its arrival at the edge to its commit.",
            buckets=WAIT_SECONDS,
            registry=registry,
        )
        batches = Counter(
            "coins_batches",
            "Batches by how they ended; only committed ones count.",
            ("result",),
            registry=registry,
        )
        self._committed, self._raced, self._failed = map(batches.labels, ("committed", "raced", "failed"))

    def committed(self, batch: Batch, handled: Handled) -> None:
        for (name, became), number in handled.outcomes.items():
            labels = (became, "") if became in NO_REASON else ("rejected", became)
            self._commands.labels(name, *labels).inc(number)
        self._size.observe(handled.commands)
        for stage, seconds in handled.seconds.items():
            self._seconds[stage].observe(seconds)
        arrived = [one.arrived_at for one in batch.deliveries if one.arrived_at is not None]
        if arrived:
            self._waited.observe(max(0.0, time.time() - min(arrived)))
        self._committed.inc()

    def raced(self) -> None:
        """Somebody else was faster; the batch is run again."""
        self._raced.inc()

    def failed(self) -> None:
        """Nothing of the batch was done; it is read again."""
        self._failed.inc()


class RelayCounts:
    """Of a relay."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._published = Counter(
            "coins_events_published", "Events that the edge has confirmed.", registry=registry
        )
        self.leading = Leading(registry, "relay")

    def published(self, events: int) -> None:
        self._published.inc(events)


class JobCounts:
    """Of a worker of jobs."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._runs = Counter(
            "coins_job_runs",
            "Runs of jobs by how they ended here.",
            ("job_name", "outcome"),
            registry=registry,
        )
        self._seconds = Histogram(
            "coins_job_seconds", "How long runs took.", ("job_name",), buckets=JOB_SECONDS, registry=registry
        )
        self._items = Counter(
            "coins_job_items",
            "What runs did: a mail, a renewal, a receipt …",
            ("job_name", "outcome"),
            registry=registry,
        )

    def ended(self, run: Run, outcome: Outcome, seconds: float) -> None:
        self._runs.labels(run.job, outcome.value).inc()
        self._seconds.labels(run.job).observe(seconds)
        self._items.labels(run.job, "done").inc(run.done)
        self._items.labels(run.job, "refused").inc(run.refused)


class Leading:
    """Whether this process does what one at a time does."""

    def __init__(self, registry: CollectorRegistry, role: str) -> None:
        gauge = Gauge(
            LEADING,
            "1 where the process is the active one of its role, 0 where it stands by.",
            ("role",),
            registry=registry,
            multiprocess_mode="max",
        )
        self._gauge = gauge.labels(role)
        self.set(False)

    def set(self, leading: bool) -> None:
        self._gauge.set(leading)
