"""The billing cycle by a test's own clock: what it publishes is decided at that moment, as by `coins worker commands`."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import redis
from pydantic import SecretStr

from ledger.records import Subscription
from ledger.rows import KINDS
from messages.publisher import connect
from messages.streams import SCHEDULER, commands_stream
from tests.desk import LedgerDesk, Said
from tests.workers.jobs.clockwork import Clockwork
from workers.jobs import rows
from workers.jobs.billing import bill
from workers.jobs.run import Item, Run, RunStopped

JOB = "billing-cycle"
STREAM = commands_stream(0, SCHEDULER)
# One that no other desk of the test has taken.
PARTITION = 3
BLOCK_MILLISECONDS = 20
MINUTE = timedelta(minutes=1)


class EdgeDesk:
    """Reads what the scheduler publishes, on a thread of its own, and decides it by the clock of another desk.

    further: the events that came of it. said: the outcomes. whole: held from before a commit until what came of it is here.
    before: done once, before what is read next is decided. stream: what is read.
    """

    def __init__(self, url: str, edge_url: str, clock: LedgerDesk, partition: int = PARTITION) -> None:
        self.further: list[Any] = []
        self.said: list[Said] = []
        self.error: Exception | None = None
        self.before: Callable[[], object] | None = None
        self.stream = STREAM
        self.whole = threading.Lock()
        self._clock = clock
        self._desk = LedgerDesk(url, partition=partition, producer=SCHEDULER, now=clock.now)
        self._client = connect(edge_url)
        self._reading, self._ended = threading.Event(), threading.Event()
        self._reading.set()
        self._thread = threading.Thread(target=self._run, name="edge desk", daemon=True)
        self._thread.start()

    @property
    def failed(self) -> bool:
        return self.error is not None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Within, nothing is read: what is published waits on the edge."""
        self._reading.clear()
        try:
            yield
        finally:
            self._reading.set()

    def close(self) -> None:
        self._ended.set()
        self._reading.set()
        self._thread.join()
        self._client.close()
        self._desk.close()

    def _run(self) -> None:
        try:
            self._read()
        except Exception as error:  # noqa: BLE001 - told to the test, which runs on another thread
            self.error = error

    def _read(self) -> None:
        places: dict[str, bytes | str] = defaultdict(lambda: "0-0")
        while not self._ended.is_set():
            self._reading.wait()
            found: Any = self._client.xread(
                {self.stream: places[self.stream]}, count=500, block=BLOCK_MILLISECONDS
            )
            if not found or not self._reading.is_set():
                continue
            ((name, entries),) = found
            if self.before is not None:
                self.before()
                self.before = None
            with self.whole:
                self._desk.now = self._clock.now
                self.said += self._desk.deliver(*(fields[b"event"] for _, fields in entries))
                self.further += self._desk.further
            places[name.decode()] = entries[-1][0]


class Tried(NamedTuple):
    """An attempt at a cycle, as its row says."""

    subscription: str
    cycle_no: int
    attempt: int
    tried_at: datetime
    reason: str | None


class BillingDesk(Clockwork):
    """Runs the billing cycle on the ledger of a desk, by that desk's clock."""

    def __init__(self, desk: LedgerDesk, url: str, edge_url: str, directory: Path) -> None:
        super().__init__(desk, url, directory)
        self.desk = desk
        self.settings = self.settings.model_copy(update={"redis_url": SecretStr(edge_url)})
        self.client: redis.Redis = connect(edge_url)
        self.client.flushall()
        self.edge = EdgeDesk(url, edge_url, desk)

    def close(self) -> None:
        self.edge.close()
        self.client.close()
        super().close()

    def begin(self, *, owner: str = "tests", stopping: Callable[[], bool] = lambda: False) -> Run:
        """A run of the cycle by the desk's clock, taken and not yet done."""
        id_ = rows.ask(self.connection, JOB, self.desk.now, "tests")
        return self.take(id_, owner=owner, stopping=stopping)

    def take(self, id_: int, *, owner: str = "tests", stopping: Callable[[], bool] = lambda: False) -> Run:
        taken = rows.take(self.connection, id_, owner)
        assert taken is not None, f"run {id_} cannot be taken"
        return Run(
            taken.job,
            taken.at,
            self.settings,
            self.connection,
            id=taken.id,
            epoch=taken.epoch,
            stopping=lambda: self.edge.failed or stopping(),
        )

    def finish(self, run: Run) -> str:
        """Do what the run is to do, to its end."""
        try:
            result = bill(run)
        except RunStopped:
            if self.edge.error is not None:
                raise self.edge.error from None
            raise
        assert rows.done(self.connection, _taken(run), result)
        return result

    def stopped(self, after: int = 3) -> int:
        """A run that is told to stop when it has looked so often; its number."""
        run = self.begin(stopping=looking(after))
        assert self.stops(run)
        assert run.id is not None
        return run.id

    def stops_again(self, id_: int, after: int) -> bool:
        """Go on with a run that was stopped. Whether it is stopped again; else it is done."""
        return self.stops(self.take(id_, stopping=looking(after)))

    def stops(self, run: Run) -> bool:
        """Work on a run. Whether it is stopped before its end; then it waits for somebody who goes on."""
        try:
            self.finish(run)
        except RunStopped as stopped:
            rows.again(self.connection, _taken(run), stopped, outage=True, pause_seconds=0)
            return True
        return False

    def bill(self, *, stopping: Callable[[], bool] = lambda: False) -> str:
        """One run, to its end."""
        return self.finish(self.begin(stopping=stopping))

    def foreseen(self) -> list[Item]:
        """What a dry run says."""
        run = Run(JOB, self.desk.now, self.settings, self.connection, dry_run=True)
        bill(run)
        return run.items

    def advance(self, **by: float) -> None:
        """Let so much time pass, with a run whenever anything is due, and one at its end."""
        self.until(self.desk.now + timedelta(**by))

    def until(self, moment: datetime) -> None:
        while (due := self.next_look()) is not None and minute_after(due) <= moment:
            self.desk.now = max(self.desk.now, minute_after(due))
            self.bill()
            assert self.next_look() != due, (
                f"what was due at {due} is still due after a run at {self.desk.now}"
            )
        self.desk.now = moment
        self.bill()

    def next_look(self) -> datetime | None:
        """When the cycle has something to look at next."""
        moment: datetime | None = self.desk.one("SELECT min(next_try_at) FROM subscription")[0]
        return moment

    def row(self, id_: str = "s1") -> Subscription:
        """A subscription as the ledger holds it."""
        return Subscription(*self.desk.one(KINDS[Subscription].load, [id_]))

    def attempts(self, id_: str | None = None) -> list[Tried]:
        """Every attempt with its outcome, in the order of the clock."""
        rows = self.desk.all(
            "SELECT subscription, cycle_no, attempt, tried_at, reason FROM renewal_attempt "
            "WHERE subscription = coalesce(%s::text, subscription) ORDER BY tried_at, subscription, cycle_no, attempt",
            id_,
        )
        return [Tried(*row) for row in rows]

    def published(self) -> int:
        """How many messages of the scheduler there are on the edge."""
        return int(self.client.xlen(STREAM))

    def events(self) -> list[Any]:
        """What was announced since this was last asked: by what was decided, then by the job."""
        with self.edge.whole:
            heard, self.edge.further = self.edge.further, []
        return heard + super().events()


def _taken(run: Run) -> rows.Taken:
    assert run.id is not None
    return rows.Taken(run.id, run.job, run.now, run.epoch, 1)


def looking(times: int) -> Callable[[], bool]:
    """Says that it is time to stop when it has been asked so often."""
    left = iter(range(times))
    return lambda: next(left, None) is None


def minute_after(moment: datetime) -> datetime:
    """The whole minute at which a run finds what is due at that moment."""
    whole = moment.replace(second=0, microsecond=0)
    return whole if whole == moment else whole + MINUTE
