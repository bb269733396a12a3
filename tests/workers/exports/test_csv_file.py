"""CSV: what is written reads back, and a spreadsheet finds no formula in it."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ledger.periods import Cycle
from tests.workers.exports.injections import FORMULAS, HARMLESS
from tests.workers.exports.test_workbook import Thing
from workers.exports.columns import columns_of
from workers.exports.csv_file import CsvFile, harmless

NOON = datetime(2026, 3, 1, 12, 0, 1, 500_000, tzinfo=UTC)


def written(path: Path, rows: list[Thing], *, scale: int = 0) -> Path:
    with CsvFile(path, columns_of(Thing), scale=scale, zone="Asia/Shanghai") as file:
        for row in rows:
            file.add(row)
    return path


def test_every_kind_of_value_is_written_plainly(tmp_path: Path) -> None:
    thing = Thing(
        "007", -1_234, 25, 1_000_000, "0.05", NOON, ["d-1", "d-2"], Cycle("day", 1), {"to": "ü"}, "a"
    )
    raw = written(tmp_path / "x.csv", [thing, Thing("x")], scale=2).read_bytes()

    assert raw == (
        b"\xef\xbb\xbfid,amount,percent,rows,rate,time,goods,cycle,filters,note\r\n"
        b'007,-12.34,25,1000000,0.05,2026-03-01T20:00:01.500000+08:00,"d-1, d-2",1 day,"{""to"": ""\xc3\xbc""}",a\r\n'
        b"x,,,,,,,,,\r\n"
    )


@pytest.mark.parametrize("text", ['"', "a,b", "two\nlines", "two\r\nlines", "ü ￿ \U0001f600", " x "])
def test_texts_read_back(tmp_path: Path, text: str) -> None:
    path = written(tmp_path / "x.csv", [Thing(text, note=text)])

    with path.open(encoding="utf-8-sig", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["id"], row["note"]) == (text, text)


@pytest.mark.parametrize("text", FORMULAS)
def test_what_would_be_a_formula_has_a_quote_before_it(tmp_path: Path, text: str) -> None:
    path = written(tmp_path / "x.csv", [Thing(text, -5, note=text, goods=[text])])

    with path.open(encoding="utf-8-sig", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["id"], row["note"], row["goods"]) == (f"'{text}", f"'{text}", f"'{text}")
    assert row["amount"] == "-5"


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_no_formula_stays_as_it_is(text: str) -> None:
    assert harmless(text) == text
