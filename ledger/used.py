"""What running phones have used so far: not charged yet, and yet gone."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import psycopg

# Of each phone what PowerOff would charge now (`fees.py`), at the payer and, in full, at the sponsor too.
USED = """
  SELECT u.account,
         sum(ceil(greatest(1, ceil(extract(epoch FROM %(now)s::timestamptz - p.power_up_at) / 60))
                  * p.rate::numeric))::bigint AS coins
  FROM session p
  CROSS JOIN LATERAL (VALUES (p.payer), (p.sponsor)) AS u(account)
  WHERE p.power_down_at IS NULL AND u.account IS NOT NULL AND {running}
  GROUP BY u.account"""
OF_THESE = "(p.payer = ANY(%(accounts)s::int8[]) OR p.sponsor = ANY(%(accounts)s::int8[]))"

_LEFT = f"""
SELECT a.id, a.credit + a.credit_limit - a.frozen - coalesce(used.coins, 0)
FROM account a
LEFT JOIN ({USED.format(running=OF_THESE)}) used ON used.account = a.id
WHERE a.id = ANY(%(accounts)s::int8[])"""


def left(connection: psycopg.Connection[Any], accounts: Iterable[int], now: datetime) -> dict[int, int]:
    """What each account has available at `now`, less what running phones have used of it, by the accounts' keys."""
    values = {"accounts": list(accounts), "now": now}
    return dict(connection.execute(_LEFT, values).fetchall())
