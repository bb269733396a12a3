"""Device notices: seven days before a device is no longer paid for, and when it no longer is.

What a notice is about is the moment until which a device is paid for. A mark remembers up to which of these moments all has
been told, and within that moment up to which device: however many expire together, they are told in portions, each with the
mark that it moves, and none twice. After a pause all is made up for that is still true; the first time, all that has expired
and will within seven days is told.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

import psycopg

from ledger import upkeep
from ledger.upkeep import News
from messages.events import EventType
from messages.fields import time_text
from workers.jobs.run import Run

# A renewal that is being committed just now may lead to a moment just ahead of the mark.
LAG = timedelta(minutes=1)
AT_ONCE = 1_000
# Of those that expire at one moment all are sorted, each time one looks.
LOOKED_AT_ONCE = 50_000
BEFORE_ALL = datetime(1970, 1, 1, tzinfo=UTC)

_MARKED = """
SELECT until, place FROM job_mark WHERE job = ANY(%b::text[]) AND subject = 0
ORDER BY until DESC, place DESC NULLS FIRST LIMIT 1"""
_MARK = """
INSERT INTO job_mark (job, subject, until, place) VALUES (%b, 0, %b, %b)
ON CONFLICT (job, subject) DO UPDATE SET until = excluded.until, place = excluded.place"""

_NEXT = """
SELECT device, account, paid_until
FROM device
WHERE account IS NOT NULL AND paid_until >= %(since)s AND paid_until <= %(until)s
  AND (paid_until > %(since)s OR device > %(place)s::text)
ORDER BY paid_until, device
LIMIT %(rows)s"""
# Meanwhile some may have been paid for, or released.
_STILL = """
SELECT d.device, d.account, d.paid_until
FROM unnest(%s::text[], %s::timestamptz[]) AS u(device, paid_until)
JOIN device d ON d.device = u.device AND d.paid_until = u.paid_until
WHERE d.account IS NOT NULL
ORDER BY d.paid_until, d.device"""


class Notice(NamedTuple):
    """A kind of notice: under which name it is marked, its event, how long before the moment it is told, and how late."""

    mark: str
    type: EventType
    ahead: timedelta
    lag: timedelta


EXPIRED = Notice("device-expired", EventType.DEVICE_EXPIRED, timedelta(), timedelta())
EXPIRING = Notice("device-expiring", EventType.DEVICE_EXPIRING, timedelta(days=7), LAG)


class _Place(NamedTuple):
    """Told up to that moment; of the devices that are paid for until just then, up to that one, None: all."""

    paid_until: datetime
    device: str | None


class _Device(NamedTuple):
    device: str
    account: int
    paid_until: datetime


def tell(run: Run) -> str:
    """Say of each device once that it is about to expire, and once that it has."""
    expired = _tell(run, EXPIRED)
    expiring = _tell(run, EXPIRING)
    return f"{expiring:,} devices expire within seven days, {expired:,} have expired"


def _tell(run: Run, notice: Notice) -> int:
    until = run.now + notice.ahead - notice.lag
    place, count = _marked(run, notice), 0
    if notice.ahead and place.paid_until < run.now:
        place = _Place(run.now, None)  # of those that have expired meanwhile, that is told instead
    while found := _next(run, place, until):
        for first in range(0, len(found), AT_ONCE):
            run.check()
            portion = found[first : first + AT_ONCE]
            count += run.transact(partial(_say, run, notice=notice, portion=portion))
        place = _Place(found[-1].paid_until, found[-1].device)
    if until >= place.paid_until:
        run.transact(partial(_move, name=_names(run, notice)[-1], place=_Place(until, None)))
    return count


def _names(run: Run, notice: Notice) -> list[str]:
    """Under which names its marks are; this run's is the last. A clock that is ahead has one of its own: what is told by it
    twice is told once, and what really comes is told all the same.
    """
    is_ahead = run.now > datetime.now(UTC) + LAG
    return [notice.mark, f"{notice.mark}, ahead"][: 1 + is_ahead]


def _marked(run: Run, notice: Notice) -> _Place:
    row = run.connection.execute(_MARKED, (_names(run, notice),)).fetchone()
    return _Place(*row) if row else _Place(BEFORE_ALL, None)


def _next(run: Run, place: _Place, until: datetime) -> list[_Device]:
    values = {"since": place.paid_until, "place": place.device, "until": until, "rows": LOOKED_AT_ONCE}
    return [_Device(*row) for row in run.connection.execute(_NEXT, values)]


def _say(run: Run, connection: psycopg.Connection[Any], *, notice: Notice, portion: list[_Device]) -> int:
    asked = ([one.device for one in portion], [one.paid_until for one in portion])
    still = [_Device(*row) for row in connection.execute(_STILL, asked)]
    upkeep.tell(
        connection,
        [
            News(notice.type, one.account, {"device": one.device, "paid_until": time_text(one.paid_until)})
            for one in still
        ],
        run.now,
    )
    run.tally(done=len(still))
    _move(connection, name=_names(run, notice)[-1], place=_Place(portion[-1].paid_until, portion[-1].device))
    return len(still)


def _move(connection: psycopg.Connection[Any], *, name: str, place: _Place) -> None:
    connection.execute(_MARK, (name, *place))
