"""The list of plans, as they were put."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import psycopg

from ledger.periods import Cycle
from ledger.queries.conditions import Conditions, one_of, usable
from ledger.queries.page import DEFAULT_LIMIT, Page, checked_limit

KINDS = ("onboarding", "renewal", "package", "proxy", "phone", "postpaid")

_LIST = """
SELECT p.plan, p.name, p.kind, p.price, p.rate, p.cycle_unit, p.cycle_count, p.coefficient
FROM plan p
WHERE {conditions}
ORDER BY p.plan
LIMIT %(rows)s"""


class PlanRow(NamedTuple):
    """A plan: `rate` is coins a minute and `coefficient` a factor, both decimal text."""

    plan: str
    name: str
    kind: str
    price: int | None
    rate: str | None
    cycle: Cycle | None
    coefficient: str | None


def plans(
    connection: psycopg.Connection[Any],
    *,
    kinds: Sequence[str] = (),
    search: str | None = None,
    limit: int = DEFAULT_LIMIT,
    after: str | None = None,
) -> Page[PlanRow]:
    """Plans in the order of their ids; `search` in id and name. The cursor is the last one's id. Raises QueryInvalid."""
    one_of(kinds, KINDS, flag="--kind")
    where = Conditions()
    where.any_of("p.kind", kinds, flag="--kind")
    where.contains(("p.plan", "p.name"), search)
    if after is not None:
        where.add("p.plan > %(after)s", after=usable(after, "--after"))
    found = connection.execute(
        _LIST.format(conditions=where), {**where.parameters, "rows": checked_limit(limit) + 1}
    ).fetchall()
    rows = [
        PlanRow(plan, name, kind, price, rate, Cycle(unit, count) if unit else None, coefficient)
        for plan, name, kind, price, rate, unit, count, coefficient in found[:limit]
    ]
    return Page(rows, rows[-1].plan if len(found) > limit else None)
