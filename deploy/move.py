"""`python -m deploy.move --to-database URL --data DIR`: the embedded ledger goes on, on a server of its own.

The embedded system is stopped, and its servers run here alone, without workers. The target gets everything in one
transaction or nothing; the directory stays as it is, with a mark that keeps `coins up` from going on beside it
(`moving.py`).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg
import redis

from deploy import moving
from deploy.embedded import EmbeddedServers, servers
from deploy.errors import DeployError, NotMoved
from deploy.interruption import interruptible, running
from deploy.moving import MOVED_FILE, demand_not_moved, settle, settle_if_possible, what_became
from deploy.supervisor import end_leftover_children, end_leftover_server, say
from deploy.up import (
    DEFAULT_DATA,
    demand_not_half_restored,
    doors_of,
    exclusive,
    remembered_edge,
)
from ledger.copying import Copied, analyze, copy, count_rows, is_fresh
from ledger.database import connect
from ledger.errors import DatabaseUnavailable, LedgerError, SchemaOutdated
from ledger.migrate import migrate
from ledger.schema import check_schema
from ledger.verify import verify
from workers.errors import SettingsInvalid
from workers.producers import PRODUCERS_FILE
from workers.quiet import unread_streams, unrest, what_goes_on
from workers.settings import without_password

FAILED, WRONG_USAGE, NOT_READY, DIFFERENT, INTERRUPTED = 1, 2, 3, 5, 130


def main(arguments: Sequence[str]) -> int:
    """Returns the exit code: 0 moved, 1 not moved, or not verified after that, 2 wrong usage, 3 a server is not ready,
    5 verification differs."""
    default = Path(os.environ.get("COINS_DATA_DIR") or DEFAULT_DATA)
    parser = argparse.ArgumentParser(prog="coins move", description="Move the embedded ledger to a server.")
    parser.add_argument("--to-database", metavar="URL", required=True, help="an empty database")
    parser.add_argument("--data", metavar="DIR", type=Path, default=default)
    parser.add_argument("--dry-run", action="store_true", help="only look whether it could be done")
    options = parser.parse_args(arguments)
    data_dir: Path = options.data.resolve()
    if not (data_dir / "postgres" / "PG_VERSION").exists():
        say(f"coins move: there is no embedded system in {data_dir}")
        return WRONG_USAGE
    target_url: str = options.to_database
    try:
        with interruptible(), exclusive(data_dir):
            end_leftover_children(data_dir)
            embedded = servers(data_dir)
            if settle(data_dir, target_url):
                say("an earlier move was committed before it was broken off: the ledger is the target's")
                for server in (embedded.postgres, embedded.valkey):
                    end_leftover_server(server.home, server.programs, server.stop_signal)
                return go_on(data_dir, target_url)
            demand_not_moved(data_dir)
            demand_not_half_restored(data_dir)
            with running(embedded):
                return move(embedded, target_url, dry_run=options.dry_run)
    except KeyboardInterrupt:
        say(f"coins move: interrupted; {what_became(data_dir)}")
        return INTERRUPTED
    except SettingsInvalid as error:
        say(f"coins move: {error}")
        return WRONG_USAGE
    except DeployError as error:
        say(f"coins move: {error}")
        return error.exit_code
    except (DatabaseUnavailable, SchemaOutdated) as error:
        say(f"coins move: {what_became(data_dir)}: {error}")
        return NOT_READY
    except (LedgerError, psycopg.Error, redis.RedisError, OSError) as error:
        say(f"coins move: {what_became(data_dir)}: {error}")
        return FAILED


def move(embedded: EmbeddedServers, target_url: str, *, dry_run: bool = False) -> int:
    """The steps, in their order. The embedded servers run, and nobody else uses them."""
    data_dir = embedded.postgres.data_dir
    with (
        connect(embedded.postgres.url, name="move") as source,
        connect(target_url, name="move") as target,
    ):
        edge, doors = remembered_edge(data_dir), doors_of(data_dir, None)
        demand_rest(source, edge or embedded.valkey.url, common=doors.producers_file is None)
        fresh = is_fresh(target)
        if dry_run:
            rows = count_rows(source)
            say(f"{sum(rows.values()):,} rows of {len(rows)} tables would be copied")
            say(
                "the target "
                + ("would be migrated first" if fresh else "has a schema, and no rows of a ledger")
            )
            return 0
        partitions = source.execute("SELECT max(id) + 1 FROM partition").fetchone()
        migrate(target_url, partitions=(partitions or (1,))[0])
        goes_on = what_goes_on(source)
        copied = commit(source, target, target_url, data_dir)
    return go_on(data_dir, target_url, copied, goes_on)


def commit(
    source: psycopg.Connection[Any], target: psycopg.Connection[Any], target_url: str, data_dir: Path
) -> Copied:
    """Copy everything. However this ends, the directory says whose the ledger is."""
    try:
        copied = copy(
            source,
            target,
            lambda table: say(f"copying {table}"),
            about_to_commit=lambda: moving.begin(data_dir, target_url),
        )
        moving.finish(data_dir)
    except BaseException:
        settle_if_possible(data_dir, target_url)
        raise
    return copied


def go_on(data_dir: Path, target_url: str, copied: Copied | None = None, goes_on: Sequence[str] = ()) -> int:
    """What is left when the ledger is the target's. Returns the exit code."""
    with connect(target_url, name="move") as target:
        try:
            analyze(target)
        except psycopg.Error as error:
            say(f"its statistics are old, and its server renews them by itself, or ANALYZE does: {error}")
        say("verifying the target")
        differences = verify(target).differences
    tell(data_dir, target_url, copied, goes_on)
    if differences:
        say(
            f"verification found {len(differences)} differences: see them with `coins verify`. Every row is as it was, "
            "so that they were there before"
        )
        return DIFFERENT
    return 0


def demand_rest(source: psycopg.Connection[Any], edge_url: str, *, common: bool) -> None:
    """Raises NotMoved with all that is half done; SchemaOutdated where the directory is one of an older version.

    common: whether the common streams are read. What lies there when they are not is in nobody's way, and is told.
    """
    check_schema(source)
    if found := unrest(source, edge_url, common=common):
        raise NotMoved("the system is not at rest:\n  " + "\n  ".join(found))
    if left := unread_streams(source, edge_url):
        say(f"what lies in {', '.join(left)} is left there: with a producers file nobody reads it")


def tell(data_dir: Path, target_url: str, copied: Copied | None, goes_on: Sequence[str]) -> None:
    """What was done, and what is to be done next."""
    edge = remembered_edge(data_dir)
    if copied is not None:
        say(f"{copied.total:,} rows of {len(copied.rows)} tables are the same on both sides")
    if goes_on:
        say(f"not done yet, and goes on there: {', '.join(goes_on)}")
    say("next, in the environment of every process:")
    say(f"  COINS_DATABASE_URL={without_password(target_url)}")
    if edge is None:
        say(
            "  COINS_REDIS_URL=…        an empty Redis 7 or Valkey, with appendonly yes; producers send there from now on"
        )
    else:
        say("  COINS_REDIS_URL=…        an empty Redis 7 or Valkey, for jobs")
        say(f"  COINS_EDGE_URL={without_password(edge)}   as before; producers go on sending there")
    say("  COINS_PARTITIONS=…       as before")
    for what, setting in (
        ("files", "COINS_FILES_DIR"),
        ("mail", "COINS_DATA_DIR"),
        (PRODUCERS_FILE, "COINS_PRODUCERS_FILE"),
    ):
        if (data_dir / what).exists():
            say(f"  copy {data_dir / what} along; {setting} says where it lies")
    say(
        "then start `coins worker commands`, `coins worker jobs`, `coins relay` and `coins scheduler`: `coins health`"
    )
    say(
        f"{data_dir} stays as it is. The way back, while nothing was sent to the new system: remove {data_dir / MOVED_FILE}"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
