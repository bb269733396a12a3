"""Child processes with names: started, watched, started again when they die, ended in order.

A child signals that it is ready by touching the file named in `COINS_READY_FILE`. `COINS_SUPERVISOR_FD` is
the read end of a pipe that nobody writes to: when it reads as closed, the supervisor is gone, and the child
must end.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import psutil

from deploy.errors import ChildMisconfigured, ChildNotReady, DeployError, Interrupted, PreparationFailed

SUPERVISOR_FD = "COINS_SUPERVISOR_FD"
READY_FILE = "COINS_READY_FILE"

WRONG_SETTINGS = 2  # the exit code of a process whose settings cannot be used
POLL_SECONDS = 0.05
FIRST_DELAY_SECONDS = 0.2
LONGEST_DELAY_SECONDS = 5.0
STEADY_SECONDS = 30.0
STOP_SECONDS = 10.0
LOG_BYTES, LOG_END_BYTES = 10_000_000, 2_000


def say(line: str) -> None:
    """Write one line for people to stderr; a terminal that is gone is no reason to fail."""
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"{line}\n")


def never() -> bool:
    """The `interrupted` of those who are never asked to stop half-way."""
    return False


def open_log(path: Path) -> IO[bytes]:
    """Open a log for appending; one that has grown past 10 MB is set aside as `<name>.1` first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > LOG_BYTES:
        path.replace(path.with_name(f"{path.name}.1"))
    return path.open("ab")


def end_of_log(path: Path) -> str:
    """The last lines of a log, to be shown in a message."""
    try:
        with path.open("rb") as log:
            log.seek(max(0, path.stat().st_size - LOG_END_BYTES))
            text = log.read().decode(errors="replace").strip()
    except OSError:
        text = ""
    return f"the end of {path}:\n{text or '(it is empty)'}"


def spawn(
    command: Sequence[str],
    log_file: Path,
    environment: Mapping[str, str],
    *,
    home: Path | None = None,
    user: tuple[int, int] | None = None,
    pass_fds: tuple[int, ...] = (),
) -> subprocess.Popen[bytes]:
    """Start a process that writes to a log, in `home`, as another user and group where given.

    It has a session of its own: a terminal's Ctrl-C is for this process alone, which keeps the order.
    """
    uid, gid = user or (None, None)
    with open_log(log_file) as log:
        return subprocess.Popen(
            command,
            cwd=home,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=pass_fds,
            start_new_session=True,
            user=uid,
            group=gid,
            extra_groups=None if user is None else [],
        )


def wait_for(process: subprocess.Popen[bytes], *, interrupted: Callable[[], bool]) -> int:
    """Wait for a process' end and return its exit code. Raises Interrupted, and leaves it running then."""
    while process.poll() is None:
        if interrupted():
            raise Interrupted("asked to stop")
        time.sleep(POLL_SECONDS)
    return process.returncode


def end_processes(processes: Iterable[psutil.Process], by: signal.Signals) -> None:
    """Ask each process to end, wait, and kill what is still there."""
    remaining = list(processes)
    for process in remaining:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            process.send_signal(by)
            process.send_signal(signal.SIGCONT)  # one that was paused would never hear of it
    for process in those_left(remaining):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            process.kill()
    those_left(remaining)


def those_left(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Wait for processes to end, up to ten seconds, and return those that have not.

    One that only waits for whoever adopted it to take notice (a zombie) has ended.
    """
    deadline = time.monotonic() + STOP_SECONDS
    left = list(processes)
    while (left := [process for process in left if _lives(process)]) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    return left


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def make_private(directory: Path) -> None:
    """Make a directory, with its parents, that only this user can enter. One that exists stays as it is."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)


def end_leftover_server(home: Path, programs: frozenset[str], by: signal.Signals) -> None:
    """End the server that lives in `home`, known by working directory and program, with its processes."""
    found = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.name() in programs and process.cwd() == str(home):
                found[process.pid] = process
    for process in found.values():
        with contextlib.suppress(psutil.Error, OSError):
            if process.ppid() not in found:  # the server ends its own
                process.send_signal(by)
    end_processes(those_left(found.values()), signal.SIGKILL)


def end_leftover_children(data_dir: Path) -> int:
    """End the children that a killed supervisor of this directory left behind, and return how many.

    They are known by their environment, which names a ready file in this directory, not by a remembered
    process id, which may be a stranger's by now. Only while no other supervisor can run in the directory.
    """
    ours = f"{_run_dir(data_dir)}{os.sep}"
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(READY_FILE, "").startswith(ours):
                found.append(process)
    end_processes(found, signal.SIGTERM)
    return len(found)


@dataclass(frozen=True, slots=True)
class Child:
    """A process to run: its name (also of its log), its command, and its own part of the environment."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Watched:
    child: Child
    log: Path
    ready: Path
    pid_file: Path
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    start_after: float = 0.0
    delay_seconds: float = FIRST_DELAY_SECONDS
    restarts: int = 0


class Supervisor:
    """Runs the children of one data directory. Start it, `add` children, `stop` it; usable with `with`.

    Parameters: `environment` is what every child gets on top of this process' own; `report` takes one line
    for each restart; `interrupted` ends every waiting with Interrupted when it turns true.
    """

    def __init__(
        self,
        data_dir: Path,
        environment: Mapping[str, str],
        *,
        report: Callable[[str], None] = say,
        interrupted: Callable[[], bool] = never,
    ) -> None:
        self._data_dir = data_dir.resolve()
        self._environment = dict(environment)
        self._report = report
        self._interrupted = interrupted
        self._watched: dict[str, _Watched] = {}
        self._lock = threading.RLock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._pipe: tuple[int, int] | None = None
        self._failure: ChildMisconfigured | None = None

    def start(self, children: Iterable[Child] = ()) -> None:
        """Start the children and watch them from a thread."""
        if self._pipe is None:
            self._pipe = os.pipe()  # neither end is inherited but by `pass_fds`, and that is the read end
        _run_dir(self._data_dir).mkdir(parents=True, exist_ok=True)
        for child in children:
            self.add(child)
        if self._thread is None:
            self._stopping.clear()
            self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)
            self._thread.start()

    def add(self, child: Child) -> None:
        """Start one more child, at once."""
        with self._lock:
            if child.name in self._watched:
                raise DeployError(f"a child named {child.name} runs already")
            self._watched[child.name] = watched = self._place(child)
            self._spawn(watched)

    def end(self, name: str) -> None:
        """End one child and do not start it again."""
        with self._lock:
            watched = self._watched.pop(name)
        _end([watched])

    def run_once(self, child: Child) -> None:
        """Run a process to its end. Raises PreparationFailed, ChildMisconfigured, Interrupted."""
        watched = self._place(child)
        try:
            code = wait_for(self._spawn(watched), interrupted=self._interrupted)
        finally:
            _end([watched])
        if code != 0:
            fault = ChildMisconfigured if code == WRONG_SETTINGS else PreparationFailed
            raise fault(f"{child.name} {_how_it_ended(code)}; {end_of_log(watched.log)}")

    def wait_ready(self, timeout_seconds: float = 60.0, *names: str) -> None:
        """Wait until the named children (or all) are ready. Raises ChildNotReady, ChildMisconfigured."""
        deadline = time.monotonic() + timeout_seconds
        waiting = [self._watched[name] for name in (names or tuple(self._watched))]
        while waiting := [watched for watched in waiting if not watched.ready.exists()]:
            self.check()
            if self._interrupted():
                raise Interrupted("asked to stop")
            if time.monotonic() > deadline:
                late = ", ".join(watched.child.name for watched in waiting)
                log = end_of_log(waiting[0].log)
                raise ChildNotReady(f"not ready after {timeout_seconds:g} s: {late}; {log}")
            time.sleep(POLL_SECONDS)

    def check(self) -> None:
        """Raise ChildMisconfigured if a child has refused its settings since the start."""
        if self._failure is not None:
            raise self._failure

    def pid(self, name: str) -> int:
        """The process id of a child that runs. Raises ChildNotReady between its death and its next start."""
        with self._lock:
            process = self._watched[name].process
            if process is None or process.poll() is not None:
                raise ChildNotReady(f"{name} does not run at this moment")
            return process.pid

    def restarts(self, name: str) -> int:
        """How often a child was started again."""
        return self._watched[name].restarts

    def kill(self, name: str, sig: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal to a child that runs, and return the process id that got it."""
        pid = self.pid(name)
        os.kill(pid, sig)
        return pid

    def stop(self) -> None:
        """End all children: SIGTERM, and SIGKILL for those that are still there after ten seconds."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        with self._lock:
            _end(self._watched.values())
            self._watched.clear()
        if self._pipe is not None:
            for end in self._pipe:
                os.close(end)
            self._pipe = None

    def __enter__(self) -> Supervisor:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _place(self, child: Child) -> _Watched:
        run = _run_dir(self._data_dir)
        return _Watched(
            child=child,
            log=self._data_dir / "logs" / f"{child.name}.log",
            ready=run / f"{child.name}.ready",
            pid_file=run / f"{child.name}.pid",
        )

    def _spawn(self, watched: _Watched) -> subprocess.Popen[bytes]:
        if self._pipe is None:
            raise DeployError("the supervisor has not been started")
        watched.ready.unlink(missing_ok=True)
        environment = {**os.environ, **self._environment, **watched.child.environment}
        environment |= {SUPERVISOR_FD: str(self._pipe[0]), READY_FILE: str(watched.ready)}
        process = spawn(watched.child.command, watched.log, environment, pass_fds=self._pipe[:1])
        watched.process, watched.started_at = process, time.monotonic()
        (beside := watched.pid_file.with_suffix(".new")).write_text(f"{process.pid}\n", encoding="ascii")
        beside.replace(watched.pid_file)  # nobody is to read half of it
        return process

    def _watch(self) -> None:
        while not self._stopping.wait(POLL_SECONDS):
            with self._lock:
                for watched in self._watched.values():
                    self._tend(watched)

    def _tend(self, watched: _Watched) -> None:
        now = time.monotonic()
        if watched.process is None:
            if self._failure is None and now >= watched.start_after:
                self._start_again(watched)
            return
        code = watched.process.poll()
        if code is None:
            return
        watched.process = None
        watched.ready.unlink(missing_ok=True)
        ended = f"{watched.child.name} {_how_it_ended(code)}"
        if code == WRONG_SETTINGS:
            self._failure = ChildMisconfigured(f"{ended}; {end_of_log(watched.log)}")
            return
        if now - watched.started_at >= STEADY_SECONDS:
            watched.delay_seconds = FIRST_DELAY_SECONDS
        watched.start_after = now + watched.delay_seconds
        self._report(f"{ended}; starting it again in {watched.delay_seconds:g} s (log: {watched.log})")
        watched.delay_seconds = min(watched.delay_seconds * 2, LONGEST_DELAY_SECONDS)

    def _start_again(self, watched: _Watched) -> None:
        watched.restarts += 1
        try:
            self._spawn(watched)
        except OSError as error:  # out of processes, memory or disk: that may pass
            watched.start_after = time.monotonic() + LONGEST_DELAY_SECONDS
            self._report(f"{watched.child.name} cannot be started ({error}); trying again")


def _run_dir(data_dir: Path) -> Path:
    return data_dir.resolve() / "run"


def _how_it_ended(code: int) -> str:
    return f"ended with exit code {code}" if code >= 0 else f"was ended by {signal.Signals(-code).name}"


def _end(all_watched: Iterable[_Watched]) -> None:
    """End these children together, with what they started, and clear away their files."""
    watched_ones = list(all_watched)
    processes = [watched.process for watched in watched_ones if watched.process is not None]
    for process in processes:
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGCONT)  # one that was paused would never hear of it
    deadline = time.monotonic() + STOP_SECONDS
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, deadline - time.monotonic()))
    for process in processes:
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    for watched in watched_ones:
        watched.ready.unlink(missing_ok=True)
        watched.pid_file.unlink(missing_ok=True)
