"""Verbs that send commands: send, do."""

from __future__ import annotations

import itertools
import json
import sys
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from console.cli.processes import DataDir

PRODUCER = "cli"
REJECTED = 4
_SHOWN = 20


def register(app: typer.Typer) -> None:
    from console.cli.doing import do

    app.command()(send)
    app.command()(do)


@dataclass(slots=True)
class Line:
    """One event to be sent: its bytes, and the key its outcome will come under, where it can be read."""

    body: bytes
    partitionkey: str | None = None
    key: tuple[str, str] | None = None
    event: bool = False
    outcome: bytes | None = None


def send(
    file: Annotated[str, typer.Argument(help="NDJSON or a JSON array of events; - for standard input.")],
    wait: Annotated[
        bool, typer.Option("--wait", help="Print each outcome as a line, in the order sent.")
    ] = False,
    timeout: Annotated[
        float, typer.Option(min=0.001, help="Give up after so many seconds without an outcome.")
    ] = 30.0,
    batch: Annotated[int, typer.Option(min=1, max=1_000, help="Send arrays of so many events.")] = 1,
    data: DataDir = None,
) -> None:
    """Send commands as they are: nothing is validated, the edge gets what is read.

    A line may be short: {"type":"TopUp","data":{"account":"acme","amount":500}}. Then specversion, id, source (cli) and
    the type's prefix are filled in. A line without an id gets a new one each time it is sent, and is a new command each
    time: give ids to what you may want to send again. With --wait it exits 4 if at least one command was rejected.

    Example: echo '{"type":"TopUp","data":{"account":"acme","amount":500}}' | coins send - --wait
    """
    from messages.outcomes import OutcomeReader
    from messages.publisher import Message, Publisher
    from messages.streams import partition_of
    from workers.producers import secret_of
    from workers.settings import load

    settings = load(data)
    secret = secret_of(settings, PRODUCER)
    lines = list(read_lines(_read(file)))
    if not lines:
        typer.echo("coins: there is nothing to send", err=True)
        return
    reader = OutcomeReader(settings.edge, PRODUCER) if wait else None
    with Publisher(
        settings.edge, producer=PRODUCER, partitions=settings.partitions, secret=secret
    ) as publisher:
        by_partition: dict[int, list[Line]] = defaultdict(list)
        for line in lines:
            by_partition[partition_of(line.partitionkey, settings.partitions)].append(line)
        for partition, some in by_partition.items():
            bodies = [line.body for line in some] if batch == 1 else _in_arrays(some, batch)
            publisher.send_raw([Message(body, partition) for body in bodies])
    if reader is None:
        typer.echo(f"sent {len(lines):,}", err=True)
        return
    try:
        _print_outcomes(lines, reader.read(within_seconds=timeout), timeout)
    finally:
        reader.close()


def _in_arrays(lines: list[Line], size: int) -> list[bytes]:
    """The lines in arrays, in their order; one that is no event stands alone, so that it spoils no array."""
    from messages.publisher import arrays

    bodies: list[bytes] = []
    for whole, some in itertools.groupby(lines, key=lambda line: line.event):
        alike = [line.body for line in some]
        bodies += arrays(alike, size) if whole else alike
    return bodies


def read_lines(content: bytes) -> Iterator[Line]:
    """The events of a file: a JSON array, or one a line. What is no JSON is sent as it is."""
    if content.lstrip().startswith(b"["):
        try:
            events = json.loads(content)
        except (ValueError, RecursionError):
            events = None
        if isinstance(events, list):
            for event in events:
                yield complete(json.dumps(event).encode())
            return
    for raw in content.splitlines():
        if raw.strip():
            yield complete(raw)


def complete(raw: bytes) -> Line:
    """Fill in what a short line leaves out; leave everything else to the letter."""
    import uuid

    try:
        event = json.loads(raw)
    except (ValueError, RecursionError):
        return Line(raw)
    if not isinstance(event, dict):
        return Line(raw)
    filled = dict(event)
    filled.setdefault("specversion", "1.0")
    filled.setdefault("id", str(uuid.uuid4()))
    filled.setdefault("source", PRODUCER)
    if isinstance(type_ := filled.get("type"), str) and "." not in type_:
        filled["type"] = f"coins.{type_}.v1"
    body = raw if filled == event else json.dumps(filled, separators=(",", ":")).encode()
    partitionkey = filled.get("partitionkey")
    return Line(body, partitionkey if isinstance(partitionkey, str) else None, _key(filled), event=True)


def _key(event: dict[str, Any]) -> tuple[str, str] | None:
    import re

    from messages.fields import MESSAGE_ID_PATTERN, SOURCE_PATTERN

    source, id_ = event.get("source"), event.get("id")
    if not (isinstance(source, str) and isinstance(id_, str)):
        return None
    readable = re.fullmatch(SOURCE_PATTERN, source) and re.fullmatch(MESSAGE_ID_PATTERN, id_)
    return (source, id_) if readable else None


def _print_outcomes(lines: list[Line], outcomes: Iterable[bytes], timeout: float) -> None:
    waiting: dict[tuple[str, str], deque[Line]] = defaultdict(deque)
    for line in lines:
        if line.key is not None:
            waiting[line.key].append(line)
    missing = sum(len(some) for some in waiting.values())
    unreadable = len(lines) - missing
    to_print = deque(line for line in lines if line.key is not None)
    rejected = 0
    seen: set[str] = set()
    for outcome in outcomes if missing else ():
        event = json.loads(outcome)
        if event["id"] in seen:
            continue
        seen.add(event["id"])
        expected = waiting.get((event["data"]["command"]["source"], event["causationid"]))
        if not expected:
            continue
        expected.popleft().outcome = outcome
        missing -= 1
        rejected += event["type"] == "coins.CommandRejected.v1"
        while to_print and (ready := to_print[0].outcome) is not None:
            sys.stdout.write(ready.decode() + "\n")
            to_print.popleft()
        sys.stdout.flush()
        if not missing:
            break
    for line in to_print:
        if line.outcome is not None:
            sys.stdout.write(line.outcome.decode() + "\n")
    sys.stdout.flush()
    if unreadable:
        at = ", ".join([str(number) for number, line in enumerate(lines, 1) if line.key is None][:_SHOWN])
        typer.echo(
            f"coins: {unreadable:,} had no readable id and source: no outcome comes for them (event {at})",
            err=True,
        )
    if missing:
        typer.echo(
            f"coins: {missing:,} outcomes did not come within {timeout:g} s; is a worker running? see `coins health`. "
            "The commands may still be decided: `coins command SOURCE ID` tells, and with the same id each is applied once.",
            err=True,
        )
        for line in [line for line in to_print if line.outcome is None and line.key][:_SHOWN]:
            typer.echo(f"  {' '.join(line.key or ())}", err=True)
    if missing or unreadable:
        raise typer.Exit(REJECTED if rejected and not missing else 1)
    if rejected:
        raise typer.Exit(REJECTED)


def _read(file: str) -> bytes:
    if file == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as error:
        typer.echo(f"coins: {file} cannot be read: {error.strerror}", err=True)
        raise typer.Exit(2) from None
