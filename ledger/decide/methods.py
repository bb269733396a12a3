"""By which methods accounts of a country may pay: PutPaymentMethods, and the check of those who pay."""

from __future__ import annotations

from datetime import datetime

from ledger.decide.rule import Ledger, Rule, Wanted
from ledger.model import Account, Applied, Decision, Rejected
from ledger.records import PaymentMethods
from messages.commands import PutPaymentMethods
from messages.reasons import Reason

OFFLINE = "offline"


def needs_method(method: str, payer: str, wanted: Wanted) -> None:
    """What it takes to check a method: the list of the country that `payer`, an account or an order of one, is in."""
    if method != OFFLINE:
        wanted.row(PaymentMethods, payer)


def not_available(account: Account, method: str, ledger: Ledger) -> Rejected | None:
    """Whether an account of its country may pay by that method."""
    if method == OFFLINE or account.country is None:
        return None
    allowed: PaymentMethods | None = ledger.get(PaymentMethods, account.country)
    if allowed is None or method in allowed.methods:
        return None
    return Rejected(
        Reason.PAYMENT_METHOD_NOT_AVAILABLE,
        f"In {account.country} one cannot pay by {method}; choose {', '.join(dict.fromkeys([*allowed.methods, OFFLINE]))}.",
    )


def _needs_put(command: PutPaymentMethods, wanted: Wanted) -> None:
    wanted.row(PaymentMethods, command.country)


def _put(command: PutPaymentMethods, ledger: Ledger, now: datetime) -> Decision:
    return Applied(changes=(PaymentMethods(command.country, command.methods),))


RULES = {PutPaymentMethods: Rule(_needs_put, _put)}
