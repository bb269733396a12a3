"""Verbs that read receipts: the list of them, and one as a PDF."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

import typer

from console.cli.processes import DataDir
from console.cli.reads.files import write_file
from console.cli.reads.options import After, Csv, Json, Limit, Ndjson, Search, Xlsx, asked_for, reading
from console.cli.show import Column, Form, Manner, joined, say, write_rows


def receipts(
    account: Annotated[list[str] | None, typer.Option("--account", metavar="ACCOUNT")] = None,
    search: Search = None,
    limit: Limit = None,
    after: After = None,
    json: Json = False,
    ndjson: Ndjson = False,
    csv: Csv = None,
    xlsx: Xlsx = None,
    data: DataDir = None,
) -> None:
    """The receipts that were made, newest first. --search looks in number, order and e-mails. Times are UTC.

    Example: coins receipts --account acme
    """
    from ledger.queries.receipts import receipts as find

    asked = asked_for(json=json, ndjson=ndjson, csv=csv, xlsx=xlsx, limit=limit, after=after)
    if asked.file is not None:
        write_file(asked.file, "receipts", {"account": account, "search": search}, data)
        return
    with reading(data) as (connection, settings):
        page = find(connection, accounts=account or (), search=search, limit=asked.limit, after=after)
    manner = Manner(settings.scale)
    columns = [
        *map(Column, ("receipt", "account", "kind", "transaction", "order")),
        *manner.amounts("amount"),
        Column("issued_at", manner.time),
        Column("emails", joined),
        Column("mailed_at", manner.time),
    ]
    write_rows(asked.form, page.rows, columns, following=page.next)
    if asked.form is Form.PERSON:
        say("times in UTC")


def receipt(
    id_: Annotated[str, typer.Argument(metavar="ORDER|TRANSACTION")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where the PDF goes.")],
    data: DataDir = None,
) -> None:
    """Write the receipt of an order or a recharge to a file, as it was when it was issued.

    Examples: coins receipt o-4711 --out receipt.pdf

    coins receipt T-2026-0000001234 --out receipt.pdf
    """
    from ledger.queries.receipts import content_of, receipt_of
    from workers.receipts.stored import printed
    from workers.whole import whole_file

    with reading(data) as (connection, settings):
        number = receipt_of(connection, id_)
        content = printed(content_of(connection, number), scale=settings.scale)
    with whole_file(out) as part:
        part.write_bytes(content)
    say(f"receipt {number} is in {out}")


VERBS: Final[dict[str, Callable[..., None]]] = {"receipts": receipts, "receipt": receipt}
