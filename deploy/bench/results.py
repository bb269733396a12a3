"""What a figure comes out as."""

from __future__ import annotations

from collections.abc import Mapping
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
class Left:
    """A table, or an index of it."""

    table: str
    index: str | None = None


@dataclass(frozen=True, slots=True)
class Sizes:
    """What so many commands leave behind, in bytes: tables and indexes, WAL, and in Valkey while they wait (`waiting`) and
    when they have been told (`told`); the resident memory of each process, and its sessions by name."""

    commands: int
    left: Mapping[Left, int]
    wal: int
    waiting: int
    told: int
    memory: Mapping[str, int]
    sessions: Mapping[str, int]

    @property
    def database(self) -> int:
        return sum(self.left.values())


@dataclass(frozen=True, slots=True)
class Failed:
    why: str


Result = Rate | Latency | Written | Took | Sizes | Failed
