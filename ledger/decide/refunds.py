"""Charges are given back, in parts, to whoever paid: Refund."""

from __future__ import annotations

from datetime import datetime

from ledger.decide.checks import closed, own_coins
from ledger.decide.past import no_transaction, past_transaction
from ledger.decide.rule import Ledger, Rule, Wanted
from ledger.model import (
    CHARGES,
    Applied,
    Decision,
    Leg,
    PastTransaction,
    Rejected,
    Returned,
    System,
    Transaction,
    TransactionType,
    Unit,
)
from ledger.numbers import transaction_of
from messages.commands import Refund
from messages.reasons import Reason


def _needs_refund(command: Refund, wanted: Wanted) -> None:
    if command.transaction and (transaction := transaction_of(command.transaction)) is not None:
        wanted.transactions.add(transaction)
        wanted.row(Returned, transaction)


def _refund(command: Refund, ledger: Ledger, now: datetime) -> Decision:
    if command.transaction is None:
        return Rejected(Reason.ORDER_NOT_FOUND, f"There is no order {command.order}.")
    past = past_transaction(command.transaction, ledger)
    if past is None:
        return no_transaction(command.transaction)
    consumer = ledger.by_key(past.account)
    paid_coins = [ledger.by_key(key) for key, unit, _ in past.postings if unit == Unit.COIN]
    if refused := closed(consumer, *paid_coins) or own_coins(*paid_coins):
        return refused
    if past.type not in CHARGES:
        return Rejected(
            Reason.NOT_REFUNDABLE, f"{command.transaction} is no charge; only charges can be refunded."
        )
    charged = -min(amount for _, _, amount in past.postings)
    returned: Returned | None = ledger.get(Returned, past.transaction)
    before = returned.amount if returned else 0
    amount = command.amount if command.amount is not None else charged - before
    if amount == 0 or before + amount > charged:
        return Rejected(
            Reason.REFUND_EXCEEDS_CHARGE,
            f"{charged:,} were charged and {before:,} given back; {charged - before:,} are left.",
        )
    return Applied(
        (consumer,),
        Transaction(
            consumer,
            _legs(past, amount, ledger),
            item=command.transaction,
            note=command.note,
            reverses=past.transaction,
        ),
        (Returned(past.transaction, before + amount),),
    )


def _legs(past: PastTransaction, amount: int, ledger: Ledger) -> tuple[Leg, ...]:
    """Everybody who paid gets it back; an allotment only whoever still has one."""
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
        elif account.funding == "sponsored":
            legs.append(Leg(account, amount, TransactionType.REFUND, Unit.ALLOTMENT, consumer=past.account))
            legs.append(Leg(System.ALLOTMENTS, -amount, TransactionType.REFUND, Unit.ALLOTMENT))
    return tuple(legs)


RULES = {Refund: Rule(_needs_refund, _refund)}
