"""Verbs that read orders: orders, order."""

from __future__ import annotations

import json as json_
from collections.abc import Callable
from datetime import UTC, datetime
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
from console.cli.show import Column, Form, Manner, form_of, say, write_fields, write_json, write_rows


def orders(
    account: Annotated[
        list[str] | None, typer.Option("--account", metavar="ACCOUNT", help="Placed by it.")
    ] = None,
    from_: From = None,
    to: To = None,
    kind: Annotated[list[str] | None, typer.Option("--kind", help="package, proxy, phone.")] = None,
    status: Annotated[
        list[str] | None, typer.Option("--status", help="pending_payment, running, completed, canceled.")
    ] = None,
    product: Annotated[list[str] | None, typer.Option("--product")] = None,
    phone: Annotated[list[str] | None, typer.Option("--phone")] = None,
    search: Search = None,
    limit: Limit = None,
    after: After = None,
    json: Json = False,
    ndjson: Ndjson = False,
    csv: Csv = None,
    xlsx: Xlsx = None,
    data: DataDir = None,
) -> None:
    """The orders of packages, proxies and cloud phones, newest first. --search looks in product and number.

    Flags that choose may be repeated. Dates are whole days on which orders were placed, both included: in the account's
    zone where one --account is given, else in UTC. `number` is the transaction that charged the order.

    Examples: coins orders --account acme --from 2026-11-01 --to 2026-11-30

    coins orders --status pending_payment --kind package --json
    """
    from ledger.queries.chosen import order_filter
    from ledger.queries.orders import orders as find

    asked = asked_for(json=json, ndjson=ndjson, csv=csv, xlsx=xlsx, limit=limit, after=after)
    chosen = {
        "account": account,
        "from": from_,
        "to": to,
        "kind": kind,
        "status": status,
        "product": product,
        "phone": phone,
        "search": search,
    }
    if asked.file is not None:
        write_file(asked.file, "orders", chosen, data)
        return
    with reading(data) as (connection, settings):
        page = find(connection, order_filter(chosen), limit=asked.limit, after=after)
    manner = Manner(settings.scale, page.timezone)
    columns = [
        *map(Column, ("order", "number", "kind", "product", "account", "status")),
        *manner.amounts("amount", "refunded"),
        *map(Column, ("method", "payer", "phone")),
        Column("created_at", manner.time),
        Column("paid_at", manner.time),
    ]
    write_rows(asked.form, page.rows, columns, following=page.next, timezone=page.timezone)
    if asked.form is Form.PERSON:
        say(f"times in {page.timezone}")


def order(
    id_: Annotated[str, typer.Argument(metavar="ID")],
    json: Json = False,
    ndjson: Ndjson = False,
    data: DataDir = None,
) -> None:
    """One order with everything about it. A cloud phone's order goes by its session, a cycle's by <subscription>/<cycle>.

    While a phone runs, minutes and running fee are so far.

    Examples: coins order o-4711

    coins order pro-7/2 --json
    """
    from ledger.queries.named import account_named
    from ledger.queries.orders import order as find

    form = form_of(json=json, ndjson=ndjson)
    with reading(data) as (connection, settings):
        found = find(connection, id_, now=datetime.now(UTC))
        zone = account_named(connection, found.account).timezone
    if form is not Form.PERSON:
        write_json(found)
        return
    manner = Manner(settings.scale, zone)
    show: dict[str, Callable[[Any], str]] = {
        **dict.fromkeys(("amount", "refunded", "running_fee", "price"), manner.amount),
        **dict.fromkeys(
            ("created_at", "paid_at", "canceled_at", "power_up_at", "power_down_at"), manner.time
        ),
        "details": lambda details: json_.dumps(details, ensure_ascii=False) if details else "",
    }
    write_fields((Column(name, show.get(name, str)), value) for name, value in found._asdict().items())
    say(f"times in {zone}")


VERBS: Final[dict[str, Callable[..., None]]] = {"orders": orders, "order": order}
