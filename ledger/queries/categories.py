"""What kinds of lines a statement has, and the category that each belongs to (CONTRACT §9)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ledger.queries.conditions import one_of

RECHARGE: Final = "Recharge"
SYSTEM: Final = "System"
EXPENSE: Final = "Expense"

CATEGORY_OF: Final[dict[str, str]] = {
    "recharge": RECHARGE,
    "recharge_reversal": RECHARGE,
    "transfer_in": SYSTEM,
    "transfer_out": SYSTEM,
    "allocation": SYSTEM,
    "reclaim": SYSTEM,
    "credit_return": SYSTEM,
    "onboarding": EXPENSE,
    "renewal": EXPENSE,
    "order": EXPENSE,
    "running_fee": EXPENSE,
    "usage": EXPENSE,
    "capture": EXPENSE,
    "refund": SYSTEM,
    "adjustment": SYSTEM,
}
CATEGORIES: Final = (RECHARGE, SYSTEM, EXPENSE)
TRANSFERS: Final = ("transfer_in", "transfer_out")
# A charge, or a charge given back: somebody used something, and somebody paid.
CONSUMING: Final = frozenset(
    {type_ for type_, category in CATEGORY_OF.items() if category == EXPENSE} | {"refund"}
)


def types_of(types: Iterable[str], categories: Iterable[str]) -> list[str] | None:
    """The types that are meant; `transfer` means both directions. None where nothing is chosen: all of them.

    Raises QueryInvalid for a type or a category that does not exist.
    """
    types = list(types)
    by_lower = {category.lower(): category for category in CATEGORIES}
    chosen = [by_lower.get(category.lower(), category) for category in categories]
    one_of(types, ("transfer", *CATEGORY_OF), flag="--type")
    one_of(chosen, CATEGORIES, flag="--category")
    if not types and not chosen:
        return None
    named = {direction for type_ in types for direction in (TRANSFERS if type_ == "transfer" else (type_,))}
    return [
        type_
        for type_, category in CATEGORY_OF.items()
        if (not types or type_ in named) and (not chosen or category in chosen)
    ]
