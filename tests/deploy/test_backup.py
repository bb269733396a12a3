"""`coins backup` and `coins restore`: what is damaged or missing is refused, and then nothing has changed.

That a restored system goes on as if nothing had been is `tests/chaos/test_point_in_time.py`.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from deploy.backup import verify_backup
from deploy.embedded import EmbeddedServers, servers
from deploy.errors import NotBackedUp
from deploy.restore import main as restore
from deploy.up import RESTORING_FILE, write_whole
from ledger.migrate import migrate
from tests import builders as a
from tests.desk import LedgerDesk
from tests.system.site import until

COINS = (sys.executable, "-P", "-m", "console.cli.main")


def coins(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [*COINS, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def backed_up(tmp_path_factory: pytest.TempPathFactory) -> tuple[EmbeddedServers, Path]:
    """An embedded system with ten coins, a back-up, ten coins more; and stopped."""
    directory = tmp_path_factory.mktemp("backup")
    both, backup = servers(directory / "data", durable=False), directory / "copy"
    with both:
        migrate(both.postgres.url)
        write_whole(both.postgres.data_dir / "endpoints.json", both.endpoints)
        (both.postgres.data_dir / "files").mkdir()
        (both.postgres.data_dir / "files" / "e1.csv").write_text("an export")
        desk = LedgerDesk(both.postgres.url)
        desk.do(a.enterprise("acme"), a.top_up("acme", 10))
        done = coins("backup", backup, "--data", both.postgres.data_dir)
        assert done.returncode == 0, done.stderr
        desk.do(a.top_up("acme", 10))
        desk.close()
    (both.postgres.data_dir / "endpoints.json").unlink()
    return both, backup


def credit(both: EmbeddedServers) -> int:
    with both, psycopg.connect(both.postgres.url) as connection:
        row = connection.execute("SELECT credit FROM account WHERE account = 'acme'").fetchone()
    assert row is not None
    found: int = row[0]
    return found


def test_nothing_is_backed_up_where_nothing_runs(
    backed_up: tuple[EmbeddedServers, Path], tmp_path: Path
) -> None:
    both, _ = backed_up
    done = coins("backup", tmp_path / "copy", "--data", both.postgres.data_dir)
    assert (done.returncode, "start it with `coins up`" in done.stderr) == (3, True)
    assert not (tmp_path / "copy").exists()


def test_a_damaged_back_up_is_refused_and_nothing_has_changed(
    backed_up: tuple[EmbeddedServers, Path], tmp_path: Path
) -> None:
    both, backup = backed_up
    shutil.copytree(backup, tmp_path / "damaged", symlinks=True)
    database = tmp_path / "damaged" / "database"
    manifest, told = database / "backup_manifest", (backup / "database" / "backup_manifest").read_text()
    # A file that the manifest does not name any more, and one that it has never named
    manifest.write_text(told.replace('"Path": "global/pg_control"', '"Path": "PG_VERSION"'))
    with pytest.raises(NotBackedUp, match="backup_manifest is not as it was written"):
        verify_backup(database)
    manifest.write_text(told)
    (database / "standby.signal").touch()
    with pytest.raises(NotBackedUp, match=r"standby.signal is not of the back-up"):
        verify_backup(database)
    (database / "standby.signal").unlink()
    file = database / "global" / "pg_control"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    for source, said in (
        (tmp_path / "damaged", "pg_control is not as it was written"),
        (tmp_path, "no back-up"),
    ):
        done = coins("restore", source, "--data", both.postgres.data_dir)
        assert done.returncode == 1
        assert said in done.stderr
    assert credit(both) == 20


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--at", "2026-01-01T00:00:00Z"), "--at needs --wal"),
        (("--at", "2026-01-01T00:00:00", "--wal", "."), "write a time with its zone"),
        (("--at", "yesterday", "--wal", "."), "write a time with its zone"),
        (("--at", "2099-01-01T00:00:00Z", "--wal", "."), "lies ahead"),
    ],
)
def test_a_moment_that_cannot_be_is_wrong_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], said: str
) -> None:
    assert restore([str(tmp_path), "--data", str(tmp_path / "data"), *options]) == 2
    assert said in capsys.readouterr().err


def test_a_restore_that_was_broken_off_is_not_worked_on(tmp_path: Path) -> None:
    """What producers were told since is not in it yet."""
    (tmp_path / RESTORING_FILE).touch()
    done = coins("up", "--data", tmp_path)
    assert done.returncode == 3
    assert "run `coins restore` again" in done.stderr


def test_a_back_up_is_restored_on_another_machine(
    backed_up: tuple[EmbeddedServers, Path], tmp_path: Path
) -> None:
    """Nothing is there but the back-up: no edge that remembers, so that numbers go on far beyond."""
    _, backup = backed_up
    done = coins("restore", backup, "--data", tmp_path / "data", "--skip", 500)
    assert done.returncode == 0, done.stderr
    assert "numbered beyond 502" in done.stderr
    assert (tmp_path / "data" / "files" / "e1.csv").read_text() == "an export"
    assert not (tmp_path / "data" / RESTORING_FILE).exists()
    restored = servers(tmp_path / "data", durable=False)
    assert credit(restored) == 10
    # And once more: the timeline that the first restore has begun is not begun again.
    assert coins("restore", backup, "--data", tmp_path / "data").returncode == 0
    goes_on_in_an_archive(restored)


def goes_on_in_an_archive(restored: EmbeddedServers) -> None:
    """What is written after a restore does not have the names of what was written before it, which are taken."""
    home = restored.postgres.home
    (archive := home / "archive").mkdir()
    for timeline in (1, 2):
        for number in range(1, 32):
            (archive / f"{timeline:08X}{number:016X}").touch()
    restored.postgres.adopt(archive)
    with (home / "postgresql.conf").open("a") as settings:
        settings.write("archive_mode = on\narchive_command = 'test ! -f archive/%f && cp %p archive/%f'\n")
    with restored, psycopg.connect(restored.postgres.url, autocommit=True) as connection:
        assert connection.execute("SELECT timeline_id FROM pg_control_checkpoint()").fetchone() == (3,)
        assert connection.execute("SHOW recovery_target").fetchone() == ("",)
        connection.execute("SELECT pg_switch_wal()")
        until(lambda: any(re.fullmatch("00000003[0-9A-F]{16}", one.name) for one in archive.iterdir()), 20)
