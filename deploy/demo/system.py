"""A system for the demo alone: servers, two command workers of which one stands by, and a relay."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

from deploy.embedded import servers
from deploy.errors import ChildNotReady
from deploy.supervisor import Child, Supervisor
from deploy.up import COINS, MIGRATION, READY_SECONDS, write_whole
from ledger.database import connect
from workers.settings import ENDPOINTS_FILE

WORKERS = ("commands-1", "commands-2")
CHILDREN = (
    *(Child(name, (*COINS, "worker", "commands")) for name in WORKERS),
    Child("relay", (*COINS, "relay")),
)
_OWNER = """
SELECT epoch, owner FROM partition
WHERE id = 0 AND owner IS NOT NULL AND lease_until > clock_timestamp()"""
_POLL_SECONDS = 0.02


class Owner(NamedTuple):
    """Who applies the commands: the worker's name, and its epoch, which grows with every change."""

    name: str
    epoch: int


class System:
    """A running system. `redis_url` is all that a producer knows of it."""

    def __init__(self, supervisor: Supervisor, database_url: str, redis_url: str) -> None:
        self.database_url = database_url
        self.redis_url = redis_url
        self._supervisor = supervisor
        self._connection: psycopg.Connection[Any] = connect(database_url, name="demo")

    def owner(self) -> Owner | None:
        """Whoever has the lease at this moment."""
        row = self._connection.execute(_OWNER).fetchone()
        if row is None:
            return None
        epoch, owner = row
        return Owner(self._name_of(int(owner.split(":")[1])), epoch)

    def await_owner(self) -> Owner:
        """Raises ChildNotReady."""
        deadline = time.monotonic() + READY_SECONDS
        while (found := self.owner()) is None:
            if time.monotonic() > deadline:
                raise ChildNotReady(f"no worker has taken the partition after {READY_SECONDS:g} s")
            time.sleep(_POLL_SECONDS)
        return found

    def kill(self, name: str) -> None:
        """SIGKILL: no last words, nothing is tidied up."""
        self._supervisor.kill(name)

    def check(self) -> None:
        """Raises ChildMisconfigured."""
        self._supervisor.check()

    def close(self) -> None:
        self._connection.close()

    def _name_of(self, pid: int) -> str:
        for name in WORKERS:
            with contextlib.suppress(ChildNotReady):
                if self._supervisor.pid(name) == pid:
                    return name
        return f"process {pid}"


@contextlib.contextmanager
def running(
    data_dir: Path, *, report: Callable[[str], None], interrupted: Callable[[], bool]
) -> Iterator[System]:
    """A system on fresh data in `data_dir`, stopped afterwards whatever happens.

    Raises DeployError: servers or processes that do not start; Interrupted.
    """
    embedded = servers(data_dir)
    environment = {f"COINS_{name.upper()}": url for name, url in embedded.endpoints.items()}
    supervisor = Supervisor(
        data_dir,
        {**environment, "COINS_DATA_DIR": str(data_dir)},
        report=report,
        interrupted=interrupted,
    )
    with contextlib.ExitStack() as stack:
        stack.callback(embedded.stop)
        stack.callback((data_dir / ENDPOINTS_FILE).unlink, missing_ok=True)
        stack.callback(supervisor.stop)
        embedded.start(interrupted=interrupted)
        write_whole(data_dir / ENDPOINTS_FILE, embedded.endpoints)
        report("PostgreSQL 18 and Valkey 9 run, on sockets that only this user can open")
        supervisor.start()
        supervisor.run_once(MIGRATION)
        supervisor.start(CHILDREN)
        supervisor.wait_ready(READY_SECONDS)
        system = System(supervisor, embedded.endpoints["database_url"], embedded.endpoints["redis_url"])
        stack.callback(system.close)
        yield system
