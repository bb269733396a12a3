"""A spreadsheet program opens a workbook, and shows what is in it."""

from __future__ import annotations

import csv
import shutil
import subprocess
from io import StringIO
from pathlib import Path

import pytest

from tests.workers.exports.conftest import Export
from tests.workers.exports.reading import sheets, table

SOFFICE = shutil.which("soffice")

pytestmark = pytest.mark.skipif(
    SOFFICE is None, reason="no soffice is installed; LibreOffice Calc (libreoffice-calc) opens the workbooks"
)


def converted(path: Path, to: str, room: Path) -> list[Path]:
    command = [
        str(SOFFICE),
        f"-env:UserInstallation=file://{room / 'profile'}",
        "--headless",
        "--convert-to",
        to,
        "--outdir",
        str(room / "converted"),
        str(path),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return sorted((room / "converted").iterdir())


def test_libreoffice_reads_every_sheet_as_it_was_written(export: Export, tmp_path: Path) -> None:
    built = export("statement", "acme", filters={"subtree": True}, scale=2)

    # As text, of every sheet (-1), formulas computed again and not taken from the file
    files = converted(
        built.path, "csv:Text - txt - csv (StarCalc):44,34,76,1,,0,false,true,true,false,false,-1", tmp_path
    )

    shown = {
        file.stem.rpartition("-")[2]: list(csv.reader(StringIO(file.read_text(encoding="utf-8"))))
        for file in files
    }
    assert set(shown) == set(sheets(built.path)) == {"Summary", "Statement"}
    titles, *lines = shown["Statement"]
    assert len(lines) == built.rows
    line = dict(zip(titles, lines[-1], strict=True))
    assert line["type"] == "recharge"
    assert line["amount"] == "1,000.00"
    assert line["time (Asia/Shanghai)"] == "2026-02-28 00:30:00"
    expected = [
        (f"{rows:,.0f}", f"{amount:,.2f}")
        for rows, amount in (
            table(built.path, f"totals by type ({unit})")["total"] for unit in ("allotment", "coin")
        )
    ]
    totals = [row for row in shown["Summary"] if row[0] == "total"]
    assert [(row[1], row[2]) for row in totals] == expected
    assert not [
        cell for rows in shown.values() for row in rows for cell in row if cell.startswith(("#", "Err:"))
    ]
