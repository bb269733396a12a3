"""Charges: who pays for a purchase, whether they can, and what is posted.

own:        the account's coins            → revenue
shared:     its master's coins             → revenue
sponsored:  its allotment → allotments, and its sponsor's coins → revenue
"""

from __future__ import annotations

from ledger.decide.checks import closed, contact, suspended
from ledger.decide.rule import Ledger
from ledger.model import Account, Leg, Plan, Rejected, System, TransactionType, Unit
from messages.fields import MAX_AMOUNT
from messages.reasons import Reason


def payers(account: Account, ledger: Ledger) -> tuple[Account, ...]:
    """The accounts whose coins or allotment pay for what `account` buys; the first is the one it is charged on."""
    if account.funding == "shared":
        return (ledger.by_key(account.draws_from),)
    if account.sponsor is not None:
        return (account, ledger.by_key(account.sponsor))
    return (account,)


def may_purchase(account: Account, ledger: Ledger) -> Rejected | None:
    """Closed and suspended, of the account and of everybody on whose coins it buys."""
    if account.funding == "own":
        return closed(account) or suspended(account)
    paying = payers(account, ledger)
    return closed(account, *paying) or suspended(account, *paying)


def short_of(account: Account, amount: int, ledger: Ledger) -> Rejected | None:
    """Whether everybody who would pay has `amount` available. Nothing is said of a third party's balance."""
    ask = f"ask {contact(account)} for more"
    if account.funding == "shared":
        if ledger.by_key(account.draws_from).available < amount:
            return Rejected(
                Reason.MASTER_INSUFFICIENT_CREDIT,
                f"The shared balance that {account.name} draws on does not cover {amount:,}; {ask}.",
            )
        return None
    if account.available < amount:
        return Rejected(
            Reason.INSUFFICIENT_CREDIT,
            f"{account.name} has {account.available:,} available, {amount:,} are needed; {ask}.",
        )
    if account.sponsor is not None and ledger.by_key(account.sponsor).available < amount:
        return Rejected(
            Reason.SPONSOR_INSUFFICIENT_CREDIT,
            f"The sponsor of {account.name} cannot cover {amount:,}; {ask}.",
        )
    return None


def charge(account: Account, amount: int, type_: TransactionType, ledger: Ledger) -> tuple[Leg, ...]:
    """The entries of a charge of `amount` on whoever pays for `account`."""
    if account.funding == "own":
        return (
            Leg(account, -amount, type_, consumer=account.id),
            Leg(System.REVENUE, amount, type_),
        )
    if account.funding == "shared":
        return (
            Leg(ledger.by_key(account.draws_from), -amount, type_, consumer=account.id),
            Leg(System.REVENUE, amount, type_),
        )
    sponsor = ledger.by_key(account.sponsor or 0)
    return (
        Leg(account, -amount, type_, Unit.ALLOTMENT, counterparty=sponsor.id, consumer=account.id),
        Leg(System.ALLOTMENTS, amount, type_, Unit.ALLOTMENT),
        Leg(sponsor, -amount, type_, counterparty=account.id, consumer=account.id),
        Leg(System.REVENUE, amount, type_),
    )


def plan_for(id_: str | None, kind: str, ledger: Ledger) -> Plan | Rejected | None:
    """The plan of that id, if it exists and is of that kind."""
    if id_ is None:
        return None
    plan: Plan | None = ledger.get(Plan, id_)
    if plan is None:
        return Rejected(Reason.PLAN_NOT_FOUND, f"There is no plan {id_}.")
    if plan.kind != kind:
        return Rejected(
            Reason.PLAN_KIND_MISMATCH, f"{plan.name} ({id_}) is of kind {plan.kind}; {kind} is needed."
        )
    return plan


def price_of(price: int | None, plan: Plan | None) -> int | Rejected:
    """What one costs: the price given, else the plan's."""
    found = price if price is not None else plan.price if plan else None
    if found is None:
        what = f"{plan.name} ({plan.plan}) has no price" if plan else "No plan is named"
        return Rejected(Reason.PRICE_REQUIRED, f"{what}; give a price.")
    return found


def total_of(price: int, quantity: int) -> int | Rejected:
    total = price * quantity
    if total > MAX_AMOUNT:
        return Rejected(Reason.AMOUNT_TOO_LARGE, f"{quantity:,} × {price:,} is more than {MAX_AMOUNT:,}.")
    return total
