"""`python -m deploy.restore BACKUP --data DIR [--wal DIR] [--at TIME]`: an embedded database becomes that of a back-up.

The present one is set aside, the edge stays: what producers were told since is decided again as it was told
(`workers/retelling.py`), and then everything is verified.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shlex
import shutil
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import redis
from pydantic import SecretStr

from deploy import durably
from deploy.backup import DATABASE_DIR, FILES_DIR, verify_backup
from deploy.embedded import EmbeddedPostgres, EmbeddedServers, servers
from deploy.errors import DeployError, NotBackedUp
from deploy.interruption import interruptible, running
from deploy.moving import demand_not_moved
from deploy.supervisor import end_leftover_children, end_leftover_server, make_private, say
from deploy.up import DEFAULT_DATA, RESTORING_FILE, doors_of, exclusive, remembered_edge
from ledger.database import connect
from ledger.errors import DatabaseUnavailable, LedgerError, SchemaOutdated
from ledger.migrate import migrate
from ledger.verify import verify
from workers.errors import NotReady, SettingsInvalid, WorkersError
from workers.logs import configure
from workers.producers import PRODUCERS_FILE
from workers.retelling import SKIP, retell
from workers.settings import Settings

FAILED, WRONG_USAGE, NOT_READY, DIFFERENT, INTERRUPTED = 1, 2, 3, 5, 130
LONGEST_RECOVERY_SECONDS = 86_400.0
RECOVERY = """
# Written by `coins restore`.
recovery_target_action = 'promote'
"""
# Without an archive: to the moment of the back-up, by what lies in it.
ALONE = """recovery_target = 'immediate'
recovery_target_timeline = 'current'
restore_command = 'false'
"""


def main(arguments: Sequence[str]) -> int:
    """Returns the exit code: 0 restored, 1 failed, 2 wrong usage, 3 not ready, 5 there are differences."""
    default = Path(os.environ.get("COINS_DATA_DIR") or DEFAULT_DATA)
    parser = argparse.ArgumentParser(
        prog="coins restore", description="Restore an embedded system's database."
    )
    parser.add_argument("backup", metavar="BACKUP", type=Path, help="what `coins backup` has made")
    parser.add_argument("--data", metavar="DIR", type=Path, default=default)
    parser.add_argument(
        "--wal", metavar="DIR", type=Path, help="the WAL archive: go on to its end, or to --at"
    )
    parser.add_argument("--at", metavar="TIME", help="the moment, with its zone: 2026-11-22T08:00:00Z")
    parser.add_argument("--skip", metavar="N", type=int, default=SKIP)
    options = parser.parse_args(arguments)
    try:
        moment = moment_of(options.at)
        if moment is not None and options.wal is None:
            raise SettingsInvalid(
                "--at needs --wal: without the archive there is only the moment of the back-up"
            )
        data_dir: Path = options.data.resolve()
        make_private(data_dir)
        with interruptible(), exclusive(data_dir):
            demand_not_moved(data_dir)
            end_leftover_children(data_dir)
            put_in_place(options.backup.resolve(), data_dir, options.wal, moment)
            return bring_up(data_dir, skip=options.skip)
    except KeyboardInterrupt:
        say("coins restore: interrupted; run it again")
        return INTERRUPTED
    except SettingsInvalid as error:
        say(f"coins restore: {error}")
        return WRONG_USAGE
    except (NotReady, DatabaseUnavailable, SchemaOutdated) as error:
        say(f"coins restore: {error}")
        return NOT_READY
    except DeployError as error:
        say(f"coins restore: {error}")
        return error.exit_code
    except (WorkersError, LedgerError, psycopg.Error, redis.RedisError, OSError) as error:
        say(f"coins restore: {error}")
        return FAILED


def moment_of(text: str | None) -> datetime | None:
    """Raises SettingsInvalid for what is no time with a zone, or lies ahead."""
    moment: datetime | None = None
    if text is None:
        return None
    with contextlib.suppress(ValueError):
        moment = datetime.fromisoformat(text)
    if moment is None or moment.tzinfo is None:
        raise SettingsInvalid(f"--at {text}: write a time with its zone, as in 2026-11-22T08:00:00Z")
    if moment > datetime.now(UTC):
        raise SettingsInvalid(f"--at {text}: this lies ahead")
    return moment


def put_in_place(backup: Path, data_dir: Path, wal: Path | None, moment: datetime | None) -> None:
    """The copy becomes DIR/postgres; what was there is set aside. Raises NotBackedUp, OSError; then nothing has changed."""
    database = backup / DATABASE_DIR
    if not (database / "PG_VERSION").exists():
        raise NotBackedUp(f"{backup} is no back-up: it has no {DATABASE_DIR}/PG_VERSION")
    if wal is not None and not wal.is_dir():
        raise NotBackedUp(f"{wal} is no directory; name the WAL archive")
    say(f"checking {database}")
    verify_backup(database)
    demand_later(database, moment)
    postgres = EmbeddedPostgres(data_dir)
    end_leftover_server(postgres.home, postgres.programs, postgres.stop_signal)
    fresh = postgres.home.with_name("postgres.restored")
    shutil.rmtree(fresh, ignore_errors=True)
    say(f"copying it to {postgres.home}")
    shutil.copytree(database, fresh, symlinks=True)
    recover(fresh, wal.resolve() if wal is not None else None, moment)
    remember_timelines(data_dir, fresh)
    postgres.adopt(fresh)
    sync_all(fresh)
    half_made = (data_dir / RESTORING_FILE).exists()
    durably.write(data_dir / RESTORING_FILE, "")
    if half_made:
        # What an earlier attempt has left is nobody's database.
        shutil.rmtree(postgres.home, ignore_errors=True)
    if postgres.home.exists():
        aside = postgres.home.with_name(f"postgres.before-{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
        durably.rename(postgres.home, aside)
        say(f"the database that was there is now {aside}; remove it when you do not need it any more")
    durably.rename(fresh, postgres.home)
    for what in (FILES_DIR, PRODUCERS_FILE):
        if (backup / what).exists() and not (data_dir / what).exists():
            copied = shutil.copytree if (backup / what).is_dir() else shutil.copy2
            copied(backup / what, data_dir / what)


def demand_later(database: Path, moment: datetime | None) -> None:
    """Raises NotBackedUp where the moment lies before the back-up was begun: there is no way back from it."""
    label = (database / "backup_label").read_text(encoding="utf-8")
    found = re.search(r"^START TIME: (\S+ \S+) (UTC|GMT)$", label, re.M)
    if moment is None or found is None:
        return
    begun = datetime.fromisoformat(found[1]).replace(tzinfo=UTC)
    if moment <= begun:
        raise NotBackedUp(
            f"--at {moment.isoformat()} lies before this back-up, which was begun at {begun.isoformat()}: take an older one"
        )


def recover(fresh: Path, wal: Path | None, moment: datetime | None) -> None:
    """Have the server read the archive when it starts, up to the moment; without one, what lies in the back-up.

    In either case it begins a timeline: what it writes from then on is another story, and an archive that has the first one
    takes it under other names.
    """
    lines = [RECOVERY]
    if wal is None:
        lines.append(ALONE)
    else:
        command = f"cp {shlex.quote(str(wal))}/%f %p".replace("'", "''")
        lines.append(f"recovery_target_timeline = 'latest'\nrestore_command = '{command}'\n")
    if moment is not None:
        lines.append(f"recovery_target_time = '{moment.isoformat(sep=' ')}'\n")
    with (fresh / "postgresql.auto.conf").open("a", encoding="utf-8") as settings:
        settings.writelines(lines)
    (fresh / "recovery.signal").touch()


def remember_timelines(data_dir: Path, fresh: Path) -> None:
    """Those that earlier restores here have begun are not to be begun again: their names are taken."""
    for history in sorted(data_dir.glob("postgres*/pg_wal/*.history")):
        if not (known := fresh / "pg_wal" / history.name).exists():
            shutil.copy2(history, known)


def sync_all(fresh: Path) -> None:
    """PostgreSQL takes what it finds for written."""
    for path in (*fresh.rglob("*"), fresh):
        if path.is_dir() or (path.is_file() and not path.is_symlink()):
            durably.sync(path)


def bring_up(data_dir: Path, *, skip: int) -> int:
    """Recover, decide again what was told since, verify. Returns the exit code."""
    doors = doors_of(data_dir, None)
    rabbitmq = doors.rabbitmq_url or remembered_edge(data_dir)
    embedded = servers(data_dir)
    embedded.postgres.start_seconds = LONGEST_RECOVERY_SECONDS
    with running(embedded):
        say("the database is there again")
        forget_recovery(embedded)
        migrate(embedded.postgres.url, partitions=doors.partitions)
        settings = Settings(
            database_url=SecretStr(embedded.postgres.url),
            redis_url=SecretStr(embedded.valkey.url),
            edge_url=SecretStr(rabbitmq) if rabbitmq is not None else None,
            data_dir=data_dir,
            partitions=doors.partitions,
            producers_file=doors.producers_file,
        )
        configure(settings.log_format)
        result = retell(settings, skip=skip, progress=say)
        durably.remove(data_dir / RESTORING_FILE)
        for line in result.told_in_words():
            say(line)
        say("verifying")
        with connect(embedded.postgres.url, name="restore") as connection:
            found = verify(connection).differences
    if found:
        say(f"verification found {len(found)} differences: `coins verify` shows them")
    say("next: `coins up`")
    return DIFFERENT if found or not result.is_as_told else 0


def forget_recovery(embedded: EmbeddedServers) -> None:
    """What was set for this recovery is not to rule the next one."""
    with psycopg.connect(embedded.postgres.url, autocommit=True) as connection:
        for setting in (
            "restore_command",
            "recovery_target",
            "recovery_target_time",
            "recovery_target_timeline",
            "recovery_target_action",
        ):
            connection.execute(f"ALTER SYSTEM RESET {setting}".encode())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
