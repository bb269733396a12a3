"""Cloud phones run by the minute: PowerOn, PowerOff."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from ledger.decide.charges import (
    beyond_counting,
    charge,
    exhausted,
    may_purchase,
    payers_of,
    plan_for,
    settled_payers,
    short_of,
)
from ledger.decide.checks import closed, missing
from ledger.decide.methods import needs_method
from ledger.decide.orders import COMPLETED
from ledger.decide.rule import Ledger, Rule, Wanted
from ledger.fees import running_fee, started_minutes
from ledger.model import Applied, Decision, Rejected, Transaction, TransactionType, WithTransaction
from ledger.records import Order, Phone, Plan, Session
from messages.commands import BALANCE, PowerOff, PowerOn
from messages.fields import time_text
from messages.reasons import Reason


def _needs_on(command: PowerOn, wanted: Wanted) -> None:
    wanted.accounts.add(command.account)
    wanted.row(Session, command.session)
    wanted.row(Order, command.session)
    wanted.row(Phone, command.phone)
    # As for any new order, should somebody ask to pay it.
    needs_method("", command.account, wanted)
    if command.plan:
        wanted.row(Plan, command.plan)


def _on(command: PowerOn, ledger: Ledger, now: datetime) -> Decision:
    account = ledger.account(command.account)
    if account is None:
        return missing(command.account)
    if refused := may_purchase(account, ledger):
        return refused
    plan = plan_for(command.plan, "phone", ledger)
    if isinstance(plan, Rejected):
        return plan
    rate = command.rate if command.rate is not None else plan.rate if plan else None
    if rate is None:
        return Rejected(
            Reason.PRICE_REQUIRED, "Neither the command nor a plan says what a minute costs; give a rate."
        )
    if ledger.get(Order, command.session) is not None:
        return Rejected(Reason.SESSION_EXISTS, f"There is a session or an order {command.session} already.")
    phone: Phone | None = ledger.get(Phone, command.phone)
    if phone is not None and phone.session is not None:
        # Not in which session: it may be somebody else's.
        return Rejected(Reason.SESSION_EXISTS, f"{command.phone} is running already; power it off first.")
    payers = payers_of(account, ledger)
    if refused := short_of(payers, 1):
        return refused
    return Applied(
        (account,),
        changes=(
            Order(
                order_id=command.session,
                account=account.id,
                kind="phone",
                product=plan.name if plan else None,
                plan=command.plan,
                price=None,
                quantity=1,
                amount=None,
                status="running",
                method=BALANCE,
                payer=command.payer,
                phone=command.phone,
                details=None,
                created_at=now,
            ),
            Session(
                session=command.session,
                account=account.id,
                payer=payers.payer.id,
                sponsor=payers.sponsor.id if payers.sponsor else None,
                phone=command.phone,
                rate=rate,
                power_up_at=command.at,
                power_down_at=None,
                minutes=None,
            ),
            Phone(command.phone, command.session),
        ),
    )


def _needs_off(command: PowerOff, wanted: Wanted) -> None:
    wanted.row(Session, command.session)


def _off(command: PowerOff, ledger: Ledger, now: datetime) -> Decision:
    session: Session | None = ledger.get(Session, command.session)
    if session is None:
        return Rejected(Reason.SESSION_NOT_FOUND, f"There is no session {command.session}.")
    payers = settled_payers(session, ledger)
    if refused := closed(payers.account):
        return refused
    minutes = started_minutes(session.power_up_at, command.at)
    fee = running_fee(session.rate, minutes)
    if refused := beyond_counting(payers, fee):
        return refused
    if session.power_down_at is not None:
        return Rejected(
            Reason.SESSION_CLOSED, f"{session.session} ended at {time_text(session.power_down_at)}."
        )
    if command.at < session.power_up_at:
        return Rejected(
            Reason.INVALID_TIME, f"{session.session} began only at {time_text(session.power_up_at)}."
        )
    order: Order = ledger.get(Order, session.session)
    done = replace(order, amount=fee, status=COMPLETED, paid_at=now)
    ended = (
        replace(session, power_down_at=command.at, minutes=minutes),
        Phone(session.phone, None),
    )
    if fee == 0:
        return Applied((payers.account,), changes=(done, *ended))
    return Applied(
        (payers.account,),
        Transaction(
            payers.account,
            charge(payers, fee, TransactionType.RUNNING_FEE),
            item=order.product,
            devices=[session.phone],
            order=session.session,
            payer=order.payer,
        ),
        (WithTransaction(done), *ended),
        announced=exhausted(payers, fee),
    )


RULES = {PowerOn: Rule(_needs_on, _on), PowerOff: Rule(_needs_off, _off)}
