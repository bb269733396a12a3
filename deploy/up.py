"""`python -m deploy.up --data DIR`: everything on one machine under one directory.

`run` is the story; SIGTERM, SIGINT or SIGHUP at any point of it ends what has been started, in order.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deploy.embedded import EmbeddedServer, EmbeddedServers, link_address, servers
from deploy.errors import AlreadyRunning, DeployError, HalfRestored, Interrupted, ServerNotStarted
from deploy.listening import Address, ListeningValkey, address_of, listening_servers
from deploy.moving import demand_not_moved
from deploy.supervisor import Child, Supervisor, end_leftover_children, make_private, say
from messages.publisher import RABBITMQ
from workers.access import write_private
from workers.embedded_access import ACCESS_FILE
from workers.errors import SettingsInvalid
from workers.figures import Figures
from workers.logs import configure
from workers.metrics import METRICS_DIR, served_together
from workers.producers import PRODUCERS_FILE
from workers.producers import load as load_producers
from workers.settings import ENDPOINTS_FILE, Settings, load, load_with_sources, without_password

DEFAULT_DATA = Path(".coins")
# Where commands came in when the system ran last, if that was RabbitMQ.
EDGE_FILE = "edge.url"
RESTORING_FILE = "restoring"
READY_SECONDS = 60.0
TICK_SECONDS = 0.1
LONGEST_REVIVAL_SECONDS = 30.0
WRONG_USAGE = 2
FAILED = 1
COINS = (sys.executable, "-P", "-m", "console.cli.main")  # -P: nothing in the working directory is imported
MIGRATION = Child("migrate", (*COINS, "migrate"))


def children(partitions: int) -> list[Child]:
    """A command worker for each partition, as far as there are cores, one relay, one worker of jobs and one scheduler."""
    count = max(1, min(partitions, os.cpu_count() or 1))
    workers = [Child(f"commands-{number}", (*COINS, "worker", "commands")) for number in range(1, count + 1)]
    return [
        *workers,
        Child("relay", (*COINS, "relay")),
        Child("jobs", (*COINS, "worker", "jobs")),
        Child("scheduler", (*COINS, "scheduler")),
    ]


def main(arguments: Sequence[str]) -> int:
    """Returns the exit code: 0 stopped when asked, 1 failed, 2 wrong usage or settings, 3 not ready."""
    default = Path(os.environ.get("COINS_DATA_DIR") or DEFAULT_DATA)
    parser = argparse.ArgumentParser(prog="coins up", description="Run everything on this machine.")
    parser.add_argument("--data", metavar="DIR", type=Path, default=default)
    parser.add_argument("--listen", metavar="HOST:PORT", help="the edge on TCP, too; needs a producers file")
    options = parser.parse_args(arguments)
    try:
        configure(load(options.data).log_format)
        doors = doors_of(options.data, options.listen)
    except SettingsInvalid as error:
        say(f"coins up: {error}")
        return WRONG_USAGE
    return run(options.data, preparation=MIGRATION, table=children(doors.partitions), doors=doors)


@dataclass(frozen=True, slots=True)
class Doors:
    """Who may send, by which file (None: whoever reaches the edge), where the edge listens besides, over how many
    partitions commands are spread, where metrics are asked for, and the RabbitMQ where commands come in, if they do."""

    producers_file: Path | None = None
    address: Address | None = None
    partitions: int = 1
    metrics_address: str | None = None
    rabbitmq_url: str | None = None


def doors_of(data_dir: Path, listen: str | None) -> Doors:
    """The producers file that is set, else the one in the data directory. Raises SettingsInvalid."""
    settings, sources = load_with_sources(data_dir)
    # What an earlier run may have left in the directory is no setting of this one.
    file = settings.producers_file if sources["producers_file"].startswith("environment") else None
    partitions = settings.partitions if sources["partitions"].startswith("environment") else 1
    if file is None and (data_dir / PRODUCERS_FILE).exists():
        file = data_dir / PRODUCERS_FILE
    rabbitmq = rabbitmq_of(settings, sources)
    if rabbitmq is not None and listen is not None:
        raise SettingsInvalid(
            "--listen opens the embedded edge, and with COINS_EDGE_URL commands come in by RabbitMQ"
        )
    address = address_of(listen) if listen is not None else None
    if file is not None:
        file = file.resolve()
        load_producers(file)
    elif address is not None:
        raise SettingsInvalid(
            "--listen opens the edge to other machines, and needs a producers file that says who may send what; make one: "
            f"coins producer new NAME --commands A,B --under ACCOUNT --data {data_dir}"
        )
    return Doors(file, address, partitions, settings.metrics_address, rabbitmq)


def rabbitmq_of(settings: Settings, sources: Mapping[str, str]) -> str | None:
    """The RabbitMQ that the environment names as the edge; of an earlier run's nothing is known here."""
    if settings.edge_url is None or sources["edge_url"].startswith("embedded"):
        return None
    url = settings.edge_url.get_secret_value()
    return url if url.startswith(RABBITMQ) else None


def remember_edge(data_dir: Path, doors: Doors) -> None:
    """For whoever restores or moves this system when it does not run."""
    file = data_dir / EDGE_FILE
    if doors.rabbitmq_url is not None:
        write_private(file, doors.rabbitmq_url)
        return
    if (before := remembered_edge(data_dir)) is not None:
        say(
            f"warning: the last run in {data_dir} read commands from {without_password(before)}, and this one does not: "
            "set COINS_EDGE_URL if some may be waiting there"
        )
        file.unlink()


def remembered_edge(data_dir: Path) -> str | None:
    """The RabbitMQ that commands came in by when the system ran last; None where that was its own edge."""
    try:
        return (data_dir / EDGE_FILE).read_text(encoding="utf-8").strip() or None
    except FileNotFoundError:
        return None


def run(data_dir: Path, *, preparation: Child, table: Sequence[Child], doors: Doors = Doors()) -> int:
    """Run the servers and the table of children until somebody asks to stop, and return the exit code."""
    data_dir = data_dir.resolve()
    try:
        with asked_to_stop() as stopping, exclusive(data_dir):
            run_in(data_dir, preparation, table, stopping, doors)
    except Interrupted:
        return 0
    except DeployError as error:
        say(f"coins up: {error}")
        return error.exit_code
    except SettingsInvalid as error:
        say(f"coins up: {error}")
        return WRONG_USAGE
    except OSError as error:
        say(f"coins up: {error}")
        return FAILED
    return 0


def run_in(
    data_dir: Path,
    preparation: Child,
    table: Sequence[Child],
    stopping: Callable[[], bool],
    doors: Doors = Doors(),
) -> None:
    """As `run`, in a directory that is ours. Raises what ended it, Interrupted if it was asked to stop."""
    demand_not_moved(data_dir)
    demand_not_half_restored(data_dir)
    if leftover := end_leftover_children(data_dir):
        say(f"ended {leftover} processes that an earlier run in {data_dir} had left behind")
    embedded = servers_behind(doors, data_dir)
    endpoints = endpoints_of(embedded, doors)
    environment = {f"COINS_{name.upper()}": value for name, value in endpoints.items() if name != ACCESS_FILE}
    if doors.metrics_address is not None:
        environment |= {"COINS_METRICS_ADDRESS": "", METRICS_DIR: str(metrics_dir(data_dir))}
    supervisor = Supervisor(data_dir, environment | {"COINS_DATA_DIR": str(data_dir)}, interrupted=stopping)
    say(f"starting in {data_dir}; logs are in {data_dir / 'logs'}")
    with contextlib.ExitStack() as stack:
        if doors.metrics_address is not None:
            stack.enter_context(metrics_of(data_dir, doors.metrics_address, endpoints, doors))
        stack.callback(embedded.stop)
        stack.callback((data_dir / ENDPOINTS_FILE).unlink, missing_ok=True)
        stack.callback(supervisor.stop)
        stack.callback(say, "stopping")
        embedded.start(interrupted=stopping)
        remember_edge(data_dir, doors)
        write_whole(data_dir / ENDPOINTS_FILE, endpoints)
        supervisor.start()
        supervisor.run_once(preparation)
        supervisor.start(table)
        supervisor.wait_ready(READY_SECONDS)
        say(who_may_send(doors))
        if doors.metrics_address is not None:
            say(f"metrics are at http://{doors.metrics_address}/metrics")
        urls = f"database={endpoints['database_url']}  redis={without_password(endpoints['redis_url'])}"
        edge = f"  edge={doors.address}" if doors.address is not None else ""
        if doors.rabbitmq_url is not None:
            edge = f"  edge={without_password(doors.rabbitmq_url)}"
        say(f"ready  data={data_dir}  {urls}{edge}  pid={os.getpid()}")
        watch(embedded, supervisor, stopping)


def demand_not_half_restored(data_dir: Path) -> None:
    """Raises HalfRestored where `coins restore` was broken off: what was told since is not in the ledger yet."""
    if (data_dir / RESTORING_FILE).exists():
        raise HalfRestored(f"a restore in {data_dir} was broken off; run `coins restore` again, to its end")


def servers_behind(doors: Doors, data_dir: Path) -> EmbeddedServers:
    """The servers, behind the local sockets alone, or on TCP as well."""
    if doors.address is None or doors.producers_file is None:
        return servers(data_dir)
    producers = load_producers(doors.producers_file)
    return listening_servers(data_dir, doors.address, producers, partitions=doors.partitions)


def endpoints_of(embedded: EmbeddedServers, doors: Doors) -> dict[str, str]:
    """What other processes need to know, under the names of the settings, and where the server reads who may log in."""
    found = {**embedded.endpoints, "partitions": str(doors.partitions)}
    if doors.producers_file is not None:
        found["producers_file"] = str(doors.producers_file)
    if doors.rabbitmq_url is not None:
        found["edge_url"] = doors.rabbitmq_url
    if isinstance(embedded.valkey, ListeningValkey):
        found[ACCESS_FILE] = str(embedded.valkey.access_file)
    return found


def metrics_dir(data_dir: Path) -> Path:
    """Where the children keep their counts."""
    return data_dir / "run" / "metrics"


def metrics_of(
    data_dir: Path, address: str, endpoints: Mapping[str, str], doors: Doors
) -> contextlib.AbstractContextManager[None]:
    """Serves what all children count, and what stands in the database. Raises SettingsInvalid when it is entered."""
    edge = load(data_dir).edge_url
    figures = Figures(
        endpoints["database_url"],
        edge.get_secret_value() if edge is not None else endpoints["redis_url"],
        partitions=doors.partitions,
        common=doors.producers_file is None,
        leading=True,
    )
    return served_together(address, metrics_dir(data_dir), figures)


def who_may_send(doors: Doors) -> str:
    if doors.producers_file is None and doors.rabbitmq_url is not None:
        return "warning: there is no producers file; every command that reaches RabbitMQ's virtual host is accepted"
    if doors.producers_file is None:
        return "warning: there is no producers file; every command that reaches the local socket is accepted"
    if doors.address is None:
        return f"producers are those of {doors.producers_file}"
    return (
        f"producers are those of {doors.producers_file}, each with a user of its own at {doors.address}\n"
        f"warning: {doors.address} is not encrypted; passwords and commands can be read on their way. "
        "Keep it to a network that you trust, or put a tunnel in front"
    )


def watch(embedded: EmbeddedServers, supervisor: Supervisor, stopping: Callable[[], bool]) -> None:
    """Keep the servers alive until asked to stop, or until a child refuses its settings."""
    revivals = [Revival(embedded.postgres), Revival(embedded.valkey)]
    while not stopping():
        supervisor.check()
        link_address(embedded.postgres.data_dir)  # temporary directories are cleaned of what is old
        for revival in revivals:
            revival.attempt()
        time.sleep(TICK_SECONDS)


@dataclass(slots=True)
class Revival:
    """Starts a server again, on its data, when it has died; with ever longer pauses, and never giving up."""

    server: EmbeddedServer
    pause_seconds: float = field(default=0.0, init=False)
    not_before: float = field(default=0.0, init=False)

    def attempt(self) -> None:
        if self.server.alive or time.monotonic() < self.not_before:
            return
        say(f"{self.server.name} died; starting it again (log: {self.server.log})")
        try:
            self.server.start()
            self.pause_seconds = 0.0
        except (ServerNotStarted, OSError) as error:
            self.pause_seconds = min(max(0.5, self.pause_seconds * 2), LONGEST_REVIVAL_SECONDS)
            self.not_before = time.monotonic() + self.pause_seconds
            say(f"{self.server.name} cannot be started, trying again in {self.pause_seconds:g} s: {error}")


@contextlib.contextmanager
def asked_to_stop() -> Iterator[Callable[[], bool]]:
    """Tells whether a signal has asked to stop. A second one changes nothing: the order of stopping stays."""
    asked = False

    def remember(*_: object) -> None:
        nonlocal asked
        asked = True

    wanted = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as under nohup
        wanted.append(signal.SIGHUP)
    before = {sig: signal.signal(sig, remember) for sig in wanted}
    try:
        yield lambda: asked
    finally:
        for sig, handler in before.items():
            signal.signal(sig, handler)


@contextlib.contextmanager
def exclusive(data_dir: Path) -> Iterator[None]:
    """Hold the directory; the operating system lets go of it when this process ends, however it does."""
    make_private(data_dir)
    with (data_dir / "up.lock").open("a+", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            owner = lock.read().strip() or "unknown"
            raise AlreadyRunning(f"{data_dir} is in use by another `coins up` (pid {owner})") from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def write_whole(path: Path, values: Mapping[str, str]) -> None:
    """Write a JSON file that readers see as it was or as it is, never in part."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.touch(mode=0o600)
    fresh.write_text(json.dumps(dict(values), indent=2) + "\n", encoding="utf-8")
    fresh.replace(path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
