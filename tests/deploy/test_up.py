"""`coins up` as a process, with stand-ins for the workers: what it starts, keeps alive, and ends."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from deploy import up
from deploy.errors import ChildMisconfigured, ChildNotReady
from deploy.supervisor import Child, Supervisor

# Runs `up` with stand-ins: arguments are the data directory, the stand-in's file, and name=behaviour of each.
UP = """
import sys
from pathlib import Path
from deploy.supervisor import Child
from deploy.up import run
data, file, *table = sys.argv[1:]
def child(entry):
    name, behaviour = entry.split("=")
    return Child(name, (sys.executable, file, behaviour))
preparation, *others = map(child, table)
sys.exit(run(Path(data), preparation=preparation, table=others))
"""
STAND_IN = """
import os, signal, sys, threading, time
from pathlib import Path

def end_with_the_supervisor():
    os.read(int(os.environ["COINS_SUPERVISOR_FD"]), 1)
    os.kill(os.getpid(), signal.SIGTERM)

behaviour = sys.argv[1]
if behaviour == "prepare":
    print(os.environ["COINS_DATABASE_URL"], os.environ["COINS_REDIS_URL"])
    sys.exit(0)
if behaviour == "misconfigured":
    print("COINS_SCALE: no number", flush=True)
    sys.exit(2)
if behaviour == "failing":
    sys.exit("no such table")
if behaviour == "obedient":
    threading.Thread(target=end_with_the_supervisor, daemon=True).start()
if behaviour == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if behaviour != "silent":
    Path(os.environ["COINS_READY_FILE"]).touch()
time.sleep(600)
"""


class Up:
    """A `coins up` of the test's own, its stderr in a file."""

    def __init__(self, data: Path, stand_in: Path, *table: str) -> None:
        self.data = data
        self.output = data.with_name(f"{data.name}-{time.monotonic_ns()}.txt")
        command = [sys.executable, "-c", UP, str(data), str(stand_in), *table]
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(command, stderr=output, stdin=subprocess.DEVNULL)

    @property
    def said(self) -> str:
        return self.output.read_text(encoding="utf-8")

    def log(self, name: str) -> str:
        return (self.data / "logs" / f"{name}.log").read_text(encoding="utf-8")

    def wait_ready(self) -> Up:
        eventually(lambda: "\nready " in self.said or self.process.poll() is not None, "ready")
        assert self.process.poll() is None, self.said
        return self

    def stop(self, sig: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(sig)
        return self.process.wait(15)

    def endpoint(self, name: str) -> str:
        return str(json.loads((self.data / "endpoints.json").read_text(encoding="utf-8"))[name])

    def child(self, name: str) -> int:
        return int((self.data / "run" / f"{name}.pid").read_text(encoding="ascii"))


TABLE = ("migrate=prepare", "commands-1=obedient", "relay=orphan")


@pytest.fixture
def stand_in(tmp_path: Path) -> Path:
    file = tmp_path / "stand_in.py"
    file.write_text(STAND_IN, encoding="utf-8")
    return file


@pytest.fixture
def start(tmp_path: Path, stand_in: Path) -> Iterator[Callable[..., Up]]:
    """Starts `up` on the test's data; whatever happens, nothing of it is left running."""
    started: list[Up] = []

    def starter(*table: str) -> Up:
        started.append(Up(tmp_path / "data", stand_in, *(table or TABLE)))
        return started[-1]

    yield starter
    for each in started:
        each.process.kill()
        each.process.wait()
    for process in of(tmp_path / "data"):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def lives(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


def of(data: Path) -> list[psutil.Process]:
    """Every process of a data directory: by its command, its working directory or its environment."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            signs = [*process.cmdline(), process.cwd(), process.environ().get("COINS_DATA_DIR", "")]
            if process.pid != os.getpid() and any(str(data) in sign for sign in signs):
                found.append(process)
    return found


def eventually(condition: Callable[[], object], what: str, within_seconds: float = 20.0) -> None:
    deadline = time.monotonic() + within_seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {within_seconds:g} s for: {what}"
        time.sleep(0.02)


def count(running: Up) -> int:
    """Add one row and one stream entry, and return how many of each there are."""
    with psycopg.connect(running.endpoint("database_url"), autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (at timestamptz)")
        connection.execute("INSERT INTO kept VALUES (now())")
        row = connection.execute("SELECT count(*) FROM kept").fetchone()
    with redis.Redis.from_url(running.endpoint("redis_url"), single_connection_client=True) as client:
        client.xadd("kept", {"a": "b"})
        assert row == (client.xlen("kept"),)
    assert row is not None
    return int(row[0])


def answers(running: Up) -> bool:
    try:
        psycopg.connect(running.endpoint("database_url")).close()
        with redis.Redis.from_url(running.endpoint("redis_url"), single_connection_client=True) as client:
            return bool(client.ping())
    except (psycopg.OperationalError, redis.ConnectionError):
        return False


def test_started_again_on_the_same_data_it_has_what_it_had(start: Callable[..., Up]) -> None:
    # Given one that ran and was stopped
    first = start().wait_ready()
    assert count(first) == 1
    ready = [line for line in first.said.splitlines() if line.startswith("ready ")]
    database, cache = first.endpoint("database_url"), first.endpoint("redis_url")
    assert ready == [f"ready  data={first.data}  database={database}  redis={cache}  pid={first.process.pid}"]
    assert first.log("migrate").split() == [database, cache]
    assert first.stop(signal.SIGINT) == 0
    # Then nothing is left of it, and other verbs can see that
    assert not of(first.data)
    assert not (first.data / "endpoints.json").exists()
    # When it is started again, the data is there
    second = start().wait_ready()
    assert count(second) == 2
    assert second.stop() == 0


def test_a_second_one_on_the_same_directory_is_refused(start: Callable[..., Up]) -> None:
    first = start().wait_ready()
    second = start()
    assert second.process.wait(15) == 3
    assert f"pid {first.process.pid}" in second.said
    assert count(first) == 1


def test_after_kill_9_a_new_one_takes_over_and_leaves_nothing(start: Callable[..., Up]) -> None:
    # Given one that is killed with everything running, a child paused among it
    first = start("migrate=prepare", "commands-1=obedient", "relay=orphan", "scheduler=orphan").wait_ready()
    count(first)
    os.kill(first.child("scheduler"), signal.SIGSTOP)
    left = [process for process in of(first.data) if process.pid != first.process.pid]
    first.process.kill()
    first.process.wait()
    # Then a child that watches its supervisor ends by itself, and the rest goes on
    watching = psutil.Process(first.child("commands-1"))
    eventually(lambda: not lives(watching), "the child that watches its supervisor ends")
    assert psutil.pid_exists(first.child("relay"))
    # When a new one is started and stopped
    second = start().wait_ready()
    assert not any(map(lives, left))
    assert count(second) == 2
    assert second.stop() == 0
    # Then nothing of either is left
    assert not of(first.data)


def test_a_killed_child_is_started_again(start: Callable[..., Up]) -> None:
    running = start().wait_ready()
    before = running.child("relay")
    os.kill(before, signal.SIGKILL)
    eventually(lambda: running.child("relay") != before, "a new relay")
    assert "relay was ended by SIGKILL; starting it again in 0.2 s" in running.said
    assert running.stop() == 0


def test_killed_servers_are_started_again_with_their_data(start: Callable[..., Up]) -> None:
    running = start().wait_ready()
    count(running)
    for name, file in (("postgres", "postmaster.pid"), ("valkey", "valkey.pid")):
        pid = int((running.data / name / file).read_text(encoding="ascii").split()[0])
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: running.said.count("died; starting it again") == 2, "both are missed")
    eventually(lambda: answers(running), "an answer")
    assert count(running) == 2
    assert running.stop() == 0
    assert not of(running.data)


def test_sigterm_ends_everything_even_a_child_that_does_not_listen(start: Callable[..., Up]) -> None:
    running = start("migrate=prepare", "commands-1=stubborn", "relay=orphan").wait_ready()
    began = time.monotonic()
    running.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    running.process.send_signal(signal.SIGINT)  # impatience changes nothing
    assert running.process.wait(15) == 0
    assert time.monotonic() - began < 15
    assert not of(running.data)
    assert "database system is shut down" in running.log("postgres")


@pytest.mark.parametrize("line", ["starting in", "file"])
def test_sigterm_while_it_starts_ends_everything(start: Callable[..., Up], line: str) -> None:
    running = start("migrate=prepare", "commands-1=silent")
    if line == "file":
        eventually((running.data / "run" / "commands-1.pid").exists, "a child that never gets ready")
    else:
        eventually(lambda: line in running.said, line)
    assert running.stop() == 0
    assert not of(running.data)
    assert "\nready " not in running.said


@pytest.mark.parametrize(
    ("table", "code", "reason"),
    [
        (("migrate=failing",), 1, "migrate ended with exit code 1"),
        (("migrate=prepare", "commands-1=misconfigured"), 2, "COINS_SCALE: no number"),
    ],
)
def test_what_cannot_work_ends_all_and_says_why(
    start: Callable[..., Up], table: tuple[str, ...], code: int, reason: str
) -> None:
    running = start(*table)
    assert running.process.wait(30) == code
    assert reason in running.said
    assert not of(running.data)


def test_listen_is_refused_for_now(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert up.main(["--data", str(tmp_path), "--listen", "0.0.0.0:6380"]) == 2
    assert "producers file" in capsys.readouterr().err


def test_a_wrong_setting_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COINS_PARTITIONS", "many")
    assert up.main(["--data", str(tmp_path)]) == 2
    assert "COINS_PARTITIONS" in capsys.readouterr().err


def test_there_is_a_worker_for_each_partition_as_far_as_there_are_cores() -> None:
    assert [child.name for child in up.children(1)] == ["commands-1", "relay", "jobs", "scheduler"]
    assert len(up.children(1000)) == (os.cpu_count() or 1) + 3


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    with Supervisor(tmp_path / "data", {}) as running:
        yield running


def child(name: str, behaviour: str, stand_in: Path) -> Child:
    return Child(name, (sys.executable, str(stand_in), behaviour))


def test_a_child_can_be_added_killed_and_ended(supervisor: Supervisor, stand_in: Path) -> None:
    supervisor.add(child("standby", "obedient", stand_in))
    supervisor.wait_ready(20.0, "standby")
    killed = supervisor.kill("standby")
    eventually(lambda: supervisor.restarts("standby") == 1, "a restart")
    supervisor.wait_ready(20.0, "standby")
    assert supervisor.pid("standby") != killed
    process = psutil.Process(supervisor.pid("standby"))
    supervisor.kill("standby", signal.SIGSTOP)
    supervisor.end("standby")
    assert not lives(process)


def test_restarts_come_ever_more_slowly(supervisor: Supervisor, stand_in: Path, tmp_path: Path) -> None:
    supervisor.add(child("broken", "failing", stand_in))
    eventually(lambda: supervisor.restarts("broken") == 2, "two restarts")
    began = time.monotonic()
    eventually(lambda: supervisor.restarts("broken") == 3, "a third")
    assert time.monotonic() - began > 0.7
    with pytest.raises(ChildNotReady, match="no such table"):
        supervisor.wait_ready(0.0)


def test_a_child_that_refuses_its_settings_is_not_tried_again(supervisor: Supervisor, stand_in: Path) -> None:
    supervisor.add(child("broken", "misconfigured", stand_in))
    with pytest.raises(ChildMisconfigured, match="no number"):
        supervisor.wait_ready(20.0)
    assert supervisor.restarts("broken") == 0


def test_a_log_that_has_grown_is_set_aside(supervisor: Supervisor, stand_in: Path, tmp_path: Path) -> None:
    log = tmp_path / "data" / "logs" / "migrate.log"
    log.parent.mkdir(parents=True)
    log.write_bytes(b"x" * 10_000_001)
    supervisor.run_once(Child("migrate", (sys.executable, "-c", "print('done')")))
    assert log.read_text(encoding="utf-8") == "done\n"
    assert log.with_name("migrate.log.1").stat().st_size == 10_000_001
