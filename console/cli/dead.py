"""Verbs that show dead letters: `coins dead groups`, `dead list`, `dead show LETTER`.

What is done about them: `dead_replays.py`, `dead_acts.py`; which letters are meant: `dead_chosen.py`.
"""

from __future__ import annotations

from typing import Annotated

import typer

from console.cli import dead_acts, dead_replays
from console.cli.dead_chosen import (
    Choice,
    choosing,
)
from console.cli.processes import DataDir
from console.cli.reads.options import After, Json, Ndjson, reading
from console.cli.show import (
    Column,
    Form,
    Manner,
    form_of,
    say,
    write_fields,
    write_json,
    write_rows,
    write_table,
    write_text,
)

dead = typer.Typer(
    no_args_is_help=True,
    help="Dead letters: what could not be decided, and is kept until somebody has understood it.",
)
Limit = Annotated[int, typer.Option("--limit", help="Rows a page.", metavar="N")]


def register(app: typer.Typer) -> None:
    dead_replays.register(dead)
    dead_acts.register(dead)
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
    for somebody, `times` is how often it came: equal ones are counted, and so are those that came when a thousand of a group
    waited already (`not kept`).

    Example: coins dead groups
    """
    from ledger.queries.dead import groups as find

    form = form_of(json=json, ndjson=ndjson)
    with reading(data) as (connection, _):
        rows = find(connection, everything=everything, limit=limit)
    manner = Manner()
    columns = [
        *map(Column, ("group", "reason", "type", "exception", "frame", "producer")),
        *(Column(name, "{:,}".format, right=True) for name in ("open", "times", "not_kept")),
        Column("first_at", manner.time),
        Column("last_at", manner.time),
        Column("why", _short),
    ]
    write_rows(form, rows, columns)
    if form is Form.PERSON:
        say(
            "times in UTC; `coins dead list --group GROUP` lists one, `coins dead replay --group GROUP --dry-run` foresees"
            if rows
            else "no dead letter waits for anybody"
        )


@dead.command("list")
@choosing
def list_(
    choice: Choice,
    state: Annotated[
        list[str] | None,
        typer.Option(
            "--state", help="waiting, replaying, resolved, failed again, archived; default: open ones."
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="In whatever state.")] = False,
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
    from ledger.queries.dead import OPEN
    from ledger.queries.dead import letters as find

    form = form_of(json=json, ndjson=ndjson)
    chosen = choice.filter()._replace(states=state or (() if everything else OPEN))
    with reading(data) as (connection, _):
        page = find(connection, chosen, limit=limit, after=after)
    manner = Manner()
    columns = [
        *map(Column, ("letter", "group", "reason", "type", "source", "id", "account", "producer", "state")),
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
    raw, traceback, acts = fields.pop("raw"), fields.pop("traceback"), fields.pop("acts")
    times = dict.fromkeys(("first_at", "last_at", "resolved_at", "decided_at"), manner.time)
    write_fields((Column(name, times.get(name, str)), value) for name, value in fields.items())
    if acts:
        write_text("")
        columns = [Column("at", manner.time), *map(Column, ("act", "who", "why", "result", "replay"))]
        write_table(columns, [act._asdict() for act in acts])
    for title, text in (("traceback", traceback), ("message", raw)):
        if text:
            write_text(f"\n{title}\n{text.rstrip()}")


def _short(text: str) -> str:
    """The beginning of what may be long: `show` has the rest."""
    first = text.splitlines()[0] if text else ""
    return first if len(first) <= 100 else f"{first[:99]}…"
