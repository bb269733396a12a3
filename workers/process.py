"""What every process of the system has: a name, signals that end it, a heartbeat, a word when it is ready."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg
import structlog

from ledger.database import connect
from ledger.errors import DatabaseUnavailable
from ledger.schema import check_schema
from workers import alive

HEARTBEAT_SECONDS = 1.0
GONE_AFTER_SECONDS = 4
_FORGET_AFTER = "1 day"

log = structlog.get_logger(__name__)

_BEAT = """
INSERT INTO process (name, role, partitions, started_at, seen_at, state)
VALUES (%b, %b, %b, clock_timestamp(), clock_timestamp(), %b)
ON CONFLICT (name) DO UPDATE SET seen_at = excluded.seen_at, state = excluded.state"""


class Process:
    """The life of one process: `with Process("relay", url) as process:` … until `process.stopping` is set.

    SIGTERM, SIGINT and the end of whoever started it (COINS_SUPERVISOR_FD) set `stopping`. It is entered when the database
    has the schema that this version needs: until then nobody counts on us, and older processes keep their share.
    """

    def __init__(self, role: str, database_url: str, *, partitions: int | None = None) -> None:
        self.role = role
        self.name = f"{role}@{socket.gethostname()}:{os.getpid()}:{os.urandom(4).hex()}"
        self.stopping = threading.Event()
        self.state = "starting"
        # Asked before each heartbeat: a process that hangs is gone for everybody else.
        self.hangs: Callable[[], bool] = lambda: False
        # Asked before each sign of life: a process without its threads is to be started again.
        self.whole: Callable[[], bool] = lambda: True
        self._joined = False
        self._url = database_url
        self._partitions = partitions
        self._heartbeat = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        # Beside the heartbeat: a database that does not answer is no reason to start anybody again.
        self._life = threading.Thread(target=self._live, name="sign of life", daemon=True)

    def __enter__(self) -> Self:
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        if fd := os.environ.get("COINS_SUPERVISOR_FD"):
            threading.Thread(target=self._watch, args=(int(fd),), name="supervisor", daemon=True).start()
        self._life.start()
        self._heartbeat.start()
        self.retrying(self._join, what="waiting for the database")
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _value: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stopping.set()
        self._heartbeat.join(timeout=2 * HEARTBEAT_SECONDS)
        self._life.join(timeout=2 * HEARTBEAT_SECONDS)
        alive.gone()
        if not self._joined:
            return
        try:
            with connect(self._url, name=f"{self.role} heartbeat", timeout_seconds=2) as connection:
                connection.execute("DELETE FROM process WHERE name = %b", (self.name,))
        except (DatabaseUnavailable, psycopg.Error) as error:
            log.info("could not sign off", error=str(error))

    def ready(self) -> None:
        """Tell whoever waits for us (COINS_READY_FILE) that we take work; nothing where we are to stop."""
        if self.stopping.is_set():
            return
        self.state = alive.READY
        if file := os.environ.get("COINS_READY_FILE"):
            Path(file).touch()
        log.info("ready", process=self.name)

    def wait(self, seconds: float) -> bool:
        """Sleep, but wake up to stop. Whether to stop."""
        return self.stopping.wait(seconds)

    def retrying(self, work: Callable[[], None], *, what: str, up_to_seconds: float = 5.0) -> None:
        """Run `work` until it returns, with back-off after each failure, or until we are to stop."""
        pause = 0.1
        while not self.stopping.is_set():
            try:
                work()
            except Exception as error:  # noqa: BLE001 - whatever it is, waiting and trying again loses nothing
                self.state = f"waiting: {type(error).__name__}"
                log.warning(what, error=str(error).strip(), again_in_seconds=round(pause, 2))
                self.wait(pause)
                pause = min(pause * 2, up_to_seconds)
            else:
                return

    def _stop(self, signum: int, _frame: Any) -> None:
        self.stopping.set()

    def _watch(self, fd: int) -> None:
        os.read(fd, 1)
        os.kill(os.getpid(), signal.SIGTERM)

    def _join(self) -> None:
        """The first beat before anything else: whoever shares work out must know of us."""
        with connect(self._url, name=f"{self.role} heartbeat") as connection:
            check_schema(connection)
            self._beat_once(connection)
        self._joined = True

    def _live(self) -> None:
        while not self.wait(HEARTBEAT_SECONDS):
            if self._heartbeat.is_alive() and self.whole():
                alive.tell(self.name, self.state)

    def _beat(self) -> None:
        connection: psycopg.Connection[Any] | None = None
        while not self.wait(HEARTBEAT_SECONDS):
            if self.hangs() or not self._joined:
                continue
            try:
                if connection is None:
                    connection = connect(
                        self._url, name=f"{self.role} heartbeat", options="-c synchronous_commit=off"
                    )
                    connection.execute(
                        f"DELETE FROM process WHERE seen_at < now() - interval '{_FORGET_AFTER}'"
                    )
                self._beat_once(connection)
            except (DatabaseUnavailable, psycopg.Error):
                # Without a heartbeat we are gone for everybody else, and that is what should show.
                if connection is not None:
                    connection.close()
                connection = None
        if connection is not None:
            connection.close()

    def _beat_once(self, connection: psycopg.Connection[Any]) -> None:
        connection.execute(_BEAT, (self.name, self.role, self._partitions, self.state))
