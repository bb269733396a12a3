"""`python -m deploy.bench [NAME…] [--json] [--commands N] [--rows N] [--profile DIR]`.

Exit codes: 0 measured (targets are information), 1 a figure failed, 2 wrong usage, 3 the servers do not start.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psycopg
import redis

from deploy.bench.figures import FIGURES, LATER
from deploy.bench.report import as_json, print_table
from deploy.bench.results import Failed, Result
from deploy.bench.system import Bench, measuring
from deploy.errors import DeployError
from deploy.supervisor import say
from messages.errors import MessagesError
from messages.publisher import RABBITMQ

COMMANDS = 50_000
ROWS = 1_000_000
FAILED, WRONG_USAGE, INTERRUPTED = 1, 2, 130


def main(arguments: Sequence[str]) -> int:
    """Measure the named figures, or all of the short ones, and print them. Returns the exit code."""
    options = _parser().parse_args(arguments)
    if wrong := _wrong_names(options.names):
        say(f"coins bench: {wrong}")
        return WRONG_USAGE
    for name in ("commands", "rows"):
        if getattr(options, name) < 1:
            say(f"coins bench: --{name} must be at least 1")
            return WRONG_USAGE
    profile: Path | None = options.profile
    if profile is not None:
        profile = profile.resolve()
        profile.mkdir(parents=True, exist_ok=True)
    results: dict[str, Result] = {}
    chosen = _chosen(options.names)
    began = time.monotonic()
    try:
        with measuring(commands=options.commands, rows=options.rows, profile=profile) as bench:
            versions = _versions(bench)
            for name in chosen:
                say(f"{time.monotonic() - began:4.0f} s  measuring {name}: {FIGURES[name].what}")
                results[name] = _measure(name, bench)
    except KeyboardInterrupt:
        say("interrupted; nothing is left running")
        return INTERRUPTED
    except DeployError as error:
        say(f"coins bench: {error}")
        return error.exit_code
    _show(results, versions, json=options.json)
    return FAILED if any(isinstance(result, Failed) for result in results.values()) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="coins bench", description=f"Measure this machine. Figures: {', '.join(FIGURES)}."
    )
    parser.add_argument("names", metavar="NAME", nargs="*", help="which figures; default: the short ones")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.add_argument("--commands", metavar="N", type=int, default=COMMANDS, help="how many a figure takes")
    parser.add_argument("--rows", metavar="N", type=int, default=ROWS, help="how many an export has")
    parser.add_argument(
        "--profile", metavar="DIR", type=Path, help="write where the workers spend their time to DIR"
    )
    return parser


def _wrong_names(names: Sequence[str]) -> str | None:
    if unknown := [name for name in names if name not in FIGURES and name not in LATER]:
        return f"there is no figure {', '.join(unknown)}; there are {', '.join(FIGURES)}"
    if later := [name for name in names if name in LATER]:
        return f"{', '.join(later)} cannot be measured yet; what can is {', '.join(FIGURES)}"
    if lacking := [name for name in names if not _installed(name)]:
        needs = ", ".join(f"{name} needs {FIGURES[name].needs}" for name in lacking)
        return f"{needs}; install the extra: pip install 'coinworks[bench]'"
    return None


def _installed(name: str) -> bool:
    needs = FIGURES[name].needs
    return needs is None or importlib.util.find_spec(needs) is not None


def _chosen(names: Sequence[str]) -> list[str]:
    """In the order of the table, so that what is compared is measured close together."""
    if names:
        return [name for name in FIGURES if name in names]
    short = [name for name, figure in FIGURES.items() if not figure.long]
    if not os.environ.get("COINS_EDGE_URL", "").startswith(RABBITMQ):
        say("RabbitMQ is left out: set COINS_EDGE_URL=amqp://… to measure it, too")
        short = [name for name in short if not FIGURES[name].rabbitmq]
    for name in short:
        if not _installed(name):
            say(f"{name} is left out: it needs {FIGURES[name].needs} (pip install 'coinworks[bench]')")
    return [name for name in short if _installed(name)]


def _measure(name: str, bench: Bench) -> Result:
    try:
        return FIGURES[name].measure(bench)
    except (DeployError, MessagesError, psycopg.Error, redis.RedisError) as error:
        why = f"{type(error).__name__}: {error}".strip()
        say(f"  {name} failed: {why}")
        return Failed(why)


def _versions(bench: Bench) -> dict[str, str]:
    with psycopg.connect(bench.database_url) as connection:
        number = connection.info.server_version
    with redis.Redis.from_url(bench.redis_url) as client:
        info = client.info("server")
        valkey = str(info.get("valkey_version") or info.get("redis_version"))
    return {"postgresql": f"{number // 10_000}.{number % 10_000}", "valkey": valkey}


def _show(results: Mapping[str, Result], versions: Mapping[str, str], *, json: bool) -> None:
    if json:
        sys.stdout.write(as_json(results, versions) + "\n")
        sys.stdout.flush()
    else:
        print_table(results, versions)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
