"""Bills that return credits: ConfirmBill. (They are issued by `ledger/billing.py`.)"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from ledger.decide.checks import closed, missing, too_much
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
from ledger.records import Bill
from messages.commands import ConfirmBill
from messages.reasons import Reason

ISSUED, CONFIRMED = "issued", "confirmed"


def _needs_confirm(command: ConfirmBill, wanted: Wanted) -> None:
    wanted.accounts.add(command.confirmed_by)
    wanted.row(Bill, command.bill)


def _confirm(command: ConfirmBill, ledger: Ledger, now: datetime) -> Decision:
    parent = ledger.account(command.confirmed_by)
    if parent is None:
        return missing(command.confirmed_by)
    bill: Bill | None = ledger.get(Bill, command.bill)
    if bill is None:
        return closed(parent) or Rejected(Reason.BILL_NOT_FOUND, f"There is no bill {command.bill}.")
    customer = ledger.by_key(bill.account)
    if refused := closed(parent, customer):
        return refused
    if customer.parent != parent.id:
        return Rejected(
            Reason.NOT_IN_HIERARCHY,
            f"{bill.bill} is to be confirmed by {customer.contact_name}, not by {parent.name} ({parent.account}).",
        )
    if customer.funding != "sponsored":
        return Rejected(
            Reason.NOT_SPONSORED,
            f"{customer.name} ({customer.account}) has no allotment that it could return to.",
        )
    amount = bill.charged - bill.refunded
    if refused := too_much(customer, amount):
        return refused
    if bill.status == CONFIRMED:
        return Rejected(
            Reason.BILL_ALREADY_CONFIRMED, f"{bill.bill} has been confirmed by {bill.confirmed_by}."
        )
    confirmed = replace(bill, status=CONFIRMED, confirmed_by=parent.account, confirmed_at=now)
    if amount == 0:
        return Applied((parent, customer), changes=(confirmed,))
    return Applied(
        (parent, customer),
        Transaction(
            customer,
            (
                Leg(
                    customer,
                    amount,
                    TransactionType.CREDIT_RETURN,
                    Unit.ALLOTMENT,
                    counterparty=parent.id,
                    inflow=True,
                ),
                Leg(System.ALLOTMENTS, -amount, TransactionType.CREDIT_RETURN, Unit.ALLOTMENT),
            ),
            item=bill.bill,
        ),
        (WithTransaction(confirmed),),
    )


RULES = {ConfirmBill: Rule(_needs_confirm, _confirm)}
