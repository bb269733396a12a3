"""What a fault of the database means for a batch (DESIGN: "what may fail, and what happens then")."""

from __future__ import annotations

from enum import Enum, auto

import psycopg


class Fault(Enum):
    RACE = auto()
    """Somebody else was faster (unique violation, deadlock, serialization): run the batch again."""
    DATA = auto()
    """The database refuses what a command would write: one command is at fault, its neighbours are not."""
    OUTAGE = auto()
    """Anything else (connection, disk, read-only, missing column): wait and try again, nobody is at fault."""


RACES = frozenset({"23505", "40001", "40P01"})


def classify(error: BaseException, *, persistent: bool = False) -> Fault:
    """The class of an error of psycopg. `persistent`: the same race has come back every time, so it is no race."""
    if isinstance(error, MemoryError | OSError):
        return Fault.OUTAGE
    if not isinstance(error, psycopg.Error):
        # Our own code stumbled over what one of the commands holds.
        return Fault.DATA
    state = error.sqlstate
    if state is None:
        # psycopg refuses values that PostgreSQL cannot hold (a NUL, an integer too large) before they are sent.
        return Fault.DATA if isinstance(error, psycopg.DataError) else Fault.OUTAGE
    if state in RACES:
        return Fault.DATA if persistent and state == "23505" else Fault.RACE
    if state[:2] in ("22", "23"):
        return Fault.DATA
    return Fault.OUTAGE
