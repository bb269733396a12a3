"""How much processor time each part of the system took: it says where time goes, even on a machine that others use too."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

import psutil


class CpuMeter:
    """Counts from when it is made. `parts`: for each part of the system the processes it begins with, by id."""

    def __init__(self, parts: Mapping[str, list[int]]) -> None:
        self._parts = parts
        self._before = self._seconds()

    def spent(self) -> dict[str, float]:
        """Seconds of processor time of each part, its children included, since this was made."""
        return {part: now - self._before[part] for part, now in self._seconds().items()}

    def _seconds(self) -> dict[str, float]:
        found = dict.fromkeys(self._parts, 0.0)
        for part, pids in self._parts.items():
            for pid in pids:
                with contextlib.suppress(psutil.NoSuchProcess):
                    first = psutil.Process(pid)
                    found[part] += sum(map(_seconds, (first, *first.children(recursive=True))))
        return found


def _seconds(process: psutil.Process) -> float:
    with contextlib.suppress(psutil.NoSuchProcess):
        times = process.cpu_times()
        return float(times.user + times.system)
    return 0.0
