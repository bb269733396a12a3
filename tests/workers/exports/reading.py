"""What is in a workbook, read by a program that has nothing to do with the one that wrote it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from python_calamine import CalamineWorkbook

Rows = list[list[Any]]


class Total(NamedTuple):
    rows: float
    sums: list[Any]


def sheets(path: Path) -> dict[str, Rows]:
    """Every sheet, a missing value as an empty text; numbers are numbers, times naive."""
    book = CalamineWorkbook.from_path(str(path))
    return {name: book.get_sheet_by_name(name).to_python(skip_empty_area=False) for name in book.sheet_names}


def records(path: Path, sheet: str) -> list[dict[str, Any]]:
    """The rows of a sheet by the titles of its columns."""
    titles, *rows = sheets(path)[sheet]
    return [dict(zip(titles, row, strict=True)) for row in rows]


def facts(path: Path) -> dict[str, Any]:
    """What the summary says in two columns."""
    return {row[0]: row[1] for row in sheets(path)["Summary"] if row[0] and len(row) > 1}


def table(path: Path, title: str) -> dict[str, list[Any]]:
    """A table of the summary: for the name of each of its rows, the numbers."""
    rows = sheets(path)["Summary"]
    first = next(at for at, row in enumerate(rows) if row[0] == title) + 1
    found = {}
    for row in rows[first:]:
        if not row[0]:
            break
        found[row[0]] = [cell for cell in row[1:] if cell != ""]
    return found
