"""The verb that reads statements."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Final

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
from console.cli.show import Column, Form, Manner, joined, say, write_rows

if TYPE_CHECKING:
    from ledger.queries.statement import Statement


def statement(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT")],
    from_: From = None,
    to: To = None,
    type_: Annotated[
        list[str] | None,
        typer.Option("--type", help="As in the column; `transfer` means both directions."),
    ] = None,
    category: Annotated[
        list[str] | None, typer.Option("--category", help="Recharge, System, Expense.")
    ] = None,
    item: Annotated[list[str] | None, typer.Option("--item")] = None,
    device: Annotated[list[str] | None, typer.Option("--device", help="A device, or a phone.")] = None,
    order: Annotated[list[str] | None, typer.Option("--order")] = None,
    actor: Annotated[list[str] | None, typer.Option("--actor", help="The person behind it.")] = None,
    subtree: Annotated[
        bool, typer.Option("--subtree", help="With every account below, and totals by unit.")
    ] = False,
    search: Search = None,
    limit: Limit = None,
    after: After = None,
    json: Json = False,
    ndjson: Ndjson = False,
    csv: Csv = None,
    xlsx: Xlsx = None,
    data: DataDir = None,
) -> None:
    """What was posted to an account, newest first. Dates are whole days in the account's zone, both included.

    Flags that choose may be repeated. --search looks in item, type, number, order, reference, note and device. A shared
    account's statement shows what it used, and who paid.

    Examples: coins statement acme --from 2026-11-01 --to 2026-11-30

    coins statement acme --subtree --type transfer --search Q1 --json

    coins statement acme --from 2026-11-01 --to 2026-11-30 --xlsx november.xlsx
    """
    from ledger.queries.chosen import statement_filter
    from ledger.queries.statement import statement as find

    asked = asked_for(json=json, ndjson=ndjson, csv=csv, xlsx=xlsx, limit=limit, after=after)
    chosen = {
        "from": from_,
        "to": to,
        "type": type_,
        "category": category,
        "item": item,
        "device": device,
        "order": order,
        "actor": actor,
        "subtree": subtree,
        "search": search,
    }
    if asked.file is not None:
        write_file(asked.file, "statement", chosen, data, account=account)
        return
    with reading(data) as (connection, settings):
        found = find(connection, account, statement_filter(chosen), limit=asked.limit, after=after)
    _show_statement(asked.form, found, subtree, Manner(settings.scale, found.timezone))


def _show_statement(form: Form, found: Statement, subtree: bool, manner: Manner) -> None:
    totals = {} if found.totals is None else {"totals": found.totals}
    write_rows(
        form,
        found.rows,
        [
            *([Column("account")] if subtree else []),
            Column("time", manner.time),
            Column("number"),
            Column("type"),
            Column("item"),
            Column("devices", joined),
            *manner.amounts("amount", "balance"),
            *([Column("unit")] if any(line.unit != "coin" for line in found.rows) else []),
            Column("counterparty"),
            Column("consumer"),
            Column("paid_by"),
            Column("order"),
            Column("method"),
            Column("reference"),
            Column("note"),
            Column("actor"),
        ],
        following=found.next,
        account=found.account,
        timezone=found.timezone,
        **totals,
    )
    if form is Form.PERSON:
        say(f"times in {found.timezone}")
        for total in found.totals or ():
            say(f"{total.lines:,} lines in all, {manner.amount(total.amount)} {total.unit}")


VERBS: Final[dict[str, Callable[..., None]]] = {"statement": statement}
