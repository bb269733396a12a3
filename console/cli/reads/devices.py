"""The verb that reads devices."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Final

import typer

from console.cli.processes import DataDir
from console.cli.reads.files import write_file
from console.cli.reads.options import After, Csv, Json, Limit, Ndjson, Search, Xlsx, asked_for, reading
from console.cli.show import Column, Form, Manner, say, write_rows


def devices(
    account: Annotated[
        list[str] | None, typer.Option("--account", metavar="ACCOUNT", help="Onboarded under it.")
    ] = None,
    expiring_within: Annotated[
        int | None, typer.Option("--expiring-within", metavar="DAYS", help="Paid for no longer than that.")
    ] = None,
    expired: Annotated[bool, typer.Option("--expired", help="Not paid for any more.")] = False,
    search: Search = None,
    limit: Limit = None,
    after: After = None,
    json: Json = False,
    ndjson: Ndjson = False,
    csv: Csv = None,
    xlsx: Xlsx = None,
    data: DataDir = None,
) -> None:
    """The devices that are onboarded, and until when they are paid for. --search looks in the device's id.

    --expired and --expiring-within together give both kinds. `subscription` is the live one that pays for the device. Times
    are UTC.

    Examples: coins devices --account acme

    coins devices --expiring-within 30 --expired --ndjson
    """
    from ledger.queries.chosen import device_filter
    from ledger.queries.devices import devices as find

    asked = asked_for(json=json, ndjson=ndjson, csv=csv, xlsx=xlsx, limit=limit, after=after)
    chosen = {"account": account, "expiring-within": expiring_within, "expired": expired, "search": search}
    if asked.file is not None:
        write_file(asked.file, "devices", chosen, data)
        return
    with reading(data) as (connection, settings):
        page = find(connection, device_filter(chosen), now=datetime.now(UTC), limit=asked.limit, after=after)
    time = Manner(settings.scale).time
    columns = [
        Column("device"),
        Column("account"),
        Column("plan"),
        Column("onboarded_at", time),
        Column("paid_until", time),
        Column("subscription"),
    ]
    write_rows(asked.form, page.rows, columns, following=page.next)
    if asked.form is Form.PERSON:
        say("times in UTC")


VERBS: Final[dict[str, Callable[..., None]]] = {"devices": devices}
