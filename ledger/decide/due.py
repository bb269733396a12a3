"""What becomes of things when their time has come, without a command: holds, and orders that nobody pays.

Rules for `ledger/upkeep.py`: each looks at a locked row and answers with what is to be done, None where it is done already.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from ledger.decide.orders import CANCELED, PENDING
from ledger.decide.rule import Ledger
from ledger.model import Applied
from ledger.records import Hold, Order

UNPAID_FOR = timedelta(hours=24)


def expire_hold(id_: str, ledger: Ledger, now: datetime) -> Applied | None:
    """What is still frozen by a hold past its time is set free."""
    hold: Hold | None = ledger.get(Hold, id_)
    if hold is None or hold.state != "open" or hold.expires_at is None or hold.expires_at > now:
        return None
    expired = replace(hold, remaining=0, state="expired", ended_at=now)
    return Applied((ledger.by_key(hold.account),), changes=(expired,))


def give_up_order(id_: str, ledger: Ledger, now: datetime) -> Applied | None:
    """An order that has waited for its payment for a day is canceled."""
    order: Order | None = ledger.get(Order, id_)
    if order is None or order.status != PENDING or order.created_at > now - UNPAID_FOR:
        return None
    canceled = replace(order, status=CANCELED, canceled_at=now, note="not paid within 24 hours")
    return Applied((ledger.by_key(order.account),), changes=(canceled,))
