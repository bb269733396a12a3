"""What the verbs that read have in common: their options, and a connection to read by."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from console.cli.processes import DataDir

if TYPE_CHECKING:
    import psycopg

    from ledger.periods import Cycle
    from workers.settings import Settings

Json = Annotated[bool, typer.Option("--json", help="One JSON document.")]
Ndjson = Annotated[bool, typer.Option("--ndjson", help="A line of JSON a row.")]
Limit = Annotated[int, typer.Option("--limit", help="Rows a page.", metavar="N")]
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


def every(cycle: Cycle) -> str:
    """A cycle in words: `1 month`, `3 months`."""
    return f"{cycle.count} {cycle.unit}{'s' if cycle.count > 1 else ''}"


@contextmanager
def reading(data: DataDir) -> Iterator[tuple[psycopg.Connection[Any], Settings]]:
    """A connection in a snapshot, and the settings."""
    from ledger.queries.reading import reading as snapshot_of
    from workers.settings import load

    settings = load(data)
    with snapshot_of(settings.database, name="read") as connection:
        yield connection, settings
