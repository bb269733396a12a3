"""`coins up --listen` for the tests of a module, with a producer that was enrolled before it started."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.system.site import until

COINS = (sys.executable, "-P", "-m", "console.cli.main")
WHOLE_SYSTEM_SECONDS = 60.0


@dataclass
class Listening:
    """A system that listens, and who was enrolled before it started."""

    data: Path
    port: int
    shop: dict[str, Any]
    said: Path

    def coins(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return coins(self.data, *arguments)

    def url(self, told: dict[str, Any]) -> str:
        return f"redis://{told['user']}:{told['password']}@127.0.0.1:{self.port}"


def clean(**settings: object) -> dict[str, str]:
    """An environment with no settings of ours but these."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("COINS_")}
    return others | {f"COINS_{name}": str(value) for name, value in settings.items()}


def coins(data: Path, *arguments: str, **settings: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COINS, *arguments, "--data", str(data)],
        env=clean(**settings),
        capture_output=True,
        text=True,
        timeout=60,
    )


def enrolled(data: Path, name: str, *more: str, **settings: object) -> dict[str, Any]:
    done = coins(data, "producer", "new", name, "--json", *more, **settings)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@contextlib.contextmanager
def up(data: Path, said: Path, *options: str, **settings: object) -> Iterator[None]:
    """The whole system; what it says goes into a file."""
    with said.open("wb") as output:
        running = subprocess.Popen(
            [*COINS, "up", "--data", str(data), *options],
            env=clean(**settings),
            stdin=subprocess.DEVNULL,
            stderr=output,
        )

    def is_ready() -> bool:
        assert running.poll() is None, said.read_text(encoding="utf-8")
        return "\nready " in said.read_text(encoding="utf-8")

    try:
        until(is_ready, WHOLE_SYSTEM_SECONDS, lambda: said.read_text(encoding="utf-8"))
        yield
    finally:
        running.send_signal(signal.SIGTERM)
        running.wait(30)


@contextlib.contextmanager
def system_that_listens(directory: Path, port: int, *rules: str, partitions: int) -> Iterator[Listening]:
    """The whole system; `rules` say what the producer `shop` may send."""
    data, said = directory / "data", directory / "said.txt"
    shop = enrolled(data, "shop", *rules)
    with up(data, said, "--listen", f"127.0.0.1:{port}", PARTITIONS=partitions):
        yield Listening(data, port, shop, said)
