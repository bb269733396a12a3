"""By which methods accounts of a country may pay, as it was put."""

from __future__ import annotations

from typing import Any, NamedTuple

import psycopg

from ledger.queries.conditions import Conditions, usable
from ledger.queries.page import DEFAULT_LIMIT, Page, checked_limit

_LIST = """
SELECT m.country, m.methods
FROM payment_methods m
WHERE {conditions}
ORDER BY m.country
LIMIT %(rows)s"""


class PaymentMethodsRow(NamedTuple):
    """A country's methods. `offline` is allowed besides; a country that is not listed allows all."""

    country: str
    methods: list[str]


def payment_methods(
    connection: psycopg.Connection[Any],
    *,
    search: str | None = None,
    limit: int = DEFAULT_LIMIT,
    after: str | None = None,
) -> Page[PaymentMethodsRow]:
    """Countries in order; `search` in country and methods. The cursor is the last country. Raises QueryInvalid."""
    where = Conditions()
    where.contains(("m.country", r"array_to_string(m.methods, E'\n')"), search)
    if after is not None:
        where.add("m.country > %(after)s", after=usable(after, "--after"))
    found = connection.execute(
        _LIST.format(conditions=where), {**where.parameters, "rows": checked_limit(limit) + 1}
    ).fetchall()
    rows = [PaymentMethodsRow(*row) for row in found[:limit]]
    return Page(rows, rows[-1].country if len(found) > limit else None)
