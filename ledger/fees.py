"""What running costs, minute by minute, and what is frozen for use to come: exact decimals, rounded up to whole coins."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import ROUND_CEILING, Decimal

_MINUTE = timedelta(minutes=1)


def started_minutes(since: datetime, until: datetime) -> int:
    """How many minutes were begun, at least one."""
    return max(1, -((since - until) // _MINUTE))


def running_fee(rate: str, minutes: int) -> int:
    """ceil(minutes × rate); `rate` is decimal text, coins a minute."""
    return times(minutes, rate)


def times(amount: int, factor: str) -> int:
    """ceil(amount × factor); `factor` is decimal text."""
    return int((amount * Decimal(factor)).to_integral_value(ROUND_CEILING))
