"""`python -m deploy.move --to-database URL --data DIR`: the embedded ledger goes on, on a server of its own.

The embedded system is stopped, and its servers run here alone, without workers. The target gets everything in one
transaction or nothing; the directory stays as it is, with a mark that keeps `coins up` from going on beside it.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import redis

from deploy.embedded import EmbeddedServers, servers
from deploy.errors import DeployError, NotMoved
from deploy.interruption import interruptible, running
from deploy.supervisor import end_leftover_children, say
from deploy.up import (
    DEFAULT_DATA,
    MOVED_FILE,
    demand_not_half_restored,
    demand_not_moved,
    exclusive,
    remembered_edge,
)
from ledger.copying import Copied, copy, count_rows, is_fresh
from ledger.database import connect
from ledger.errors import DatabaseUnavailable, LedgerError, SchemaOutdated
from ledger.migrate import migrate
from ledger.schema import check_schema
from ledger.verify import verify
from workers.producers import PRODUCERS_FILE
from workers.quiet import unrest, what_goes_on
from workers.settings import without_password

FAILED, WRONG_USAGE, NOT_READY, DIFFERENT, INTERRUPTED = 1, 2, 3, 5, 130


def main(arguments: Sequence[str]) -> int:
    """Returns the exit code: 0 moved, 1 not moved, 2 wrong usage, 3 a server is not ready, 5 verification differs."""
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
    try:
        with interruptible(), exclusive(data_dir):
            demand_not_moved(data_dir)
            demand_not_half_restored(data_dir)
            end_leftover_children(data_dir)
            embedded = servers(data_dir)
            with running(embedded):
                return move(embedded, options.to_database, dry_run=options.dry_run)
    except KeyboardInterrupt:
        say("coins move: interrupted; the target is as it was, but for the schema")
        return INTERRUPTED
    except DeployError as error:
        say(f"coins move: {error}")
        return error.exit_code
    except (DatabaseUnavailable, SchemaOutdated) as error:
        say(f"coins move: {error}")
        return NOT_READY
    except (LedgerError, psycopg.Error, redis.RedisError, OSError) as error:
        say(f"coins move: nothing was moved: {error}")
        return FAILED


def move(embedded: EmbeddedServers, target_url: str, *, dry_run: bool = False) -> int:
    """The steps, in their order. The embedded servers run, and nobody else uses them."""
    with (
        connect(embedded.postgres.url, name="move") as source,
        connect(target_url, name="move") as target,
    ):
        edge = remembered_edge(embedded.postgres.data_dir)
        demand_rest(source, edge or embedded.valkey.url)
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
        copied = copy(source, target, lambda table: say(f"copying {table}"))
        goes_on = what_goes_on(source)
        mark(embedded.postgres.data_dir, target_url)
        say("verifying the target")
        differences = verify(target).differences
    tell(embedded.postgres.data_dir, target_url, copied, goes_on, edge)
    if differences:
        say(
            f"verification found {len(differences)} differences: see them with `coins verify`. Every row is as it was, "
            "so that they were there before"
        )
        return DIFFERENT
    return 0


def demand_rest(source: psycopg.Connection[Any], edge_url: str) -> None:
    """Raises NotMoved with all that is half done; SchemaOutdated where the directory is one of an older version."""
    check_schema(source)
    if found := unrest(source, edge_url):
        raise NotMoved("the system is not at rest:\n  " + "\n  ".join(found))


def mark(data_dir: Path, target_url: str) -> None:
    """From here on the ledger is the target's: two of them going on would be two truths."""
    told = f"moved to {without_password(target_url)} at {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}\n"
    (data_dir / MOVED_FILE).write_text(told, encoding="utf-8")


def tell(data_dir: Path, target_url: str, copied: Copied, goes_on: list[str], edge: str | None) -> None:
    """What was done, and what is to be done next."""
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
