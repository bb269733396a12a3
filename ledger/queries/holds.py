"""What is frozen at an account: open holds, and resources that are paid for after use."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import psycopg

from ledger.errors import QueryInvalid
from ledger.queries.conditions import Conditions, usable
from ledger.queries.named import account_named
from ledger.queries.page import DEFAULT_LIMIT, ZonedPage, checked_limit

# Its own, and what others have frozen on its coins: as their master, or as their sponsor.
_CONCERNS = "(one.account = %(id)s OR one.payer = %(id)s OR one.sponsor = %(id)s)"
_FROZEN = f"""
WITH frozen AS (
  SELECT 'hold' AS what, one.hold AS id, one.account, one.purpose, NULL AS coefficient, one.amount AS frozen,
         one.remaining, one.placed_at AS since, one.expires_at
  FROM hold one
  WHERE one.state = 'open' AND {_CONCERNS}
  UNION ALL
  SELECT 'resource', one.resource, one.account, p.name, one.coefficient, one.frozen,
         one.remaining, one.activated_at, NULL
  FROM resource one
  LEFT JOIN plan p ON p.plan = one.plan
  WHERE one.state = 'active' AND {_CONCERNS}
)"""

_LIST = f"""{_FROZEN}
SELECT f.what, f.id, a.account, f.purpose, f.coefficient, f.frozen, f.remaining, f.since, f.expires_at
FROM frozen f
JOIN account a ON a.id = f.account
WHERE {{conditions}}
ORDER BY f.since DESC, f.what DESC, f.id DESC
LIMIT %(rows)s"""

_SUM = f"""{_FROZEN}
SELECT coalesce(sum(f.remaining), 0)::bigint
FROM frozen f
WHERE {{conditions}}"""

# By its id whatever became of it: a hold that was released meanwhile still says where its page ended.
_LAST = {
    "hold": "SELECT placed_at FROM hold WHERE hold = %(id)s",
    "resource": "SELECT activated_at FROM resource WHERE resource = %(id)s",
}


class HoldRow(NamedTuple):
    """Something that is frozen: a hold or a resource, the other one is None.

    account: who froze it. purpose: what for; of a resource its plan's name. coefficient: decimal text, of a resource
    only. frozen: at the beginning, `remaining` of it still is. release: how to get it back.
    """

    hold: str | None
    resource: str | None
    account: str
    purpose: str | None
    coefficient: str | None
    frozen: int
    remaining: int
    since: datetime
    expires_at: datetime | None
    release: str


@dataclass(frozen=True, slots=True)
class Holds(ZonedPage[HoldRow]):
    """A page of what is frozen. `remaining` is the sum over all pages.

    Without a search it is what the account has frozen; of a shared account, its own part of what its master has.
    """

    account: str
    remaining: int


def holds(
    connection: psycopg.Connection[Any],
    account: str,
    *,
    now: datetime,
    search: str | None = None,
    limit: int = DEFAULT_LIMIT,
    after: str | None = None,
) -> Holds:
    """What is frozen at the account, the newest first; `search` in id and purpose. Raises NotFound, QueryInvalid.

    The cursor names the last one: `hold/<id>` or `resource/<id>`.
    """
    named = account_named(connection, account)
    where = Conditions()
    where.contains(("f.id", "f.purpose"), search)
    total = connection.execute(_SUM.format(conditions=where), {**where.parameters, "id": named.id}).fetchone()
    assert total is not None
    if after is not None:
        what, id_, since = _last(connection, after)
        where.add(
            "(f.since, f.what, f.id) < (%(last_since)s, %(last_what)s, %(last_id)s)",
            last_since=since,
            last_what=what,
            last_id=id_,
        )
    found = connection.execute(
        _LIST.format(conditions=where),
        {**where.parameters, "id": named.id, "rows": checked_limit(limit) + 1},
    ).fetchall()
    rows = [_row(*row, now=now) for row in found[:limit]]
    following = f"{found[limit - 1][0]}/{found[limit - 1][1]}" if len(found) > limit else None
    return Holds(rows, following, named.timezone, named.account, total[0])


def _row(what: str, id_: str, *values: Any, now: datetime) -> HoldRow:
    hold, resource = (id_, None) if what == "hold" else (None, id_)
    expires_at: datetime | None = values[-1]
    if resource is not None:
        release = f"coins do TerminatePostpaid resource={resource}"
    elif expires_at is not None and expires_at <= now:
        release = "it is past its expiry: no command, the hold expiry job releases it"
    else:
        release = f"coins do ReleaseHold hold={hold}"
    return HoldRow._make((hold, resource, *values, release))


def _last(connection: psycopg.Connection[Any], cursor: str) -> tuple[str, str, datetime]:
    what, _, id_ = cursor.partition("/")
    row = (
        connection.execute(_LAST[what], {"id": usable(id_, "--after")}).fetchone() if what in _LAST else None
    )
    if row is None:
        raise QueryInvalid(
            f"--after: {cursor!r} is no hold and no resource; give the cursor that the page before ended with"
        )
    return what, id_, row[0]
