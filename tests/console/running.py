"""The command line as a process: how it is run, and what it answered."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

COMMAND = (sys.executable, "-m", "console.cli.main")
ROOT = Path(__file__).parents[2]

Done = subprocess.CompletedProcess[str]
Coins = Callable[..., Done]


def coins_with(environment: Mapping[str, str]) -> Coins:
    """Runs `coins` with those settings; a call may add some, or go without some."""

    def run(*arguments: str, without: Sequence[str] = (), **settings: str) -> Done:
        given = {name: value for name, value in environment.items() if name not in without}
        return subprocess.run(
            [*COMMAND, *arguments],
            env={**given, **settings},
            capture_output=True,
            text=True,
            timeout=60,
            cwd=ROOT,
        )

    return run


def document(done: Done) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
