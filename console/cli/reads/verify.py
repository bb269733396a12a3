"""The verb that recomputes everything."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import typer

from console.cli.processes import DataDir
from console.cli.reads.options import Json, Ndjson
from console.cli.show import Column, Form, form_of, say, write_fields, write_json, write_table

DIFFERENT = 5


def verify(json: Json = False, ndjson: Ndjson = False, data: DataDir = None) -> None:
    """Recompute everything from the entries: exits 0 when the ledger agrees with itself, 5 when it does not.

    It reads one snapshot of the whole ledger, writes nothing and keeps nobody waiting. Progress goes to stderr.

    Example: coins verify --json
    """
    from ledger.queries.reading import connected
    from ledger.verify import verify as run
    from workers.settings import load

    form = form_of(json=json, ndjson=ndjson)
    with connected(load(data).database, name="verify") as connection:
        result = run(connection, lambda what: say(f"checking: {what}"))
    if form is Form.JSON:
        write_json(
            {
                "ok": not result.differences,
                "differences": result.differences,
                "checks": result.checks,
                "checked": result.checked,
                "cut_off": result.cut_off,
            }
        )
    elif form is Form.NDJSON:
        for difference in result.differences:
            write_json(difference)
    elif result.differences:
        columns = [Column(name) for name in ("where", "what", "expected", "found")]
        write_table(columns, [difference._asdict() for difference in result.differences])
    else:
        write_fields((Column(f"{table} rows"), f"{rows:,}") for table, rows in result.checked.items())
    for name in result.cut_off:
        say(f"there is more of {name}")
    say(f"{len(result.differences):,} differences, {len(result.checks)} checks")
    if result.differences:
        raise typer.Exit(DIFFERENT)


VERBS: Final[dict[str, Callable[..., None]]] = {"verify": verify}
