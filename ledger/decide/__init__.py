"""Every command's rule, found by its model. A new command needs nothing here unless it comes in a file of its own."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ledger.decide import (
    accounts,
    bills,
    coins,
    devices,
    holds,
    methods,
    notices,
    orders,
    phones,
    plans,
    postpaid,
    refunds,
    renewals,
    subscriptions,
)
from ledger.decide.rule import Ledger, Rule, Wanted
from ledger.model import Decision
from messages.commands import Command

RULES: dict[Any, Rule] = {
    **accounts.RULES,
    **bills.RULES,
    **coins.RULES,
    **devices.RULES,
    **holds.RULES,
    **methods.RULES,
    **notices.RULES,
    **orders.RULES,
    **phones.RULES,
    **plans.RULES,
    **postpaid.RULES,
    **refunds.RULES,
    **renewals.RULES,
    **subscriptions.RULES,
}


def needs(command: Command, wanted: Wanted) -> None:
    """Add to `wanted` what deciding the command takes."""
    RULES[type(command)].needs(command, wanted)


def decide(command: Command, ledger: Ledger, now: datetime) -> Decision:
    """What becomes of the command: a pure function of the rows it asked for and of `now`."""
    return RULES[type(command)].decide(command, ledger, now)


__all__ = ["RULES", "Ledger", "Rule", "Wanted", "decide", "needs"]
