"""Transaction numbers as people see them: `T-2026-0000001234`, the year and the transaction's own integer."""

from __future__ import annotations

import re
from datetime import datetime

_NUMBER = re.compile(r"T-(\d{4})-(\d{10,18})")


def number_of(transaction: int, time: datetime) -> str:
    """The number of a transaction that was posted at `time` (UTC)."""
    return f"T-{time.year:04d}-{transaction:010d}"


def transaction_of(number: str) -> int | None:
    """The integer in a number; None where the text is no number. The year is for the reader to compare."""
    found = _NUMBER.fullmatch(number)
    return int(found[2]) if found else None
