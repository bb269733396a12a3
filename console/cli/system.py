"""Verbs about the system itself: health, contract, config."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from console.cli.processes import DataDir

NOT_READY = 3
Json = Annotated[bool, typer.Option("--json", help="One JSON document.")]


def register(app: typer.Typer) -> None:
    app.command()(health)
    app.command()(contract)
    app.command()(config)


def health(
    live: Annotated[
        bool, typer.Option("--live", help="Only whether the process of this container lives; asks no server.")
    ] = False,
    ready: Annotated[
        bool, typer.Option("--ready", help="Only whether it takes work, or stands by to; asks no server.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
    data: DataDir = None,
) -> None:
    """Whether everything runs: exits 0 when commands are taken and answered, 3 when not, and says what is missing.

    With --live or --ready it looks at the process beside it, by the file that COINS_ALIVE_FILE names for both: this is a
    container's health check. A process that waits for a server lives, and need not be started again.
    """
    if live or ready:
        _own_health(ready=ready)
        return
    _whole_health(json_, data)


def _own_health(*, ready: bool) -> None:
    from workers.alive import told

    well, line = told(ready=ready)
    typer.echo(line)
    if not well:
        raise typer.Exit(NOT_READY)


def _whole_health(json_: bool, data: Path | None) -> None:
    from workers.health import examine
    from workers.settings import load

    checks = examine(load(data))
    well = all(check.ok for check in checks)
    if json_:
        typer.echo(json.dumps({"ready": well, "checks": [check._asdict() for check in checks]}))
    else:
        for check in checks:
            typer.echo(f"{'ok  ' if check.ok else 'FAIL'}  {check.name:16} {check.detail}")
    if not well:
        raise typer.Exit(NOT_READY)


def contract(
    asyncapi: Annotated[bool, typer.Option("--asyncapi", help="The AsyncAPI 3 document instead.")] = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="That document as a page to read: messages/REFERENCE.md.")
    ] = False,
) -> None:
    """The contract for machines: JSON Schema of every message.

    Example: coins contract > schemas.json
    """
    from messages.contract import asyncapi_document, schemas
    from messages.reference import reference

    if markdown:
        typer.echo(reference(asyncapi_document()), nl=False)
    else:
        typer.echo(json.dumps(asyncapi_document() if asyncapi else schemas(), indent=2))


def config(
    json_: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False, data: DataDir = None
) -> None:
    """Every setting, where it comes from, and what it is for; passwords are hidden."""
    from pydantic import SecretStr

    from workers.settings import Settings, load_with_sources, without_password

    settings, sources = load_with_sources(data)
    shown = {}
    for name in Settings.model_fields:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            value = without_password(value.get_secret_value())
        shown[name.upper()] = {
            "value": value if value is None or isinstance(value, int) else str(value),
            "source": sources[name],
        }
    if json_:
        typer.echo(json.dumps(shown))
        return
    for name, one in shown.items():
        about = Settings.model_fields[name.lower()].description or ""
        typer.echo(
            f"COINS_{name:16} {one['value'] if one['value'] is not None else '-'!s:24} {one['source']:14} {about}"
        )
