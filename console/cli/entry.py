"""Where `coins` begins: straight to the health checks of a container, which run all day long, else to all the verbs.

`health --live` and `health --ready` are a tenth of the work without what other verbs need.
"""

from __future__ import annotations

import sys

WRONG_USAGE, NOT_READY = 2, 3
QUICK: dict[tuple[str, ...], bool] = {("health", "--live"): False, ("health", "--ready"): True}


def main() -> None:
    asked = QUICK.get(tuple(sys.argv[1:]))
    if asked is None:
        from console.cli.main import main as run

        run()
        return
    from workers.alive import told
    from workers.errors import SettingsInvalid

    try:
        well, line = told(ready=asked)
    except SettingsInvalid as error:
        sys.stderr.write(f"coins: {error}\n")
        sys.exit(WRONG_USAGE)
    sys.stdout.write(f"{line}\n")
    sys.exit(0 if well else NOT_READY)
