"""The verb that reads what is frozen."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Final

import typer

from console.cli.processes import DataDir
from console.cli.reads.files import write_file
from console.cli.reads.options import After, Csv, Json, Limit, Ndjson, Search, Xlsx, asked_for, reading
from console.cli.show import Column, Form, Manner, say, write_rows


def holds(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT")],
    search: Search = None,
    limit: Limit = None,
    after: After = None,
    json: Json = False,
    ndjson: Ndjson = False,
    csv: Csv = None,
    xlsx: Xlsx = None,
    data: DataDir = None,
) -> None:
    """What is frozen at an account, and how to get it back: open holds, and resources that are paid for after use.

    A master and a sponsor see what others have frozen on their coins, too; a shared account sees its own. The sum of what
    remains is the account's frozen figure. --search looks in id and purpose. Times are in the account's zone.

    Examples: coins holds acme

    coins holds acme --search render --json
    """
    from ledger.queries.holds import holds as find

    asked = asked_for(json=json, ndjson=ndjson, csv=csv, xlsx=xlsx, limit=limit, after=after)
    chosen = {"search": search}
    if asked.file is not None:
        write_file(asked.file, "holds", chosen, data, account=account)
        return
    with reading(data) as (connection, settings):
        found = find(
            connection, account, now=datetime.now(UTC), search=search, limit=asked.limit, after=after
        )
    manner = Manner(settings.scale, found.timezone)
    columns = [
        *map(Column, ("hold", "resource", "account", "purpose")),
        Column("coefficient", right=True),
        *manner.amounts("frozen", "remaining"),
        Column("since", manner.time),
        Column("expires_at", manner.time),
        Column("release"),
    ]
    write_rows(
        asked.form,
        found.rows,
        columns,
        following=found.next,
        account=found.account,
        timezone=found.timezone,
        remaining=found.remaining,
    )
    if asked.form is Form.PERSON:
        say(f"{manner.amount(found.remaining)} frozen in all; times in {found.timezone}")


VERBS: Final[dict[str, Callable[..., None]]] = {"holds": holds}
