"""Orders of packages and proxies: PlaceOrder, PayOrder, CancelOrder."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import orjson

from ledger.decide.charges import charge, may_purchase, payers_of, plan_for, price_of, short_of, total_of
from ledger.decide.checks import closed, missing, own_coins
from ledger.decide.methods import needs_method, not_available
from ledger.decide.rule import Ledger, Rule, Wanted
from ledger.model import (
    Account,
    Applied,
    Decision,
    Leg,
    Rejected,
    System,
    Transaction,
    TransactionType,
    WithTransaction,
)
from ledger.records import Order, Plan, ReceiptDue
from messages.commands import BALANCE, CancelOrder, Pay, PayOrder, PlaceOrder
from messages.reasons import Reason

PENDING, COMPLETED, CANCELED = "pending_payment", "completed", "canceled"


def _needs_place(command: PlaceOrder, wanted: Wanted) -> None:
    wanted.accounts.add(command.account)
    wanted.row(Order, command.order)
    if command.plan:
        wanted.row(Plan, command.plan)
    # By whichever method somebody asks to pay it; in the same batch nobody would find the account by its order.
    needs_method("", command.account, wanted)
    if command.pay is Pay.NOW and command.method != BALANCE:
        wanted.two_transactions += 1


def _place(command: PlaceOrder, ledger: Ledger, now: datetime) -> Decision:
    account = ledger.account(command.account)
    if account is None:
        return missing(command.account)
    if refused := _may_pay(account, command.method, ledger):
        return refused
    plan = plan_for(command.plan, command.kind.value, ledger)
    if isinstance(plan, Rejected):
        return plan
    price = price_of(command.price, plan)
    if isinstance(price, Rejected):
        return price
    amount = total_of(price, command.quantity)
    if isinstance(amount, Rejected):
        return amount
    if ledger.get(Order, command.order) is not None:
        return Rejected(Reason.ORDER_EXISTS, f"There is an order {command.order} already.")
    order = Order(
        order_id=command.order,
        account=account.id,
        kind=command.kind.value,
        product=command.product,
        plan=command.plan,
        price=price,
        quantity=command.quantity,
        amount=amount,
        status=PENDING,
        method=command.method,
        payer=command.payer,
        phone=command.phone,
        details=orjson.dumps(command.details).decode() if command.details else None,
        created_at=now,
    )
    if command.pay is Pay.LATER:
        return Applied((account,), changes=(order,))
    return _paid(account, order, amount, ledger, now)


def _may_pay(account: Account, method: str, ledger: Ledger) -> Rejected | None:
    """Whether the account may buy and pay so: by its balance, or, having coins of its own, by another method."""
    if refused := may_purchase(account, ledger):
        return refused
    if method == BALANCE:
        return None
    return own_coins(account) or not_available(account, method, ledger)


def _paid(account: Account, order: Order, amount: int, ledger: Ledger, now: datetime) -> Decision:
    """The order is paid and completed, or refused."""
    payers = payers_of(account, ledger)
    recharge = None
    if order.method != BALANCE:
        recharge = _transaction(account, order, _recharged(account, amount))
    elif refused := short_of(payers, amount):
        return refused
    return Applied(
        (account,),
        _transaction(account, order, charge(payers, amount, TransactionType.ORDER)),
        (
            WithTransaction(replace(order, status=COMPLETED, paid_at=now)),
            WithTransaction(ReceiptDue(account.id, order.order_id)),
        ),
        recharge=recharge,
    )


def _recharged(account: Account, amount: int) -> tuple[Leg, ...]:
    """What another method brings in; spent at once, it is no inflow that warnings would count from."""
    return (
        Leg(account, amount, TransactionType.RECHARGE),
        Leg(System.CASH, -amount, TransactionType.RECHARGE),
    )


def _transaction(account: Account, order: Order, legs: tuple[Leg, ...]) -> Transaction:
    return Transaction(
        account,
        legs,
        item=order.product,
        devices=[order.phone] if order.phone else None,
        order=order.order_id,
        method=order.method,
        payer=order.payer,
    )


def _needs_pay(command: PayOrder, wanted: Wanted) -> None:
    wanted.row(Order, command.order)
    # Whether it takes another method than balance may stand in the order alone.
    needs_method(command.method or "", command.order, wanted)
    wanted.two_transactions += 1


def _pay(command: PayOrder, ledger: Ledger, now: datetime) -> Decision:
    order: Order | None = ledger.get(Order, command.order)
    if order is None:
        return no_order(command.order)
    account = ledger.by_key(order.account)
    method = command.method or order.method
    if refused := _may_pay(account, method, ledger):
        return refused
    if order.status != PENDING or order.amount is None:
        return Rejected(
            Reason.ORDER_NOT_PAYABLE, f"{order.order_id} is {order.status}; nothing is to be paid."
        )
    return _paid(
        account,
        replace(order, method=method, payer=command.payer or order.payer),
        order.amount,
        ledger,
        now,
    )


def no_order(id_: str) -> Rejected:
    return Rejected(Reason.ORDER_NOT_FOUND, f"There is no order {id_}.")


def _needs_cancel(command: CancelOrder, wanted: Wanted) -> None:
    wanted.row(Order, command.order)


def _cancel(command: CancelOrder, ledger: Ledger, now: datetime) -> Decision:
    order: Order | None = ledger.get(Order, command.order)
    if order is None:
        return no_order(command.order)
    account = ledger.by_key(order.account)
    if refused := closed(account):
        return refused
    if order.status != PENDING:
        return Rejected(
            Reason.ORDER_NOT_CANCELABLE,
            f"{order.order_id} is {order.status}; only what is not paid yet can be canceled, what is paid is refunded.",
        )
    return Applied((account,), changes=(replace(order, status=CANCELED, canceled_at=now, note=command.note),))


RULES = {
    PlaceOrder: Rule(_needs_place, _place),
    PayOrder: Rule(_needs_pay, _pay),
    CancelOrder: Rule(_needs_cancel, _cancel),
}
