"""Renewal: one more cycle of devices, or of a subscription."""

from __future__ import annotations

from datetime import datetime

from ledger.decide import devices, subscriptions
from ledger.decide.charges import may_purchase
from ledger.decide.checks import missing
from ledger.decide.rule import Ledger, Rule, Wanted
from ledger.model import Decision
from messages.commands import Renewal


def _needs(command: Renewal, wanted: Wanted) -> None:
    wanted.accounts.add(command.account)
    if command.devices is not None:
        devices.needs_renewal(command, wanted)
    else:
        subscriptions.needs_renewal(command, wanted)


def _decide(command: Renewal, ledger: Ledger, now: datetime) -> Decision:
    account = ledger.account(command.account)
    if account is None:
        return missing(command.account)
    if refused := may_purchase(account, ledger):
        return refused
    if command.devices is not None:
        return devices.renew(command.devices, command, account, ledger, now)
    return subscriptions.renew(command, account, ledger, now)


RULES = {Renewal: Rule(_needs, _decide)}
