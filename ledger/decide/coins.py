"""Coins come in, go back, move, are granted, corrected: TopUp, ReverseTopUp, Transfer, AllocateCredit, Adjust."""

from __future__ import annotations

from datetime import datetime

from ledger.decide.charges import Payers, beyond_counting
from ledger.decide.checks import closed, contact, missing, needed, own_coins, suspended, too_much
from ledger.decide.methods import needs_method, not_available
from ledger.decide.past import no_transaction, past_transaction
from ledger.decide.rule import Ledger, Rule, Wanted
from ledger.model import (
    Applied,
    Decision,
    Leg,
    Rejected,
    System,
    Transaction,
    TransactionType,
    Unit,
    WithTransaction,
)
from ledger.numbers import transaction_of
from ledger.records import PastTransaction, ReceiptDue, RechargeReference, Returned
from messages.commands import Adjust, AllocateCredit, ReverseTopUp, TopUp, Transfer
from messages.reasons import Reason


def _needs_top_up(command: TopUp, wanted: Wanted) -> None:
    wanted.accounts.add(command.account)
    needs_method(command.method, command.account, wanted)
    if command.reference:
        wanted.row(RechargeReference, (command.method, command.reference))


def _top_up(command: TopUp, ledger: Ledger, now: datetime) -> Decision:
    account = ledger.account(command.account)
    if account is None:
        return missing(command.account)
    if refused := closed(account) or own_coins(account) or not_available(account, command.method, ledger):
        return refused
    changes: tuple[WithTransaction, ...] = (WithTransaction(ReceiptDue(account.id, None)),)
    if command.reference:
        used = ledger.get(RechargeReference, (account.top, command.method, command.reference))
        if used is not None and used.transaction is not None:
            return Rejected(
                Reason.DUPLICATE_REFERENCE,
                f"{command.reference} ({command.method}) has been recharged already; nothing was added.",
            )
        changes += (WithTransaction(RechargeReference(account.top, command.method, command.reference, None)),)
    if refused := too_much(account, command.amount):
        return refused
    return Applied(
        (account,),
        Transaction(
            account,
            (
                Leg(account, command.amount, TransactionType.RECHARGE, inflow=True),
                Leg(System.CASH, -command.amount, TransactionType.RECHARGE),
            ),
            note=command.note,
            method=command.method,
            reference=command.reference,
            payer=command.payer,
            paid_currency=command.paid.currency if command.paid else None,
            paid_amount=command.paid.amount if command.paid else None,
        ),
        changes,
    )


def _needs_reverse(command: ReverseTopUp, wanted: Wanted) -> None:
    if (transaction := transaction_of(command.transaction)) is not None:
        wanted.row(PastTransaction, transaction)


def _reverse_top_up(command: ReverseTopUp, ledger: Ledger, now: datetime) -> Decision:
    past = past_transaction(command.transaction, ledger)
    if past is None:
        return no_transaction(command.transaction)
    account = ledger.by_key(past.account)
    if refused := closed(account) or own_coins(account):
        return refused
    if past.type != TransactionType.RECHARGE:
        return Rejected(
            Reason.NOT_REFUNDABLE, f"{command.transaction} is no recharge; only recharges can be reversed."
        )
    if ledger.get(Returned, past.transaction) is not None:
        return Rejected(Reason.NOT_REFUNDABLE, f"{command.transaction} has been taken back already.")
    ((_, _, amount),) = past.postings
    if refused := beyond_counting(Payers(account, account, None), amount):
        return refused
    changes: tuple[Returned | RechargeReference, ...] = (Returned(past.transaction, amount),)
    if past.reference and past.method:
        changes += (RechargeReference(past.top, past.method, past.reference, None),)
    return Applied(
        (account,),
        Transaction(
            account,
            (
                Leg(account, -amount, TransactionType.RECHARGE_REVERSAL),
                Leg(System.CASH, amount, TransactionType.RECHARGE_REVERSAL),
            ),
            item=command.transaction,
            note=command.note,
            method=past.method,
            reference=past.reference,
            reverses=past.transaction,
        ),
        changes,
    )


def _needs_transfer(command: Transfer, wanted: Wanted) -> None:
    wanted.accounts.add(command.from_account)
    wanted.accounts.add(command.to_account)
    wanted.accounts.add(command.ordered_by)


def _transfer(command: Transfer, ledger: Ledger, now: datetime) -> Decision:
    source = ledger.account(command.from_account)
    target = ledger.account(command.to_account)
    orderer = ledger.account(command.ordered_by)
    if source is None or target is None or orderer is None:
        ids = (command.from_account, command.to_account, command.ordered_by)
        return missing(next(id_ for id_ in ids if ledger.account(id_) is None))
    if refused := closed(source, target, orderer) or suspended(orderer):
        return refused
    if source is target:
        return Rejected(Reason.SAME_ACCOUNT, f"{source.name} ({source.account}) cannot transfer to itself.")
    if not (orderer is source or orderer.stands_over(source)) or not (
        orderer is target or orderer.stands_over(target)
    ):
        return Rejected(
            Reason.NOT_IN_HIERARCHY,
            f"{orderer.name} may order transfers from itself and its subordinates to itself and its subordinates only.",
        )
    if refused := own_coins(source, target) or too_much(target, command.amount):
        return refused
    if source.available < command.amount:
        return Rejected(
            Reason.INSUFFICIENT_CREDIT,
            f"{source.name} has {source.available:,} available, {needed(command.amount)}; "
            f"ask {contact(source)} for more.",
        )
    rebased = orderer is not source and source.available > command.amount
    return Applied(
        (source, target) if orderer is source or orderer is target else (source, target, orderer),
        Transaction(
            source,
            (
                Leg(
                    source,
                    -command.amount,
                    TransactionType.TRANSFER_OUT,
                    counterparty=target.id,
                    inflow=rebased,
                ),
                Leg(target, command.amount, TransactionType.TRANSFER_IN, counterparty=source.id, inflow=True),
            ),
            note=command.note,
            ordered_by=orderer.account,
        ),
    )


def _needs_allocate(command: AllocateCredit, wanted: Wanted) -> None:
    wanted.accounts.update((command.reseller, command.customer))


def _allocate(command: AllocateCredit, ledger: Ledger, now: datetime) -> Decision:
    reseller = ledger.account(command.reseller)
    customer = ledger.account(command.customer)
    if reseller is None or customer is None:
        return missing(command.reseller if reseller is None else command.customer)
    if refused := closed(reseller, customer):
        return refused
    if reseller is customer:
        return Rejected(Reason.SAME_ACCOUNT, f"{reseller.name} ({reseller.account}) cannot grant to itself.")
    if customer.parent != reseller.id:
        return Rejected(
            Reason.NOT_IN_HIERARCHY,
            f"Allotment comes from the parent; {customer.name} stands under {customer.contact_name}.",
        )
    if customer.funding != "sponsored":
        return Rejected(
            Reason.NOT_SPONSORED,
            f"{customer.name} ({customer.account}) is {customer.funding}; only a sponsored account has an allotment.",
        )
    if refused := too_much(customer, command.amount):
        return refused
    left = customer.available + command.amount
    if command.amount < 0 and left < 0:
        return Rejected(
            Reason.RECLAIM_EXCEEDS_AVAILABLE,
            f"{customer.name} has {customer.available:,} available; {-command.amount:,} cannot be reclaimed.",
        )
    type_ = TransactionType.ALLOCATION if command.amount > 0 else TransactionType.RECLAIM
    return Applied(
        (reseller, customer),
        Transaction(
            customer,
            (
                Leg(
                    customer,
                    command.amount,
                    type_,
                    Unit.ALLOTMENT,
                    counterparty=reseller.id,
                    inflow=command.amount > 0 or left > 0,
                ),
                Leg(System.ALLOTMENTS, -command.amount, type_, Unit.ALLOTMENT),
            ),
            note=command.note,
        ),
    )


def _needs_adjust(command: Adjust, wanted: Wanted) -> None:
    wanted.accounts.add(command.account)


def _adjust(command: Adjust, ledger: Ledger, now: datetime) -> Decision:
    account = ledger.account(command.account)
    if account is None:
        return missing(command.account)
    if refused := closed(account) or own_coins(account) or too_much(account, command.amount):
        return refused
    if command.amount < 0 and account.available + command.amount < 0:
        return Rejected(
            Reason.INSUFFICIENT_CREDIT,
            f"{account.name} has {account.available:,} available, {-command.amount:,} would be taken; "
            f"ask {contact(account)} for more.",
        )
    left = account.available + command.amount
    return Applied(
        (account,),
        Transaction(
            account,
            (
                Leg(
                    account, command.amount, TransactionType.ADJUSTMENT, inflow=command.amount > 0 or left > 0
                ),
                Leg(System.ADJUSTMENTS, -command.amount, TransactionType.ADJUSTMENT),
            ),
            note=command.note,
        ),
    )


RULES = {
    TopUp: Rule(_needs_top_up, _top_up),
    ReverseTopUp: Rule(_needs_reverse, _reverse_top_up),
    Transfer: Rule(_needs_transfer, _transfer),
    AllocateCredit: Rule(_needs_allocate, _allocate),
    Adjust: Rule(_needs_adjust, _adjust),
}
