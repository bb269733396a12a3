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


def clean() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("COINS_")}


def coins(data: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COINS, *arguments, "--data", str(data)], env=clean(), capture_output=True, text=True, timeout=60
    )


def enrolled(data: Path, name: str, *more: str) -> dict[str, Any]:
    done = coins(data, "producer", "new", name, "--json", *more)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@contextlib.contextmanager
def system_that_listens(directory: Path, port: int, *rules: str, partitions: int) -> Iterator[Listening]:
    """The whole system; `rules` say what the producer `shop` may send."""
    data, said = directory / "data", directory / "said.txt"
    shop = enrolled(data, "shop", *rules)
    with said.open("wb") as output:
        up = subprocess.Popen(
            [*COINS, "up", "--data", str(data), "--listen", f"127.0.0.1:{port}"],
            env={**clean(), "COINS_PARTITIONS": str(partitions)},
            stdin=subprocess.DEVNULL,
            stderr=output,
        )

    def is_ready() -> bool:
        assert up.poll() is None, said.read_text(encoding="utf-8")
        return "\nready " in said.read_text(encoding="utf-8")

    try:
        until(is_ready, WHOLE_SYSTEM_SECONDS, lambda: said.read_text(encoding="utf-8"))
        yield Listening(data, port, shop, said)
    finally:
        up.send_signal(signal.SIGTERM)
        up.wait(30)
