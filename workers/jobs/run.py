"""A run of a job: what it may do, and what is remembered of it.

A run is a row. Whoever works on it holds a lease under an epoch, and every transaction of the run begins by looking at that
epoch: a process that was frozen and wakes up after somebody else took over can commit nothing. What a job does to one item,
and that it did so, is committed together; what was done once is not found again.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

import psycopg
import redis
import structlog

from ledger.dead_letters import escaped
from ledger.errors import BatchRaced, DatabaseUnavailable
from ledger.faults import Fault, classify
from messages.errors import EdgeRefused, EdgeUnavailable
from workers.errors import SettingsInvalid, WorkersError
from workers.settings import Settings

LEASE_SECONDS = 15
# Classes of SQLSTATE: syntax error or access rule violation, feature not supported.
WRONG_STATEMENT = frozenset({"42", "0A"})
RACES = 8

log = structlog.get_logger(__name__)
Result = TypeVar("Result")
Thing = TypeVar("Thing")


class RunLost(WorkersError):
    """Somebody else works on the run by now: what was not committed is void."""


class RunFailed(WorkersError):
    """The job has found what it must not find: to try again would find the same."""


class RunStopped(WorkersError):
    """The process is to end; the run waits for another."""


class Item(NamedTuple):
    """What became of one thing. outcome: done, refused or failed; in a dry run, what would have become of it."""

    item: str
    outcome: str
    reason: str | None = None
    detail: str | None = None


_FENCE = f"""
UPDATE job_run SET lease_until = clock_timestamp() + interval '{LEASE_SECONDS} seconds'
WHERE id = %b AND epoch = %b AND state = 'running'
RETURNING id"""

_COUNT = f"""
UPDATE job_run SET done = done + %b, refused = refused + %b, total = coalesce(%b::int8, total),
  lease_until = clock_timestamp() + interval '{LEASE_SECONDS} seconds'
WHERE id = %b AND epoch = %b"""

_PROGRESS = "UPDATE job_run SET result = %b WHERE id = %b AND epoch = %b AND state = 'running' RETURNING id"
_ITEMS = """
INSERT INTO job_item (run, item, outcome, reason, detail)
SELECT %s::int8, u.item, u.outcome, u.reason, u.detail
FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[]) AS u(item, outcome, reason, detail)
ON CONFLICT (run, item) DO UPDATE SET
  outcome = excluded.outcome, reason = excluded.reason, detail = excluded.detail, at = now()"""

_FOLLOW = """
INSERT INTO job_run (job, at, asked_by)
SELECT %(job)s, least(%(at)s, clock_timestamp()), %(asked_by)s
WHERE NOT EXISTS (SELECT FROM job_run WHERE job = %(job)s AND state = 'waiting')"""


@dataclass(slots=True)
class Run:
    """What a job works with.

    now: the clock that the job goes by, which need not be the wall's. dry_run: everything is tried, and rolled back.
    connection: in autocommit mode, for reading and for `transact`. id: its row; None in a dry run. by_hand: a person asked
    for it, and does not want to wait until the job would try something again by itself.
    """

    job: str
    now: datetime
    settings: Settings
    connection: psycopg.Connection[Any]
    id: int | None = None
    epoch: int = 0
    dry_run: bool = False
    by_hand: bool = False
    say: Callable[[str], None] = lambda _: None
    stopping: Callable[[], bool] = lambda: False
    items: list[Item] = field(default_factory=list)
    done: int = 0
    refused: int = 0
    _new: list[Item] = field(default_factory=list)
    _tally: tuple[int, int] = (0, 0)

    def transact(
        self,
        work: Callable[[psycopg.Connection[Any]], Result],
        *,
        total: int | None = None,
        durable: bool = True,
    ) -> Result:
        """Do `work` in a transaction that only the owner of the run can commit; again, where somebody else was faster.

        Items that are told within are kept with it. durable: whether to wait until it is on disk; what can be found out
        again need not be. Raises RunLost, and what `work` raises.
        """
        for race in range(RACES):
            self._new, self._tally = [], (0, 0)
            try:
                with self.connection.transaction() as transaction:
                    if not durable:
                        self.connection.execute("SET LOCAL synchronous_commit TO off")
                    self._fence()
                    result = work(self.connection)
                    self._keep(total)
                    if self.dry_run:
                        raise psycopg.Rollback(transaction)
            except (BatchRaced, psycopg.Error) as raced:
                if race == RACES - 1 or not _is_race(raced):
                    raise
                time.sleep(random.uniform(0, 0.02 * 2**race))
            else:
                break
        self._count()
        return result

    def each(
        self,
        things: Sequence[Thing],
        work: Callable[[psycopg.Connection[Any], list[Thing]], Result],
        name: Callable[[Thing], str],
    ) -> list[Result]:
        """Do `work` to all of them in one transaction. Where one cannot be done the others are, and it is told as failed.

        Raises RunLost, SettingsInvalid, and what an outage or a wrong statement raises: none of them is one thing's fault.
        """
        if not things:
            return []
        try:
            return [self.transact(lambda connection: work(connection, list(things)))]
        except (RunLost, RunStopped, RunFailed, SettingsInvalid):
            raise
        except Exception as error:
            if is_outage(error) or is_defect(error):
                raise
            if len(things) == 1:
                self._tell_failed(name(things[0]), error)
                return []
        middle = len(things) // 2
        return [*self.each(things[:middle], work, name), *self.each(things[middle:], work, name)]

    def _tell_failed(self, name: str, error: Exception) -> None:
        log.error("item failed", job=self.job, run=self.id, item=name, exc_info=error)
        why = escaped(f"{error}")[:2_000]
        self.transact(lambda _: self.item(name, "failed", type(error).__name__, why))

    def item(
        self, item: str, outcome: str = "done", reason: str | None = None, detail: str | None = None
    ) -> None:
        """Say what becomes of something, within `transact`."""
        self._new.append(Item(item, outcome, reason, detail))

    def tally(self, *, done: int = 0, refused: int = 0) -> None:
        """Count what is told of elsewhere than in the run's items, within `transact`."""
        self._tally = (self._tally[0] + done, self._tally[1] + refused)

    def check(self) -> None:
        """Between two steps: raises RunStopped where the process is to end."""
        if self.stopping():
            raise RunStopped(f"{self.job} was told to stop; it goes on where it was")

    def follow(self, job: str) -> None:
        """Have another job run as soon as may be, because of what this one has done; never by a clock that is ahead."""
        if not self.dry_run:
            self.connection.execute(_FOLLOW, {"job": job, "at": self.now, "asked_by": self.job})

    def progress(self, told: str) -> None:
        """Show in the run's row how far something is that takes long, outside of any transaction. Raises RunLost."""
        self.say(told)
        if self.id is None:
            return
        if self.connection.execute(_PROGRESS, (told, self.id, self.epoch)).fetchone() is None:
            raise RunLost(f"{self.job} is run by somebody else by now")

    def _fence(self) -> None:
        if self.id is not None and self.connection.execute(_FENCE, (self.id, self.epoch)).fetchone() is None:
            raise RunLost(f"{self.job} is run by somebody else by now")

    def _keep(self, total: int | None) -> None:
        if self.id is None:
            return
        if self._new:
            last = {one.item: one for one in self._new}  # told twice, the last word counts
            self.connection.execute(_ITEMS, (self.id, *map(list, zip(*last.values(), strict=True))))
        counted = self._counted()
        if any(counted) or total is not None:
            self.connection.execute(_COUNT, (*counted, total, self.id, self.epoch))

    def _counted(self) -> tuple[int, int]:
        done = sum(one.outcome == "done" for one in self._new)
        return done + self._tally[0], len(self._new) - done + self._tally[1]

    def _count(self) -> None:
        if self.dry_run:
            self.items += self._new
        done, refused = self._counted()
        self.done, self.refused = self.done + done, self.refused + refused
        self._new, self._tally = [], (0, 0)


def is_outage(error: BaseException) -> bool:
    """Whether a server is away, which is nobody's fault and passes."""
    away = DatabaseUnavailable | EdgeUnavailable | EdgeRefused | redis.ConnectionError | redis.TimeoutError
    if isinstance(error, away):
        return True
    return isinstance(error, psycopg.Error) and classify(error) is Fault.OUTAGE and not is_defect(error)


def is_defect(error: BaseException) -> bool:
    """Whether PostgreSQL does not understand what it was asked: no item's fault. Tried again like any failure, since it
    passes where the schema was being changed.
    """
    return isinstance(error, psycopg.Error) and (error.sqlstate or "")[:2] in WRONG_STATEMENT


def _is_race(error: Exception) -> bool:
    return isinstance(error, BatchRaced) or classify(error) is Fault.RACE
