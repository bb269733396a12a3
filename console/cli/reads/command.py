"""The verb that tells what became of a command."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final

import typer

from console.cli.processes import DataDir
from console.cli.reads.options import Json, Ndjson, reading
from console.cli.show import Column, Form, Manner, form_of, write_fields, write_json


def command(
    source: Annotated[str, typer.Argument(metavar="SOURCE")],
    id_: Annotated[str, typer.Argument(metavar="ID")],
    json: Json = False,
    ndjson: Ndjson = False,
    data: DataDir = None,
) -> None:
    """What became of a command: its outcome, when, by whom, its transaction, and the message as it came in.

    Example: coins command device-mgmt 9f1c-0001
    """
    from ledger.queries.command import command as find

    form = form_of(json=json, ndjson=ndjson)
    with reading(data) as (connection, settings):
        found = find(connection, source, id_)
    if form is not Form.PERSON:
        write_json(found)
        return
    manner = Manner(settings.scale)
    hidden = {"accounts", "dead_letters", "raw"}
    show: dict[str, Callable[[Any], str]] = {"decided_at": lambda moment: f"{manner.time(moment)} UTC"}
    write_fields(
        (Column(name, show.get(name, str)), value)
        for name, value in found._asdict().items()
        if name not in hidden
    )
    figures = manner.amounts("credit", "credit_limit", "frozen", "available")
    for account in found.accounts:
        write_fields([(Column("account"), account["account"])])
        write_fields((column, account[column.field]) for column in figures)
    for letter in found.dead_letters:
        write_fields(
            [(Column("dead_letter"), f"{letter.letter}, {letter.state}, {letter.reason}: {letter.why}")]
        )
    write_fields([(Column("raw"), found.raw)])


VERBS: Final[dict[str, Callable[..., None]]] = {"command": command}
