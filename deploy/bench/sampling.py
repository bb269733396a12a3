"""A worker that notes where its threads are, two hundred times a second.

`python -m deploy.bench.sampling commands FILE`, or `jobs FILE`.

When it ends, FILE has a line for each stack that was seen, `thread;outermost;…;innermost count`: what flame graph
programs read. A thread that waits counts like one that works; the innermost frame tells which it is.
"""

from __future__ import annotations

import sys
import threading
from collections import Counter
from pathlib import Path
from types import FrameType

from schedulers import working
from workers import commands
from workers.settings import load

INTERVAL_SECONDS = 0.005
RUNS = {"commands": commands.run, "jobs": working.run}


class Sampler:
    """Counts the stacks of all other threads until stopped."""

    def __init__(self) -> None:
        self._stacks: Counter[str] = Counter()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="sampler", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, file: Path) -> None:
        """Stop, and write what was seen, the most frequent first."""
        self._stopping.set()
        self._thread.join()
        lines = [f"{stack} {count}" for stack, count in self._stacks.most_common()]
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def _sample(self) -> None:
        me = threading.get_ident()
        while not self._stopping.wait(INTERVAL_SECONDS):
            names = {thread.ident: thread.name for thread in threading.enumerate()}
            for ident, frame in sys._current_frames().items():
                if ident != me:
                    self._stacks[f"{names.get(ident, ident)};{_stack(frame)}"] += 1


def _stack(frame: FrameType | None) -> str:
    places: list[str] = []
    while frame is not None:
        code = frame.f_code
        places.append(f"{Path(code.co_filename).stem}.{code.co_qualname}:{frame.f_lineno}")
        frame = frame.f_back
    return ";".join(reversed(places))


def main(role: str, file: Path) -> None:
    sampler = Sampler()
    sampler.start()
    try:
        RUNS[role](load())
    finally:
        sampler.stop(file)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
