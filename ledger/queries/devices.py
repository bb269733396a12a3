"""The list of devices that are onboarded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import psycopg

from ledger.errors import QueryInvalid
from ledger.queries.conditions import Conditions, usable
from ledger.queries.named import accounts_named, root_named
from ledger.queries.page import DEFAULT_LIMIT, Page, checked_limit

MAX_DAYS = 36_500

# The page first: which subscription pays is looked up for what is shown alone. Of several it is the one that is due first.
# (OFFSET 0 has them looked up by their goods, of which there is an index, whatever the account has subscribed to besides.)
_LIST = """
WITH page AS MATERIALIZED (
  SELECT d.*
  FROM device d
  WHERE {conditions}
  ORDER BY d.device
  LIMIT %(rows)s
)
SELECT d.device, a.account, d.plan, d.onboarded_at, d.paid_until, paying.subscription
FROM page d
JOIN account a ON a.id = d.account
LEFT JOIN LATERAL (
  SELECT s.subscription
  FROM (SELECT * FROM subscription WHERE goods @> ARRAY[d.device] OFFSET 0) s
  WHERE s.kind = 'device' AND s.account = d.account AND s.status <> 'canceled'
  ORDER BY s.next_payment_at, s.subscription
  LIMIT 1
) paying ON true
ORDER BY d.device"""


class DeviceRow(NamedTuple):
    """A device; `paid_until` is None where nothing is due for it, `subscription` where none that is live pays for it."""

    device: str
    account: str
    plan: str | None
    onboarded_at: datetime
    paid_until: datetime | None
    subscription: str | None


@dataclass(frozen=True, slots=True)
class DeviceFilter:
    """`expiring_within` days from now; `expired`: already. Both together: either. `search`: in the device's id.

    `within`: devices of that account and of those below it, and no others.
    """

    accounts: Sequence[str] = ()
    expiring_within: int | None = None
    expired: bool = False
    search: str | None = None
    within: str | None = None


def devices(
    connection: psycopg.Connection[Any],
    chosen: DeviceFilter | None = None,
    *,
    now: datetime,
    limit: int = DEFAULT_LIMIT,
    after: str | None = None,
) -> Page[DeviceRow]:
    """Devices that are onboarded, in the order of their ids. The cursor is the last one's id.

    Raises NotFound, QueryInvalid.
    """
    chosen = chosen or DeviceFilter()
    where = Conditions("d.account IS NOT NULL")
    if chosen.accounts:
        owners = accounts_named(connection, chosen.accounts)
        where.add("d.account = ANY(%(owners)s::bigint[])", owners=[one.id for one in owners])
    where.of_subtree("d.account", root_named(connection, chosen.within))
    _by_expiry(where, chosen, now)
    where.contains(("d.device",), chosen.search)
    if after is not None:
        where.add("d.device > %(after)s", after=usable(after, "--after"))
    found = connection.execute(
        _LIST.format(conditions=where), {**where.parameters, "rows": checked_limit(limit) + 1}
    ).fetchall()
    rows = [DeviceRow(*row) for row in found[:limit]]
    return Page(rows, rows[-1].device if len(found) > limit else None)


def _by_expiry(where: Conditions, chosen: DeviceFilter, now: datetime) -> None:
    days = chosen.expiring_within
    if days is not None:
        if not 0 <= days <= MAX_DAYS:
            raise QueryInvalid(f"--expiring-within: give 0 to {MAX_DAYS:,} days, not {days:,}")
        where.add("d.paid_until <= %(until)s", until=now + timedelta(days=days))
        if not chosen.expired:
            where.add("d.paid_until > %(now)s", now=now)
    elif chosen.expired:
        where.add("d.paid_until <= %(now)s", now=now)
