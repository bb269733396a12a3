"""What is tidied up when its time is over: holds that have expired, orders that nobody has paid."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

import psycopg

from ledger.decide.due import UNPAID_FOR, expire_hold, give_up_order
from ledger.records import Hold, Order, Row
from ledger.upkeep import Kept, Rule, keep_up
from workers.jobs.run import Run

AT_ONCE = 500

# The cursor: what a rule leaves as it is must not be found for ever.
_EXPIRED_HOLDS = """
SELECT hold FROM hold
WHERE state = 'open' AND expires_at IS NOT NULL AND expires_at <= %(before)s AND hold > %(after)s
ORDER BY hold LIMIT %(rows)s"""
_UNPAID_ORDERS = """
SELECT order_id FROM orders
WHERE status = 'pending_payment' AND created_at <= %(before)s AND order_id > %(after)s
ORDER BY order_id LIMIT %(rows)s"""


def expire_holds(run: Run) -> str:
    """Release holds past `expires_at`: what is still frozen by them is free again."""

    def told(kept: Kept) -> str:
        (hold,) = kept.applied.changes
        assert isinstance(hold, Hold)
        return f"expired at {hold.expires_at:%Y-%m-%d %H:%M:%S} UTC"

    count = _each(run, _EXPIRED_HOLDS, run.now, Hold, expire_hold, told)
    return f"{count:,} holds expired"


def cancel_unpaid_orders(run: Run) -> str:
    """Cancel orders that have waited for their payment for more than 24 hours."""

    def told(kept: Kept) -> str:
        (order,) = kept.applied.changes
        assert isinstance(order, Order)
        return f"placed {order.created_at:%Y-%m-%d %H:%M} UTC, {order.amount:,} not paid"

    count = _each(run, _UNPAID_ORDERS, run.now - UNPAID_FOR, Order, give_up_order, told)
    return f"{count:,} unpaid orders canceled"


def _each(
    run: Run, query: str, before: datetime, kind: type[Row], rule: Rule, told: Callable[[Kept], str]
) -> int:
    """Apply the rule to everything that is found, some hundreds a transaction."""
    after, count = "", 0
    while True:
        run.check()
        keys = [
            key
            for (key,) in run.connection.execute(
                query, {"before": before, "after": after, "rows": AT_ONCE}
            ).fetchall()
        ]
        if not keys:
            return count
        count += sum(run.each(keys, partial(_keep, run, kind=kind, rule=rule, told=told), str))
        after = keys[-1]


def _keep(
    run: Run,
    connection: psycopg.Connection[Any],
    keys: list[str],
    *,
    kind: type[Row],
    rule: Rule,
    told: Callable[[Kept], str],
) -> int:
    kept = keep_up(connection, kind, keys, rule, run.now)
    for one in kept:
        run.item(str(one.key), detail=told(one))
    return len(kept)
