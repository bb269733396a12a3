"""Lists as files: `--csv FILE` and `--xlsx FILE` of every verb that lists."""

from __future__ import annotations

import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from console.cli.processes import DataDir
from console.cli.reads.options import STDOUT, ListFile, reading
from console.cli.show import say
from workers.errors import FileNotWritten


def write_file(
    file: ListFile, report: str, chosen: dict[str, Any], data: DataDir, *, account: str | None = None
) -> None:
    """All rows of a list, as an operator sees it: whole or not at all, and a line about it on stderr.

    chosen: by the names of the flags. account: whose list it is, of those that are one account's.

    Raises QueryInvalid, NotFound, ExportFailed, FileNotWritten.
    """
    if file.path != STDOUT:
        rows, sha256 = _written(Path(file.path), file, report, chosen, data, account)
        say(f"wrote {rows:,} rows to {file.path} (sha256 {sha256})")
        return
    with TemporaryDirectory() as room:
        whole = Path(room) / "rows"
        try:
            rows, _ = _written(whole, file, report, chosen, data, account)
        except FileNotWritten as error:
            raise FileNotWritten(
                f"{error}. What goes to stdout is made whole first: name a file, or a directory with room for it as TMPDIR"
            ) from None
        _copy_to_stdout(whole)
    say(f"wrote {rows:,} rows")


def _written(
    path: Path, file: ListFile, report: str, chosen: dict[str, Any], data: DataDir, account: str | None
) -> tuple[int, str]:
    from messages.commands import ExportFormat
    from messages.reports import Report
    from workers.exports.build import build
    from workers.exports.request import Request

    request = Request(Report(report), account, chosen, ExportFormat(file.format))
    with reading(data) as (connection, settings):
        built = build(connection, request, path, scale=settings.scale, now=datetime.now(UTC))
    return built.rows, built.sha256


def _copy_to_stdout(path: Path) -> None:
    """Without the mark that Excel needs: who reads a pipe knows that it is UTF-8."""
    from workers.exports.csv_file import BOM

    with path.open("rb") as whole:
        whole.seek(len(BOM.encode()))
        sys.stdout.flush()
        shutil.copyfileobj(whole, sys.stdout.buffer)
        sys.stdout.buffer.flush()
