"""Verbs that read bills: bills, bill."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final

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
from console.cli.show import (
    Column,
    Form,
    Manner,
    form_of,
    joined,
    say,
    write_fields,
    write_json,
    write_rows,
    write_table,
)


def bills(
    account: Annotated[
        list[str] | None, typer.Option("--account", metavar="ACCOUNT", help="The customer.")
    ] = None,
    status: Annotated[list[str] | None, typer.Option("--status", help="issued, confirmed.")] = None,
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
    """The bills of sponsored accounts, the latest month first. --search looks in the bill's id.

    Flags that choose may be repeated. --from and --to choose the months that lie between them, or in part; dates are in
    the zone of each bill's account. `total` is what was charged less what was refunded; confirming the bill returns it.

    Examples: coins bills --account carl --status issued

    coins bills --from 2026-01-01 --to 2026-12-31 --json
    """
    from ledger.queries.bills import bills as find
    from ledger.queries.chosen import bill_filter

    asked = asked_for(json=json, ndjson=ndjson, csv=csv, xlsx=xlsx, limit=limit, after=after)
    chosen = {"account": account, "status": status, "from": from_, "to": to, "search": search}
    if asked.file is not None:
        write_file(asked.file, "bills", chosen, data)
        return
    with reading(data) as (connection, settings):
        page = find(connection, bill_filter(chosen), limit=asked.limit, after=after)
    manner = Manner(settings.scale, page.timezone)
    columns = [
        *map(Column, ("bill", "account", "period")),
        *manner.amounts("charged", "refunded", "total"),
        *map(Column, ("status", "confirmed_by")),
        Column("confirmed_at", manner.time),
    ]
    write_rows(asked.form, page.rows, columns, following=page.next, timezone=page.timezone)
    if asked.form is Form.PERSON:
        say(f"times in {page.timezone}")


def bill(
    id_: Annotated[str, typer.Argument(metavar="ID")],
    json: Json = False,
    ndjson: Ndjson = False,
    data: DataDir = None,
) -> None:
    """One bill with its lines: the charges on it, and what was refunded of each by now.

    Example: coins bill carl.2026-10
    """
    from ledger.queries.bills import bill as find
    from ledger.queries.named import account_named

    form = form_of(json=json, ndjson=ndjson)
    with reading(data) as (connection, settings):
        found = find(connection, id_)
        zone = account_named(connection, found.account).timezone
    if form is not Form.PERSON:
        write_json(found)
        return
    manner = Manner(settings.scale, zone)
    show: dict[str, Callable[[Any], str]] = {
        **dict.fromkeys(("charged", "refunded", "total"), manner.amount),
        **dict.fromkeys(("confirmed_at", "begins_at", "ends_at", "issued_at"), manner.time),
    }
    fields = found._asdict()
    lines = fields.pop("lines")
    write_fields((Column(name, show.get(name, str)), value) for name, value in fields.items())
    columns = [
        Column("number"),
        Column("time", manner.time),
        *map(Column, ("type", "item")),
        Column("devices", joined),
        *manner.amounts("amount", "refunded"),
    ]
    write_table(columns, [line._asdict() for line in lines])
    say(f"times in {zone}")


VERBS: Final[dict[str, Callable[..., None]]] = {"bills": bills, "bill": bill}
