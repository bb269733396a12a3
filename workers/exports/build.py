"""How an export comes about. Read `build`: whose list, its rows one by one into a file, then what they come to."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg.pq import TransactionStatus

from ledger.queries.named import Named, account_named
from ledger.queries.reading import snapshot
from messages.commands import ExportFormat
from messages.reports import Report
from workers.errors import ExportFailed
from workers.exports.columns import columns_of
from workers.exports.csv_file import CsvFile
from workers.exports.reports import LISTS, Reading
from workers.exports.request import EXCEL, Built, Limits, Progress, Request
from workers.exports.scope import checked_scope, zone_of_list
from workers.exports.summary import Summary, Tally, credits_of, summary_of
from workers.whole import whole_file

if TYPE_CHECKING:
    from workers.exports.workbook import XlsxFile

ROWS_A_REPORT: Final = 5_000

_ISOLATION = "SHOW transaction_isolation"
_ONE_SNAPSHOT = ("repeatable read", "serializable")


def build(
    connection: psycopg.Connection[Any],
    request: Request,
    path: Path,
    *,
    scale: int,
    now: datetime,
    progress: Progress | None = None,
    limits: Limits = EXCEL,
) -> Built:
    """Write a list to a file, whole or not at all, from one snapshot: the connection's, or one that is taken for it.

    scale: decimals of amounts. now: when it is generated, and by when devices have expired. limits: of a workbook's
    sheets. The rows never lie in memory together.

    Raises NotFound, QueryInvalid for what cannot be chosen; ExportFailed for what cannot be exported; FileNotWritten.
    """
    if LISTS[request.report].of_account and request.account is None:
        raise ExportFailed(f"{request.report} is a list of one account; name it")

    with whole_file(path) as unfinished:
        rows = _write(connection, request, unfinished, scale=scale, now=now, progress=progress, limits=limits)
        size, sha256 = _size_and_digest(unfinished)
    return Built(path, rows, size, sha256)


def _write(
    connection: psycopg.Connection[Any],
    request: Request,
    path: Path,
    *,
    scale: int,
    now: datetime,
    progress: Progress | None,
    limits: Limits,
) -> int:
    with ExitStack() as opened:
        with _one_snapshot(connection):
            root, zone = _whose(connection, request)
            file = _file(path, request, scale, zone, limits)
            opened.enter_context(file)
            reading = Reading(connection, request.account, request.filters, now)
            tally = _add_rows(file, reading, request, progress)
            summary = _summary(connection, request, root, zone, now, tally)
        file.finish(summary)  # takes a while, in which nobody needs the snapshot
    return tally.rows


def _size_and_digest(path: Path) -> tuple[int, str]:
    with path.open("rb") as file:
        return path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _one_snapshot(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """Raises ExportFailed within a transaction in which each statement sees another state."""
    if connection.info.transaction_status == TransactionStatus.IDLE:
        with snapshot(connection):
            yield
        return
    row = connection.execute(_ISOLATION).fetchone()
    if row is None or row[0] not in _ONE_SNAPSHOT:
        raise ExportFailed("an export is read from one snapshot; the transaction is not one")
    yield


def _whose(connection: psycopg.Connection[Any], request: Request) -> tuple[Named | None, str]:
    root = account_named(connection, request.account) if request.account is not None else None
    if root is not None:
        checked_scope(connection, root, request.filters)
    return root, zone_of_list(connection, root, request.filters)


def _file(path: Path, request: Request, scale: int, zone: str, limits: Limits) -> CsvFile | XlsxFile:
    columns, title = columns_of(LISTS[request.report].row), LISTS[request.report].title
    if request.format is ExportFormat.CSV:
        return CsvFile(path, columns, scale=scale, zone=zone)
    from workers.exports.workbook import XlsxFile

    return XlsxFile(path, columns, title=title, scale=scale, zone=zone, limits=limits)


def _add_rows(
    file: CsvFile | XlsxFile, reading: Reading, request: Request, progress: Progress | None
) -> Tally:
    wanted = LISTS[request.report]
    tally = Tally(wanted.row, wanted.totals)
    for row in wanted.read(reading):
        file.add(row)
        tally.add(row)
        if progress is not None and tally.rows % ROWS_A_REPORT == 0:
            progress(tally.rows)
    if progress is not None:
        progress(tally.rows)
    return tally


def _summary(
    connection: psycopg.Connection[Any],
    request: Request,
    root: Named | None,
    zone: str,
    now: datetime,
    tally: Tally,
) -> Summary:
    summary = summary_of(request, root, zone, now, tally)
    if root is None or request.report is not Report.STATEMENT:
        return summary
    credits, about = credits_of(connection, request, root)
    return replace(summary, credits=credits, facts=[*summary.facts, *about])
