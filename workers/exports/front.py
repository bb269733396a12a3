"""The summary sheet of a workbook."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from xlsxwriter import Workbook
from xlsxwriter.utility import xl_range
from xlsxwriter.worksheet import Worksheet

from workers.exports.cells import Cells
from workers.exports.numbers import is_exact, scaled
from workers.exports.summary import Section, Summary

NAME: Final = "Summary"
_LABELS, _VALUES = 0, 1
_CHART_ROWS, _CHART_COLUMN = 16, 5


class Front:
    """Writes the summary from top to bottom; its rows cannot be returned to."""

    def __init__(self, book: Workbook, sheet: Worksheet, cells: Cells) -> None:
        self._book = book
        self._sheet = sheet
        self._cells = cells
        self._row = 0
        self._free_for_chart = 0
        self._title = book.add_format({"bold": True, "font_size": 14})
        self._heading = book.add_format({"bold": True, "bottom": 1, "bg_color": "#F2F2F2"})
        self._right_heading = book.add_format(
            {"bold": True, "bottom": 1, "bg_color": "#F2F2F2", "align": "right"}
        )
        self._bold = book.add_format({"bold": True})
        self._left = book.add_format({"num_format": "#,##0", "align": "left"})
        sheet.set_column(_LABELS, _LABELS, 36)
        sheet.set_column(_VALUES, _CHART_COLUMN - 1, 24)
        sheet.set_landscape()
        sheet.set_paper(9)
        sheet.fit_to_pages(1, 0)
        sheet.ignore_errors({"number_stored_as_text": "A1:XFD1048576"})

    def write(self, summary: Summary, *, sheets: int) -> None:
        self._sheet.write_string(0, _LABELS, self._cells.fitting(summary.title), self._title)
        self._row = 2
        for label, value in summary.facts:
            self._fact(label, value)
        self._fact("sheets of rows", sheets)
        self._fact("amounts", f"with {self._cells.scale} decimals" if self._cells.scale else "whole numbers")
        if summary.credits:
            self._credits(summary)
        for section in summary.sections:
            self._section(summary, section)
        self._cautions()

    def _fact(self, label: str, value: str | int | datetime) -> None:
        self._sheet.write_string(self._row, _LABELS, label)
        match value:
            case str():
                self._cells.text(self._sheet, self._row, _VALUES, value)
            case int():
                self._sheet.write_number(self._row, _VALUES, value, self._left)
            case _:
                self._cells.moment(self._sheet, self._row, _VALUES, value)
        self._row += 1

    def _headings(self, texts: list[str], *, numbers_from: int) -> None:
        self._row += 1
        for column, text in enumerate(texts):
            right = column >= numbers_from
            self._sheet.write_string(self._row, column, text, self._right_heading if right else self._heading)
        self._row += 1

    def _credits(self, summary: Summary) -> None:
        self._headings(["unit", "opening credit", "closing credit", "change"], numbers_from=1)
        for unit, opening, closing in summary.credits:
            self._sheet.write_string(self._row, _LABELS, unit)
            for column, value in enumerate((opening, closing, closing - opening), 1):
                self._cells.amount(self._sheet, self._row, column, value)
            self._row += 1

    def _section(self, summary: Summary, section: Section) -> None:
        named = f" ({section.name})" if section.name else ""
        self._headings([f"totals by {summary.by}{named}", "rows", *summary.summed], numbers_from=1)
        first = self._row
        for group in section.groups:
            self._sheet.write_string(self._row, _LABELS, self._cells.fitting(group.name))
            self._cells.count(self._sheet, self._row, _VALUES, group.rows)
            for column, value in enumerate(group.sums, _VALUES + 1):
                self._cells.amount(self._sheet, self._row, column, value)
            self._row += 1
        self._total(section, first)
        if summary.credits:
            self._chart(f"totals by {summary.by}{named}", section, first)

    def _total(self, section: Section, first: int) -> None:
        self._sheet.write_string(self._row, _LABELS, "total", self._bold)
        rows = sum(group.rows for group in section.groups)
        over = xl_range(first, _VALUES, self._row - 1, _VALUES)
        self._cells.count_sum(self._sheet, self._row, _VALUES, rows, f"=SUM({over})")
        for place in range(len(section.groups[0].sums)):
            column, sums = _VALUES + 1 + place, [group.sums[place] for group in section.groups]
            if all(map(is_exact, (*sums, sum(sums)))):
                over = xl_range(first, column, self._row - 1, column)
                self._cells.sum(self._sheet, self._row, column, sum(sums), f"=SUM({over})")
            else:
                self._cells.amount(self._sheet, self._row, column, sum(sums))
        self._row += 1

    def _chart(self, title: str, section: Section, first: int) -> None:
        sums = [group.sums[0] for group in section.groups]
        if not all(map(is_exact, sums)):
            return
        last, amounts = first + len(sums) - 1, _VALUES + 1
        chart = self._book.add_chart({"type": "bar"})
        chart.add_series(
            {
                "name": "amount",
                "categories": [NAME, first, _LABELS, last, _LABELS],
                "values": [NAME, first, amounts, last, amounts],
                # In this mode XlsxWriter does not remember the cells: what only draws the file has them from here.
                "categories_data": [group.name for group in section.groups],
                "values_data": [scaled(value, self._cells.scale) for value in sums],
            }
        )
        chart.set_title({"name": title, "name_font": {"size": 11}})
        chart.set_legend({"none": True})
        chart.set_x_axis({"num_format": "#,##0", "num_font": {"size": 8}})
        chart.set_y_axis({"reverse": True, "label_position": "low"})
        at = max(first - 1, self._free_for_chart)
        self._sheet.insert_chart(at, _CHART_COLUMN, chart, {"x_scale": 1.2})
        self._free_for_chart = at + _CHART_ROWS

    def _cautions(self) -> None:
        self._row += 1
        if self._cells.cut:
            self._fact("texts cut, marked so", self._cells.cut)
        if self._cells.long:
            self._fact("amounts of over 15 digits, as texts", self._cells.long)


def write_front(book: Workbook, sheet: Worksheet, cells: Cells, summary: Summary, *, sheets: int) -> None:
    """Everything that the summary sheet has. `sheets`: how many sheets of rows there are."""
    Front(book, sheet, cells).write(summary, sheets=sheets)
