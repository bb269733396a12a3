"""What the verbs that read have in common: their options, and a connection to read by."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, NamedTuple

import typer

from console.cli.processes import DataDir
from console.cli.show import Form, form_of
from ledger.errors import QueryInvalid

if TYPE_CHECKING:
    import psycopg

    from workers.settings import Settings

ROWS_A_PAGE: Final = 50
STDOUT: Final = "-"

Json = Annotated[bool, typer.Option("--json", help="One JSON document.")]
Ndjson = Annotated[bool, typer.Option("--ndjson", help="A line of JSON a row.")]
Csv = Annotated[
    str | None,
    typer.Option("--csv", help="Write all rows to a file, as CSV; - is stdout.", metavar="FILE"),
]
Xlsx = Annotated[
    str | None, typer.Option("--xlsx", help="Write all rows to a file, as a workbook.", metavar="FILE")
]
Limit = Annotated[
    int | None, typer.Option("--limit", help="Rows a page.", metavar="N", show_default=str(ROWS_A_PAGE))
]
After = Annotated[
    str | None, typer.Option("--after", help="The cursor that the page before ended with.", metavar="CURSOR")
]
Search = Annotated[str | None, typer.Option("--search", metavar="TEXT")]
From = Annotated[
    str | None, typer.Option("--from", metavar="DATE", help="The first day, or a moment with its zone.")
]
To = Annotated[
    str | None, typer.Option("--to", metavar="DATE", help="The last day, or a moment with its zone.")
]


class Asked(NamedTuple):
    """In which form a list is to be answered: shown, a page of it, or written to `file` as a whole."""

    form: Form
    limit: int
    file: ListFile | None


class ListFile(NamedTuple):
    """Where to, as given; and `csv` or `xlsx`."""

    path: str
    format: Literal["csv", "xlsx"]


def asked_for(
    *, json: bool, ndjson: bool, csv: str | None, xlsx: str | None, limit: int | None, after: str | None
) -> Asked:
    """Raises QueryInvalid where several forms are asked for, or a page as a file."""
    given = [
        name
        for name, value in (("--json", json), ("--ndjson", ndjson), ("--csv", csv), ("--xlsx", xlsx))
        if value is not None and value is not False
    ]
    if len(given) > 1:
        raise QueryInvalid(f"{' and '.join(given)} exclude each other; give one of them")
    form = form_of(json=json, ndjson=ndjson)
    if csv is None and xlsx is None:
        return Asked(form, ROWS_A_PAGE if limit is None else limit, None)
    if limit is not None or after is not None:
        raise QueryInvalid(f"{given[0]} writes all rows; leave out --limit and --after")
    if not (csv if xlsx is None else xlsx) or xlsx == STDOUT:
        raise QueryInvalid(f"{given[0]} needs the name of a file")
    file = ListFile(csv, "csv") if csv is not None else ListFile(xlsx or "", "xlsx")
    return Asked(form, ROWS_A_PAGE, file)


@contextmanager
def reading(data: DataDir) -> Iterator[tuple[psycopg.Connection[Any], Settings]]:
    """A connection in a snapshot, and the settings."""
    from ledger.queries.reading import reading as snapshot_of
    from workers.settings import load

    settings = load(data)
    with snapshot_of(settings.database, name="read") as connection:
        yield connection, settings
