"""Verbs that replay dead letters: `coins dead replay`, `dead replays`, `dead cancel`, `dead resume`."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from console.cli.dead_chosen import (
    All,
    Choice,
    Why,
    Yes,
    agreed,
    choosing,
    reason_of,
)
from console.cli.person import person
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

if TYPE_CHECKING:
    from ledger.queries.dead import LetterFilter
    from ledger.replay_foreseen import Foreseen
    from ledger.replays import ReplayRow
    from workers.settings import Settings

FAILED = 1
OVER = frozenset({"done", "stopped", "canceled"})
RATE = 500.0
LOOK_SECONDS = 0.2
NOBODY_SECONDS = 15.0
NICENESS = 19
Replay = Annotated[int, typer.Argument(metavar="REPLAY")]


def register(dead: typer.Typer) -> None:
    dead.command("replay")(replay)
    dead.command("replays")(replays)
    dead.command("cancel")(cancel)
    dead.command("resume")(resume)


@choosing
def replay(
    choice: Choice,
    everything: All = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would come of it; do nothing.")
    ] = False,
    rate: Annotated[
        float,
        typer.Option(
            min=0, max=1_000_000, help="Letters a second at most; 0: as fast as it goes.", metavar="N"
        ),
    ] = RATE,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="So many at most.", metavar="N")] = None,
    even_if_newer: Annotated[
        bool,
        typer.Option(
            "--even-if-newer", help="Also what sets a state that was set again since (a plan, a limit …)."
        ),
    ] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait for its end.")] = False,
    why: Why = None,
    yes: Yes = False,
    json: Json = False,
    data: DataDir = None,
) -> None:
    """Decide dead letters after all, each under its own key: what was applied meanwhile is not applied again.

    The worker of jobs does it, at the rate, in the order in which they came in; it goes on after a crash, and stops by
    itself if the first hundred all end alike in a refusal or a failure. Ctrl-C leaves it running. What a job gave up is
    asked for again. Exits 1 if some failed again, or if it stopped.

    Examples: coins dead replay --reason crashed --type TopUp --dry-run

    coins dead replay --group 3 --why "mended in 1.4.2"
    """
    from workers.settings import load

    chosen = choice.demanded(everything, "replay")
    settings = load(data)
    if dry_run:
        _foresee(settings, chosen, limit=limit, even_if_newer=even_if_newer, json=json)
        return
    if not yes:
        _confirm(settings, chosen, limit=limit, even_if_newer=even_if_newer)
    if not _any(settings, chosen):
        say("no letter that waits for somebody is chosen; nothing is replayed")
        return
    id_ = _ask(
        settings,
        chosen,
        why=reason_of(why, yes),
        rate=rate or None,
        limit=limit,
        even_if_newer=even_if_newer,
    )
    if detach:
        _show_one(settings, id_, json=json)
    else:
        _follow(settings, id_, json=json)


def replays(
    limit: Annotated[int, typer.Option("--limit", help="Rows a page.", metavar="N")] = 50,
    after: After = None,
    json: Json = False,
    ndjson: Ndjson = False,
    data: DataDir = None,
) -> None:
    """Replays, the latest first: who asked for them and why, how far they are, and what came of the letters. Times are UTC.

    Example: coins dead replays
    """
    from ledger.replays import replays as find

    form = form_of(json=json, ndjson=ndjson)
    with reading(data) as (connection, _):
        page = find(connection, limit=limit, after=after)
    manner = Manner()
    columns = [
        *map(Column, ("replay", "state", "who", "why")),
        Column("created_at", manner.time),
        *(Column(name, "{:,}".format, right=True) for name in ("done", "total")),
        Column("result"),
    ]
    write_rows(form, page.rows, columns, following=page.next)
    if form is Form.PERSON:
        say("times in UTC; `coins dead cancel REPLAY` ends one, `coins dead resume REPLAY` goes on with it")


def cancel(replay: Replay, json: Json = False, data: DataDir = None) -> None:
    """End a replay: when this has returned, it replays no letter more. What is done stays done.

    Example: coins dead cancel 4
    """
    from ledger.database import connect
    from ledger.replays import cancel as end
    from workers.settings import load

    settings = load(data)
    with connect(settings.database, name="dead letters") as connection:
        end(connection, replay, person())
    _show_one(settings, replay, json=json)


def resume(
    replay: Replay,
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait for its end.")] = False,
    json: Json = False,
    data: DataDir = None,
) -> None:
    """Go on with a replay that was canceled or has stopped by itself, where it was.

    Example: coins dead resume 4
    """
    from ledger.database import connect
    from ledger.replays import resume as go_on
    from workers.settings import load

    settings = load(data)
    with connect(settings.database, name="dead letters") as connection, connection.transaction():
        go_on(connection, replay)
        _ring(connection)
    if detach:
        _show_one(settings, replay, json=json)
    else:
        _follow(settings, replay, json=json)


def _stand_back() -> None:
    """Who looks ahead takes the time that nobody who pays needs."""
    os.nice(NICENESS)
    if hasattr(os, "SCHED_IDLE"):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def _foreseen(
    settings: Settings, chosen: LetterFilter, *, limit: int | None, even_if_newer: bool
) -> Foreseen:
    from ledger.dead_letters import GAVE_UP
    from ledger.queries.reading import reading as snapshot_of
    from ledger.replay_foreseen import AT_ONCE, Foreseen, foresee
    from ledger.replays import letters
    from workers.jobs.performing import JOB_STREAM
    from workers.producers import producers_now

    producers = producers_now(settings)
    _stand_back()
    foreseen, after, left = Foreseen(), 0, limit
    with snapshot_of(settings.database, name="dry run") as connection:
        while left is None or left > 0:
            size = AT_ONCE if left is None else min(AT_ONCE, left)
            found = letters(connection, chosen, limit=size, after=after)
            if not found:
                break
            after = found[-1].id
            left = None if left is None else left - len(found)
            again = [one for one in found if one.reason == GAVE_UP]
            foreseen.jobs.update(one.stream.removeprefix(JOB_STREAM) for one in again)
            foreseen.letters += len(again)
            foresee(
                connection,
                [one for one in found if one.reason != GAVE_UP],
                datetime.now(UTC),
                even_if_newer=even_if_newer,
                foreseen=foreseen,
                producers=producers,
            )
    return foreseen


def _foresee(
    settings: Settings, chosen: LetterFilter, *, limit: int | None, even_if_newer: bool, json: bool
) -> None:
    foreseen = _foreseen(settings, chosen, limit=limit, even_if_newer=even_if_newer)
    if json:
        write_json({"dry_run": True, **foreseen.as_document(), "told": foreseen.told})
        return
    write_text(f"{foreseen.letters:,} letters: {foreseen.told}")
    say("dry run, nothing was done; what the database itself would refuse is not tried")


def _confirm(settings: Settings, chosen: LetterFilter, *, limit: int | None, even_if_newer: bool) -> None:
    import sys

    if sys.stdin.isatty():
        foreseen = _foreseen(settings, chosen, limit=limit, even_if_newer=even_if_newer)
        say(f"{foreseen.letters:,} letters: {foreseen.told}")
        agreed("Replay them?", yes=False)


def _any(settings: Settings, chosen: LetterFilter) -> bool:
    from ledger.database import connect
    from ledger.replays import waiting

    with connect(settings.database, name="dead letters") as connection:
        return waiting(connection, chosen)[0] > 0


def _ask(settings: Settings, chosen: LetterFilter, *, why: str | None, **how: Any) -> int:
    from ledger.database import connect
    from ledger.replays import ask

    with connect(settings.database, name="dead letters") as connection, connection.transaction():
        asked = ask(connection, chosen, who=person(), why=why, **how)
        _ring(connection)
    say(f"replay {asked.id}: {asked.total:,} letters")
    return asked.id


def _ring(connection: Any) -> None:
    from workers.jobs.rows import ask

    ask(connection, "replay", datetime.now(UTC), f"cli:{person()}")


def _follow(settings: Settings, id_: int, *, json: bool) -> None:
    """Until it is over; whoever breaks off leaves it running."""
    from ledger.database import connect
    from ledger.replays import replay as find

    with connect(settings.database, name="dead letters") as connection:
        found, told_at, began = find(connection, id_), time.monotonic(), time.monotonic()
        try:
            while found.state not in OVER:
                time.sleep(LOOK_SECONDS)
                found = find(connection, id_)
                if time.monotonic() - told_at > 1:
                    told_at = time.monotonic()
                    say(f"{found.done:,} of {found.total:,}")
                if found.state == "waiting" and time.monotonic() - began > NOBODY_SECONDS:
                    began = time.monotonic()
                    say(
                        "nobody has taken it yet; do a scheduler and a worker of jobs run? see `coins health`"
                    )
        except KeyboardInterrupt:
            say(f"it goes on; `coins dead cancel {id_}` ends it, `coins dead replays` shows how far it is")
            raise
    _tell(found, json=json)
    failed = any(kind.startswith("failed again") for kind in found.counts)
    if found.state != "done" or failed:
        raise typer.Exit(FAILED)


def _show_one(settings: Settings, id_: int, *, json: bool) -> None:
    from ledger.database import connect
    from ledger.replays import replay as find

    with connect(settings.database, name="dead letters") as connection:
        _tell(find(connection, id_), json=json)


def _tell(found: ReplayRow, *, json: bool) -> None:
    if json:
        write_json(found)
        return
    manner = Manner()
    times = dict.fromkeys(("created_at", "started_at", "finished_at"), manner.time)
    fields = found._asdict()
    counts = fields.pop("counts")
    write_fields((Column(name, times.get(name, str)), value) for name, value in fields.items())
    if counts:
        columns = [Column("letters", "{:,}".format, right=True), Column("what_became_of_them")]
        found_by = sorted(counts.items(), key=lambda one: -one[1])
        write_text("")
        write_table(columns, [{"letters": number, "what_became_of_them": kind} for kind, number in found_by])
