"""`python -m deploy.backup DIR --data DIR`: a base back-up of a running embedded system, checked, and its files beside it.

    DIR/database    what PostgreSQL's own pg_basebackup writes, with all that is needed to start it
    DIR/files       exports; DIR/producers.toml: who may send what, where there are any

With the WAL archive that the runbook describes it can be restored to any moment after it, else to its own.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from deploy.embedded import EmbeddedPostgres
from deploy.errors import DeployError, NotBackedUp
from deploy.programs import PROGRAMS
from deploy.supervisor import make_private, say
from deploy.up import DEFAULT_DATA
from workers.errors import SettingsInvalid
from workers.producers import PRODUCERS_FILE
from workers.settings import embedded_endpoints

BASE_BACKUP = ("--checkpoint=fast", "--wal-method=stream", "--manifest-checksums=SHA256")
DATABASE_DIR, FILES_DIR = "database", "files"
MANIFEST = "backup_manifest"
WRONG_USAGE, FAILED, NOT_READY = 2, 1, 3


def main(arguments: Sequence[str]) -> int:
    """Returns the exit code: 0 backed up, 1 failed, 2 wrong usage, 3 nothing runs there."""
    default = Path(os.environ.get("COINS_DATA_DIR") or DEFAULT_DATA)
    parser = argparse.ArgumentParser(prog="coins backup", description="Back up a running embedded system.")
    parser.add_argument("to", metavar="DIR", type=Path, help="a new directory")
    parser.add_argument("--data", metavar="DIR", type=Path, default=default)
    options = parser.parse_args(arguments)
    data_dir, to = options.data.resolve(), options.to.resolve()
    try:
        if not embedded_endpoints(data_dir):
            say(f"coins backup: no embedded system runs in {data_dir}; start it with `coins up`")
            return NOT_READY
        if to.exists() and any(to.iterdir()):
            say(f"coins backup: {to} is not empty; name a new directory")
            return WRONG_USAGE
        back_up(data_dir, to)
    except SettingsInvalid as error:
        say(f"coins backup: {error}")
        return WRONG_USAGE
    except (DeployError, OSError) as error:
        say(f"coins backup: {error}")
        return FAILED
    return 0


def back_up(data_dir: Path, to: Path) -> None:
    """Copy the database while it works, check the copy, and copy the files. Raises NotBackedUp, OSError."""
    make_private(to)
    database = to / DATABASE_DIR
    url = EmbeddedPostgres(data_dir).url
    say(f"copying the database to {database}")
    run("pg_basebackup", "--dbname", url, "--pgdata", str(database), *BASE_BACKUP)
    verify_backup(database)
    if (data_dir / "files").exists():
        shutil.copytree(data_dir / "files", to / FILES_DIR)
    if (data_dir / PRODUCERS_FILE).exists():
        shutil.copy2(data_dir / PRODUCERS_FILE, to / PRODUCERS_FILE)
    say(f"backed up, and checked: `coins restore {to}` brings it back")


def verify_backup(database: Path) -> None:
    """Every file as the server sent it, and all of the WAL that is needed to start it. Raises NotBackedUp.

    What pg_verifybackup does: the one that comes with the embedded servers does not run.
    """
    try:
        told = (database / MANIFEST).read_bytes()
        manifest = json.loads(told)
        verify_manifest(database, told, manifest)
        for file in manifest["Files"]:
            verify_file(database / file["Path"], file)
        for span in manifest["WAL-Ranges"]:
            run(
                "pg_waldump",
                "--quiet",
                f"--path={database / 'pg_wal'}",
                f"--timeline={span['Timeline']}",
                f"--start={span['Start-LSN']}",
                f"--end={span['End-LSN']}",
            )
    except (ValueError, LookupError) as error:
        raise NotBackedUp(f"{database / MANIFEST} cannot be read: {error}") from error


def verify_manifest(database: Path, told: bytes, manifest: Mapping[str, Any]) -> None:
    """Raises NotBackedUp unless it is whole itself, and names every file that there is but for the WAL."""
    # Of all lines before the one that it stands in.
    lines = told[: told.rstrip(b"\n").rfind(b"\n") + 1]
    if hashlib.sha256(lines).hexdigest() != manifest["Manifest-Checksum"]:
        raise NotBackedUp(f"{database / MANIFEST} is not as it was written")
    named = {MANIFEST, *(file["Path"] for file in manifest["Files"])}
    for path in sorted(database.rglob("*")):
        name = path.relative_to(database).as_posix()
        if path.is_file() and name not in named and not name.startswith("pg_wal/"):
            raise NotBackedUp(f"{path} is not of the back-up: nothing tells what it is; remove it")


def verify_file(path: Path, file: Mapping[str, Any]) -> None:
    """Raises NotBackedUp unless it is as the manifest says."""
    if not path.is_file():
        raise NotBackedUp(f"{path} is missing")
    if file.get("Checksum-Algorithm") != "SHA256":
        raise NotBackedUp(f"{path} has no SHA-256 in the manifest: it was not made by `coins backup`")
    with path.open("rb") as opened:
        if hashlib.file_digest(opened, "sha256").hexdigest() != file["Checksum"]:
            raise NotBackedUp(f"{path} is not as it was written")


def run(program: str, *arguments: str) -> None:
    """One of the programs that come with PostgreSQL. Raises NotBackedUp with what it said."""
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
    command = [str(PROGRAMS / program), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NotBackedUp(f"{program} failed: {done.stderr.strip() or done.returncode}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
