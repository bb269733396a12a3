"""What a reader chooses, as SQL: small conditions that are put together with AND, and their parameters."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ledger.errors import QueryInvalid

if TYPE_CHECKING:
    from ledger.queries.named import Named

_LIKE_SPECIAL = str.maketrans({"\\": "\\\\", "%": "\\%", "_": "\\_"})


class Conditions:
    """Conditions of a WHERE clause. `str` gives the SQL; `parameters` what its placeholders stand for."""

    def __init__(self, *fixed: str) -> None:
        self._parts = list(fixed)
        self.parameters: dict[str, Any] = {}

    def __str__(self) -> str:
        return "\n  AND ".join(self._parts) or "true"

    def add(self, condition: str, **parameters: Any) -> None:
        self._parts.append(condition)
        self.parameters.update(parameters)

    def any_of(self, column: str, values: Sequence[str], *, flag: str) -> None:
        """The column has one of the values; no value means no condition."""
        if values:
            name = _name_of(flag)
            self.add(f"{column} = ANY(%({name})s::text[])", **{name: [usable(one, flag) for one in values]})

    def of_accounts(self, column: str, keys: Sequence[int]) -> None:
        """The column names one of the accounts; no account means no condition. One alone keeps the order of an index."""
        if len(set(keys)) == 1:
            self.add(f"{column} = %(of_account)s", of_account=keys[0])
        elif keys:
            self.add(f"{column} = ANY(%(of_accounts)s::bigint[])", of_accounts=list(keys))

    def of_subtree(self, column: str, root: Sequence[Named]) -> None:
        """The column names the root or an account below it; no root means no condition."""
        for one in root:
            self.add(
                f"{column} IN (SELECT below.id FROM account below WHERE below.path @> ARRAY[%(within)s::bigint])",
                within=one.id,
            )

    def contains(
        self,
        expressions: Iterable[str],
        text: str | None,
        *,
        flag: str = "--search",
        otherwise: str = "false",
    ) -> None:
        """One of the expressions contains the text, whatever the case, or the condition `otherwise` holds.

        `%` and `_` are letters like any other.
        """
        if text:
            pattern = f"%{usable(text, flag).translate(_LIKE_SPECIAL)}%"
            alike = " OR ".join(f"{one} ILIKE %(pattern)s" for one in expressions)
            self.add(f"({alike} OR {otherwise})", pattern=pattern)


def usable(text: str, flag: str) -> str:
    """Text that PostgreSQL can compare with. Raises QueryInvalid."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise QueryInvalid(f"{flag}: the text is not valid Unicode; give it in UTF-8") from None
    if "\x00" in text:
        raise QueryInvalid(f"{flag}: a text cannot contain NUL; leave it out")
    return text


def one_of(values: Sequence[str], allowed: Collection[str], *, flag: str) -> None:
    """Raises QueryInvalid for a value that does not exist, with those that do."""
    for value in values:
        if value not in allowed:
            raise QueryInvalid(f"{flag}: there is no {value!r}; choose from {', '.join(allowed)}")


def _name_of(flag: str) -> str:
    return flag.lstrip("-").replace("-", "_")
