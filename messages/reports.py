"""The lists that can be exported, and what may be chosen of each (CONTRACT §10): names are those of the flags."""

from __future__ import annotations

import re
from datetime import date
from enum import StrEnum
from typing import Any

from .fields import parse_time

_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)

MAX_VALUES = 100
MAX_DAYS = 36_500


class Report(StrEnum):
    STATEMENT = "statement"
    ACCOUNTS = "accounts"
    ORDERS = "orders"
    SUBSCRIPTIONS = "subscriptions"
    ALLOCATIONS = "allocations"
    HOLDS = "holds"
    BILLS = "bills"
    DEVICES = "devices"
    PLANS = "plans"
    PAYMENT_METHODS = "payment-methods"
    WARNINGS = "warnings"
    EXPORTS = "exports"
    RECEIPTS = "receipts"


SWITCHES = frozenset({"subtree", "expired"})
NUMBERS = frozenset({"expiring-within"})
DAYS = frozenset({"from", "to"})
SEARCH = "search"

FILTERS: dict[Report, frozenset[str]] = {
    Report.STATEMENT: frozenset(
        {"from", "to", "type", "category", "item", "device", "order", "actor", "subtree", "search"}
    ),
    Report.ACCOUNTS: frozenset({"under", "kind", "state", "search"}),
    Report.ORDERS: frozenset({"account", "from", "to", "kind", "status", "product", "phone", "search"}),
    Report.SUBSCRIPTIONS: frozenset({"account", "status", "payment-method", "kind", "search"}),
    Report.ALLOCATIONS: frozenset({"reseller", "customer", "from", "to", "search"}),
    Report.HOLDS: frozenset({"search"}),
    Report.BILLS: frozenset({"account", "status", "from", "to", "search"}),
    Report.DEVICES: frozenset({"account", "expiring-within", "expired", "search"}),
    Report.PLANS: frozenset({"kind", "search"}),
    Report.PAYMENT_METHODS: frozenset({"search"}),
    Report.WARNINGS: frozenset({"account", "search"}),
    Report.EXPORTS: frozenset({"account", "search"}),
    Report.RECEIPTS: frozenset({"account", "search"}),
}


def checked_filters(report: Report, filters: dict[str, Any]) -> None:
    """Raises ValueError for a filter that the list does not have, or a value that it cannot take."""
    allowed = FILTERS[report]
    for name, value in filters.items():
        if name not in allowed:
            raise ValueError(f"filters: {report} has no {name!r}; it has {', '.join(sorted(allowed))}")
        if name in SWITCHES:
            if not isinstance(value, bool):
                raise ValueError(f"filters.{name}: must be true or false")
        elif name in NUMBERS:
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_DAYS:
                raise ValueError(f"filters.{name}: must be 0 to {MAX_DAYS} days")
        elif name in DAYS:
            _day(name, value)
        elif name == SEARCH:
            _text(name, value)
        else:
            values = value if isinstance(value, list) else [value]
            if not 1 <= len(values) <= MAX_VALUES:
                raise ValueError(f"filters.{name}: give 1 to {MAX_VALUES} values")
            for one in values:
                _text(name, one)


def _text(name: str, value: Any) -> None:
    if not isinstance(value, str) or "\x00" in value or len(value) > 500:
        raise ValueError(f"filters.{name}: must be a text of at most 500 characters without NUL")


def _day(name: str, value: Any) -> None:
    """A date, or a moment with its zone."""
    _text(name, value)
    try:
        if _DATE.fullmatch(value):
            date.fromisoformat(value)
        else:
            parse_time(value)
    except ValueError:
        raise ValueError(
            f"filters.{name}: must be a date, or a time with its zone, as in 2026-11-22 or 2026-11-22T08:00:00Z"
        ) from None
