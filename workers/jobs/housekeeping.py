"""What nobody needs any more goes: events beyond their number, old files, runs and mails. Never rows of the ledger, keys, or
dead letters that are not resolved.
"""

from __future__ import annotations

import shutil
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import structlog

from messages.publisher import connect
from messages.streams import EVENTS
from workers.jobs.exports import DIRECTORY
from workers.jobs.run import Run

EXPORTS_KEPT = timedelta(days=30)
MAILS_KEPT = timedelta(days=400)
LETTERS_KEPT = timedelta(days=400)
RUNS_KEPT = timedelta(days=90)
IDLE_RUNS_KEPT = timedelta(days=2)
LEFTOVERS_KEPT = timedelta(days=1)
AT_ONCE = 5_000
MONTHS_WAIT_SECONDS = 1

log = structlog.get_logger(__name__)

_OLD_EXPORTS = """
UPDATE export SET state = 'removed'
WHERE state = 'ready' AND ready_at < %b
RETURNING export, path"""
_KNOWN_FILES = "SELECT path FROM export WHERE path = ANY(%s::text[]) AND state = 'ready'"
# Of what somebody has dealt with; with them goes what was done about them. What waits for somebody stays for ever.
_OLD_LETTERS = """
WITH old AS (
  DELETE FROM dead_letter WHERE id IN (
    SELECT id FROM dead_letter
    WHERE state IN ('resolved', 'archived') AND resolved_at < %(before)s AND last_at < %(before)s
    ORDER BY id LIMIT %(rows)s)
  RETURNING id, group_id
), acts AS (
  DELETE FROM dead_letter_act a USING old WHERE a.letter = old.id
), kept AS (
  UPDATE dead_letter_group g SET kept = g.kept - gone.letters
  FROM (SELECT group_id, count(*) AS letters FROM old GROUP BY group_id) gone WHERE g.id = gone.group_id
)
SELECT count(*) FROM old"""
_OLD_MAILS = """
DELETE FROM mail WHERE id IN (
  SELECT id FROM mail WHERE state = 'sent' AND created_at < %b ORDER BY created_at LIMIT %b)"""
# One that found nothing to do tells nothing but that it was there.
_OLD_RUNS = """
WITH old AS (
  DELETE FROM job_run WHERE id IN (
    SELECT id FROM job_run
    WHERE state IN ('done', 'failed')
      AND (created_at < %(long_ago)s OR created_at < %(ago)s AND state = 'done' AND done = 0 AND refused = 0)
    ORDER BY created_at LIMIT %(rows)s)
  RETURNING id
), items AS (
  DELETE FROM job_item i USING old WHERE i.run = old.id
)
SELECT count(*) FROM old"""


def tidy(run: Run) -> str:
    """Trim and remove, by the run's clock, but never by one that is ahead: what is removed is gone.

    What of the database and what of the disk goes together is done in this order: first the row says that a file is gone,
    then it goes; one that is left over is found the next time.
    """
    if run.dry_run:
        return "nothing of this is tried: what is older than its time would be removed"
    told = [
        f"{_trim_events(run):,} events trimmed",
        f"{_remove_exports(run):,} exports removed",
        f"{_remove_rows(run):,} old runs, mails and settled dead letters removed",
    ]
    _create_months(run)
    return ", ".join(told)


def _trim_events(run: Run) -> int:
    client = connect(run.settings.redis if run.settings.edge.startswith("amqp") else run.settings.edge)
    try:
        return sum(
            int(client.xtrim(key, maxlen=run.settings.events_keep, approximate=True))
            for key in client.scan_iter(match=f"{EVENTS}*", count=1_000, _type="stream")
        )
    finally:
        client.close()


def _remove_exports(run: Run) -> int:
    """Files past their time, and what was left of files that never became whole."""
    root = run.settings.files

    def work(connection: object) -> list[str]:
        found = run.connection.execute(_OLD_EXPORTS, (_present(run) - EXPORTS_KEPT,)).fetchall()
        for export, _ in found:
            run.item(f"export {export}", detail="removed, it can be asked for again under another id")
        return [path for _, path in found if path]

    removed = run.transact(work)
    for path in removed:
        (root / path).unlink(missing_ok=True)
    return len(removed) + _remove_leftovers(run, root)


def _present(run: Run) -> datetime:
    return min(run.now, datetime.now(UTC))


def _remove_leftovers(run: Run, root: Path) -> int:
    """What a process left behind that was killed before its file was anybody's."""
    before = time.time() - LEFTOVERS_KEPT.total_seconds()
    old = [path for path in (root / DIRECTORY).glob("*/*") if _is_older(path, before)]
    names = [str(path.relative_to(root)) for path in old]
    known = {path for (path,) in run.connection.execute(_KNOWN_FILES, (names,))}
    count = 0
    for path, name in zip(old, names, strict=True):
        if name in known:
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        count += 1
    return count


def _is_older(path: Path, before: float) -> bool:
    try:
        return path.stat().st_mtime < before
    except FileNotFoundError:  # whole by now, under its own name
        return False


def _remove_rows(run: Run) -> int:
    count = 0
    while True:
        run.check()
        gone = run.transact(partial(_remove_some, run))
        if not gone:
            return count
        count += gone


def _remove_some(run: Run, connection: psycopg.Connection[Any]) -> int:
    now = _present(run)
    mails = connection.execute(_OLD_MAILS, (now - MAILS_KEPT, AT_ONCE)).rowcount
    values = {"long_ago": now - RUNS_KEPT, "ago": now - IDLE_RUNS_KEPT, "rows": AT_ONCE}
    (runs,) = connection.execute(_OLD_RUNS, values).fetchone() or (0,)
    values = {"before": now - LETTERS_KEPT, "rows": AT_ONCE}
    (letters,) = connection.execute(_OLD_LETTERS, values).fetchone() or (0,)
    return mails + int(runs) + int(letters)


def _create_months(run: Run) -> None:
    """Room for the raw messages of the months to come, for a system that is not migrated for years."""
    # Here, because half a second for it is too long for everybody who only wants to know of jobs.
    from sqlalchemy import create_engine, text
    from sqlalchemy.exc import DBAPIError

    from ledger.database import sqlalchemy_url
    from ledger.migrate import create_months

    engine = create_engine(sqlalchemy_url(run.settings.database))
    try:
        with engine.begin() as connection:
            # Whoever waits for this lock keeps every command waiting behind it, as long as a backup may read.
            connection.execute(text(f"SET LOCAL lock_timeout = '{MONTHS_WAIT_SECONDS}s'"))
            create_months(connection, run.now)
    except DBAPIError as error:
        if isinstance(error.orig, psycopg.errors.LockNotAvailable):
            log.warning("no room made for months to come: somebody reads raw messages; it is tried again")
            return
        raise (error.orig or error) from error
    finally:
        engine.dispose()
