"""Verbs about dead letters: `coins dead groups`, `dead list`, `dead show LETTER`."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

import typer

from console.cli.processes import DataDir
from console.cli.reads.options import After, From, Json, Ndjson, Search, To, reading
from console.cli.show import (
    Column,
    Form,
    Manner,
    form_of,
    say,
    write_fields,
    write_json,
    write_rows,
    write_text,
)

ZONE = "UTC"
dead = typer.Typer(
    no_args_is_help=True,
    help="Dead letters: what could not be decided, and is kept until somebody has understood it.",
)
Limit = Annotated[int, typer.Option("--limit", help="Rows a page.", metavar="N")]


def register(app: typer.Typer) -> None:
    app.add_typer(dead, name="dead")


@dead.command("groups")
def groups(
    everything: Annotated[
        bool, typer.Option("--all", help="Also groups of which no letter waits any more.")
    ] = False,
    limit: Limit = 50,
    json: Json = False,
    ndjson: Ndjson = False,
    data: DataDir = None,
) -> None:
    """Where to begin: dead letters by the trouble they are in, the latest first. Times are UTC.

    A group has one reason, type of command, exception and innermost place of ours in it. `open` are the letters that wait
    for somebody, `times` is how often it came: equal ones, and those beyond a thousand of a group, are counted.

    Example: coins dead groups
    """
    from ledger.queries.dead import groups as find

    form = form_of(json=json, ndjson=ndjson)
    with reading(data) as (connection, _):
        rows = find(connection, everything=everything, limit=limit)
    manner = Manner()
    columns = [
        *map(Column, ("group", "reason", "type", "exception", "frame")),
        *(Column(name, "{:,}".format, right=True) for name in ("open", "times")),
        Column("first_at", manner.time),
        Column("last_at", manner.time),
        Column("why", _short),
    ]
    write_rows(form, rows, columns)
    if form is Form.PERSON:
        say(
            "times in UTC; `coins dead list --group GROUP` lists the letters of one"
            if rows
            else "no dead letter waits for anybody"
        )


@dead.command("list")
def list_(
    group: Annotated[list[int] | None, typer.Option("--group", metavar="GROUP")] = None,
    reason: Annotated[
        list[str] | None,
        typer.Option("--reason", help="unreadable, unauthenticated, invalid, crashed, gave up."),
    ] = None,
    type_: Annotated[list[str] | None, typer.Option("--type", help="Of the command, as in TopUp.")] = None,
    source: Annotated[list[str] | None, typer.Option("--source", metavar="SOURCE")] = None,
    exception: Annotated[list[str] | None, typer.Option("--exception", metavar="NAME")] = None,
    state: Annotated[
        list[str] | None,
        typer.Option(
            "--state", help="waiting, replaying, resolved, failed again, archived; default: open ones."
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="In whatever state.")] = False,
    from_: From = None,
    to: To = None,
    search: Search = None,
    limit: Limit = 50,
    after: After = None,
    json: Json = False,
    ndjson: Ndjson = False,
    data: DataDir = None,
) -> None:
    """Dead letters, the latest first: those that wait for somebody, unless a state is chosen. Times are UTC.

    --from and --to choose by when a letter last came. --search looks in source, id, producer and why.

    Examples: coins dead list --reason crashed --type TopUp

    coins dead list --group 3 --json
    """
    from ledger.queries.dead import OPEN, LetterFilter
    from ledger.queries.dead import letters as find

    form = form_of(json=json, ndjson=ndjson)
    chosen = LetterFilter(
        groups=group or (),
        reasons=reason or (),
        types=type_ or (),
        sources=source or (),
        exceptions=exception or (),
        states=state or (() if everything else OPEN),
        since=_begin(from_),
        until=_end(to),
        search=search,
    )
    with reading(data) as (connection, _):
        page = find(connection, chosen, limit=limit, after=after)
    manner = Manner()
    columns = [
        *map(Column, ("letter", "group", "reason", "type", "source", "id", "state")),
        Column("times", "{:,}".format, right=True),
        Column("last_at", manner.time),
        Column("why", _short),
    ]
    write_rows(form, page.rows, columns, following=page.next)
    if form is Form.PERSON:
        say("times in UTC; `coins dead show LETTER` tells everything of one")


@dead.command("show")
def show(
    letter: Annotated[int, typer.Argument(metavar="LETTER")], json: Json = False, data: DataDir = None
) -> None:
    """Everything that is known of a dead letter: why, where, what became of its key since, and its bytes. Times are UTC.

    Example: coins dead show 17
    """
    from ledger.queries.dead import letter as find

    with reading(data) as (connection, _):
        found = find(connection, letter)
    if json:
        write_json(found)
        return
    manner = Manner()
    fields = found._asdict()
    raw, traceback = fields.pop("raw"), fields.pop("traceback")
    times = dict.fromkeys(("first_at", "last_at", "resolved_at", "decided_at"), manner.time)
    write_fields((Column(name, times.get(name, str)), value) for name, value in fields.items())
    for title, text in (("traceback", traceback), ("message", raw)):
        if text:
            write_text(f"\n{title}\n{text.rstrip()}")


def _begin(text: str | None) -> datetime | None:
    from ledger.queries.times import begin_of, parse_day

    day = parse_day(text, flag="--from")
    return None if day is None else begin_of(day, ZONE)


def _end(text: str | None) -> datetime | None:
    """The last moment that is meant."""
    from ledger.queries.times import end_of, parse_day

    day = parse_day(text, flag="--to")
    return None if day is None else end_of(day, ZONE) - timedelta(microseconds=1)


def _short(text: str) -> str:
    """The beginning of what may be long: `show` has the rest."""
    first = text.splitlines()[0] if text else ""
    return first if len(first) <= 100 else f"{first[:99]}…"
