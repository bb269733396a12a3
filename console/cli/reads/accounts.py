"""Verbs that read accounts: balance, accounts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final

import typer

from console.cli.processes import DataDir
from console.cli.reads.files import write_file
from console.cli.reads.options import After, Csv, Json, Limit, Ndjson, Search, Xlsx, asked_for, reading
from console.cli.show import Column, Form, Manner, form_of, write_fields, write_json, write_rows


def balance(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT")],
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="TIME", help="The credit at the end of a date, or at a moment."),
    ] = None,
    json: Json = False,
    ndjson: Ndjson = False,
    data: DataDir = None,
) -> None:
    """What an account has, and what a purchase could take now.

    Available is credit + credit limit - frozen; a shared account's is its master's. Spendable is the least of all who
    would pay for a purchase, never below 0. With --at only the credit is known as it was then.

    Examples: coins balance acme

    coins balance acme --at 2026-10-31 --json
    """
    from ledger.queries.balance import balance as find
    from ledger.queries.times import parse_day

    form = form_of(json=json, ndjson=ndjson)
    moment = parse_day(at, flag="--at")
    with reading(data) as (connection, settings):
        found = find(connection, account, moment)
    if form is not Form.PERSON:
        write_json(found)
        return
    manner = Manner(settings.scale)
    texts = [Column("account"), Column("funding"), Column("draws_from"), Column("sponsor")]
    amounts = manner.amounts("credit", "credit_limit", "frozen", "available", "spendable")
    write_fields(zip([*texts, *amounts], found, strict=True))


def accounts(
    under: Annotated[
        list[str] | None, typer.Option("--under", metavar="ACCOUNT", help="Below it, itself not included.")
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option("--kind", help="distributor, reseller, enterprise, agent, branch, customer."),
    ] = None,
    state: Annotated[list[str] | None, typer.Option("--state", help="active, suspended, closed.")] = None,
    search: Search = None,
    limit: Limit = None,
    after: After = None,
    json: Json = False,
    ndjson: Ndjson = False,
    csv: Csv = None,
    xlsx: Xlsx = None,
    data: DataDir = None,
) -> None:
    """The accounts, each with the totals of its subtree: coins, frozen coins, and how many accounts there are.

    Flags that choose may be repeated. --search looks in id, name and e-mail.

    Examples: coins accounts --under acme --state active

    coins accounts --kind reseller --kind distributor --search li.na --json
    """
    from ledger.queries.accounts import accounts as find
    from ledger.queries.chosen import account_filter

    asked = asked_for(json=json, ndjson=ndjson, csv=csv, xlsx=xlsx, limit=limit, after=after)
    chosen = {"under": under, "kind": kind, "state": state, "search": search}
    if asked.file is not None:
        write_file(asked.file, "accounts", chosen, data)
        return
    with reading(data) as (connection, settings):
        page = find(connection, account_filter(chosen), limit=asked.limit, after=after)
    texts = [Column(name) for name in ("account", "name", "kind", "parent", "funding", "state")]
    amounts = Manner(settings.scale).amounts(
        "credit", "credit_limit", "frozen", "available", "subtree_credit", "subtree_frozen"
    )
    count = Column("subtree_accounts", "{:,}".format, right=True)
    write_rows(asked.form, page.rows, [*texts, *amounts, count], following=page.next)


VERBS: Final[dict[str, Callable[..., None]]] = {"balance": balance, "accounts": accounts}
