"""A container without a container engine: a process as the image and the deployment say, alone with what it is given.

Its root is a fresh file system with the machine's libraries and the image's environment, all read-only; there is no source
tree. It runs as its own user without a capability, and cannot get one. The network alone is the machine's. Needs root.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.deploy.image import HOME, Image

# Of the machine: programs and libraries, and the little of /etc that they read.
_MACHINE = (
    "/usr",
    "/bin",
    "/lib",
    "/lib64",
    "/etc/passwd",
    "/etc/nsswitch.conf",
    "/etc/ssl",
    "/etc/ld.so.cache",
)
ASK_SECONDS = 0.3
HOSTS = "127.0.0.1 localhost postgres valkey rabbitmq mailpit postgres.example.com valkey.example.com\n"


def refused() -> str | None:
    """Why there can be no boxes here, if so."""
    if missing := [one for one in ("unshare", "nsenter", "setpriv") if shutil.which(one) is None]:
        return f"{', '.join(missing)} of util-linux is not installed"
    tried = subprocess.run(
        ["unshare", "--mount", "--uts", "mount", "-t", "tmpfs", "tmpfs", "/mnt"],
        capture_output=True,
        check=False,
    )
    return None if tried.returncode == 0 else f"mounting is not permitted: {tried.stderr.decode().strip()}"


@dataclass(frozen=True)
class Mount:
    """A file or directory of the machine, where it is in the container."""

    source: Path
    target: str
    read_only: bool = True


@dataclass(frozen=True)
class Container:
    """What a deployment says of one: `command` with the entry point, `health` by the name of each check."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    user: tuple[int, int]
    mounts: tuple[Mount, ...]
    tmpfs: tuple[str, ...]
    health: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    groups: tuple[int, ...] = ()
    stop_seconds: float = 10.0


class Box:
    """A container of an image. `run` waits for its end, `start` does not; `execute` runs something beside it."""

    def __init__(self, image: Image, container: Container, directory: Path) -> None:
        self.container = container
        self._image = image
        self._root = directory / f"{container.name}.root"
        self._root.mkdir()
        self._log = directory / f"{container.name}.log"
        self._hosts = directory / "hosts"
        self._hosts.write_text(HOSTS, encoding="utf-8")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        return f"--- {self.container.name}\n{self._log.read_text(encoding='utf-8', errors='replace')}"

    def run(self, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
        """With other arguments than the deployment says, if any are given."""
        command = (*self._image.entrypoint, *arguments) if arguments else self.container.command
        return _finished(self._unshared(command), given)

    def start(self) -> None:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._unshared(self.container.command), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def execute(self, *command: str, given: str = "") -> subprocess.CompletedProcess[str]:
        assert self._process is not None
        enter = ["nsenter", f"--target={self._process.pid}", "--mount", "--uts"]
        return _finished([*enter, *self._confined(command)], given)

    def well(self, check: str) -> bool:
        """Whether one of its checks passes now."""
        assert self._process is not None
        assert self._process.poll() is None, self.log
        return self.execute(*self.container.health[check]).returncode == 0

    def become(self, check: str, within_seconds: float = 30.0) -> None:
        """Wait until that check passes, asking as seldom as a deployment would in a hurry."""
        deadline = time.monotonic() + within_seconds
        while not self.well(check):
            assert time.monotonic() < deadline, f"{check} fails\n{self.log}"
            time.sleep(ASK_SECONDS)

    def terminate(self) -> None:
        assert self._process is not None
        self._process.terminate()

    def end(self) -> int:
        """The exit code of one that was told to leave. Fails when it takes longer than the deployment gives it."""
        assert self._process is not None
        return self._process.wait(self.container.stop_seconds)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _unshared(self, command: tuple[str, ...]) -> list[str]:
        then = shlex.join(self._confined(command))
        return ["unshare", "--mount", "--uts", "sh", "-euc", "\n".join([*self._lines(), f"exec {then}"])]

    def _lines(self) -> list[str]:
        root = shlex.quote(str(self._root))
        lines = [
            "mount --make-rprivate /",
            f"mount -t tmpfs -o mode=755 root {root}",
            f"hostname {self.container.name}",
        ]
        for path in (*_MACHINE, sys.base_prefix):
            if os.path.lexists(path):
                lines += self._bound(Mount(Path(os.path.realpath(path)), path))
        lines += self._bound(Mount(self._image.environment, str(HOME)))
        lines += self._bound(Mount(self._hosts, "/etc/hosts"))
        lines += [
            f"mkdir -p {root}/proc {root}/dev {root}{self._image.home}",
            f"mount -t proc proc {root}/proc",
        ]
        for device in ("null", "urandom"):
            lines += [f"touch {root}/dev/{device}", f"mount --bind /dev/{device} {root}/dev/{device}"]
        for path in self.container.tmpfs:
            lines += [f"mkdir -p {root}{path}", f"mount -t tmpfs -o mode=1777 tmpfs {root}{path}"]
        for mount in self.container.mounts:
            lines += self._bound(mount)
        return [*lines, f"mount -o remount,ro {root}"]

    def _bound(self, mount: Mount) -> list[str]:
        source, target = shlex.quote(str(mount.source)), shlex.quote(f"{self._root}{mount.target}")
        made = (
            f"mkdir -p {target}" if mount.source.is_dir() else f"mkdir -p $(dirname {target}); touch {target}"
        )
        lines = [made, f"mount --bind {source} {target}"]
        return [*lines, f"mount -o remount,bind,ro {target}"] if mount.read_only else lines

    def _confined(self, command: tuple[str, ...]) -> list[str]:
        uid, gid = self.container.user
        groups = (
            f"--groups={','.join(map(str, self.container.groups))}"
            if self.container.groups
            else "--clear-groups"
        )
        who = [
            f"--reuid={uid}",
            f"--regid={gid}",
            groups,
            "--no-new-privs",
            "--bounding-set=-all",
            "--inh-caps=-all",
        ]
        variables = [
            f"{name}={value}"
            for name, value in {**self._image.variables, **self.container.environment}.items()
        ]
        env = ["env", "--ignore-environment", f"--chdir={self._image.home}", *variables]
        return ["chroot", str(self._root), "setpriv", *who, *env, *command]


def _finished(command: list[str], given: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, input=given, capture_output=True, text=True, timeout=60, check=False)
