"""The sign of life of a process: what a container's health check sees of it, without asking any server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.system.site import JOBS, RELAY, SCHEDULER, WORKER, Site, until
from workers import alive

pytestmark = pytest.mark.system
NEWEST = "SELECT version_num FROM alembic_version"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the sign of life goes, for this process too."""
    monkeypatch.setenv(alive.FILE, str(found := tmp_path / "coins.alive"))
    return found


def program(flag: str, file: Path | None) -> subprocess.CompletedProcess[str]:
    """The check as a container runs it, beside the process that writes to that file."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("COINS_")}
    return subprocess.run(
        [Path(sys.executable).with_name("coins"), "health", flag],
        env=clean if file is None else {**clean, alive.FILE: str(file)},
        capture_output=True,
        text=True,
        check=False,
    )


def health(file: Path) -> tuple[int, int]:
    """What `coins health --live` and `--ready` exit with."""
    return program("--live", file).returncode, program("--ready", file).returncode


def test_processes_that_wait_for_their_database_live_and_are_not_ready(site: Site, tmp_path: Path) -> None:
    # Given a database that is away when processes start
    site.servers.postgres.stop()
    programs = {
        tmp_path / verb[-1]: site.start(*verb, wait=False, ALIVE_FILE=tmp_path / verb[-1])
        for verb in (WORKER, JOBS, RELAY, SCHEDULER)
    }
    for file in programs:
        until(file.exists, 20, site.logs)
        assert health(file) == (0, 3)
    # When it comes back
    site.servers.postgres.start()
    site.wait_ready(*programs.values())
    for file in programs:
        until(lambda file=file: health(file) == (0, 0), 10, site.logs)  # type: ignore[misc]
    # Then they have never been others, and leave no sign behind
    for program in programs.values():
        program.process.terminate()
    assert [program.process.wait(15) for program in programs.values()] == [0] * 4
    assert not any(file.exists() for file in programs)
    assert health(next(iter(programs))) == (3, 3)


def test_a_process_that_is_newer_than_the_schema_waits_and_takes_nobodys_share(
    site: Site, file: Path
) -> None:
    newest = site.value(NEWEST)
    site.rows("UPDATE alembic_version SET version_num = '0001'")
    worker = site.start(*WORKER, wait=False, ALIVE_FILE=file)
    until(lambda: "run `coins migrate`" in worker.log, 20, site.logs)
    assert site.rows("SELECT name FROM process") == []
    assert site.owner_of(0) is None
    assert alive.look() is not None
    site.rows("UPDATE alembic_version SET version_num = %s", newest)
    site.wait_ready(worker)
    assert site.owner_within(10) is worker


def test_a_process_that_is_told_to_leave_while_it_waits_leaves(site: Site, file: Path) -> None:
    site.rows("UPDATE alembic_version SET version_num = '0001'")
    programs = [site.start(*verb, wait=False, ALIVE_FILE=file) for verb in (WORKER, JOBS, RELAY, SCHEDULER)]
    for program in programs:
        until(lambda program=program: "run `coins migrate`" in program.log, 20, site.logs)  # type: ignore[misc]
    for program in programs:
        program.process.terminate()
    assert [program.process.wait(10) for program in programs] == [0] * 4
    assert not any(program.ready_file.exists() for program in programs)


@pytest.mark.parametrize(("state", "codes"), [(alive.READY, (0, 0)), ("starting", (0, 3)), (None, (3, 3))])
def test_the_program_answers_as_the_verb_does(
    site: Site, file: Path, state: str | None, codes: tuple[int, int]
) -> None:
    """The program goes a shorter way: these checks run all day long."""
    if state is not None:
        alive.tell("relay@here", state)
    for flag, code in zip(("--live", "--ready"), codes, strict=True):
        verb = site.coins("health", flag, ALIVE_FILE=file)
        short = program(flag, file)
        assert (short.returncode, verb.returncode) == (code, code)
        assert (short.stdout, short.stderr) == (verb.stdout, verb.stderr)


def told(file: Path, **signed: object) -> alive.Sign:
    file.write_text(json.dumps({"process": "relay@here", "state": "ready", **signed}), encoding="utf-8")
    sign = alive.look()
    assert sign is not None
    return sign


def test_silence_is_death(file: Path) -> None:
    now = time.monotonic()
    assert told(file, at=now).ready
    assert told(file, at=now, state="waiting: DatabaseUnavailable")[:2] == (True, False)
    for silent in (now - alive.SILENT_AFTER_SECONDS - 1, now + 3_600):
        assert told(file, at=silent)[:2] == (False, False)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"process": 1, "state": 2, "at": "x"}'])
def test_a_sign_that_cannot_be_read_is_none(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")
    sign = alive.look()
    assert sign is not None
    assert not sign.lives
    assert str(file) in sign.detail


def test_without_a_file_the_check_says_which_setting_is_missing(site: Site) -> None:
    done = site.coins("health", "--live")
    short = program("--live", None)
    assert (done.returncode, short.returncode) == (2, 2)
    assert "COINS_ALIVE_FILE is not set" in done.stderr
    assert short.stderr == done.stderr
