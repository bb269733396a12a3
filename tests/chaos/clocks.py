"""The clock that the product's processes read, which jumps. PostgreSQL's and Valkey's own is the machine's and cannot."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

SKEWED = Path(__file__).with_name("skewed")


@dataclass(frozen=True)
class Clock:
    """What a file says, every process that was started with `announce` takes to be its clock's error."""

    file: Path

    def announce(self, patched: pytest.MonkeyPatch) -> None:
        """Tell all processes that are started from here."""
        self.off_by(0.0)
        patched.setenv("PYTHONPATH", str(SKEWED))
        patched.setenv("CHAOS_CLOCK_FILE", str(self.file))

    def off_by(self, seconds: float) -> None:
        fresh = self.file.with_suffix(".new")
        fresh.write_text(f"{seconds}", encoding="ascii")
        fresh.replace(self.file)
