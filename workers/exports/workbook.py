"""Lists as workbooks for Excel: a summary, then the rows on as many sheets as they need.

A row is written and forgotten: XlsxWriter keeps the sheets in temporary files. What people typed is always written as a
string, so that nothing becomes a formula or a link.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from zoneinfo import ZoneInfo

from xlsxwriter import Workbook
from xlsxwriter.exceptions import FileCreateError
from xlsxwriter.format import Format

from workers.exports.cells import Cells, Write
from workers.exports.columns import Column, Kind
from workers.exports.front import NAME, write_front
from workers.exports.request import Limits
from workers.exports.summary import Summary

AUTHOR: Final = "coinworks"
WIDE: Final = {
    "name": 28,
    "item": 28,
    "note": 40,
    "purpose": 28,
    "release": 44,
    "filters": 40,
    "devices": 32,
    "goods": 32,
    "emails": 32,
    "number": 20,
    "reference": 22,
    "command_id": 36,
}
WIDTHS: Final = {Kind.MOMENT: 24, Kind.AMOUNT: 18, Kind.TEXTS: 28, Kind.COUNT: 12, Kind.PERCENT: 10}
WIDTH: Final = 16
NUMBERS: Final = frozenset({Kind.AMOUNT, Kind.COUNT, Kind.PERCENT, Kind.DECIMAL})


class XlsxFile:
    """Writes the rows of a list to a workbook, one after the other, then the summary, which comes first.

    `title` names the sheets; `scale` is how many decimals amounts have. Temporary files are made beside `path`.
    """

    def __init__(
        self,
        path: Path,
        columns: Sequence[Column],
        *,
        title: str,
        scale: int,
        zone: str,
        limits: Limits,
    ) -> None:
        self._book = Workbook(
            str(path),
            {
                "constant_memory": True,
                "strings_to_formulas": False,
                "strings_to_urls": False,
                "strings_to_numbers": False,
                "default_date_format": "yyyy-mm-dd hh:mm:ss",
                "tmpdir": str(path.parent),
                "use_zip64": True,
            },
        )
        self._columns = columns
        self._title = title
        self._zone = zone
        self._limits = limits
        self._cells = Cells(self._book, scale=scale, zone=ZoneInfo(zone))
        self._writes: list[Write] = [self._cells.writer_of(column.kind) for column in columns]
        heading = {"bold": True, "bottom": 1, "bg_color": "#F2F2F2"}
        self._header: Format = self._book.add_format(heading)
        self._right_header: Format = self._book.add_format({**heading, "align": "right"})
        self._front = self._book.add_worksheet(NAME)
        self._sheets = 0
        self._begin_sheet()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Without `finish` nothing is written, but the sheets' temporary files are open."""
        for sheet in self._book.worksheets():
            sheet.row_data_fh.close()

    def add(self, row: Sequence[Any]) -> None:
        if self._row >= self._limits.rows or self._cells.bytes - self._began_at >= self._limits.bytes:
            self._end_sheet()
            self._begin_sheet()
        sheet, at = self._sheet, self._row
        for column, (value, write) in enumerate(zip(row, self._writes, strict=True)):
            if value is not None:
                write(sheet, at, column, value)
        self._row += 1

    def finish(self, summary: Summary) -> None:
        """Write the summary and put the file together. Raises OSError."""
        self._end_sheet()
        self._book.set_properties(
            {
                "title": "".join(one if one.isprintable() else " " for one in summary.title),
                "author": AUTHOR,
                "created": _generated_at(summary),
            }
        )
        write_front(self._book, self._front, self._cells, summary, sheets=self._sheets)
        try:
            self._book.close()
        except FileCreateError as error:
            raise error.args[0] from None

    def _begin_sheet(self) -> None:
        self._sheets += 1
        name = self._title if self._sheets == 1 else f"{self._title} {self._sheets}"
        self._sheet = self._book.add_worksheet(name)
        self._began_at = self._cells.bytes
        self._sheet.freeze_panes(1, 0)
        self._sheet.set_landscape()
        self._sheet.set_paper(9)
        self._sheet.fit_to_pages(1, 0)
        self._sheet.repeat_rows(0)
        # Ids of digits are texts, and meant to be.
        self._sheet.ignore_errors({"number_stored_as_text": "A1:XFD1048576"})
        for at, (name, kind) in enumerate(self._columns):
            title = f"{name} ({self._zone})" if kind is Kind.MOMENT else name
            width = max(len(title) + 3, WIDE.get(name, WIDTHS.get(kind, WIDTH)))
            self._sheet.set_column(at, at, width)
            self._sheet.write_string(0, at, title, self._right_header if kind in NUMBERS else self._header)
        self._row = 1

    def _end_sheet(self) -> None:
        self._sheet.autofilter(0, 0, self._row - 1, len(self._columns) - 1)


def _generated_at(summary: Summary) -> datetime | None:
    return next((value.astimezone(UTC) for _, value in summary.facts if isinstance(value, datetime)), None)
