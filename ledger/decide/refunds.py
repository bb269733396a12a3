"""Charges are given back, in parts, to whoever paid: Refund."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from ledger.decide.bills import CONFIRMED
from ledger.decide.checks import closed, own_coins, too_much
from ledger.decide.orders import no_order
from ledger.decide.past import no_transaction, past_transaction
from ledger.decide.rule import Ledger, Rule, Wanted
from ledger.model import CHARGES, Applied, Decision, Leg, Rejected, System, Transaction, TransactionType, Unit
from ledger.numbers import number_of, transaction_of
from ledger.records import Bill, BillLine, Order, PastTransaction, Returned
from messages.commands import Refund
from messages.reasons import Reason


def _needs_refund(command: Refund, wanted: Wanted) -> None:
    if command.order is not None:
        wanted.row(Order, command.order)
    elif (transaction := transaction_of(command.transaction or "")) is not None:
        wanted.row(PastTransaction, transaction)


def _refund(command: Refund, ledger: Ledger, now: datetime) -> Decision:
    if command.order is not None:
        return _refund_order(command.order, command, ledger)
    past = past_transaction(command.transaction or "", ledger)
    return (
        no_transaction(command.transaction or "") if past is None else _refund_charge(past, command, ledger)
    )


def _refund_order(id_: str, command: Refund, ledger: Ledger) -> Decision:
    order: Order | None = ledger.get(Order, id_)
    if order is None:
        return no_order(id_)
    past = ledger.past(order.transaction) if order.transaction is not None else None
    if past is not None:
        return _refund_charge(past, command, ledger)
    return closed(ledger.by_key(order.account)) or Rejected(
        Reason.NOT_REFUNDABLE, f"{id_} is {order.status}; nothing was charged that could be refunded."
    )


def _refund_charge(past: PastTransaction, command: Refund, ledger: Ledger) -> Decision:
    consumer = ledger.by_key(past.account)
    paid_coins = [ledger.by_key(key) for key, unit, _ in past.postings if unit == Unit.COIN]
    if refused := closed(consumer, *paid_coins) or own_coins(*paid_coins):
        return refused
    number = number_of(past.transaction, past.time)
    charged = max(0, -min(amount for _, _, amount in past.postings))
    returned: Returned | None = ledger.get(Returned, past.transaction)
    before = returned.amount if returned else 0
    amount = command.amount if command.amount is not None else charged - before
    for account in (consumer, *paid_coins):
        if refused := too_much(account, amount):
            return refused
    if past.type not in CHARGES:
        return Rejected(Reason.NOT_REFUNDABLE, f"{number} is no charge; only charges can be refunded.")
    if amount == 0 or before + amount > charged:
        return Rejected(
            Reason.REFUND_EXCEEDS_CHARGE,
            f"{charged:,} were charged and {before:,} given back; {charged - before:,} are left.",
        )
    line: BillLine | None = ledger.get(BillLine, past.transaction)
    bill: Bill | None = ledger.get(Bill, line.bill) if line is not None else None
    confirmed = bill is not None and bill.status == CONFIRMED
    changes: tuple[Returned | Bill, ...] = (Returned(past.transaction, before + amount),)
    if bill is not None and not confirmed:
        changes += (replace(bill, refunded=bill.refunded + amount),)
    return Applied(
        (consumer,),
        Transaction(
            consumer,
            _legs(past, amount, ledger, allotment=not confirmed),
            item=number,
            note=command.note,
            order=past.order_id,
            reverses=past.transaction,
        ),
        changes,
    )


def _legs(past: PastTransaction, amount: int, ledger: Ledger, *, allotment: bool) -> tuple[Leg, ...]:
    """Everybody who paid gets it back; an allotment only whoever still has one, and has not got it back by a bill."""
    legs: list[Leg] = []
    sponsored = any(unit == Unit.ALLOTMENT for _, unit, _ in past.postings)
    for key, unit, _ in past.postings:
        account = ledger.by_key(key)
        if unit == Unit.COIN:
            customer = past.account if sponsored else None
            legs.append(
                Leg(account, amount, TransactionType.REFUND, counterparty=customer, consumer=past.account)
            )
            legs.append(Leg(System.REVENUE, -amount, TransactionType.REFUND))
        elif allotment and account.funding == "sponsored":
            legs.append(Leg(account, amount, TransactionType.REFUND, Unit.ALLOTMENT, consumer=past.account))
            legs.append(Leg(System.ALLOTMENTS, -amount, TransactionType.REFUND, Unit.ALLOTMENT))
    return tuple(legs)


RULES = {Refund: Rule(_needs_refund, _refund)}
