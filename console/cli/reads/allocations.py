"""The verb that reads what resellers granted and took back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final

import typer

from console.cli.processes import DataDir
from console.cli.reads.files import write_file
from console.cli.reads.options import (
    After,
    Csv,
    From,
    Json,
    Limit,
    Ndjson,
    Search,
    To,
    Xlsx,
    asked_for,
    reading,
)
from console.cli.show import Column, Form, Manner, say, write_rows


def allocations(
    reseller: Annotated[
        list[str] | None, typer.Option("--reseller", metavar="ACCOUNT", help="To its customers.")
    ] = None,
    customer: Annotated[list[str] | None, typer.Option("--customer", metavar="ACCOUNT")] = None,
    from_: From = None,
    to: To = None,
    search: Search = None,
    limit: Limit = None,
    after: After = None,
    json: Json = False,
    ndjson: Ndjson = False,
    csv: Csv = None,
    xlsx: Xlsx = None,
    data: DataDir = None,
) -> None:
    """What resellers granted to customers, reclaimed, or returned by bills, newest first. --search looks in note and number.

    Flags that choose may be repeated. Dates are whole days, both included: in the zone of the customer where one is given,
    else of the reseller where one is, else in UTC. `balance` is the customer's allotment after it.

    Examples: coins allocations --reseller shop --from 2026-11-01

    coins allocations --customer carl --customer dora --ndjson
    """
    from ledger.queries.allocations import allocations as find
    from ledger.queries.chosen import allocation_filter

    asked = asked_for(json=json, ndjson=ndjson, csv=csv, xlsx=xlsx, limit=limit, after=after)
    chosen = {"reseller": reseller, "customer": customer, "from": from_, "to": to, "search": search}
    if asked.file is not None:
        write_file(asked.file, "allocations", chosen, data)
        return
    with reading(data) as (connection, settings):
        page = find(connection, allocation_filter(chosen), limit=asked.limit, after=after)
    manner = Manner(settings.scale, page.timezone)
    columns = [
        Column("time", manner.time),
        *map(Column, ("number", "reseller", "customer", "type")),
        *manner.amounts("amount", "balance"),
        Column("note"),
        Column("actor"),
    ]
    write_rows(asked.form, page.rows, columns, following=page.next, timezone=page.timezone)
    if asked.form is Form.PERSON:
        say(f"times in {page.timezone}")


VERBS: Final[dict[str, Callable[..., None]]] = {"allocations": allocations}
