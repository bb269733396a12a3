"""The columns of a list: its rows' fields by their names, and of which kind each is, which its type tells."""

from __future__ import annotations

from datetime import datetime
from enum import Enum, auto
from types import NoneType, UnionType
from typing import Any, Final, NamedTuple, get_args, get_type_hints

from ledger.periods import Cycle


class Kind(Enum):
    """How a field is written. Amounts are integers in the smallest unit, decimals are texts such as `0.5`."""

    TEXT = auto()
    TEXTS = auto()
    AMOUNT = auto()
    COUNT = auto()
    PERCENT = auto()
    DECIMAL = auto()
    MOMENT = auto()
    CYCLE = auto()
    MAPPING = auto()


class Column(NamedTuple):
    name: str
    kind: Kind


_BY_TYPE: Final[dict[Any, Kind]] = {
    str: Kind.TEXT,
    int: Kind.AMOUNT,
    datetime: Kind.MOMENT,
    list[str]: Kind.TEXTS,
    Cycle: Kind.CYCLE,
    dict[str, Any]: Kind.MAPPING,
}
# What the type does not tell.
_BY_NAME: Final[dict[str, Kind]] = {
    "subtree_accounts": Kind.COUNT,
    "rows": Kind.COUNT,
    "bytes": Kind.COUNT,
    "percent": Kind.PERCENT,
    "rate": Kind.DECIMAL,
    "coefficient": Kind.DECIMAL,
}


def columns_of(row: type) -> tuple[Column, ...]:
    """The columns of a query's row, a NamedTuple, in its order."""
    return tuple(
        Column(name, _BY_NAME[name] if name in _BY_NAME else _BY_TYPE[_there(type_)])
        for name, type_ in get_type_hints(row).items()
    )


def _there(type_: Any) -> Any:
    """The type of a value that is there: of `str | None`, str."""
    if not isinstance(type_, UnionType):
        return type_
    (one,) = (part for part in get_args(type_) if part is not NoneType)
    return one
