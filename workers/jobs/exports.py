"""Lists become files: those that were asked for, and every night yesterday's transactions of each top account.

A file has a name of its own for each try, and is an export's only once the row says so: a process that was frozen while
another took over can put a file nowhere where somebody would read it. What is nobody's, housekeeping removes.
"""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime, timedelta
from enum import StrEnum
from functools import partial
from pathlib import PurePosixPath
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import orjson
import psycopg
import structlog

from ledger.database import connect
from ledger.dead_letters import escaped
from ledger.errors import NotFound, QueryInvalid
from ledger.model import PLATFORM_ID
from ledger.queries.entries import versions_before
from ledger.queries.times import begin_of, end_of
from ledger.upkeep import News, tell
from messages.commands import ExportFormat
from messages.events import EventType
from messages.reports import Report
from workers.errors import ExportFailed, FileNotWritten
from workers.exports.build import build
from workers.exports.request import Built, Request
from workers.jobs.marks import mark
from workers.jobs.run import Run, RunLost, RunStopped, is_defect, is_outage

JOB = "exports"
DIRECTORY = "exports"
AT_ONCE = 100
# What is posted at the very end of a day may be committed a little later.
AFTER_MIDNIGHT = timedelta(minutes=5)
MOST_DAYS = 400
# After a file could not be written.
PAUSE = timedelta(minutes=5)
NOTHING = "nothing was posted on that day"

log = structlog.get_logger(__name__)

# A person waits for what was asked for; the nightly ones come after. A disk that was full is not filled again at once.
_NEXT = """
SELECT x.export, a.id, a.account, x.report, x.filters, x.format
FROM export x JOIN account a ON a.id = x.account
WHERE x.state IN ('requested', 'running') AND x.export <> ALL(%b::text[]) AND (x.why IS NULL OR %b OR x.started_at <= %b)
ORDER BY x.export LIKE 'nightly/%%', x.requested_at, x.export
LIMIT 1"""
_BEGIN = "UPDATE export SET state = 'running', started_at = %b WHERE export = %b AND state IN ('requested', 'running')"
_READY = """
UPDATE export SET state = %b, ready_at = %b, path = %b, rows = %b, bytes = %b, sha256 = %b, why = %b
WHERE export = %b AND state = 'running'"""
_FAILED = "UPDATE export SET state = 'failed', why = %b WHERE export = %b AND state = 'running'"
_AGAIN = "UPDATE export SET state = 'requested', why = %b WHERE export = %b AND state = 'running'"

_ZONES = f"SELECT DISTINCT timezone FROM account WHERE parent = {PLATFORM_ID}"
_TOPS = f"""
SELECT a.id, a.account, a.timezone, m.until
FROM account a
JOIN unnest(%(zones)s::text[], %(begins)s::timestamptz[]) AS z(zone, begun_at) ON z.zone = a.timezone
LEFT JOIN job_mark m ON m.job = '{JOB}' AND m.subject = a.id
WHERE a.parent = {PLATFORM_ID} AND a.id > %(after)s AND coalesce(m.until, '-infinity') < z.begun_at
ORDER BY a.id
LIMIT %(rows)s"""
_ANYTHING = f"""
SELECT EXISTS (
  SELECT FROM account s
  CROSS JOIN LATERAL (
    SELECT FROM entry e
    WHERE e.account = s.id AND e.account > 0 AND e.time >= %(since)s AND e.time < %(before)s
      AND e.version > {versions_before("%(since)s")}
    ORDER BY e.version LIMIT 1) e
  WHERE s.path @> ARRAY[%(top)s::int8] AND s.posted_at >= %(since)s)"""
_ASK = """
INSERT INTO export (export, account, report, filters, format, state, requested_at)
VALUES (%b, %b, 'statement', %b, 'xlsx', 'requested', %b)
ON CONFLICT (export) DO NOTHING"""


class _Asked(NamedTuple):
    export: str
    account: int
    account_id: str
    report: str
    filters: str
    format: str


class _Top(NamedTuple):
    id: int
    account: str
    zone: str
    until: datetime | None


class _Became(StrEnum):
    """What became of an export that was begun."""

    MADE = "made"
    NOTHING = "nothing"
    """There was nothing in it, or somebody else has it by now."""
    FAILED = "failed"
    LATER = "later"


def build_exports(run: Run) -> str:
    """Ask for the nightly ones that are due, then make every file that was asked for, one after the other."""
    asked = _ask_nightly(run)
    became, seen = Counter[_Became](), list[str]()
    while (export := _next(run, seen)) is not None:
        run.check()
        seen.append(export.export)
        if run.dry_run:
            run.transact(partial(_tell, run, export=export))
        elif run.transact(partial(_begin, run, export=export)):
            became[_make(run, export)] += 1
    told = [f"{became[_Became.MADE]:,} files made"]
    if failed := became[_Became.FAILED]:
        told.append(f"{failed:,} failed")
    if later := became[_Became.LATER]:
        told.append(f"{later:,} failed, tried again at {run.now + PAUSE:%Y-%m-%dT%H:%M:%SZ}")
    return ", ".join(told) + (f", {asked:,} of last night asked for" if asked else "")


def _next(run: Run, seen: list[str]) -> _Asked | None:
    row = run.connection.execute(_NEXT, (seen, run.by_hand, run.now - PAUSE)).fetchone()
    return _Asked(*row) if row else None


def _tell(run: Run, connection: psycopg.Connection[Any], *, export: _Asked) -> None:
    run.item(export.export, detail=f"{export.report} of {export.account_id} as {export.format}")


def _begin(run: Run, connection: psycopg.Connection[Any], *, export: _Asked) -> bool:
    return connection.execute(_BEGIN, (run.now, export.export)).rowcount == 1


def _make(run: Run, export: _Asked) -> _Became:
    """What cannot be exported has failed; what cannot be written now is tried again."""
    path = run.settings.files / _path_of(run, export)

    def progress(rows: int) -> None:
        run.check()
        run.progress(f"{export.export}: {rows:,} rows so far")

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with connect(run.settings.database, name="export") as reading:
            request = _request_of(export)
            built = build(reading, request, path, scale=run.settings.scale, now=run.now, progress=progress)
    except (NotFound, QueryInvalid, ExportFailed) as error:
        log.warning("export failed", export=export.export, run=run.id, why=str(error))
        run.transact(partial(_not_made, run, export=export, why=str(error), for_now=False))
        return _Became.FAILED
    except (FileNotWritten, OSError) as error:
        again = f"{run.now + PAUSE:%Y-%m-%dT%H:%M:%SZ}"
        log.warning("export not written", export=export.export, run=run.id, why=str(error), again_at=again)
        run.transact(partial(_not_made, run, export=export, why=str(error), for_now=True))
        return _Became.LATER
    except Exception as error:
        if is_outage(error) or is_defect(error) or isinstance(error, RunLost | RunStopped):
            raise
        # Nobody else waits behind one that cannot be made.
        log.exception("export failed", export=export.export, run=run.id)
        why = escaped(f"{type(error).__name__}: {error}")[:2_000]
        run.transact(partial(_not_made, run, export=export, why=why, for_now=False))
        return _Became.FAILED
    kept = run.transact(partial(_made, run, export=export, built=built))
    if not kept:
        path.unlink(missing_ok=True)
    return _Became.MADE if kept else _Became.NOTHING


def _request_of(export: _Asked) -> Request:
    return Request(
        Report(export.report), export.account_id, orjson.loads(export.filters), ExportFormat(export.format)
    )


def _path_of(run: Run, export: _Asked) -> str:
    # Nobody can choose an id with a + in it: no two exports of a run have the same file.
    name = export.export.replace("/", "+")
    # Nor an account's: one that is called .. has a directory of its own all the same.
    room = export.account_id if export.account_id.strip(".") else export.account_id.replace(".", "+")
    return str(PurePosixPath(DIRECTORY, room, f"{name}.{run.id}-{run.epoch}.{export.format}"))


def _made(run: Run, connection: psycopg.Connection[Any], *, export: _Asked, built: Built) -> bool:
    """Whether the file is kept: of a night without transactions it is not."""
    path = _path_of(run, export)
    if built.rows == 0 and export.export.startswith("nightly/"):
        connection.execute(_READY, ("removed", run.now, None, 0, 0, None, NOTHING, export.export))
        run.item(export.export, detail=NOTHING)
        return False
    values = ("ready", run.now, path, built.rows, built.bytes, built.sha256, None, export.export)
    if connection.execute(_READY, values).rowcount != 1:
        return False
    data = {"export": export.export, "path": path, "rows": built.rows, "sha256": built.sha256}
    tell(connection, [News(EventType.EXPORT_READY, export.account, data)], run.now)
    run.item(export.export, detail=f"{built.rows:,} rows in {path}")
    return True


def _not_made(
    run: Run, connection: psycopg.Connection[Any], *, export: _Asked, why: str, for_now: bool
) -> None:
    connection.execute(_AGAIN if for_now else _FAILED, (why, export.export))
    run.item(export.export, "failed", "to be tried again" if for_now else None, why)


def _ask_nightly(run: Run) -> int:
    """A row for every day that is over in its top account's zone and was not asked for; days that were missed, too."""
    zones = [zone for (zone,) in run.connection.execute(_ZONES)]
    begins = [begin_of(_today(zone, run.now), zone) for zone in zones]
    after, count = 0, 0
    while True:
        values = {"zones": zones, "begins": begins, "after": after, "rows": AT_ONCE}
        tops = [_Top(*row) for row in run.connection.execute(_TOPS, values)]
        if not tops:
            return count
        count += sum(run.each(tops, partial(_ask, run), lambda top: top.account))
        after = tops[-1].id


def _ask(run: Run, connection: psycopg.Connection[Any], tops: list[_Top]) -> int:
    count = 0
    for top in tops:
        today = _today(top.zone, run.now)
        for day in _days(top, today):
            values = {"top": top.id, "since": begin_of(day, top.zone), "before": end_of(day, top.zone)}
            (anything,) = connection.execute(_ANYTHING, values).fetchone() or (False,)
            if anything:
                filters = orjson.dumps({"subtree": True, "from": f"{day}", "to": f"{day}"}).decode()
                count += connection.execute(
                    _ASK, (f"nightly/{top.account}/{day}", top.id, filters, run.now)
                ).rowcount
        mark(connection, JOB, begin_of(today, top.zone), top.id)
    return count


def _days(top: _Top, today: date) -> list[date]:
    """From the first that was not asked for up to yesterday; where none ever was, yesterday alone."""
    first = (
        top.until.astimezone(ZoneInfo(top.zone)).date()
        if top.until is not None
        else today - timedelta(days=1)
    )
    count = min(max(0, (today - first).days), MOST_DAYS)
    return [today - timedelta(days=back) for back in range(count, 0, -1)]


def _today(zone: str, now: datetime) -> date:
    return (now - AFTER_MIDNIGHT).astimezone(ZoneInfo(zone)).date()
