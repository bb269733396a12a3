"""`coins do`: one command by hand. What it takes is read from the command's model."""

from __future__ import annotations

import json
import re
import sys
import time
from datetime import datetime
from difflib import get_close_matches
from enum import Enum
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import typer

from console.cli.person import person
from console.cli.processes import DataDir
from console.cli.show import say, write_text

TIMEOUT_SECONDS = 30.0


def _complete_command(incomplete: str) -> list[str]:
    from messages.commands import COMMANDS

    return [name for name in COMMANDS if name.lower().startswith(incomplete.lower())]


def _complete_field(ctx: typer.Context, incomplete: str) -> list[str]:
    from messages.commands import COMMANDS

    model = COMMANDS.get(ctx.params.get("command") or "")
    if model is None:
        return []
    return [f"{name}=" for name in model.model_fields if name.startswith(incomplete)]


def do(
    command: Annotated[
        str | None,
        typer.Argument(
            help="Its name, as in TopUp; without one they are listed.", autocompletion=_complete_command
        ),
    ] = None,
    fields: Annotated[
        list[str] | None,
        typer.Argument(help="FIELD=VALUE …; without any they are listed.", autocompletion=_complete_field),
    ] = None,
    id_: Annotated[
        str | None, typer.Option("--id", help="Its id; give the same one to repeat a command safely.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print the outcome event.")] = False,
    data: DataDir = None,
) -> None:
    """Do one command by hand: shows names and balances, asks, sends, waits, shows them again.

    Lists are separated by commas, fields of fields by dots.

    Example: coins do TopUp account=acme amount=500 reference=WIRE-881

    Example: coins do PutPlan plan=year name="One year" kind=onboarding price=10 cycle.unit=year cycle.count=1
    """
    from messages.commands import COMMANDS

    if command is None:
        _list_commands()
        return
    model = COMMANDS.get(command)
    if model is None:
        meant = get_close_matches(command.lower(), [name.lower() for name in COMMANDS], 3, 0.7)
        known = [name for name in COMMANDS if not meant or name.lower() in meant]
        which = "did you mean" if meant else "they are"
        raise typer.BadParameter(f"{command} is no command; {which} {', '.join(known)}", param_hint="COMMAND")
    if not fields:
        _list_fields(model)
        return
    made = _make(model, fields)
    _carry_out(made, id_, yes, json_, data)


def _carry_out(made: Any, id_: str | None, yes: bool, as_json: bool, data: Any) -> None:
    from messages.commands import ACCOUNT_FIELDS
    from messages.envelope import encode
    from messages.outcomes import OutcomeReader
    from messages.publisher import Publisher, event
    from workers.producers import secret_of
    from workers.settings import load

    settings = load(data)
    secret = secret_of(settings, "cli")
    named = [value for name in ACCOUNT_FIELDS if (value := getattr(made, name, None))]
    named = list(dict.fromkeys([*named, *_owners(settings.database, made)]))
    before = _figures(settings.database, named)
    sent = event(
        made, source="cli", id=id_, actor=person(), partitionkey=_top_account(settings.database, named)
    )
    say(f"{type(made).__name__}  id {sent.id}")
    for name, value in sorted(json.loads(encode(sent))["data"].items()):
        say(f"  {name:14} {value if isinstance(value, str | int) else json.dumps(value, ensure_ascii=False)}")
    for line in before.values():
        say(f"  {line}")
    if not yes:
        if not sys.stdin.isatty():
            typer.echo("coins: there is nobody to ask; give --yes", err=True)
            raise typer.Exit(2)
        typer.confirm("Send it?", abort=True, err=True)
    reader = OutcomeReader(settings.edge, "cli")
    with Publisher(settings.edge, producer="cli", partitions=settings.partitions, secret=secret) as publisher:
        publisher.send(sent)
    outcome = outcome_of(reader, sent.id)
    reader.close()
    said = outcome["data"]
    if as_json:
        write_text(json.dumps(outcome))
    else:
        what = "applied" if said["reason"] is None else f"rejected: {said['reason']}"
        duplicate = " (decided before, nothing was done now)" if said["duplicate"] else ""
        write_text(f"{what}{duplicate}" + (f"  {said['transaction']}" if said["transaction"] else ""))
        if said["message"]:
            write_text(said["message"])
    for line in _figures(settings.database, named).values():
        say(f"  {line}")
    if said["reason"] is not None:
        raise typer.Exit(4)
    say(f"to repeat it safely: --id {sent.id}")


def outcome_of(reader: Any, id_: str) -> dict[str, Any]:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    for outcome in reader.read(within_seconds=TIMEOUT_SECONDS):
        if time.monotonic() > deadline:
            break
        event: dict[str, Any] = json.loads(outcome)
        if event["causationid"] == id_ and event["data"]["command"]["source"] == "cli":
            return event
    typer.echo(
        f"coins: no outcome within {TIMEOUT_SECONDS:g} s; is a worker running? see `coins health`. "
        f"It may still be decided, or it has crashed (`coins command cli {id_}`): repeat it with --id {id_}.",
        err=True,
    )
    raise typer.Exit(1)


def _owners(database_url: str, made: Any) -> list[str]:
    """Whose the things are that the command names by their ids."""
    from ledger.database import connect
    from ledger.queries.owners import OWNED_FIELDS, owner_of

    with connect(database_url, name="do") as connection:
        owners = [
            owner_of(connection, field, id_) for field in OWNED_FIELDS if (id_ := getattr(made, field, None))
        ]
    return [owner for owner in owners if owner is not None]


def _top_account(database_url: str, accounts: list[str]) -> str | None:
    """The partition key: commands for one tree are applied in the order in which they are sent."""
    from ledger.database import connect

    with connect(database_url, name="do") as connection:
        row = connection.execute(
            "SELECT t.account FROM account a JOIN account t ON t.id = a.path[1] WHERE a.account = ANY(%b) LIMIT 1",
            (accounts,),
        ).fetchone()
    return row[0] if row else accounts[0] if accounts else None


def _figures(database_url: str, accounts: list[str]) -> dict[str, str]:
    """A line for each account that exists: name, credit, available."""
    from ledger.database import connect

    with connect(database_url, name="do") as connection:
        rows = connection.execute(
            "SELECT account, name, funding, credit, credit + credit_limit - frozen FROM account "
            "WHERE account = ANY(%b) AND parent IS NOT NULL",
            (accounts,),
        ).fetchall()
    lines = {}
    for account, name, funding, credit, available in rows:
        figures = (
            "draws on its master" if funding == "shared" else f"credit {credit:,}  available {available:,}"
        )
        lines[account] = f"{account} ({name})  {figures}"
    return lines


def _make(model: Any, fields: list[str]) -> Any:
    from pydantic import ValidationError

    from messages.wording import say

    try:
        return model.model_validate(parse(model, fields))
    except ValidationError as error:
        said = "; ".join(
            ": ".join([*filter(None, [".".join(map(str, fault["loc"]))]), say(fault)])
            for fault in error.errors()
        )
        raise typer.BadParameter(
            f"{said}. See `coins do {model.__name__}`.", param_hint="FIELD=VALUE"
        ) from None


def parse(model: Any, fields: list[str]) -> dict[str, Any]:
    """FIELD=VALUE texts as the values that the model wants."""
    values: dict[str, Any] = {}
    for one in fields:
        name, given, text = one.partition("=")
        if not given:
            raise typer.BadParameter(f"{one}: write it as FIELD=VALUE", param_hint="FIELD=VALUE")
        outer, _, inner = name.partition(".")
        known = model.model_fields.get(outer)
        if known is None:
            raise typer.BadParameter(
                f"{outer} is no field of {model.__name__}; they are {', '.join(model.model_fields)}",
                param_hint="FIELD=VALUE",
            )
        annotation = (
            known.annotation
            if not inner
            else _filter(inner)
            if outer == "filters"
            else _inner(known.annotation, inner)
        )
        value = _value(text, annotation)
        if inner:
            values.setdefault(outer, {})[inner] = value
        else:
            values[outer] = value
    return values


def _value(text: str, annotation: Any) -> Any:
    shown = repr(annotation)
    if text[:1] in "{[" and text[:1]:
        try:
            return json.loads(text)
        except ValueError:
            return text
    if "list[" in shown:
        return [part for part in text.split(",") if part]
    if re.search(r"\bint\b", shown) and text.lstrip("-").isdigit():
        return int(text)
    if re.search(r"\bbool\b", shown) and text in ("true", "false"):
        return text == "true"
    return text


def _filter(name: str) -> Any:
    """What the flag of that name takes, of the list that is exported."""
    from messages.reports import DAYS, NUMBERS, SEARCH, SWITCHES

    if name in SWITCHES or name in NUMBERS:
        return bool if name in SWITCHES else int
    return str if name in DAYS or name == SEARCH else list[str]


def _inner(annotation: Any, name: str) -> Any:
    for part in getattr(annotation, "__args__", (annotation,)):
        if hasattr(part, "model_fields") and name in part.model_fields:
            return part.model_fields[name].annotation
    return str


def _list_commands() -> None:
    from messages.commands import COMMANDS

    for name, model in COMMANDS.items():
        typer.echo(f"{name:26} {(model.__doc__ or '').splitlines()[0]}")


def _list_fields(model: Any) -> None:
    typer.echo(f"{model.__name__}: {(model.__doc__ or '').strip()}")
    for name, field in model.model_fields.items():
        needed = (
            "needed"
            if field.is_required()
            else f"default {field.default}"
            if field.default not in (None, [], {}) and field.default_factory is None
            else ""
        )
        line = f"  {name:16} {_kind(field.annotation):32} {needed:16} {field.description or ''}"
        typer.echo(line.rstrip())
    typer.echo(
        "Lists are separated by commas; fields of an object are written with a dot, as in cycle.unit=month.",
        err=True,
    )


def _kind(annotation: Any) -> str:
    """What a field takes, in a word or by its values."""
    if get_origin(annotation) in (Union, UnionType):
        return _kind(next(one for one in get_args(annotation) if one is not type(None)))
    if get_origin(annotation) is Annotated:
        return _kind(get_args(annotation)[0])
    if get_origin(annotation) is list:
        return "list"
    if not isinstance(annotation, type):
        return "object"
    if issubclass(annotation, Enum):
        return "|".join(str(one.value) for one in annotation)
    if hasattr(annotation, "model_fields"):
        return f"object: {', '.join(annotation.model_fields)}"
    return _WORDS.get(annotation, "object")


_WORDS = {str: "text", int: "integer", bool: "true|false", datetime: "time, as in 2026-11-22T08:00:00Z"}
