"""Amounts, as a file has them."""

from __future__ import annotations

from typing import Final

# A spreadsheet's numbers are binary: of more digits, the last ones would be made up.
EXACT_DIGITS: Final = 15


def plain(value: int, scale: int) -> str:
    """An integer of the smallest unit as a decimal, without separators: `-12.34`."""
    if not scale:
        return str(value)
    whole, part = divmod(abs(value), 10**scale)
    return f"{'-' if value < 0 else ''}{whole}.{part:0{scale}d}"


def is_exact(value: int) -> bool:
    """Whether a spreadsheet's number can say it, to the last digit."""
    limit = 10**EXACT_DIGITS
    return -limit < value < limit or len(str(abs(value)).rstrip("0")) <= EXACT_DIGITS


def scaled(value: int, scale: int) -> int | float:
    """The nearest number there is: of what is exact, the one that is shown with the same digits."""
    return value / 10**scale if scale else value
