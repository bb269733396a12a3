"""Verbs that read subscriptions: subscriptions, subscription."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final

import typer

from console.cli.processes import DataDir
from console.cli.reads.files import write_file
from console.cli.reads.options import After, Csv, Json, Limit, Ndjson, Search, Xlsx, asked_for, reading
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


def subscriptions(
    account: Annotated[list[str] | None, typer.Option("--account", metavar="ACCOUNT")] = None,
    status: Annotated[
        list[str] | None,
        typer.Option("--status", help="scheduled, active, past_due, suspended, canceled."),
    ] = None,
    payment_method: Annotated[
        list[str] | None, typer.Option("--payment-method", help="balance, manual.")
    ] = None,
    kind: Annotated[list[str] | None, typer.Option("--kind", help="device, package, proxy, phone.")] = None,
    search: Search = None,
    limit: Limit = None,
    after: After = None,
    json: Json = False,
    ndjson: Ndjson = False,
    csv: Csv = None,
    xlsx: Xlsx = None,
    data: DataDir = None,
) -> None:
    """The subscriptions that were not deleted, and what their next cycle will cost. --search looks in kind, plan and goods.

    Flags that choose may be repeated. Times are UTC.

    Examples: coins subscriptions --account acme --status past_due --status suspended

    coins subscriptions --kind device --search dev-7 --json
    """
    from ledger.queries.chosen import subscription_filter
    from ledger.queries.subscriptions import subscriptions as find

    asked = asked_for(json=json, ndjson=ndjson, csv=csv, xlsx=xlsx, limit=limit, after=after)
    chosen = {
        "account": account,
        "status": status,
        "payment-method": payment_method,
        "kind": kind,
        "search": search,
    }
    if asked.file is not None:
        write_file(asked.file, "subscriptions", chosen, data)
        return
    with reading(data) as (connection, settings):
        page = find(connection, subscription_filter(chosen), limit=asked.limit, after=after)
    manner = Manner(settings.scale)
    columns = [
        *map(Column, ("subscription", "kind", "plan", "account", "user", "status", "payment_method")),
        Column("cycle"),
        *(Column(name, manner.time) for name in ("created_at", "start_at", "next_payment_at")),
        *manner.amounts("price"),
        Column("goods", joined),
    ]
    write_rows(asked.form, page.rows, columns, following=page.next)
    if asked.form is Form.PERSON:
        say("times in UTC")


def subscription(
    id_: Annotated[str, typer.Argument(metavar="ID")],
    json: Json = False,
    ndjson: Ndjson = False,
    data: DataDir = None,
) -> None:
    """One subscription with each cycle: its period, what it cost, when and by which command it was paid, or why refused.

    A deleted one is not found; its payments stay on statements, its orders among the orders.

    Example: coins subscription pro-7 --json
    """
    from ledger.queries.named import account_named
    from ledger.queries.subscriptions import subscription as find

    form = form_of(json=json, ndjson=ndjson)
    with reading(data) as (connection, settings):
        found = find(connection, id_)
        zone = account_named(connection, found.account).timezone
    if form is not Form.PERSON:
        write_json(found)
        return
    manner = Manner(settings.scale, zone)
    show: dict[str, Callable[[Any], str]] = {
        "price": manner.amount,
        "goods": ", ".join,
        **dict.fromkeys(
            (
                *("created_at", "start_at", "next_payment_at", "paid_until", "cancel_at", "canceled_at"),
                *("next_try_at", "past_due_since"),
            ),
            manner.time,
        ),
    }
    fields = found._asdict()
    cycles, refused = fields.pop("cycles"), fields.pop("refused")
    write_fields((Column(name, show.get(name, str)), value) for name, value in fields.items())
    if cycles:
        columns = [
            Column("cycle_no", right=True),
            Column("begins_at", manner.time),
            Column("ends_at", manner.time),
            *manner.amounts("amount", "refunded"),
            Column("plan"),
            Column("goods", joined),
            Column("paid_at", manner.time),
            *map(Column, ("number", "command_source", "command_id")),
        ]
        write_table(columns, [cycle._asdict() for cycle in cycles])
    if refused:
        columns = [
            Column("cycle_no", right=True),
            Column("attempt", right=True),
            Column("tried_at", manner.time),
            *map(Column, ("reason", "message")),
        ]
        write_table(columns, [attempt._asdict() for attempt in refused])
    say(f"times in {zone}")


VERBS: Final[dict[str, Callable[..., None]]] = {
    "subscriptions": subscriptions,
    "subscription": subscription,
}
