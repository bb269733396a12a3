"""Charges: who pays, whether they can, and what is posted.

own:        the account's coins            → revenue
shared:     its master's coins             → revenue
sponsored:  its allotment → allotments, and its sponsor's coins → revenue
"""

from __future__ import annotations

from typing import NamedTuple

from ledger.decide.checks import closed, contact, needed, suspended
from ledger.decide.rule import Ledger
from ledger.model import (
    MAX_BALANCE,
    Account,
    Announcement,
    Leg,
    Rejected,
    System,
    TransactionType,
    Unit,
)
from ledger.records import Hold, Plan, Resource, Session
from messages.events import EventType
from messages.fields import MAX_AMOUNT
from messages.reasons import Reason


class Payers(NamedTuple):
    """Who pays for what `account` uses: `payer`, which is itself or its master, and its sponsor where it has one."""

    account: Account
    payer: Account
    sponsor: Account | None

    @property
    def charged(self) -> tuple[Account, ...]:
        """Everybody from whom it is taken; of a sponsored one its allotment, while it still has one."""
        if self.sponsor is None:
            return (self.payer,)
        return (self.payer, self.sponsor) if self.payer.funding == "sponsored" else (self.sponsor,)

    @property
    def coins(self) -> Account:
        """Whose coins it takes."""
        return self.payer if self.sponsor is None else self.sponsor


def payers_of(account: Account, ledger: Ledger) -> Payers:
    """Who would pay for what the account buys now."""
    if account.funding == "shared":
        return Payers(account, ledger.by_key(account.draws_from), None)
    return Payers(account, account, ledger.by_key(account.sponsor) if account.sponsor is not None else None)


def settled_payers(row: Hold | Resource | Session, ledger: Ledger) -> Payers:
    """Who pays for what was opened: that was settled then."""
    sponsor = ledger.by_key(row.sponsor) if row.sponsor is not None else None
    return Payers(ledger.by_key(row.account), ledger.by_key(row.payer), sponsor)


def may_purchase(account: Account, ledger: Ledger) -> Rejected | None:
    """Closed and suspended, of the account and of everybody on whose coins it buys."""
    if account.funding == "own":
        return closed(account) or suspended(account)
    payers = payers_of(account, ledger)
    return closed(account, payers.payer, payers.coins) or suspended(account, payers.payer, payers.coins)


def short_of(payers: Payers, amount: int) -> Rejected | None:
    """Whether everybody who would pay has `amount` available. Nothing is said of a third party's balance."""
    account, payer, sponsor = payers
    ask = f"ask {contact(account)} for more"
    if payer is not account:
        if payer.available < amount:
            return Rejected(
                Reason.MASTER_INSUFFICIENT_CREDIT,
                f"The shared balance that {account.name} draws on does not cover {amount:,}; {ask}.",
            )
        return None
    if account.available < amount:
        return Rejected(
            Reason.INSUFFICIENT_CREDIT,
            f"{account.name} has {account.available:,} available, {needed(amount)}; {ask}.",
        )
    if sponsor is not None and sponsor.available < amount:
        return Rejected(
            Reason.SPONSOR_INSUFFICIENT_CREDIT,
            f"The sponsor of {account.name} cannot cover {amount:,}; {ask}.",
        )
    return None


def charge(payers: Payers, amount: int, type_: TransactionType) -> tuple[Leg, ...]:
    """The entries of a charge of `amount` on whoever pays."""
    account, payer, sponsor = payers
    if sponsor is None:
        return (
            Leg(payer, -amount, type_, consumer=account.id),
            Leg(System.REVENUE, amount, type_),
        )
    if account.funding != "sponsored":
        return (
            Leg(sponsor, -amount, type_, consumer=account.id),
            Leg(System.REVENUE, amount, type_),
        )
    return (
        Leg(account, -amount, type_, Unit.ALLOTMENT, counterparty=sponsor.id, consumer=account.id),
        Leg(System.ALLOTMENTS, amount, type_, Unit.ALLOTMENT),
        Leg(sponsor, -amount, type_, counterparty=account.id, consumer=account.id),
        Leg(System.REVENUE, amount, type_),
    )


def beyond_counting(payers: Payers, amount: int) -> Rejected | None:
    """Consumption is charged in full, but for what the ledger could not count any more."""
    for one in payers.charged:
        if one.credit - amount < -MAX_BALANCE:
            return Rejected(
                Reason.AMOUNT_TOO_LARGE,
                f"The credit would fall below -{MAX_BALANCE:,}, which cannot be counted.",
            )
    return None


def exhausted(payers: Payers, amount: int, freed: int = 0) -> tuple[Announcement, ...]:
    """Whose available a consumption of `amount` takes below 0, of which `freed` were frozen for it."""
    return tuple(
        Announcement(
            EventType.CREDIT_EXHAUSTED,
            one,
            {"available": one.available - amount + freed, "consumer": payers.account.account},
        )
        for one in payers.charged
        if one.available >= 0 > one.available - amount + freed
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
        return Rejected(Reason.PRICE_REQUIRED, f"{what}; give a price, or a plan that has one.")
    return found


def total_of(price: int, quantity: int) -> int | Rejected:
    total = price * quantity
    if total > MAX_AMOUNT:
        return Rejected(Reason.AMOUNT_TOO_LARGE, f"{quantity:,} × {price:,} is more than {MAX_AMOUNT:,}.")
    return total
