"""The verb that reads devices."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Final

import typer

from console.cli.processes import DataDir
from console.cli.reads.options import After, Json, Limit, Ndjson, Search, reading
from console.cli.show import Column, Form, Manner, form_of, say, write_rows


def devices(
    account: Annotated[
        list[str] | None, typer.Option("--account", metavar="ACCOUNT", help="Onboarded under it.")
    ] = None,
    expiring_within: Annotated[
        int | None, typer.Option("--expiring-within", metavar="DAYS", help="Paid for no longer than that.")
    ] = None,
    expired: Annotated[bool, typer.Option("--expired", help="Not paid for any more.")] = False,
    search: Search = None,
    limit: Limit = 50,
    after: After = None,
    json: Json = False,
    ndjson: Ndjson = False,
    data: DataDir = None,
) -> None:
    """The devices that are onboarded, and until when they are paid for. --search looks in the device's id.

    --expired and --expiring-within together give both kinds. `subscription` is the live one that pays for the device. Times
    are UTC.

    Examples: coins devices --account acme

    coins devices --expiring-within 30 --expired --ndjson
    """
    from ledger.queries.devices import DeviceFilter
    from ledger.queries.devices import devices as find

    form = form_of(json=json, ndjson=ndjson)
    chosen = DeviceFilter(account or (), expiring_within, expired, search)
    with reading(data) as (connection, settings):
        page = find(connection, chosen, now=datetime.now(UTC), limit=limit, after=after)
    time = Manner(settings.scale).time
    columns = [
        Column("device"),
        Column("account"),
        Column("plan"),
        Column("onboarded_at", time),
        Column("paid_until", time),
        Column("subscription"),
    ]
    write_rows(form, page.rows, columns, following=page.next)
    if form is Form.PERSON:
        say("times in UTC")


VERBS: Final[dict[str, Callable[..., None]]] = {"devices": devices}
