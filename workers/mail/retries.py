"""When a mail that could not be sent is tried again."""

from __future__ import annotations

from datetime import datetime, timedelta

# Soon at first, then daily: the last try comes just within five days after the first.
_PAUSES = (
    *(timedelta(minutes=minutes) for minutes in (1, 5, 15)),
    *(timedelta(hours=hours) for hours in (1, 3, 6, 12, 24, 24, 24, 24)),
)


def next_try(tries: int, now: datetime) -> datetime | None:
    """When to try next after `tries` failures (1 or more), the last one just now; None: give up."""
    return now + _PAUSES[tries - 1] if tries <= len(_PAUSES) else None
