"""Pages of a list, by keyset: a cursor names the last row of a page, and the next one begins after it.

A page costs the same however far back it lies, and rows that come in meanwhile neither repeat nor hide others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from ledger.errors import QueryInvalid

Line = TypeVar("Line")

DEFAULT_LIMIT = 50
MAX_LIMIT = 100_000


@dataclass(frozen=True, slots=True)
class Page(Generic[Line]):
    """Rows, and the cursor of the page after them; None where there is nothing more."""

    rows: list[Line]
    next: str | None


@dataclass(frozen=True, slots=True)
class ZonedPage(Page[Line]):
    """A page whose dates were taken, and whose times are best shown, in `timezone`."""

    timezone: str


def number_in(after: str, of_what: str) -> int:
    """The cursor of a list that goes by numbers. Raises QueryInvalid."""
    if not (after.isascii() and after.isdigit() and len(after) <= 18):
        raise QueryInvalid(
            f"--after: {after!r} is no number of a {of_what}; give the cursor that the page before ended with"
        )
    return int(after)


def checked_limit(limit: int) -> int:
    """Raises QueryInvalid where a page of that many rows cannot be had."""
    if not 1 <= limit <= MAX_LIMIT:
        raise QueryInvalid(f"--limit: a page has 1 to {MAX_LIMIT:,} rows, not {limit:,}")
    return limit
