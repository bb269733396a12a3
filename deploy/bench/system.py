"""What is measured: the embedded servers on data of their own, and on them the whole system as `coins up` runs it."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import psycopg
import redis

from deploy.bench.cpu import CpuMeter
from deploy.bench.errors import FigureFailed
from deploy.bench.interruption import interruptible, stopping
from deploy.bench.workload import PRODUCER, Workload
from deploy.embedded import EmbeddedServers, servers
from deploy.supervisor import Child, Supervisor, say
from deploy.up import MIGRATION, children
from messages.events import EventType
from messages.publisher import Publisher, connect
from messages.streams import outcomes_stream
from workers.settings import PREFIX

PARTITIONS = 2
READY_SECONDS = 60.0
STALLED_SECONDS = 30.0
POLL_SECONDS = 0.01
NOTICE_SECONDS = (
    2.0  # an idle worker looks at its lease every second, and may be waiting for commands half a second
)
PAGE = 5_000
SAMPLED = frozenset({"commands", "jobs"})
APPLIED = EventType.APPLIED.value

_HOLD = """
UPDATE partition SET epoch = epoch + 1, owner = 'bench', lease_until = clock_timestamp() + interval '1 hour'"""
_RELEASE = "UPDATE partition SET owner = NULL, lease_until = '-infinity'"


@dataclass(slots=True)
class Bench:
    """The servers, and on demand the system on them. `with measuring(...) as bench:` stops and removes all of it."""

    embedded: EmbeddedServers
    supervisor: Supervisor
    commands: int
    rows: int = 1_000_000
    profile: Path | None = None
    _system: System | None = field(default=None, init=False)
    _children: list[Child] = field(default_factory=list, init=False)

    @property
    def database_url(self) -> str:
        return self.embedded.postgres.url

    @property
    def redis_url(self) -> str:
        return self.embedded.valkey.url

    def system(self) -> System:
        """The whole system, with accounts, coins and devices; started by whoever asks first."""
        if self._system is None:
            say("starting the system")
            self.supervisor.run_once(MIGRATION)
            self._children = children(PARTITIONS)
            for child in self._children:
                self.supervisor.add(self._profiled(child))
            self.supervisor.wait_ready(READY_SECONDS)
            workload = Workload.for_commands(self.commands)
            self._system = System(self.database_url, self.redis_url, workload)
            say(f"preparing {workload.accounts:,} accounts")
            self._system.prepare()
        return self._system

    def cpu_meter(self) -> CpuMeter:
        """Counts the processor time of every part of the system from now on."""
        parts = {"postgres": [self.embedded.postgres.pid], "valkey": [self.embedded.valkey.pid]}
        for child in self._children:
            parts.setdefault(child.name.rstrip("-0123456789"), []).append(self.supervisor.pid(child.name))
        return CpuMeter(parts)

    def close(self) -> None:
        if self._system is not None:
            self._system.close()

    def _profiled(self, child: Child) -> Child:
        role = child.name.rstrip("-0123456789")
        if self.profile is None or role not in SAMPLED:
            return child
        command = (
            child.command[0],
            "-P",
            "-m",
            "deploy.bench.sampling",
            role,
            str(self.profile / child.name),
        )
        return Child(child.name, command)


class System:
    """The running system as a producer and its operator see it: commands in, outcomes out, partitions held off."""

    def __init__(self, database_url: str, redis_url: str, workload: Workload) -> None:
        self.redis_url = redis_url
        self.workload = workload
        self.publisher = Publisher(redis_url, producer=PRODUCER, partitions=PARTITIONS, timeout_seconds=30.0)
        self.stream = outcomes_stream(PRODUCER)
        self._redis = connect(redis_url, timeout_seconds=30.0)
        self._database = psycopg.connect(database_url, autocommit=True, application_name="coins bench")

    def prepare(self) -> None:
        """Open the accounts, give them coins and devices, through the system itself."""
        events = list(self.workload.preparation())
        plans, rest = events[:2], events[2:]
        for some in (plans, rest):
            before, after = self.outcomes(), self.position()
            self.publisher.send_batch(some)
            self.await_outcomes(before + len(some))
            self.verify([one.id for one in some], after)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """No worker takes commands within; they begin when it ends."""
        self._database.execute(_HOLD)
        time.sleep(NOTICE_SECONDS)
        try:
            yield
        finally:
            self._database.execute(_RELEASE)

    def outcomes(self) -> int:
        """How many outcomes have been published so far."""
        try:
            found: Any = self._redis.xinfo_stream(self.stream)
        except redis.ResponseError:  # there was none yet
            return 0
        return int(found["entries-added"])

    def position(self) -> str:
        """Where the outcomes end at this moment."""
        last: Any = self._redis.xrevrange(self.stream, count=1)
        return last[0][0].decode() if last else "0-0"

    def await_outcomes(self, count: int) -> float:
        """Wait until so many can be read, and return when that was. Raises FigureFailed when no more come."""
        seen, grew_at = -1, time.perf_counter()
        while True:
            there, now = self.outcomes(), time.perf_counter()
            if there >= count:
                return now
            if there != seen:
                seen, grew_at = there, now
            elif now - grew_at > STALLED_SECONDS:
                raise FigureFailed(f"{count - there:,} outcomes did not come within {STALLED_SECONDS:g} s")
            time.sleep(POLL_SECONDS)

    def verify(self, ids: Iterable[str], after: str) -> None:
        """Read the outcomes back: every command has exactly one, and was applied. Raises FigureFailed."""
        check_outcomes(ids, self._outcomes_after(after))

    def _outcomes_after(self, after: str) -> Iterator[bytes]:
        while page := self._page(after):
            for position, fields in page:
                yield fields[b"event"]
                after = position.decode()

    def _page(self, after: str) -> list[Any]:
        page: Any = self._redis.xrange(self.stream, min=f"({after}", count=PAGE)
        return list(page)

    def close(self) -> None:
        self.publisher.close()
        self._redis.close()
        self._database.close()


def check_outcomes(ids: Iterable[str], outcomes: Iterable[bytes]) -> None:
    """Raises FigureFailed unless each command has exactly one outcome, and that it was applied."""
    waiting = set(ids)
    for raw in outcomes:
        outcome = orjson.loads(raw)
        id_, data = outcome["causationid"], outcome["data"]
        if outcome["type"] != APPLIED:
            raise FigureFailed(f"a command was refused: {data['reason']}: {data['message']}")
        if id_ not in waiting:
            raise FigureFailed(f"{id_} has more than one outcome, or was never sent")
        waiting.remove(id_)
    if waiting:
        raise FigureFailed(f"{len(waiting):,} commands have no outcome; one of them is {waiting.pop()}")


@contextlib.contextmanager
def measuring(*, commands: int, rows: int = 1_000_000, profile: Path | None = None) -> Iterator[Bench]:
    """Servers in a temporary directory. Whatever happens within, nothing is left running and nothing stays behind.

    Raises KeyboardInterrupt when asked to stop, by whichever signal (`interruption.interruptible`).
    """
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        del os.environ[name]  # what is measured has the settings that it comes with
    with contextlib.ExitStack() as stack:
        stack.enter_context(interruptible())
        data_dir = Path(tempfile.mkdtemp(prefix="coins-bench-", dir=_room())).resolve()
        stack.callback(shutil.rmtree, data_dir, ignore_errors=True)
        embedded = servers(data_dir, durable=True)
        environment = {f"{PREFIX}{name.upper()}": url for name, url in embedded.endpoints.items()}
        environment |= {
            f"{PREFIX}DATA_DIR": str(data_dir),
            f"{PREFIX}PARTITIONS": str(PARTITIONS),
            f"{PREFIX}EVENTS_KEEP": str(max(1_000_000, 2 * commands)),
        }
        supervisor = Supervisor(data_dir, environment)
        bench = Bench(embedded, supervisor, commands, rows, profile)
        stack.callback(embedded.stop)
        stack.callback(supervisor.stop)
        stack.callback(bench.close)
        stack.callback(stopping)
        say(f"starting PostgreSQL and Valkey in {data_dir}")
        embedded.start()
        supervisor.start()
        yield bench


def _room() -> str | None:
    """A disk: where /tmp is memory, nothing would be forced to anything."""
    on_disk = Path("/var/tmp")
    return str(on_disk) if "TMPDIR" not in os.environ and os.access(on_disk, os.W_OK) else None
