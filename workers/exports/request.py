"""What is asked for, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from ledger.queries.chosen import Chosen
from messages.commands import ExportFormat
from messages.reports import Report

Progress = Callable[[int], None]
"""Is told every few thousand rows how many there are so far. What it raises ends the export, and leaves no file."""


@dataclass(frozen=True, slots=True)
class Request:
    """A list as a file.

    account: whose statement or holds it is; of the other lists what they are kept within: nothing but that account and
    everything below it. None, for an operator, keeps them within nothing. `plans` and `payment-methods` are everybody's.
    filters: as of a `RequestExport`, named like the flags. title: None for one made of report and account.
    """

    report: Report
    account: str | None = None
    filters: Chosen = field(default_factory=dict)
    format: ExportFormat = ExportFormat.XLSX
    title: str | None = None


class Limits(NamedTuple):
    """What a sheet of a workbook holds: rows, with the header, and about how many bytes.

    Past two gigabytes a part of the file needs an extension of ZIP that Excel calls damaged.
    """

    rows: int = 1_048_576
    bytes: int = 1_800_000_000


EXCEL: Final = Limits()


@dataclass(frozen=True, slots=True)
class Built:
    """A file that is there, whole. `sha256` in hexadecimal digits."""

    path: Path
    rows: int
    bytes: int
    sha256: str
