"""Lists as CSV (RFC 4180): UTF-8 with a byte order mark, without which Excel reads it in the local code page.

A header of field names, CRLF, amounts as plain decimals, times as ISO 8601 with their offset, lists joined by `, `.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from zoneinfo import ZoneInfo

from workers.exports.columns import Column, Kind
from workers.exports.numbers import plain
from workers.exports.summary import Summary

BOM: Final = "\ufeff"

# What a spreadsheet would take for a formula (OWASP, CSV injection): also after what is not seen, and in full width.
_FORMULA = re.compile("^[\t\r\n]|^[\\s\x00-\x1f\u200b-\u200f\u2060\ufeff]*[=+\\-@＝＋－＠]")


class CsvFile:
    """Writes the rows of a list to a file, one after the other. `scale`: how many decimals amounts have."""

    def __init__(self, path: Path, columns: Sequence[Column], *, scale: int, zone: str) -> None:
        self._file = path.open("w", encoding="utf-8", newline="")
        self._file.write(BOM)
        self._write = csv.writer(self._file, lineterminator="\r\n").writerow
        self._write([column.name for column in columns])
        texts = _texts(scale, ZoneInfo(zone))
        self._texts = [texts[column.kind] for column in columns]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, row: Sequence[Any]) -> None:
        self._write(
            ["" if value is None else text(value) for text, value in zip(self._texts, row, strict=True)]
        )

    def finish(self, summary: Summary) -> None:
        """A file of rows has no room for a summary."""


def harmless(text: str) -> str:
    """The text, with a single quote before what would be a formula."""
    return f"'{text}" if _FORMULA.match(text) else text


def mapping_text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if value else ""


def _texts(scale: int, zone: ZoneInfo) -> dict[Kind, Callable[[Any], str]]:
    return {
        Kind.TEXT: harmless,
        Kind.TEXTS: lambda values: harmless(", ".join(values)),
        Kind.AMOUNT: lambda value: plain(value, scale),
        Kind.COUNT: str,
        Kind.PERCENT: str,
        Kind.DECIMAL: str,
        Kind.MOMENT: lambda moment: moment.astimezone(zone).isoformat(),
        Kind.CYCLE: str,
        Kind.MAPPING: lambda value: harmless(mapping_text(value)),
    }
