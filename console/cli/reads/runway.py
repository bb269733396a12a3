"""The verb that looks ahead: what is due, and until when the balance lasts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Final

import typer

from console.cli.processes import DataDir
from console.cli.reads.options import Json, Ndjson, reading
from console.cli.show import Column, Form, Manner, form_of, say, write_fields, write_json, write_table


def runway(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT")],
    days: Annotated[
        int, typer.Option("--days", metavar="N", min=1, max=366, help="How far to look ahead.")
    ] = 30,
    json: Json = False,
    ndjson: Ndjson = False,
    data: DataDir = None,
) -> None:
    """The renewals that are due in the next days, what is left after each, and until when the balance lasts.

    By the plans as they are now. A shared account looks at its master's balance, with all who draw on it. What running
    phones have used so far counts as gone.

    Example: coins runway acme --days 60 --json
    """
    from ledger.queries.named import account_named
    from ledger.runway import runway as look_ahead

    form = form_of(json=json, ndjson=ndjson)
    with reading(data) as (connection, settings):
        found = look_ahead(connection, account, datetime.now(UTC), days)
        zone = account_named(connection, account).timezone
    if form is not Form.PERSON:
        write_json(found)
        return
    manner = Manner(settings.scale, zone)
    if found.due:
        columns = [
            Column("at", manner.time),
            *map(Column, ("subscription", "account")),
            Column("cycle_no", right=True),
            *manner.amounts("amount", "left"),
        ]
        write_table(columns, [due._asdict() for due in found.due])
    amounts = {column.field: column for column in manner.amounts("available", "total", "missing")}
    times = {name: Column(name, manner.time) for name in ("until", "covered_until")}
    shown = {**amounts, **times}
    write_fields(
        (shown.get(name, Column(name)), value) for name, value in found._asdict().items() if name != "due"
    )
    say(f"times in {zone}")


VERBS: Final[dict[str, Callable[..., None]]] = {"runway": runway}
