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

import orjson
import psycopg

from deploy.bench.cpu import CpuMeter
from deploy.bench.errors import FigureFailed
from deploy.bench.outcomes import Outcomes, RabbitOutcomes, RedisOutcomes
from deploy.bench.workload import PRODUCER, Workload
from deploy.embedded import EmbeddedServers, servers
from deploy.interruption import interruptible, stopping
from deploy.supervisor import Child, Supervisor, say
from deploy.up import MIGRATION, children
from messages.events import EventType
from messages.publisher import RABBITMQ, Publisher
from workers.settings import PREFIX

PARTITIONS = 2
READY_SECONDS = 60.0
STALLED_SECONDS = 30.0
POLL_SECONDS = 0.01
NOTICE_SECONDS = (
    2.0  # an idle worker looks at its lease every second, and may be waiting for commands half a second
)
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
    rabbitmq_url: str | None = None
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

    @contextlib.contextmanager
    def on_rabbitmq(self) -> Iterator[System]:
        """Within, the same system reads and answers through RabbitMQ. Raises FigureFailed where none is configured."""
        if self.rabbitmq_url is None:
            raise FigureFailed(
                "no RabbitMQ is configured: set COINS_EDGE_URL=amqp://user:password@host:port/vhost"
            )
        before = self.system()
        edge = {f"{PREFIX}EDGE_URL": self.rabbitmq_url}
        on_redis = self._children
        for child in on_redis:
            self.supervisor.end(child.name)
        self.supervisor.run_once(Child("migrate-rabbitmq", MIGRATION.command, edge))
        self._children = [Child(f"rabbitmq-{one.name}", one.command, edge) for one in on_redis]
        system = System(self.database_url, self.rabbitmq_url, before.workload)
        try:
            for child in self._children:
                self.supervisor.add(self._profiled(child))
            self.supervisor.wait_ready(READY_SECONDS)
            yield system
        finally:
            system.close()
            for child in self._children:
                self.supervisor.end(child.name)
            self._children = on_redis
            for child in on_redis:
                self.supervisor.add(self._profiled(child))
            self.supervisor.wait_ready(READY_SECONDS)

    def cpu_meter(self) -> CpuMeter:
        """Counts the processor time of every part of the system from now on."""
        parts: dict[str, list[int]] = {}
        for name, pid in self.processes().items():
            parts.setdefault(_role(name), []).append(pid)
        return CpuMeter(parts)

    def processes(self) -> dict[str, int]:
        """The process ids of everything that runs, by name."""
        running = {child.name: self.supervisor.pid(child.name) for child in self._children}
        return {"postgres": self.embedded.postgres.pid, "valkey": self.embedded.valkey.pid, **running}

    def close(self) -> None:
        if self._system is not None:
            self._system.close()

    def _profiled(self, child: Child) -> Child:
        role = _role(child.name)
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
        return Child(child.name, command, child.environment)


def _role(name: str) -> str:
    return name.removeprefix("rabbitmq-").rstrip("-0123456789")


class System:
    """The running system as a producer and its operator see it: commands in, outcomes out, partitions held off."""

    def __init__(self, database_url: str, edge_url: str, workload: Workload) -> None:
        self.workload = workload
        self.publisher = Publisher(edge_url, producer=PRODUCER, partitions=PARTITIONS, timeout_seconds=30.0)
        self.outcomes: Outcomes = (
            RabbitOutcomes(edge_url, PRODUCER)
            if edge_url.startswith(RABBITMQ)
            else RedisOutcomes(edge_url, PRODUCER)
        )
        self._database = psycopg.connect(database_url, autocommit=True, application_name="coins bench")

    def prepare(self) -> None:
        """Open the accounts, give them coins and devices, through the system itself."""
        events = list(self.workload.preparation())
        plans, rest = events[:2], events[2:]
        for some in (plans, rest):
            before, after = self.outcomes.count(), self.outcomes.position()
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

    def await_outcomes(self, count: int) -> float:
        """Wait until so many can be read, and return when that was. Raises FigureFailed when no more come."""
        seen, grew_at = -1, time.perf_counter()
        while True:
            there, now = self.outcomes.count(count), time.perf_counter()
            if there >= count:
                return now
            if there != seen:
                seen, grew_at = there, now
            elif now - grew_at > STALLED_SECONDS:
                raise FigureFailed(f"{count - there:,} outcomes did not come within {STALLED_SECONDS:g} s")
            time.sleep(POLL_SECONDS)

    def verify(self, ids: Iterable[str], after: str) -> None:
        """Read the outcomes back: every command has exactly one, and was applied. Raises FigureFailed."""
        check_outcomes(ids, self.outcomes.after(after))

    def close(self) -> None:
        self.publisher.close()
        self.outcomes.close()
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
    edge = os.environ.get(f"{PREFIX}EDGE_URL", "")
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
        rabbitmq_url = edge if edge.startswith(RABBITMQ) else None
        bench = Bench(embedded, supervisor, commands, rows, profile, rabbitmq_url)
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
