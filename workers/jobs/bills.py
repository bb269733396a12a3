"""Bills: one for each sponsored account and month that is over in its zone, with what was charged and not yet billed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import psycopg

from ledger.billing import issue, month_of
from workers.jobs.marks import mark
from workers.jobs.run import Run

JOB = "bills"
AT_ONCE = 50

_ZONES = "SELECT DISTINCT timezone FROM account WHERE funding = 'sponsored'"
# The first entry says from which month on there can be anything to bill.
_DUE = f"""
SELECT a.id, a.account, a.timezone, coalesce(m.until, first.time)
FROM account a
JOIN unnest(%(zones)s::text[], %(ends)s::timestamptz[]) AS z(zone, ended_at) ON z.zone = a.timezone
LEFT JOIN job_mark m ON m.job = '{JOB}' AND m.subject = a.id
LEFT JOIN entry first ON first.account = a.id AND first.account > 0 AND first.version = 1
WHERE a.funding = 'sponsored' AND a.id > %(after)s AND coalesce(m.until, '-infinity') < z.ended_at
ORDER BY a.id
LIMIT %(rows)s"""


class _Due(NamedTuple):
    id: int
    account: str
    zone: str
    since: datetime | None


def issue_bills(run: Run) -> str:
    """Issue every bill that is due by the run's clock; months that were missed each get their own."""
    zones = [zone for (zone,) in run.connection.execute(_ZONES)]
    ends = [month_of(_last_month(zone, run.now), zone)[1] for zone in zones]
    after, count = 0, 0
    while True:
        run.check()
        values = {"zones": zones, "ends": ends, "after": after, "rows": AT_ONCE}
        due = [_Due(*row) for row in run.connection.execute(_DUE, values)]
        if not due:
            return f"{count:,} bills issued"
        # Each alone: its account is locked until its bill is committed, and may have many lines.
        for one in due:
            count += sum(run.each([one], partial(_issue, run), lambda one: one.account))
        after = due[-1].id


def _issue(run: Run, connection: psycopg.Connection[Any], due: list[_Due]) -> int:
    count = 0
    for one in due:
        last = _last_month(one.zone, run.now)
        for month in _months(one, last):
            bill = issue(connection, one.account, month, run.now)
            if bill is not None:
                count += 1
                run.item(bill.bill, detail=f"{bill.charged:,} charged, {bill.refunded:,} of it refunded")
        mark(connection, JOB, month_of(last, one.zone)[1], one.id)
    return count


def _months(due: _Due, last: date) -> Iterator[date]:
    """Every month from the first that was not looked at up to the last that is over; none without an entry."""
    if due.since is None:
        return
    local = due.since.astimezone(ZoneInfo(due.zone))
    month = date(local.year, local.month, 1)
    while month <= last:
        yield month
        month = (month + timedelta(days=32)).replace(day=1)


def _last_month(zone: str, now: datetime) -> date:
    """The month that is over in the zone."""
    local = now.astimezone(ZoneInfo(zone)).date()
    return (local.replace(day=1) - timedelta(days=1)).replace(day=1)
