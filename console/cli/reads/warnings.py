"""The verb that reads warnings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final

import typer

from console.cli.processes import DataDir
from console.cli.reads.files import write_file
from console.cli.reads.options import After, Csv, Json, Limit, Ndjson, Search, Xlsx, asked_for, reading
from console.cli.show import Column, Form, Manner, joined, say, write_rows


def warnings(
    account: Annotated[
        list[str] | None, typer.Option("--account", metavar="ACCOUNT", help="About it.")
    ] = None,
    search: Search = None,
    limit: Limit = None,
    after: After = None,
    json: Json = False,
    ndjson: Ndjson = False,
    csv: Csv = None,
    xlsx: Xlsx = None,
    data: DataDir = None,
) -> None:
    """The custom warnings that were not removed. --search looks in id and e-mails. Times are UTC.

    One fires when available falls below the amount, or below that percentage of the reference; `fired_at` stays until
    available is back above.

    Example: coins warnings --account acme
    """
    from ledger.queries.warnings import warnings as find

    asked = asked_for(json=json, ndjson=ndjson, csv=csv, xlsx=xlsx, limit=limit, after=after)
    chosen = {"account": account, "search": search}
    if asked.file is not None:
        write_file(asked.file, "warnings", chosen, data)
        return
    with reading(data) as (connection, settings):
        page = find(connection, accounts=account or (), search=search, limit=asked.limit, after=after)
    manner = Manner(settings.scale)
    columns = [
        *map(Column, ("warning", "account", "set_by")),
        *manner.amounts("amount"),
        Column("percent", "{}%".format, right=True),
        Column("emails", joined),
        Column("set_at", manner.time),
        Column("fired_at", manner.time),
    ]
    write_rows(asked.form, page.rows, columns, following=page.next)
    if asked.form is Form.PERSON:
        say("times in UTC")


VERBS: Final[dict[str, Callable[..., None]]] = {"warnings": warnings}
