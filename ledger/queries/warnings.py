"""The list of custom warnings. (The presets are nobody's to set, and are not in it.)"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import psycopg

from ledger.queries.conditions import Conditions, usable
from ledger.queries.named import accounts_named, root_named
from ledger.queries.page import DEFAULT_LIMIT, Page, checked_limit

_LIST = """
SELECT w.warning, a.account, setter.account, w.amount, w.percent, w.emails, w.set_at, f.fired_at
FROM warning w
JOIN account a ON a.id = w.account
JOIN account setter ON setter.id = w.set_by
LEFT JOIN warned f ON f.account = w.account AND f.threshold = 'custom:' || w.warning
WHERE {conditions}
ORDER BY w.warning
LIMIT %(rows)s"""


class WarningRow(NamedTuple):
    """A warning below an `amount`, or below a `percent` of the reference; without `emails` it goes to whoever set it.

    fired_at: since when available is below it; None while it waits to fire.
    """

    warning: str
    account: str
    set_by: str
    amount: int | None
    percent: int | None
    emails: list[str]
    set_at: datetime
    fired_at: datetime | None


def warnings(
    connection: psycopg.Connection[Any],
    *,
    accounts: Sequence[str] = (),
    search: str | None = None,
    within: str | None = None,
    limit: int = DEFAULT_LIMIT,
    after: str | None = None,
) -> Page[WarningRow]:
    """Warnings that were not removed, in the order of their ids; `search` in id and e-mails.

    `within`: those about that account and the ones below it, and no others.
    The cursor is the last one's id. Raises NotFound, QueryInvalid.
    """
    where = Conditions("w.removed_at IS NULL")
    where.of_accounts("w.account", [one.id for one in accounts_named(connection, accounts)])
    where.of_subtree("w.account", root_named(connection, within))
    where.contains(("w.warning", r"array_to_string(w.emails, E'\n')"), search)
    if after is not None:
        where.add("w.warning > %(after)s", after=usable(after, "--after"))
    found = connection.execute(
        _LIST.format(conditions=where), {**where.parameters, "rows": checked_limit(limit) + 1}
    ).fetchall()
    rows = [WarningRow(*row) for row in found[:limit]]
    return Page(rows, rows[-1].warning if len(found) > limit else None)
