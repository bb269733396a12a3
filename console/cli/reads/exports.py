"""Verbs that read exports: the list of them, and the file of one."""

from __future__ import annotations

import json as json_
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

import typer

from console.cli.processes import DataDir
from console.cli.reads.files import write_file
from console.cli.reads.options import After, Csv, Json, Limit, Ndjson, Search, Xlsx, asked_for, reading
from console.cli.show import Column, Form, Manner, say, write_rows


def exports(
    account: Annotated[list[str] | None, typer.Option("--account", metavar="ACCOUNT")] = None,
    search: Search = None,
    limit: Limit = None,
    after: After = None,
    json: Json = False,
    ndjson: Ndjson = False,
    csv: Csv = None,
    xlsx: Xlsx = None,
    data: DataDir = None,
) -> None:
    """The exports that were asked for, newest first, and how far each is. --search looks in id and report. Times are UTC.

    Every night there is one of each top account, called nightly/<account>/<day>.

    Example: coins exports --account acme --json
    """
    from ledger.queries.exports import exports as find

    asked = asked_for(json=json, ndjson=ndjson, csv=csv, xlsx=xlsx, limit=limit, after=after)
    chosen = {"account": account, "search": search}
    if asked.file is not None:
        write_file(asked.file, "exports", chosen, data)
        return
    with reading(data) as (connection, settings):
        page = find(connection, accounts=account or (), search=search, limit=asked.limit, after=after)
    manner = Manner(settings.scale)
    columns = [
        *map(Column, ("export", "account", "report")),
        Column("filters", lambda filters: json_.dumps(filters, ensure_ascii=False) if filters else ""),
        *map(Column, ("format", "state")),
        Column("requested_at", manner.time),
        Column("ready_at", manner.time),
        *(Column(name, "{:,}".format, right=True) for name in ("rows", "bytes")),
        *map(Column, ("sha256", "path", "why")),
    ]
    write_rows(asked.form, page.rows, columns, following=page.next)
    if asked.form is Form.PERSON:
        say("times in UTC")


def export(
    id_: Annotated[str, typer.Argument(metavar="ID")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where the file goes.")],
    data: DataDir = None,
) -> None:
    """Fetch the file of an export that is ready; what is fetched has the SHA-256 that was told.

    Example: coins export nightly/acme/2026-11-24 --out acme.xlsx
    """
    from ledger.queries.exports import ready
    from workers.exports.fetching import fetch

    with reading(data) as (connection, settings):
        found = ready(connection, id_)
    fetch(settings.files / found.path, found.sha256, out)
    say(f"{found.rows:,} rows are in {out} (sha256 {found.sha256})")


VERBS: Final[dict[str, Callable[..., None]]] = {"exports": exports, "export": export}
