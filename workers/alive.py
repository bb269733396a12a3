"""A sign of life for whoever runs a process in a container: a file of its own (COINS_ALIVE_FILE), written every second.

It needs no server: a process that waits for its database is well, and starting it again would help nobody. A process that
is frozen, or has lost its threads, writes nothing any more.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import NamedTuple

from workers.errors import SettingsInvalid

FILE = "COINS_ALIVE_FILE"
READY = "ready"
# A container that has no processor time is slow, not dead.
SILENT_AFTER_SECONDS = 20.0


class Sign(NamedTuple):
    """What is known of this container's process. `lives`: it works or waits; `ready`: it takes work."""

    lives: bool
    ready: bool
    detail: str


def tell(process: str, state: str) -> None:
    """Write the sign of life, where somebody looks for one."""
    if (file := _file()) is None:
        return
    # Not the wall's clock, which may be set.
    text = json.dumps({"process": process, "state": state, "at": time.monotonic()})
    fresh = file.with_name(f"{file.name}.new")
    try:
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(file)
    except OSError:
        # Without a sign we are gone for whoever looks, and that is what should show.
        return


def gone() -> None:
    """Remove the sign: the process leaves."""
    if (file := _file()) is not None:
        file.unlink(missing_ok=True)


def look() -> Sign | None:
    """What the process of this container says of itself; None where COINS_ALIVE_FILE is not set."""
    if (file := _file()) is None:
        return None
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        process, state, silent = told["process"], told["state"], time.monotonic() - told["at"]
    except FileNotFoundError:
        return Sign(False, False, f"no process has written {file}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        return Sign(False, False, f"{file} cannot be read ({error})")
    # Below zero: written before this machine was started.
    if not 0 <= silent <= SILENT_AFTER_SECONDS:
        return Sign(False, False, f"{process} has given no sign of life for {silent:.0f} s")
    return Sign(True, state == READY, f"{process} {state}")


def told(*, ready: bool) -> tuple[bool, str]:
    """Whether that process lives, or is ready as well, and a line that says so. Raises SettingsInvalid."""
    sign = look()
    if sign is None:
        raise SettingsInvalid(
            f"{FILE} is not set; give the process and its health check the same file, as in {FILE}=/tmp/coins.alive"
        )
    well = sign.ready if ready else sign.lives
    return well, f"{'ok  ' if well else 'FAIL'}  {sign.detail}"


def _file() -> Path | None:
    return Path(named) if (named := os.environ.get(FILE)) else None
