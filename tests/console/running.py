"""The command line as a process: how it is run (`tests/forking.py`), and what it answered."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.forking import forking

COMMAND = (sys.executable, "-m", "console.cli.main")
ROOT = Path(__file__).parents[2]

Done = subprocess.CompletedProcess[str]
Coins = Callable[..., Done]


def coins_with(environment: Mapping[str, str]) -> Coins:
    """Runs `coins` with those settings; a call may add some, or go without some.

    anew: it is started, not forked, and inherits the limits of this process.
    """

    def run(*arguments: str, without: Sequence[str] = (), anew: bool = False, **settings: str) -> Done:
        given = {name: value for name, value in environment.items() if name not in without} | settings
        if anew:
            command = [*COMMAND, *arguments]
            return subprocess.run(command, env=given, capture_output=True, text=True, timeout=60, cwd=ROOT)
        done = forking().run(arguments, environment=given, directory=ROOT, timeout_seconds=60)
        return Done(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

    return run


def document(done: Done) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
