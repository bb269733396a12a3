"""What a figure comes out as."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Unit = Literal["commands/s", "transactions/s", "renewals/s", "letters/s"]


@dataclass(frozen=True, slots=True)
class Rate:
    rate: float
    unit: Unit = "commands/s"


@dataclass(frozen=True, slots=True)
class Latency:
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Written:
    """A file of so many rows: what it took a process of its own, and what the yardstick took for the same."""

    rows: int
    seconds: float
    peak_mb: float
    yardstick: Written | None = None


@dataclass(frozen=True, slots=True)
class Took:
    """How long something took that is to be over soon."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Failed:
    why: str


Result = Rate | Latency | Written | Took | Failed
