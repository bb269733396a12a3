"""Workbooks: what is written reads back equal, and nothing that people typed is anything but text."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import openpyxl
import pytest

from ledger.periods import Cycle
from tests.workers.exports.injections import FORMULAS, LINKS
from tests.workers.exports.reading import facts, records, sheets, table
from workers.exports.cells import CUT, MOST_CHARACTERS
from workers.exports.columns import columns_of
from workers.exports.reports import Totals
from workers.exports.request import EXCEL, Limits
from workers.exports.summary import Summary, Tally
from workers.exports.workbook import XlsxFile

NOON = datetime(2026, 3, 1, 12, 0, 1, tzinfo=UTC)


class Thing(NamedTuple):
    id: str
    amount: int | None = None
    percent: int | None = None
    rows: int | None = None
    rate: str | None = None
    time: datetime | None = None
    goods: list[str] | None = None
    cycle: Cycle | None = None
    filters: dict[str, Any] | None = None
    note: str | None = None


BY_ID = Totals("id", ("amount",), lambda row: ("", row.id))


def written(
    path: Path, rows: list[Thing], *, scale: int = 0, limits: Limits = EXCEL, totals: Totals | None = None
) -> Path:
    tally = Tally(Thing, totals)
    with XlsxFile(
        path, columns_of(Thing), title="Things", scale=scale, zone="Asia/Shanghai", limits=limits
    ) as file:
        for row in rows:
            file.add(row)
            tally.add(row)
        facts_ = [("generated at (Asia/Shanghai)", NOON)]
        file.finish(Summary("All things", facts_, [], tally.sections(), "id", ("amount",)))  # type: ignore[arg-type]
    return path


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    book = openpyxl.load_workbook(path)
    try:
        yield book
    finally:
        book.close()


def test_every_kind_of_value_reads_back(tmp_path: Path) -> None:
    thing = Thing(
        "007", -1_234, 25, 1_000_000, "0.05", NOON, ["d-1", "d-2"], Cycle("month", 3), {"to": "ü"}, " a b "
    )
    path = written(tmp_path / "x.xlsx", [thing, Thing("1e5")], scale=2)

    first, second = records(path, "Things")
    assert first == {
        "id": "007",
        "amount": -12.34,
        "percent": 25,
        "rows": 1_000_000,
        "rate": 0.05,
        "time (Asia/Shanghai)": NOON.astimezone(ZoneInfo("Asia/Shanghai")).replace(tzinfo=None),
        "goods": "d-1, d-2",
        "cycle": "3 months",
        "filters": '{"to": "ü"}',
        "note": " a b ",
    }
    assert (second["id"], set(second.values())) == ("1e5", {"1e5", ""})


def test_a_sheet_is_laid_out_for_people(tmp_path: Path) -> None:
    path = written(tmp_path / "x.xlsx", [Thing("007", 5, 25, 1, "1", NOON)] * 3, scale=2)

    with opened(path) as book:
        assert book.sheetnames == ["Summary", "Things"]
        sheet = book["Things"]
        assert sheet.freeze_panes == "A2"
        assert sheet.auto_filter.ref == "A1:J4"
        assert sheet["A1"].font.bold
        assert sheet["A2"].number_format == "@"
        assert sheet["B2"].number_format == "#,##0.00"
        assert sheet["C2"].number_format == '0"%"'
        assert sheet["F2"].number_format == "yyyy-mm-dd hh:mm:ss"
        assert sheet.column_dimensions["F"].width > 20
        assert {cell.data_type for cell in sheet["A"]} == {"s"}
        assert {cell.data_type for cell in sheet["B"][1:]} == {"n"}
        assert (book.properties.title, book.properties.creator) == ("All things", "coinworks")


@pytest.mark.parametrize("text", [*FORMULAS, *LINKS])
def test_what_people_typed_is_never_a_formula_or_a_link(tmp_path: Path, text: str) -> None:
    path = written(
        tmp_path / "x.xlsx",
        [Thing(text, 1, note=text, goods=[text, "x"], filters={"search": text})],
        totals=BY_ID,
    )

    (row,) = records(path, "Things")
    assert (row["id"], row["note"], row["goods"]) == (text, text, f"{text}, x")
    # But for what another program takes for a formula, too: the sums of the summary
    with opened(path) as book:
        assert not [cell for line in book["Things"].iter_rows() for cell in line if cell.data_type == "f"]
        formulas = [
            cell.value for line in book["Summary"].iter_rows() for cell in line if cell.data_type == "f"
        ]
        assert all(formula.startswith("=SUM(") for formula in formulas)
    with zipfile.ZipFile(path) as parts:
        assert b"hyperlink" not in b"".join(parts.read(name) for name in parts.namelist())


@pytest.mark.parametrize(
    "text",
    [
        "a\x01b",
        "\x1b[31m",
        "bell\x07",
        "two\nlines",
        "carriage\rreturn",
        "tab\tbed",
        "_x0041_",
        "<b>&amp;</b>",
        "<r>plain</r>",
        "<r><t>not markup</t></r>",
        '<r></c></row></sheetData><f>HYPERLINK("http://x")</f></r>',
        "<r>&</r>",
        "]]>",
        " leading and trailing ",
        "\U0001f600",
    ],
)
def test_no_text_can_break_the_file(tmp_path: Path, text: str) -> None:
    path = written(tmp_path / "x.xlsx", [Thing("before", note=text), Thing("after")], totals=BY_ID)

    found = records(path, "Things")
    assert [row["id"] for row in found] == ["before", "after"]
    assert found[0]["note"] == text
    with opened(path) as book:
        assert book["Things"].max_row == 3


def test_what_is_no_character_is_escaped_as_excel_does(tmp_path: Path) -> None:
    path = written(tmp_path / "x.xlsx", [Thing("a", note="x\ufffe\uffff")])

    assert records(path, "Things")[0]["note"] == "x_xFFFE__xFFFF_"  # Excel shows the characters again


def test_a_text_that_is_too_long_is_cut_and_says_so(tmp_path: Path) -> None:
    whole, longer = "x" * MOST_CHARACTERS, "\U0001f600" * 17_000  # two of UTF-16 each
    markup = f"<r>{'<' * 20_000}</r>"
    path = written(
        tmp_path / "x.xlsx", [Thing("a", note=whole), Thing("b", note=longer), Thing("c", note=markup)]
    )

    a, b, c = records(path, "Things")
    assert a["note"] == whole
    assert b["note"].endswith(CUT)
    assert len(b["note"].encode("utf-16-le")) // 2 <= MOST_CHARACTERS
    assert set(b["note"].removesuffix(CUT)) == {"\U0001f600"}
    assert c["note"].endswith(CUT)
    assert facts(path)["texts cut, marked so"] == 2


def test_an_amount_of_too_many_digits_is_a_text(tmp_path: Path) -> None:
    amounts = [10**15, 10**15 - 1, 10**15 + 1, -(10**16) - 5, 123_456_789_012_346]
    path = written(
        tmp_path / "x.xlsx", [Thing(str(at), amount) for at, amount in enumerate(amounts)], totals=BY_ID
    )

    assert [row["amount"] for row in records(path, "Things")] == [
        1e15,
        999_999_999_999_999,
        "1000000000000001",
        "-10000000000000005",
        123_456_789_012_346,
    ]
    assert table(path, "totals by id")["total"] == [5, str(sum(amounts))]
    assert facts(path)["amounts of over 15 digits, as texts"] >= 2
    with opened(path) as book:
        assert book["Things"]["B4"].alignment.horizontal == "right"


@pytest.mark.parametrize("scale", range(7))
def test_an_amount_has_the_digits_that_a_person_sees(tmp_path: Path, scale: int) -> None:
    amounts = [1, -5, 10, 895, 1_005, 100_000_000_000_007, 999_999_999_999_999]
    path = written(tmp_path / "x.xlsx", [Thing("a", amount) for amount in amounts], scale=scale)

    for amount, row in zip(amounts, records(path, "Things"), strict=True):
        assert row["amount"] == amount / 10**scale
        assert f"{row['amount']:.{scale}f}" == f"{amount / 10**scale:.{scale}f}"


@pytest.mark.parametrize("limits", [Limits(rows=4), Limits(bytes=3 * 70 * 2)])
def test_rows_go_on_on_a_further_sheet(tmp_path: Path, limits: Limits) -> None:
    path = written(tmp_path / "x.xlsx", [Thing(str(at), 1) for at in range(10)], limits=limits, totals=BY_ID)

    found = sheets(path)
    details = [name for name in found if name != "Summary"]
    assert details == ["Things", "Things 2", "Things 3", "Things 4"]
    assert all(len(found[name]) <= 4 for name in details)
    assert {found[name][0][0] for name in details} == {"id"}
    assert [row[0] for name in details for row in found[name][1:]] == [str(at) for at in range(10)]
    assert table(path, "totals by id")["total"] == [10, 10]
    with opened(path) as book:
        assert book["Things 4"].auto_filter.ref == "A1:J2"
        assert book["Things 4"].freeze_panes == "A2"


def test_a_workbook_that_is_given_up_is_not_written(tmp_path: Path) -> None:
    with XlsxFile(
        tmp_path / "x.xlsx", columns_of(Thing), title="Things", scale=0, zone="UTC", limits=EXCEL
    ) as file:
        file.add(Thing("a"))

    assert not (tmp_path / "x.xlsx").exists()
