"""Disks that are full for a while: small ones of their own where they may be mounted; and files that may not grow."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

BALLAST = ".ballast"
LIMITS = shutil.which("prlimit")  # of util-linux
PORTIONS_BYTES = (16 << 20, 1 << 20, 64 << 10, 4 << 10)
NO_LIMIT = "unlimited"


@dataclass(frozen=True)
class SmallDisk:
    """A directory, on a disk of its own if `own`."""

    path: Path
    own: bool

    def fill(self) -> None:
        """Leave not a single block free."""
        descriptor = os.open(self.path / BALLAST, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            for portion in PORTIONS_BYTES:
                with contextlib.suppress(OSError):
                    while True:
                        os.posix_fallocate(descriptor, size, portion)
                        size += portion
        finally:
            os.close(descriptor)

    def free(self) -> None:
        (self.path / BALLAST).unlink(missing_ok=True)


@contextlib.contextmanager
def small_disk(path: Path, *, megabytes: int) -> Iterator[SmallDisk]:
    """A directory on a tmpfs of so many megabytes, or an ordinary one where mounting is not permitted."""
    path.mkdir(parents=True)
    own = mount(path, megabytes)
    try:
        yield SmallDisk(path, own)
    finally:
        if own:
            subprocess.run(["umount", "--lazy", str(path)], check=False)


def mount(path: Path, megabytes: int) -> bool:
    options = f"size={megabytes}m,mode=0700"
    try:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "coins-chaos", str(path)],
            check=False,
            capture_output=True,
        )
    except OSError:
        return False
    return done.returncode == 0


def limit_files(pids: Iterable[int], size_bytes: int | None) -> None:
    """Let no file of these processes grow beyond a size (None: set them free): writing then fails, as on a full disk."""
    soft = NO_LIMIT if size_bytes is None else str(size_bytes)
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            # As the process' own user: not even root may always change the limits of another's.
            done = subprocess.run(
                [LIMITS or "prlimit", f"--pid={pid}", f"--fsize={soft}:{NO_LIMIT}"],
                user=process.uids().real,
                group=process.gids().real,
                extra_groups=[] if os.geteuid() == 0 else None,
                cwd="/",
                capture_output=True,
            )
            ended = not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
            assert done.returncode == 0 or ended, done.stderr.decode()


def family(pid: int) -> list[int]:
    """A process and all that it has started; none where it is gone."""
    with contextlib.suppress(psutil.NoSuchProcess):
        first = psutil.Process(pid)
        return [pid, *(one.pid for one in first.children(recursive=True))]
    return []
