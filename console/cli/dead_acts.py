"""Verbs that settle dead letters otherwise than by a replay: `coins dead edit`, `dead archive`, `dead restore`."""

from __future__ import annotations

import json as json_
import os
import shlex
import subprocess
import sys
import tempfile
from collections import Counter
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
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
    tell_why_not,
)
from console.cli.doing import outcome_of, parse
from console.cli.person import person
from console.cli.processes import DataDir
from console.cli.reads.options import Json
from console.cli.show import say, write_json, write_text
from ledger.errors import QueryInvalid
from messages.fields import time_text

if TYPE_CHECKING:
    from ledger.acts import Doing
    from ledger.letters import Letter
    from ledger.queries.dead import LetterFilter
    from ledger.replay import Verdict
    from workers.settings import Settings

REJECTED, SOURCE = 4, "cli"
AT_ONCE = 100
# What belongs to the old message alone.
_NOT_CARRIED_OVER = ("time", "expirytime", "traceparent")


def register(dead: typer.Typer) -> None:
    dead.command("edit")(edit)
    dead.command("archive")(archive)
    dead.command("restore")(restore)


@choosing
def archive(
    choice: Choice,
    everything: All = False,
    why: Why = None,
    yes: Yes = False,
    json: Json = False,
    data: DataDir = None,
) -> None:
    """Nothing is to come of these letters any more. A crashed one is decided by it: `abandoned`, for good, and its producer
    is told, with --why.

    The key of any other stays free. All is kept, and `coins dead restore` brings back what was not decided.

    Example: coins dead archive --group 3 --why "test traffic"
    """
    from ledger.database import connect
    from ledger.queries.dead import OPEN
    from ledger.replays import waiting
    from workers.settings import load

    chosen = choice.demanded(everything, "archive")
    settings = load(data)
    with connect(settings.database, name="dead letters") as connection:
        tell_why_not(connection, chosen, OPEN, "archived")
        if not yes:
            count, _ = waiting(connection, chosen)
            agreed(f"Archive {count:,} letters? Commands that crashed are decided by it: abandoned.", yes)
    told = _archive(settings, chosen, reason_of(why, yes))
    if json:
        write_json({"letters": told.total(), "results": dict(told)})
    else:
        write_text(
            ", ".join(f"{result} {number:,}" for result, number in told.most_common())
            or "no letter is chosen"
        )


def _abandon(connection: Any, *, letters: list[Letter], doing: Doing) -> list[Verdict]:
    from ledger.replay import abandon

    return abandon(connection, letters, datetime.now(UTC), doing)


def _archive(settings: Settings, chosen: LetterFilter, why: str | None) -> Counter[str]:
    """Some letters a transaction; broken off, the rest is as it was."""
    from ledger.acts import Doing
    from ledger.database import connect_for_jobs
    from ledger.replays import letters
    from workers.jobs.run import Run

    told: Counter[str] = Counter()
    doing, after = Doing("archive", person(), why), 0
    with connect_for_jobs(settings.database, name="dead letters") as connection:
        # It is nobody's job; what it has of one is to be done again where somebody else was faster.
        run = Run("archive", datetime.now(UTC), settings, connection)
        while found := letters(connection, chosen, limit=AT_ONCE, after=after):
            verdicts = run.transact(partial(_abandon, letters=found, doing=doing))
            told.update(str(one.result) for one in verdicts)
            after = found[-1].id
    return told


@choosing
def restore(
    choice: Choice,
    everything: Annotated[bool, typer.Option("--all", help="Every letter that is archived.")] = False,
    why: Why = None,
    yes: Yes = False,
    json: Json = False,
    data: DataDir = None,
) -> None:
    """Archived letters wait for somebody again, but for those whose key is decided: what was abandoned stays so.

    Example: coins dead restore 17 --why "archived by mistake"
    """
    from ledger.acts import Doing
    from ledger.acts import restore as bring_back
    from ledger.database import connect
    from workers.settings import load

    chosen = choice.demanded(everything, "restore")
    settings = load(data)
    doing = Doing("restore", person(), reason_of(why, yes))
    with connect(settings.database, name="dead letters") as connection, connection.transaction():
        tell_why_not(connection, chosen, ("archived",), "brought back")
        restored, decided = bring_back(connection, chosen, datetime.now(UTC), doing)
    if json:
        write_json({"restored": restored, "decided": decided})
        return
    write_text(f"{restored:,} restored")
    if decided:
        say(
            f"{decided:,} were abandoned or decided otherwise and stay archived; `coins dead edit` sends such a one anew"
        )


def edit(
    letter: Annotated[int, typer.Argument(metavar="LETTER")],
    fields: Annotated[
        list[str] | None, typer.Argument(help="FIELD=VALUE of the command's data, as for `coins do`.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", help="The whole event, as JSON.", metavar="FILE")
    ] = None,
    why: Why = None,
    yes: Yes = False,
    json: Json = False,
    data: DataDir = None,
) -> None:
    """Send a letter anew as a message that was mended: from `cli`, with an id of its own, and `causationid` of the old one.

    Without FIELD=VALUE and --file an editor is opened. Applied, it settles the letter: a command that crashed is decided by
    it, `abandoned`, so that it cannot be applied as well. It is yours, whoever had sent the old one.

    Example: coins dead edit 17 amount=500 --why "sent as a text"
    """
    from ledger.acts import Doing
    from ledger.database import connect_for_jobs
    from ledger.edits import claim, settle
    from workers.jobs.run import Run
    from workers.settings import load

    settings = load(data)
    with connect_for_jobs(settings.database, name="dead letters") as connection:
        found = _letter(connection, letter)
        event = _mended(found, fields or [], file)
        event |= {"source": SOURCE, "actor": person(), "specversion": "1.0"}
        if found.command_id is not None:
            event["causationid"] = found.command_id
        _demand_valid(_body({**event, "id": "edit"}))
        _show_change(found, event)
        agreed("Send it?", yes)
        doing = Doing("edit", person(), reason_of(why, yes))
        # It is nobody's job; what it has of one is to be done again where somebody else was faster.
        run = Run("edit", datetime.now(UTC), settings, connection)
        claimed = run.transact(lambda own: claim(own, found, doing, datetime.now(UTC)))
        event |= {"id": claimed.id, "expirytime": time_text(claimed.expires_at)}
        outcome = _send(settings, _body(event), event)
        run.transact(lambda own: settle(own, found, claimed.id, doing, datetime.now(UTC)))
    said = outcome["data"]
    if json:
        write_json(outcome)
    else:
        what = "applied" if said["reason"] is None else f"rejected: {said['reason']}"
        write_text(f"{what}  {said['transaction'] or ''}".rstrip())
        if said["message"]:
            write_text(said["message"])
    if said["reason"] is not None:
        say(f"letter {letter} goes on waiting")
        raise typer.Exit(REJECTED)


def _body(event: dict[str, Any]) -> bytes:
    return json_.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()


def _show_change(found: Letter, event: dict[str, Any]) -> None:
    from ledger.dead_letters import CRASHED, UNAUTHENTICATED
    from ledger.letters import own_text

    if found.reason == UNAUTHENTICATED or not found.producer:
        say("nobody was found to have sent the old one; the new one is yours, with all that you may")
    if found.reason != CRASHED:
        say(
            "warning: the old one's key stays free. Its producer who sends it again, signed and valid, has it decided "
            "beside yours, and charged twice: first make sure that nobody will"
        )
    say(f"old  {own_text(found)}")
    for number, line in enumerate(json_.dumps(event, ensure_ascii=False, indent=2).splitlines()):
        say(f"{'new' if not number else '':5}{line}")


def _letter(connection: Any, number: int) -> Letter:
    from ledger.queries.dead import LetterFilter
    from ledger.queries.dead import letter as report
    from ledger.replays import letters

    found = letters(connection, LetterFilter(letters=[number]), limit=1)
    if not found:
        state = report(connection, number).state
        raise QueryInvalid(f"letter {number} is {state}; only one that waits for somebody can be edited")
    return found[0]


def _mended(found: Letter, fields: list[str], file: Path | None) -> dict[str, Any]:
    from ledger.letters import delivery_of

    if file is not None:
        try:
            return _object(file.read_bytes(), str(file))
        except OSError as error:
            raise QueryInvalid(f"--file: {file} cannot be read: {error.strerror}") from None
    own = delivery_of(found, vouched_for=True).body
    if not fields:
        return _edited(own)
    event = _object(own, f"letter {found.id}")
    event = {name: value for name, value in event.items() if name not in _NOT_CARRIED_OVER}
    given = event.get("data")
    event["data"] = {**(given if isinstance(given, dict) else {}), **_values(event, fields)}
    return event


def _values(event: dict[str, Any], fields: list[str]) -> dict[str, Any]:
    from messages.codec import command_name
    from messages.commands import COMMANDS

    type_ = event.get("type")
    name = command_name(type_ if isinstance(type_, str) else None)
    if name is None:
        raise QueryInvalid(f"type: {type_!r} is no command; give the whole event with --file")
    return parse(COMMANDS[name], fields)


def _edited(own: bytes) -> dict[str, Any]:
    """What somebody makes of it in the editor of $VISUAL or $EDITOR."""
    try:
        shown = json_.dumps(json_.loads(own), ensure_ascii=False, indent=2).encode()
    except (ValueError, RecursionError):
        shown = own
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if not editor or not sys.stdin.isatty():
        raise QueryInvalid("what is to be changed? give FIELD=VALUE or --file, or set EDITOR on a terminal")
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        Path(file.name).write_bytes(shown)
        subprocess.run([*shlex.split(editor), file.name], check=True)
        saved = Path(file.name).read_bytes()
    if saved == shown:
        raise QueryInvalid("nothing was changed, nothing is sent")
    return _object(saved, "what was saved")


def _object(content: bytes, where: str) -> dict[str, Any]:
    try:
        event = json_.loads(content)
    except (ValueError, RecursionError) as error:
        raise QueryInvalid(f"{where} is no JSON ({error}); give the whole event with --file") from None
    if not isinstance(event, dict):
        raise QueryInvalid(f"{where} must be one event, a JSON object")
    return event


def _demand_valid(body: bytes) -> None:
    from messages.codec import Decoded, decode

    (part,) = decode(body)
    if not isinstance(part, Decoded):
        raise QueryInvalid(f"it would still not be valid: {part.why}")


def _send(settings: Settings, body: bytes, event: dict[str, Any]) -> dict[str, Any]:
    from messages.outcomes import OutcomeReader
    from messages.publisher import Message, Publisher
    from messages.streams import partition_of
    from workers.producers import secret_of

    secret = secret_of(settings, SOURCE)
    reader = OutcomeReader(settings.edge, SOURCE)
    with Publisher(
        settings.edge, producer=SOURCE, partitions=settings.partitions, secret=secret
    ) as publisher:
        publisher.send_raw([Message(body, partition_of(event.get("partitionkey"), settings.partitions))])
    outcome = outcome_of(reader, event["id"])
    reader.close()
    return outcome
