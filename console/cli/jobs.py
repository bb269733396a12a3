"""Verbs about scheduled work: `coins jobs`, `jobs show RUN`, `jobs run NAME`."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from console.cli.person import person
from console.cli.processes import DataDir
from console.cli.reads.options import Json, Ndjson, reading
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
)
from ledger.errors import QueryInvalid

if TYPE_CHECKING:
    from ledger.queries.jobs import RunItem
    from workers.jobs.run import Item, Run
    from workers.settings import Settings

FAILED = 1
BUSY_SECONDS = 60.0
jobs = typer.Typer(help="Scheduled work: what runs when, what a run did, and running one by hand.")
At = Annotated[
    str | None,
    typer.Option("--at", metavar="TIME", help="The clock that the job goes by; default: now."),
]
Limit = Annotated[int, typer.Option("--limit", help="How many.", metavar="N")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]


def register(app: typer.Typer) -> None:
    app.add_typer(jobs, name="jobs")


@jobs.callback(invoke_without_command=True)
def schedules(
    context: typer.Context,
    json: Json = False,
    ndjson: Ndjson = False,
    data: DataDir = None,
) -> None:
    """Every job: when it runs next, how its last run ended, and what it makes up for after a pause. Times are UTC.

    Example: coins jobs --json
    """
    if context.invoked_subcommand is not None:
        return
    from ledger.queries.jobs import last_runs
    from schedulers.schedule import listed

    form = form_of(json=json, ndjson=ndjson)
    with reading(data) as (connection, _):
        rows = listed(last_runs(connection), datetime.now(UTC))
    manner = Manner()
    columns = [
        Column("job"),
        Column("next_at", manner.time),
        *map(Column, ("run", "state")),
        Column("last_at", manner.time),
        Column("seconds", "{:.1f}".format, right=True),
        Column("result"),
        Column("catches_up"),
    ]
    write_rows(form, rows, columns)
    if form is Form.PERSON:
        say("times in UTC; `coins jobs show RUN` tells what a run did")


@jobs.command("runs")
def runs(
    job: Annotated[list[str] | None, typer.Option("--job", metavar="NAME")] = None,
    state: Annotated[
        list[str] | None, typer.Option("--state", help="waiting, running, done, failed.")
    ] = None,
    busy: Annotated[
        bool, typer.Option("--busy", help="Without those that found nothing to do: most of them.")
    ] = False,
    limit: Limit = 50,
    after: Annotated[str | None, typer.Option("--after", metavar="CURSOR")] = None,
    json: Json = False,
    ndjson: Ndjson = False,
    data: DataDir = None,
) -> None:
    """The runs of jobs, the latest first. Times are UTC.

    Examples: coins jobs runs --busy

    coins jobs runs --job billing-cycle --state failed
    """
    from ledger.queries.jobs import runs as find
    from schedulers.schedule import named

    form = form_of(json=json, ndjson=ndjson)
    with reading(data) as (connection, _):
        page = find(
            connection,
            jobs=[named(one).name for one in job or ()],
            states=state or (),
            busy=busy,
            limit=limit,
            after=after,
        )
    manner = Manner()
    columns = [
        *map(Column, ("run", "job")),
        Column("at", manner.time),
        *map(Column, ("asked_by", "state", "tries")),
        Column("started_at", manner.time),
        Column("seconds", "{:.1f}".format, right=True),
        *(Column(name, "{:,}".format, right=True) for name in ("done", "refused", "total")),
        Column("result"),
    ]
    write_rows(form, page.rows, columns, following=page.next)


@jobs.command("show")
def show(
    run: Annotated[int, typer.Argument(metavar="RUN")],
    limit: Limit = 1_000,
    after: Annotated[str | None, typer.Option("--after", metavar="ITEM")] = None,
    json: Json = False,
    data: DataDir = None,
) -> None:
    """What a run did, and what was refused: item by item, with reasons. Refused and failed ones come first. Times are UTC.

    Example: coins jobs show 4711
    """
    from ledger.queries.jobs import run as find

    with reading(data) as (connection, _):
        found = find(connection, run, limit=limit, after=after)
    if json:
        write_json(found)
        return
    manner = Manner()
    fields = found._asdict()
    items, following, error = fields.pop("items"), fields.pop("next"), fields.pop("error")
    times = dict.fromkeys(("at", "created_at", "started_at", "finished_at"), manner.time)
    write_fields((Column(name, times.get(name, str)), value) for name, value in fields.items())
    _table(items)
    if error:
        say(error)
    if following is not None:
        say(f"more: --after '{following}'")


@jobs.command("run")
def run(
    name: Annotated[str, typer.Argument(metavar="NAME", help="As `coins jobs` lists it.")],
    at: At = None,
    dry_run: DryRun = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before what lies ahead is done.")] = False,
    json: Json = False,
    data: DataDir = None,
) -> None:
    """Run a job here and now, by the clock of --at: a time machine. Prints what it did, item by item.

    What is due by that clock is really done: billing charges what would be due then, now. --dry-run only says so.

    Examples: coins jobs run billing-cycle --dry-run

    coins jobs run billing-cycle --at 2026-12-24T00:00:00Z
    """
    from ledger.queries.times import begin_of, parse_day
    from schedulers.schedule import named
    from workers.logs import configure
    from workers.settings import load

    settings = load(data)
    configure(settings.log_format, level=30)
    now = datetime.now(UTC)
    day = parse_day(at, flag="--at")
    moment = begin_of(day, "UTC") if day is not None else now
    if not 2000 <= moment.year < 2100:
        raise QueryInvalid(f"--at: {moment:%Y-%m-%d} is no day that jobs go by; give one from 2000 to 2099")
    job = named(name).name
    if moment > now and not dry_run and not yes and sys.stdin.isatty():
        _, result = _tried(settings, job, moment)
        say(f"{job} by the clock of {moment:%Y-%m-%d %H:%M} UTC: {result}")
        typer.confirm("It will really be done, now. Go on?", abort=True, err=True)
    if dry_run:
        _foresee(settings, job, moment, json=json)
    else:
        _perform(settings, job, moment, json=json)


def _tried(settings: Settings, job: str, moment: datetime) -> tuple[Run, str]:
    """What the job would do, and that in a sentence; nothing of it is done."""
    from ledger.database import connect_for_jobs
    from schedulers.schedule import JOBS
    from workers.jobs.run import Run

    with connect_for_jobs(settings.database, name="dry run") as connection:
        run = Run(job, moment, settings, connection, dry_run=True, by_hand=True, say=say)
        return run, JOBS[job](run)


def _foresee(settings: Settings, job: str, moment: datetime, *, json: bool) -> None:
    run, result = _tried(settings, job, moment)
    if json:
        document = {"job": job, "at": moment, "dry_run": True, "done": run.done, "refused": run.refused}
        write_json({**document, "result": result, "items": run.items})
        return
    _table(run.items)
    say(f"{job} at {moment:%Y-%m-%d %H:%M:%S} UTC, dry run, nothing was done: {result}")


def _perform(settings: Settings, job: str, moment: datetime, *, json: bool) -> None:
    from ledger.database import connect
    from ledger.queries.jobs import run as find
    from schedulers.schedule import JOBS
    from workers.jobs import rows
    from workers.jobs.performing import leases_kept, perform

    owner = f"cli:{os.getpid()}:{os.urandom(4).hex()}"
    with connect(settings.database, name="jobs") as connection:
        id_ = rows.ask(connection, job, moment, f"{rows.BY_HAND}{person()}")
        try:
            with leases_kept(settings, owner):
                give_up_at = time.monotonic() + BUSY_SECONDS
                # While another run of the same job is not over, this one waits its turn; a worker may take it, too.
                while not (done := perform(id_, JOBS, settings, owner=owner, say=say)):
                    found = find(connection, id_)
                    if found.state in ("done", "failed") or found.error or time.monotonic() > give_up_at:
                        done = found.state == "done"
                        break
                    time.sleep(0.1)
        finally:
            # Broken off, or tired of waiting: nobody else is to go on with it behind the back of whoever asked.
            rows.withdraw(connection, id_, owner)
        found = find(connection, id_)
    if json:
        write_json(found)
    else:
        _table(found.items)
        say(f"run {found.run}: {job} at {moment:%Y-%m-%d %H:%M:%S} UTC: {found.state}; {found.result or ''}")
        if found.error:
            say(found.error)
    if not done:
        raise typer.Exit(FAILED)


def _table(items: Sequence[Item | RunItem]) -> None:
    if items:
        write_table(
            list(map(Column, ("item", "outcome", "reason", "detail"))), [_shown(one) for one in items]
        )


def _shown(item: Any) -> dict[str, Any]:
    return dict(item._asdict())
