"""`python -m deploy.demo [--data DIR] [--keep] [--files DIR]`: see `run.py`.

Exit codes: 0 everything adds up, 1 something does not, 2 wrong usage, 3 the servers cannot be started, 130 interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import psycopg
import redis

from deploy.demo.run import run
from deploy.demo.screen import Screen
from deploy.demo.story import HERE, read
from deploy.errors import DeployError, Interrupted
from deploy.supervisor import say
from deploy.up import asked_to_stop, exclusive
from ledger.errors import LedgerError
from workers.settings import PREFIX

FAILED, WRONG_USAGE, INTERRUPTED = 1, 2, 130


def main(arguments: Sequence[str], story_dir: Path = HERE) -> int:
    """Returns the exit code. `story_dir` has the day's two files."""
    parser = argparse.ArgumentParser(prog="coins demo", description="A day, on a system of its own.")
    parser.add_argument("--data", metavar="DIR", type=Path, help="an empty directory for its data; it stays")
    parser.add_argument("--keep", action="store_true", help="leave the data where it is")
    parser.add_argument(
        "--files",
        metavar="DIR",
        type=Path,
        default=Path("coins-demo"),
        help="where the workbook, the receipts and the mails go, to stay",
    )
    options = parser.parse_args(arguments)
    if options.data is not None and not _usable(options.data):
        say(f"coins demo: {options.data} is no empty directory; give one of the demo's own")
        return WRONG_USAGE
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        del os.environ[name]  # a system of its own: nothing of another one's settings
    screen = Screen()
    try:
        with asked_to_stop() as stopping, _data(options.data, keep=options.keep) as data_dir:
            with exclusive(data_dir):
                adds_up = run(read(story_dir), data_dir, options.files.resolve(), screen, stopping)
            screen.what_next(data_dir if options.data or options.keep else None)
            return 0 if adds_up else FAILED
    except Interrupted:
        say("coins demo: stopped")
        return INTERRUPTED
    except DeployError as error:
        say(f"coins demo: {error}")
        return error.exit_code
    except (LedgerError, redis.RedisError, psycopg.Error, OSError, ValueError) as error:
        say(f"coins demo: {error}")
        return FAILED


def _usable(directory: Path) -> bool:
    return not directory.exists() or (directory.is_dir() and not any(directory.iterdir()))


@contextlib.contextmanager
def _data(chosen: Path | None, *, keep: bool) -> Iterator[Path]:
    """The directory for the data: one that was chosen stays, any other is removed unless it is to be kept."""
    if chosen is not None:
        yield chosen.resolve()
        return
    made = Path(tempfile.mkdtemp(prefix="coins-demo-"))
    try:
        yield made.resolve()
    finally:
        if not keep:
            shutil.rmtree(made, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
