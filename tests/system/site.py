"""A running system of a test's own: embedded servers, a fresh database, an empty edge, and processes of the product."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import redis

from deploy.embedded import EmbeddedServers, servers
from ledger.migrate import migrate
from messages.publisher import connect
from tests.forking import forking

COINS = (sys.executable, "-P", "-m", "console.cli.main")
WORKER, RELAY, SCHEDULER = ("worker", "commands"), ("relay",), ("scheduler",)
JOBS = ("worker", "jobs")
READY_SECONDS = 30.0
POLL_SECONDS = 0.03
_databases = count(1)


@dataclass
class Program:
    """A process of the product, with its log in a file."""

    process: subprocess.Popen[bytes]
    log_file: Path
    ready_file: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def log(self) -> str:
        return self.log_file.read_text(encoding="utf-8", errors="replace")

    def send(self, sig: signal.Signals) -> None:
        self.process.send_signal(sig)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def leave(self, within_seconds: float = 15.0) -> int:
        """SIGTERM; its exit code."""
        self.process.terminate()
        return self.process.wait(within_seconds)


@dataclass
class Site:
    """One system. `partitions` is what its processes are told unless they are told otherwise."""

    servers: EmbeddedServers
    directory: Path
    database_url: str
    database: str
    partitions: int
    programs: list[Program] = field(default_factory=list)
    rabbitmq_url: str | None = None

    @property
    def redis_url(self) -> str:
        return self.servers.valkey.url

    @property
    def edge_url(self) -> str:
        """Of the queue where commands come in."""
        return self.rabbitmq_url or self.redis_url

    def environment(self, **settings: object) -> dict[str, str]:
        """What a process of this system finds in its environment; nothing of ours leaks into it."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("COINS_")}
        given = {
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
            "EDGE_URL": self.rabbitmq_url,
            "PARTITIONS": self.partitions,
            "DATA_DIR": self.directory / "data",
            **settings,
        }
        return clean | {f"COINS_{name}": str(value) for name, value in given.items() if value is not None}

    def start(self, *verb: str, wait: bool = True, **settings: object) -> Program:
        """Start a process of the product; `settings` are COINS_ settings that differ."""
        number = len(self.programs)
        log_file = self.directory / f"{number}-{'-'.join(verb)}.log"
        ready_file = self.directory / f"{number}.ready"
        with log_file.open("wb") as log:
            process = subprocess.Popen(
                [*COINS, *verb],
                env=self.environment(READY_FILE=ready_file, **settings),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                start_new_session=True,
            )
        program = Program(process, log_file, ready_file)
        self.programs.append(program)
        if wait:
            self.wait_ready(program)
        return program

    def start_all(self, *verbs: Sequence[str]) -> list[Program]:
        """Start several processes at once."""
        programs = [self.start(*verb, wait=False) for verb in verbs]
        self.wait_ready(*programs)
        return programs

    def wait_ready(self, *programs: Program) -> None:
        for program in programs:
            until(program.ready_file.exists, READY_SECONDS, self.logs)

    def coins(
        self, *arguments: str, given: str | bytes = b"", timeout_seconds: float = 60.0, **settings: object
    ) -> subprocess.CompletedProcess[str]:
        """One call of the command line."""
        done = forking().run(
            arguments,
            environment=self.environment(**settings),
            directory=self.directory,
            given=given.encode() if isinstance(given, str) else given,
            timeout_seconds=timeout_seconds,
        )
        return subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
        )

    def end(self) -> None:
        """End every process that was started here."""
        for program in self.programs:
            if program.process.poll() is None:
                program.kill()

    # Looking into it

    def rows(self, statement: str, *values: object) -> list[Any]:
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), values)
            return cursor.fetchall() if cursor.description else []

    def value(self, statement: str, *values: object) -> Any:
        rows = self.rows(statement, *values)
        return rows[0][0] if rows else None

    @contextlib.contextmanager
    def edge(self) -> Iterator[redis.Redis]:
        """The edge, where it is Redis'."""
        client = connect(self.redis_url)
        try:
            yield client
        finally:
            client.close()

    def owner_of(self, partition: int = 0) -> Program | None:
        """The process that reads a partition under a lease that has not run out."""
        name = self.value(
            "SELECT owner FROM partition WHERE id = %s AND lease_until > clock_timestamp()", partition
        )
        return self._named(name)

    def relaying(self) -> Program | None:
        """The process that has the relay's lease."""
        return self._named(
            self.value("SELECT owner FROM lease WHERE name = 'relay' AND lease_until > clock_timestamp()")
        )

    def owner_within(self, seconds: float, partition: int = 0) -> Program:
        owner: Program = until(lambda: self.owner_of(partition), seconds, self.logs)
        return owner

    def relaying_within(self, seconds: float) -> Program:
        relay: Program = until(self.relaying, seconds, self.logs)
        return relay

    def logs(self) -> str:
        return "\n".join(f"--- {one.log_file.name}\n{one.log[-3_000:]}" for one in self.programs)

    def _named(self, owner: str | None) -> Program | None:
        found = re.search(r":(\d+):[0-9a-f]+$", owner or "")
        pid = int(found[1]) if found else None
        return next((one for one in self.programs if one.pid == pid), None)


def until(condition: Callable[[], Any], seconds: float, said: Callable[[], str] = str) -> Any:
    """What the condition comes to, as soon as it is true. Fails with what `said` tells after so many seconds."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s\n{said()}"
        time.sleep(POLL_SECONDS)
    return found


@contextlib.contextmanager
def embedded(directory: Path, *, durable: bool) -> Iterator[EmbeddedServers]:
    """Both servers on data of their own, stopped in all cases."""
    both = servers(directory, durable=durable)
    with both:
        yield both


@contextlib.contextmanager
def site_on(
    both: EmbeddedServers, directory: Path, *, partitions: int, rabbitmq_url: str | None = None
) -> Iterator[Site]:
    """A system on these servers, with a database of its own and an empty edge: Redis', or a virtual host of RabbitMQ."""
    both.start()
    name = f"coins_test_{next(_databases)}"
    administer(both, f"CREATE DATABASE {name} STRATEGY FILE_COPY")
    url = both.postgres.url.replace("/coinworks?", f"/{name}?")
    migrate(url, partitions=partitions)
    directory.mkdir(parents=True, exist_ok=True)
    site = Site(both, directory, url, name, partitions, rabbitmq_url=rabbitmq_url)
    with site.edge() as client:
        client.flushall()
    if rabbitmq_url is not None:
        done = site.coins("migrate")
        assert done.returncode == 0, done.stderr
    try:
        yield site
    finally:
        site.end()
        both.start()
        administer(both, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def administer(both: EmbeddedServers, statement: str) -> None:
    with psycopg.connect(both.postgres.url, autocommit=True) as connection:
        connection.execute(statement.encode())


def settings_of(site: Site) -> Mapping[str, str]:
    """The COINS_ settings that the site's processes get."""
    return {name: value for name, value in site.environment().items() if name.startswith("COINS_")}
