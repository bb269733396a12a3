"""Verbs that keep the ledger safe: backup and restore of the embedded system, restored, move."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from console.cli.processes import DataDir, hand_over, option

DIFFERENT = 5
Skip = Annotated[
    int,
    typer.Option(
        help="How many transaction numbers to leave out where the edge does not tell how far they had gone.",
        min=0,
    ),
]
SKIP = 1_000_000


def register(app: typer.Typer) -> None:
    for verb in (backup, restore, restored, move):
        app.command()(verb)


def backup(
    to: Annotated[Path, typer.Argument(metavar="DIR", help="A new directory.")],
    data: DataDir = None,
) -> None:
    """Copy the database of a running embedded system, and its files; the copy is checked.

    Example: coins backup /backup/2026-11-22
    """
    hand_over("deploy.backup", str(to), *option("--data", data))


def restore(
    backup: Annotated[Path, typer.Argument(metavar="BACKUP", help="What `coins backup` has made.")],
    data: DataDir = None,
    wal: Annotated[
        Path | None, typer.Option(help="The WAL archive: go on to its end, or to --at.", metavar="DIR")
    ] = None,
    at: Annotated[
        str | None, typer.Option(help="The moment, with its zone: 2026-11-22T08:00:00Z.", metavar="TIME")
    ] = None,
    skip: Skip = SKIP,
) -> None:
    """Restore an embedded system's database, to the moment of a back-up or to a later one; `coins up` is stopped.

    What is there is set aside, the edge stays. What producers were told since is decided again as it was told; exits 5 and
    lists what came out otherwise.

    Example: coins restore /backup/2026-11-22 --wal /backup/wal --at 2026-11-22T08:00:00Z
    """
    hand_over(
        "deploy.restore",
        str(backup),
        *option("--data", data),
        *option("--wal", wal),
        *option("--at", at),
        *option("--skip", skip),
    )


def restored(
    skip: Skip = SKIP,
    json_: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
    data: DataDir = None,
) -> None:
    """After a database was restored, before any process is started: decide again what producers were told since.

    Commands that the edge still has (COINS_COMMANDS_KEEP) are decided in the order, by the clock and under the transaction
    numbers of then; new transactions get numbers that nobody was told. Exits 5 and lists what is not as it was told. It may
    be broken off and run again.

    Example: coins restored --json
    """
    from workers.logs import configure
    from workers.retelling import retell
    from workers.settings import load

    settings = load(data)
    configure(settings.log_format)
    result = retell(settings, skip=skip, progress=lambda line: typer.echo(line, err=True))
    if json_:
        typer.echo(
            json.dumps(
                {
                    "since": result.since.isoformat() if result.since is not None else None,
                    "told": result.told,
                    "batches": result.batches,
                    "as_told": result.as_told,
                    "messages": result.messages,
                    "untold": result.untold,
                    "beyond": result.beyond,
                    "gaps": [{**one._asdict(), "at": one.at.isoformat()} for one in result.gaps],
                    "differences": [one._asdict() for one in result.differences],
                }
            )
        )
    else:
        for line in result.told_in_words():
            typer.echo(line)
    if not result.is_as_told:
        raise typer.Exit(DIFFERENT)


def move(
    to_database: Annotated[
        str,
        typer.Option("--to-database", help="An empty database: postgresql://user@host/name.", metavar="URL"),
    ],
    data: DataDir = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only look whether it could be done.")] = False,
) -> None:
    """Move the embedded ledger to a PostgreSQL server of its own, whole or not at all.

    Stop the producers, let everything be read, stop `coins up`; then this copies every table, compares row by row, verifies
    the target and says what to set next. Keep a password out of the URL: PGPASSWORD and ~/.pgpass are read.

    Example: coins move --to-database postgresql://coinworks@db.example.com/coinworks
    """
    hand_over(
        "deploy.move",
        *option("--to-database", to_database),
        *option("--data", data),
        *(["--dry-run"] if dry_run else []),
    )
