"""Verbs that read what was put: plans, payment-methods."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final

import typer

from console.cli.processes import DataDir
from console.cli.reads.files import write_file
from console.cli.reads.options import After, Csv, Json, Limit, Ndjson, Search, Xlsx, asked_for, reading
from console.cli.show import Column, Manner, write_rows


def plans(
    kind: Annotated[
        list[str] | None,
        typer.Option("--kind", help="onboarding, renewal, package, proxy, phone, postpaid."),
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
    """The plans, as they were put. --search looks in id and name.

    Example: coins plans --kind renewal
    """
    from ledger.queries.plans import plans as find

    asked = asked_for(json=json, ndjson=ndjson, csv=csv, xlsx=xlsx, limit=limit, after=after)
    chosen = {"kind": kind, "search": search}
    if asked.file is not None:
        write_file(asked.file, "plans", chosen, data)
        return
    with reading(data) as (connection, settings):
        page = find(connection, kinds=kind or (), search=search, limit=asked.limit, after=after)
    columns = [
        Column("plan"),
        Column("name"),
        Column("kind"),
        *Manner(settings.scale).amounts("price"),
        Column("rate", right=True),
        Column("cycle"),
        Column("coefficient", right=True),
    ]
    write_rows(asked.form, page.rows, columns, following=page.next)


def payment_methods(
    search: Search = None,
    limit: Limit = None,
    after: After = None,
    json: Json = False,
    ndjson: Ndjson = False,
    csv: Csv = None,
    xlsx: Xlsx = None,
    data: DataDir = None,
) -> None:
    """By which methods accounts of a country may pay. --search looks in country and methods.

    `offline` is always allowed; a country that is not listed allows all methods.

    Example: coins payment-methods --search wechat
    """
    from ledger.queries.payment_methods import payment_methods as find

    asked = asked_for(json=json, ndjson=ndjson, csv=csv, xlsx=xlsx, limit=limit, after=after)
    chosen = {"search": search}
    if asked.file is not None:
        write_file(asked.file, "payment-methods", chosen, data)
        return
    with reading(data) as (connection, _):
        page = find(connection, search=search, limit=asked.limit, after=after)
    write_rows(asked.form, page.rows, [Column("country"), Column("methods", ", ".join)], following=page.next)


VERBS: Final[dict[str, Callable[..., None]]] = {"plans": plans, "payment-methods": payment_methods}
