"""Who has the ledger: the marks in a data directory that `coins move` sets, so that there are never two truths.

moving    the target is about to be committed: until somebody has looked there, nobody knows, and nobody goes on
moved     the ledger is the target's
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict

from deploy import durably
from deploy.errors import Moved, NotMoved
from deploy.supervisor import say
from ledger.copying import has_ledger
from ledger.database import connect
from ledger.errors import LedgerError
from workers.settings import without_password

MOVED_FILE = "moved"
MOVING_FILE = "moving"


def demand_not_moved(data_dir: Path) -> None:
    """Raises Moved where `coins move` has handed the ledger on, or may have."""
    moved, moving = data_dir / MOVED_FILE, data_dir / MOVING_FILE
    if moved.exists():
        raise Moved(
            f"the ledger in {data_dir} was {_read(moved)}. If nothing was sent to it there, "
            f"remove {moved} and it goes on here"
        )
    if moving.exists():
        raise Moved(
            f"whether the ledger in {data_dir} was {_read(moving)}, is not known. {_look_there(moving)}"
        )


def begin(data_dir: Path, target_url: str) -> None:
    """Before the commit: from here on the ledger may be the target's. On disk when this returns."""
    told = f"moved to {without_password(target_url)} at {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    durably.write(data_dir / MOVING_FILE, f"{told}\n{place_of(target_url)}\n")


def finish(data_dir: Path) -> None:
    """After the commit: the ledger is the target's."""
    durably.rename(data_dir / MOVING_FILE, data_dir / MOVED_FILE)


def settle(data_dir: Path, target_url: str) -> bool:
    """After a move that was broken off: whether it was committed, by a look at the target. The mark says so from then on.

    Nothing but the move wrote to a target that was empty. Raises NotMoved where it was another target;
    DatabaseUnavailable, psycopg.Error where nobody can look; then the mark stays.
    """
    moving = data_dir / MOVING_FILE
    if not moving.exists():
        return False
    with connect(target_url, name="move") as target:
        if place_of(target_url) not in moving.read_text(encoding="utf-8").splitlines():
            raise NotMoved(f"whether the ledger was {_read(moving)}, is not known. {_look_there(moving)}")
        committed = has_ledger(target)
    if committed:
        finish(data_dir)
    else:
        durably.remove(moving)
    return committed


def settle_if_possible(data_dir: Path, target_url: str) -> None:
    """The same on the way out of a fault, which is not to be hidden by another one."""
    try:
        settle(data_dir, target_url)
    except (LedgerError, psycopg.Error) as error:
        say(f"nobody could look whether the target has it: {error}")


def place_of(target_url: str) -> str:
    """Which database it is, however its URL is written, and without what is secret."""
    given = conninfo_to_dict(target_url)
    parts = (
        f"{name}={given[name]}" for name in ("host", "hostaddr", "port", "dbname", "service") if name in given
    )
    return " ".join(parts)


def what_became(data_dir: Path) -> str:
    """Where the ledger is after a move that did not come to its end, in words."""
    if (data_dir / MOVED_FILE).exists():
        return (
            f"the ledger was {_read(data_dir / MOVED_FILE)}, whole; it was not verified there: `coins verify`"
        )
    if (moving := data_dir / MOVING_FILE).exists():
        return f"whether the ledger was {_read(moving)}, is not known. {_look_there(moving)}"
    return "nothing was moved; the target is as it was, but for the schema"


def _look_there(moving: Path) -> str:
    return (
        f"Run `coins move` again with that target, which looks; if that database is gone for good, remove {moving} "
        "and the ledger goes on here"
    )


def _read(mark: Path) -> str:
    return mark.read_text(encoding="utf-8").partition("\n")[0].strip()
