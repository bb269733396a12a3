"""The cells of a workbook: texts that stay texts, numbers that are numbers, times in the list's zone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from xlsxwriter import Workbook
from xlsxwriter.worksheet import Worksheet

from workers.exports.columns import Kind
from workers.exports.csv_file import mapping_text
from workers.exports.numbers import is_exact, plain, scaled

# Of UTF-16, in which Excel counts.
MOST_CHARACTERS: Final = 32_767
CUT: Final = " … (cut)"
_BYTES_A_CELL: Final = 70

Write = Callable[[Worksheet, int, int, Any], None]
"""Writes a value to a sheet, in that row and column."""


class Cells:
    """Writes values of each kind, and remembers what could not be written as it is.

    cut: texts that were too long. long: amounts of too many digits for a number. bytes: about how many were written.
    """

    def __init__(self, book: Workbook, *, scale: int, zone: ZoneInfo) -> None:
        self.cut = 0
        self.long = 0
        self.bytes = 0
        self.scale = scale
        self._zone = zone
        self._text_format = book.add_format({"num_format": "@"})
        digits = f"#,##0{'.' + '0' * scale if scale else ''}"
        self._amount_format = book.add_format({"num_format": digits})
        self._sum_format = book.add_format({"num_format": digits, "bold": True})
        self._count_sum_format = book.add_format({"num_format": "#,##0", "bold": True})
        self._long_format = book.add_format({"num_format": "@", "align": "right"})
        self._count_format = book.add_format({"num_format": "#,##0"})
        self._percent_format = book.add_format({"num_format": '0"%"'})
        self._moment_format = book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss", "align": "left"})

    def writer_of(self, kind: Kind) -> Write:
        """What writes a value of that kind."""
        writers: dict[Kind, Write] = {
            Kind.TEXT: self.text,
            Kind.TEXTS: self._texts,
            Kind.AMOUNT: self.amount,
            Kind.COUNT: self.count,
            Kind.PERCENT: self._percent,
            Kind.DECIMAL: self._decimal,
            Kind.MOMENT: self.moment,
            Kind.CYCLE: self._cycle,
            Kind.MAPPING: self._mapping,
        }
        return writers[kind]

    def fitting(self, value: str) -> str:
        """The text as XlsxWriter is to be given it, so that it stays that text; cut where a cell cannot hold it."""
        if len(value) > MOST_CHARACTERS // 2:
            value = self._short_enough(value)
        return self._no_markup(value) if value.startswith("<r>") else value

    def text(self, sheet: Worksheet, row: int, column: int, value: str) -> None:
        if not value:
            return
        value = self.fitting(value)
        self.bytes += _BYTES_A_CELL + len(value)
        sheet.write_string(row, column, value, self._text_format)

    def amount(self, sheet: Worksheet, row: int, column: int, value: int) -> None:
        self.bytes += _BYTES_A_CELL
        if is_exact(value):
            sheet.write_number(row, column, scaled(value, self.scale), self._amount_format)
        else:
            self.long += 1
            sheet.write_string(row, column, plain(value, self.scale), self._long_format)

    def sum(self, sheet: Worksheet, row: int, column: int, value: int, formula: str) -> None:
        """A formula, with the value that it has."""
        sheet.write_formula(row, column, formula, self._sum_format, scaled(value, self.scale))

    def count(self, sheet: Worksheet, row: int, column: int, value: int) -> None:
        self.bytes += _BYTES_A_CELL
        sheet.write_number(row, column, value, self._count_format)

    def count_sum(self, sheet: Worksheet, row: int, column: int, value: int, formula: str) -> None:
        sheet.write_formula(row, column, formula, self._count_sum_format, value)

    def moment(self, sheet: Worksheet, row: int, column: int, value: datetime) -> None:
        self.bytes += _BYTES_A_CELL
        local = value.astimezone(self._zone).replace(tzinfo=None)
        sheet.write_datetime(row, column, local, self._moment_format)

    def _texts(self, sheet: Worksheet, row: int, column: int, values: list[str]) -> None:
        if values:
            self.text(sheet, row, column, ", ".join(values))

    def _percent(self, sheet: Worksheet, row: int, column: int, value: int) -> None:
        sheet.write_number(row, column, value, self._percent_format)

    def _decimal(self, sheet: Worksheet, row: int, column: int, value: str) -> None:
        sheet.write_number(row, column, float(value))

    def _cycle(self, sheet: Worksheet, row: int, column: int, value: Any) -> None:
        self.text(sheet, row, column, str(value))

    def _mapping(self, sheet: Worksheet, row: int, column: int, value: Any) -> None:
        self.text(sheet, row, column, mapping_text(value))

    def _short_enough(self, value: str) -> str:
        if len(value.encode("utf-16-le")) // 2 <= MOST_CHARACTERS:
            return value
        return self._cut_to(value, MOST_CHARACTERS)

    def _cut_to(self, value: str, most: int) -> str:
        self.cut += 1
        room = 2 * (most - len(CUT))
        return value.encode("utf-16-le")[:room].decode("utf-16-le", "ignore") + CUT

    def _no_markup(self, value: str) -> str:
        """XlsxWriter takes `<r>…</r>` for a string with formats and writes it as it is: it gets one, of that text."""
        if not value.endswith("</r>"):
            return value
        escaped = value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        rich = f"<r><t>{escaped}</t></r>"
        return rich if len(rich) <= MOST_CHARACTERS else self._cut_to(value, MOST_CHARACTERS // 8)
