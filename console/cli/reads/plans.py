"""Verbs that read what was put: plans, payment-methods."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final

import typer

from console.cli.processes import DataDir
from console.cli.reads.options import After, Json, Limit, Ndjson, Search, every, reading
from console.cli.show import Column, Manner, form_of, write_rows


def plans(
    kind: Annotated[
        list[str] | None,
        typer.Option("--kind", help="onboarding, renewal, package, proxy, phone, postpaid."),
    ] = None,
    search: Search = None,
    limit: Limit = 50,
    after: After = None,
    json: Json = False,
    ndjson: Ndjson = False,
    data: DataDir = None,
) -> None:
    """The plans, as they were put. --search looks in id and name.

    Example: coins plans --kind renewal
    """
    from ledger.queries.plans import plans as find

    form = form_of(json=json, ndjson=ndjson)
    with reading(data) as (connection, settings):
        page = find(connection, kinds=kind or (), search=search, limit=limit, after=after)
    columns = [
        Column("plan"),
        Column("name"),
        Column("kind"),
        *Manner(settings.scale).amounts("price"),
        Column("rate", right=True),
        Column("cycle", every),
        Column("coefficient", right=True),
    ]
    write_rows(form, page.rows, columns, following=page.next)


def payment_methods(
    search: Search = None,
    limit: Limit = 50,
    after: After = None,
    json: Json = False,
    ndjson: Ndjson = False,
    data: DataDir = None,
) -> None:
    """By which methods accounts of a country may pay. --search looks in country and methods.

    `offline` is always allowed; a country that is not listed allows all methods.

    Example: coins payment-methods --search wechat
    """
    from ledger.queries.payment_methods import payment_methods as find

    form = form_of(json=json, ndjson=ndjson)
    with reading(data) as (connection, _):
        page = find(connection, search=search, limit=limit, after=after)
    write_rows(form, page.rows, [Column("country"), Column("methods", ", ".join)], following=page.next)


VERBS: Final[dict[str, Callable[..., None]]] = {"plans": plans, "payment-methods": payment_methods}
