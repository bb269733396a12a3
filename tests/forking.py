"""The command line for tests that call it a thousand times: each call is a process forked from one that has loaded it.

Starting an interpreter and loading takes longer than what most verbs do. A forked process has its own settings,
directory, input and output, and ends with its own exit code; what is killed, or runs on, is started as users start it.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import io
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NoReturn

ROOT = Path(__file__).parents[1]
# What most verbs load when they run; nothing of it looks at settings before that.
LOADED = (
    "console.cli.main",
    "ledger.queries.balance",
    "ledger.queries.reading",
    "ledger.schema",
    "messages.codec",
    "messages.outcomes",
    "messages.publisher",
    "sqlalchemy",
)

Done = subprocess.CompletedProcess[bytes]
_one_at_a_time = threading.Lock()
_servers: list[ForkingServer] = []


class ForkingServer:
    """The process that has loaded everything; it ends with whoever has started it."""

    def __init__(self) -> None:
        self._calls, theirs = socket.socketpair()
        environment = {name: value for name, value in os.environ.items() if not name.startswith("COINS_")}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tests.forking", str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            env={**environment, "PYTHONPATH": str(ROOT)},
            cwd=ROOT,
        )
        theirs.close()

    def lives(self) -> bool:
        return self._process.poll() is None

    def close(self) -> None:
        self._calls.close()
        self._process.wait(10)

    def run(
        self,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str],
        directory: Path,
        given: bytes = b"",
        timeout_seconds: float,
    ) -> Done:
        """One call of `coins`. Raises subprocess.TimeoutExpired; then it has been killed."""
        called = ["coins", *arguments]
        asked, answering = socket.socketpair()
        with (
            tempfile.TemporaryFile() as stdin,
            tempfile.TemporaryFile() as stdout,
            tempfile.TemporaryFile() as stderr,
            asked,
        ):
            socket.send_fds(self._calls, [b"c"], [answering.fileno()])
            answering.close()
            stdin.write(given)
            stdin.seek(0)
            request = json.dumps([called, dict(environment), str(directory)]).encode()
            files = [one.fileno() for one in (stdin, stdout, stderr)]
            socket.send_fds(asked, [len(request).to_bytes(4)], files)
            asked.sendall(request)
            asked.settimeout(timeout_seconds)
            pid = int.from_bytes(_exactly(asked, 4))
            try:
                code = int.from_bytes(_exactly(asked, 4), signed=True)
            except BaseException as error:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                if isinstance(error, TimeoutError):
                    said = _all_of(stdout), _all_of(stderr)
                    raise subprocess.TimeoutExpired(called, timeout_seconds, *said) from None
                raise
            return subprocess.CompletedProcess(called, code, _all_of(stdout), _all_of(stderr))


def forking() -> ForkingServer:
    """The one of this process; another where that has ended."""
    with _one_at_a_time:
        if not _servers or not _servers[-1].lives():
            _servers.append(ForkingServer())
            atexit.register(_servers[-1].close)
        return _servers[-1]


def _all_of(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()


def _exactly(connection: socket.socket, size: int) -> bytes:
    some = b""
    while len(some) < size:
        more = connection.recv(size - len(some))
        assert more, "the forking process is gone"
        some += more
    return some


# In the process that has loaded everything


def serve(calls: socket.socket) -> None:
    """Fork for each call, until nobody can make one any more."""
    for name in LOADED:
        importlib.import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who answer
    while True:
        called, files, _, _ = socket.recv_fds(calls, 1, 1)
        if not called:
            return
        with socket.socket(fileno=files[0]) as connection:
            if os.fork() == 0:
                calls.close()
                _answer(connection)


def _answer(connection: socket.socket) -> NoReturn:
    """Run what is asked for, and say how it has ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    size, files, _, _ = socket.recv_fds(connection, 4, 3)
    arguments, environment, directory = json.loads(_exactly(connection, int.from_bytes(size)))
    pid = os.fork()
    if pid == 0:
        connection.close()
        _become(arguments, environment, directory, files)
    connection.sendall(pid.to_bytes(4))
    _, status = os.waitpid(pid, 0)
    with contextlib.suppress(BrokenPipeError):  # nobody has waited for it
        connection.sendall(os.waitstatus_to_exitcode(status).to_bytes(4, signed=True))
    os._exit(0)


def _become(arguments: list[str], environment: dict[str, str], directory: str, files: list[int]) -> NoReturn:
    """The verb, as in a process that was started for it."""
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    random.seed()
    sys.argv[:] = arguments
    sys.stdin, sys.stdout = _text(0, "r"), _text(1, "w")
    sys.stderr = _text(2, "w", errors="backslashreplace", line_buffering=True)
    from console.cli.main import main

    main()
    sys.exit()


def _text(number: int, mode: str, **options: Any) -> io.TextIOWrapper:
    return io.TextIOWrapper(open(number, f"{mode}b", closefd=False), encoding="utf-8", **options)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
