"""`python -m deploy.bench.export_writing (coinworks|openpyxl) DATABASE_URL FILE`: one file, and what it took, as JSON."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from ledger.queries.reading import reading
from ledger.queries.statement import StatementLine, every_line

ACCOUNT, ZONE = "yard", ZoneInfo("Asia/Shanghai")


def by_us(database_url: str, path: Path) -> int:
    from messages.reports import Report
    from workers.exports.build import build
    from workers.exports.request import Request

    with reading(database_url, name="bench") as connection:
        return build(
            connection, Request(Report.STATEMENT, ACCOUNT), path, scale=2, now=datetime.now(UTC)
        ).rows


def by_openpyxl(database_url: str, path: Path) -> int:
    """As its manual has it, and nothing but the rows: no formats, no summary."""
    from openpyxl import Workbook

    book = Workbook(write_only=True)
    sheet = book.create_sheet("Statement")
    sheet.append(StatementLine._fields)
    rows = 0
    with reading(database_url, name="bench") as connection:
        for line in every_line(connection, ACCOUNT):
            sheet.append(list(_plain(line)))
            rows += 1
    book.save(path)
    return rows


def _plain(line: StatementLine) -> Iterator[Any]:
    """The same values as ours."""
    for value in line:
        if isinstance(value, datetime):
            yield value.astimezone(ZONE).replace(tzinfo=None)
        elif isinstance(value, list):
            yield ", ".join(value) or None
        elif isinstance(value, int):
            yield value / 100
        else:
            yield value


def peak_mb() -> float:
    """The most memory that this process had (RSS, in megabytes).

    Where the system tells: what `getrusage` says begins with the memory of whoever started the process.
    """
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (one for one in status.read_text().splitlines() if one.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024 / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def main(by: str, database_url: str, path: str) -> None:
    write = {"coinworks": by_us, "openpyxl": by_openpyxl}[by]
    began = time.perf_counter()
    rows = write(database_url, Path(path))
    seconds = time.perf_counter() - began
    sys.stdout.write(json.dumps({"rows": rows, "seconds": seconds, "peak_mb": peak_mb()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
