"""Building: every list is there with its rows, from one snapshot, and the file is whole or not there."""

from __future__ import annotations

import hashlib
import os
import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from ledger.database import connect
from ledger.errors import QueryInvalid
from ledger.queries.page import Page
from ledger.queries.reading import snapshot
from messages.commands import ExportFormat
from messages.reports import Report
from tests import builders as a
from tests.desk import LedgerDesk
from tests.workers.exports.conftest import NOW, Export, Reader
from tests.workers.exports.reading import records, table
from workers.errors import ExportFailed, FileNotWritten
from workers.exports import build as building
from workers.exports.build import build
from workers.exports.columns import Kind, columns_of
from workers.exports.reports import LISTS, _every
from workers.exports.request import Request
from workers.whole import UNFINISHED, whole_file


def test_every_list_can_be_exported() -> None:
    assert set(LISTS) == set(Report)


@pytest.mark.parametrize("report", list(LISTS))
def test_columns_are_the_fields_of_the_rows(report: Report) -> None:
    row = LISTS[report].row
    columns = columns_of(row)

    assert tuple(column.name for column in columns) == row._fields  # type: ignore[attr-defined]
    totals = LISTS[report].totals
    assert {dict(columns)[name] for name in (totals.summed if totals else ())} <= {Kind.AMOUNT}


def test_of_which_kind_a_column_is_is_told_by_its_type_or_its_name() -> None:
    found = {name: kind for one in LISTS.values() for name, kind in columns_of(one.row)}

    moments = {name for name, kind in found.items() if kind is Kind.MOMENT}
    assert moments >= {"time", "created_at", "since", "paid_until"}
    assert {name for name, kind in found.items() if kind is Kind.AMOUNT} == {
        *(
            "amount",
            "balance",
            "credit",
            "credit_limit",
            "frozen",
            "available",
            "subtree_credit",
            "subtree_frozen",
        ),
        *("refunded", "remaining", "charged", "total", "price"),
    }
    assert {name for name, kind in found.items() if kind in (Kind.COUNT, Kind.PERCENT)} >= {
        "subtree_accounts",
        "percent",
    }
    assert {name for name, kind in found.items() if kind is Kind.DECIMAL} == {"rate", "coefficient"}


@pytest.mark.parametrize("report", list(LISTS))
@pytest.mark.parametrize("format", list(ExportFormat))
def test_every_list_is_built_in_both_formats(export: Export, report: Report, format: ExportFormat) -> None:
    built = export(report, "acme" if LISTS[report].of_account else None, format=format)

    content = built.path.read_bytes()
    assert built.rows >= 1
    assert (built.bytes, built.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    if format is ExportFormat.XLSX:
        assert len(records(built.path, LISTS[report].title)) == built.rows
    else:
        assert content.count(b"\r\n") == built.rows + 1


def test_the_same_list_at_the_same_moment_is_the_same_file(export: Export) -> None:
    assert export("statement", "acme").sha256 == export("statement", "acme").sha256


def test_pages_are_read_to_the_end() -> None:
    def page_after(cursor: str | None) -> Page[int]:
        number = int(cursor or 0)
        return Page([number, number + 1], str(number + 2) if number < 4 else None)

    assert list(_every(page_after)) == [0, 1, 2, 3, 4, 5]


def test_whose_list_has_to_be_said_where_it_is_one_accounts(export: Export) -> None:
    for report in ("statement", "holds"):
        with pytest.raises(ExportFailed, match="list of one account"):
            export(report)


def test_rows_that_come_in_meanwhile_are_not_in_it(
    desk: LedgerDesk, database_url: str, tmp_path: Path
) -> None:
    # Given a statement that begins to be exported
    desk.do(a.enterprise(), a.top_up("acme", 100))
    connection = connect(database_url, name="test reader")

    # When more is posted before its end
    def progress(rows: int) -> None:
        desk.do(a.top_up("acme", 7, reference="later"))

    request = Request(Report.STATEMENT, "acme")
    built = build(connection, request, tmp_path / "x.xlsx", scale=0, now=NOW, progress=progress)
    connection.close()

    # Then neither lines nor closing credit know of it
    assert built.rows == 1
    assert table(built.path, "unit") == {"coin": [0, 100, 100]}
    assert desk.credit("acme") == 107


def test_it_stays_in_the_snapshot_that_there_is_and_takes_no_lesser_one(
    reader: Reader, tmp_path: Path
) -> None:
    request = Request(Report.PLANS)
    with snapshot(reader):
        build(reader, request, tmp_path / "x.csv", scale=0, now=NOW)
        reader.execute("SELECT 1")
    with reader.transaction(), pytest.raises(ExportFailed, match="one snapshot"):
        build(reader, request, tmp_path / "y.csv", scale=0, now=NOW)
    assert [one.name for one in tmp_path.iterdir()] == ["x.csv"]


class Stopped(Exception):
    pass


@pytest.mark.parametrize("format", list(ExportFormat))
@pytest.mark.parametrize("before", [None, b"what was there before"])
def test_an_export_that_fails_leaves_nothing_and_what_was_there_before(
    export: Export, tmp_path: Path, format: ExportFormat, before: bytes | None
) -> None:
    target = tmp_path / f"statement.{format}"
    if before is not None:
        target.write_bytes(before)

    def progress(rows: int) -> None:
        assert [one.name.startswith(UNFINISHED) for one in tmp_path.iterdir() if one != target] == [True]
        raise Stopped

    with pytest.raises(Stopped):
        export("statement", "acme", format=format, progress=progress)
    with pytest.raises(QueryInvalid, match="--type"):
        export("statement", "acme", format=format, filters={"type": "gift"})

    assert list(tmp_path.iterdir()) == ([target] if before is not None else [])
    assert before is None or target.read_bytes() == before
    # And the connection can be used for the next
    assert export("statement", "acme", format=format).rows > 0
    assert list(tmp_path.iterdir()) == [target]


def test_progress_is_told_on_the_way(reader: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "ROWS_A_REPORT", 3)
    told: list[int] = []
    built = build(
        reader, Request(Report.STATEMENT, "acme"), tmp_path / "x.csv", scale=0, now=NOW, progress=told.append
    )

    assert told[:2] == [3, 6]
    assert told[-1] == built.rows


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (lambda room: room / "none" / "x.csv", "No such file"),
        (lambda room: room, "is no file"),
        (lambda room: Path("/dev/null"), "is no file"),
        (lambda room: room / f"{'x' * 300}.csv", "too long"),
        (lambda room: room / "file" / "x.csv", "Not a directory"),
    ],
)
def test_a_place_that_cannot_be_written_is_named(
    reader: Reader, tmp_path: Path, target: Callable[[Path], Path], said: str
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileNotWritten, match=said):
        build(reader, Request(Report.PLANS), target(tmp_path), scale=0, now=NOW)
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("format", list(ExportFormat))
def test_a_disk_that_is_full_is_told_and_leaves_nothing(
    export: Export, tmp_path: Path, format: ExportFormat
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, hard))
    try:
        with pytest.raises(FileNotWritten, match="cannot be written: File too large"):
            export("statement", "acme", format=format)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert list(tmp_path.iterdir()) == []


def test_a_link_goes_on_leading_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("real")

    with whole_file(tmp_path / "link") as unfinished:
        unfinished.write_text("x")
        assert not (tmp_path / "real").exists()

    assert (tmp_path / "real").read_text() == "x"
    assert (tmp_path / "link").is_symlink()
    assert oct((tmp_path / "real").stat().st_mode & 0o777) == oct(0o666 & ~umask())


def umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
