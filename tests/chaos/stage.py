"""Where a campaign plays: servers on small disks, proxies before them, a clock, and a keeper who starts what has ended."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from deploy.embedded import EmbeddedPostgres, EmbeddedServers, EmbeddedValkey, short_address, unlink_address
from tests.chaos.clocks import Clock
from tests.chaos.disks import SmallDisk, family, limit_files, small_disk
from tests.chaos.keeper import VERBS, Keeper
from tests.chaos.proxy import Proxy
from tests.rabbitmq import server_address
from tests.system.site import Program, Site, administer, site_on

PARTITIONS = 2
ROLES = ["worker", "worker", "relay", "relay", "scheduler", "scheduler", "jobs", "jobs"]
PRODUCERS = "producers"  # a role to the proxy: those who publish
POSTGRES_MEGABYTES, VALKEY_MEGABYTES, FILES_MEGABYTES = 1_500, 700, 300
# The log of changes is to fit on a small disk, and not to take long to be read again.
SMALL = ("ALTER SYSTEM SET max_wal_size = '128MB'", "SELECT pg_reload_conf()")
ACTIVE = {
    "worker": "SELECT owner FROM partition WHERE lease_until > clock_timestamp() AND id = {partition}",
    "relay": "SELECT owner FROM lease WHERE name = 'relay' AND lease_until > clock_timestamp()",
    "scheduler": "SELECT owner FROM lease WHERE name = 'scheduler' AND lease_until > clock_timestamp()",
    "jobs": "SELECT owner FROM job_run WHERE state = 'running' AND owner IS NOT NULL LIMIT 1",
}
SESSIONS = {
    "worker": "coins worker%",
    "relay": "coins relay%",
    "scheduler": "coins scheduler%",
    "jobs": "coins job%",
}


@dataclass(frozen=True)
class Stage:
    """All that faults act on. The edge is Valkey's, then `edge` and `redis` are the same, or a virtual host of RabbitMQ."""

    site: Site
    keeper: Keeper
    database: Proxy
    redis: Proxy
    edge: Proxy
    clock: Clock
    disks: dict[str, SmallDisk]

    @property
    def postgres(self) -> EmbeddedPostgres:
        return self.site.servers.postgres

    @property
    def valkey(self) -> EmbeddedValkey:
        return self.site.servers.valkey

    def ask(self, statement: str) -> list[Any]:
        """What the database says, past the proxy; nothing where it does not answer."""
        with (
            contextlib.suppress(psycopg.Error),
            psycopg.connect(
                self.site.database_url,
                autocommit=True,
                connect_timeout=2,
                options="-c statement_timeout=2s -c lock_timeout=1s",
            ) as connection,
        ):
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []
        return []

    def victim(self, role: str, dice: float) -> Program | None:
        """A process of a role: three times out of four the one that has something to lose."""
        alive = self.keeper.alive(role)
        if not alive:
            return None
        if dice < 0.75:
            owner = self.ask(ACTIVE[role].format(partition=int(dice * 1_000) % PARTITIONS))
            for one in alive:
                if owner and f":{one.pid}:" in (owner[0][0] or ""):
                    return one
        return alive[int(dice * 1_000) % len(alive)]

    def backend(self, role: str, dice: float) -> int | None:
        """The process of PostgreSQL that serves one of a role's sessions, rather one with a transaction open."""
        rows = self.ask(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() "
            f"AND application_name LIKE '{SESSIONS[role]}' ORDER BY xact_start NULLS LAST, pid"
        )
        if not rows:
            return None
        return int(rows[0 if dice < 0.5 else int(dice * len(rows))][0])

    def calm(self) -> None:
        """Undo all that may still be amiss."""
        self.clock.off_by(0.0)
        for disk in self.disks.values():
            disk.free()
        self.database.calm()
        self.redis.calm()
        self.edge.calm()
        for server in (self.postgres, self.valkey):
            with contextlib.suppress(Exception):
                pids = family(server.pid)
                limit_files(pids, None)
                for pid in pids:
                    wake(pid)
        for program in self.keeper.everybody():
            program.wake()


def wake(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def stage(directory: Path, *, events_keep: int, rabbitmq_url: str | None = None) -> Iterator[Stage]:
    """The whole system on servers of its own; with a virtual host of RabbitMQ that is the edge."""
    with contextlib.ExitStack() as stack:
        disks = {
            name: stack.enter_context(small_disk(directory / name, megabytes=size))
            for name, size in (
                ("pg", POSTGRES_MEGABYTES),
                ("vk", VALKEY_MEGABYTES),
                ("files", FILES_MEGABYTES),
            )
        }
        for name in ("pg", "vk"):  # what a server says while its disk is full is to be read afterwards
            logs = directory / f"{name}-logs"
            logs.mkdir()
            (disks[name].path / "logs").symlink_to(logs)
        both = EmbeddedServers(EmbeddedPostgres(disks["pg"].path), EmbeddedValkey(disks["vk"].path))
        stack.callback(unlink_address, both.valkey.data_dir)
        stack.enter_context(both)
        for statement in SMALL:
            administer(both, statement)
        clock = Clock(directory / "clock")
        clock.announce(stack.enter_context(pytest.MonkeyPatch.context()))
        roles = [*VERBS, PRODUCERS]
        sockets = [short_address(one.data_dir) / one.name for one in (both.postgres, both.valkey)]
        database = stack.enter_context(Proxy(sockets[0] / ".s.PGSQL.5432", roles, postgres=True))
        redis = edge = stack.enter_context(Proxy(sockets[1] / "valkey.sock", roles))
        if rabbitmq_url is not None:
            edge = stack.enter_context(Proxy(server_address(), roles))
        site = stack.enter_context(
            site_on(both, disks["files"].path / "site", partitions=PARTITIONS, rabbitmq_url=rabbitmq_url)
        )
        keeper = Keeper(site, database, redis, edge, ROLES, [both.postgres, both.valkey], events_keep)
        made = Stage(site, stack.enter_context(keeper), database, redis, edge, clock, disks)
        stack.callback(made.calm)
        yield made
