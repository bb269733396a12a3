"""Transactions that commands name by their number."""

from __future__ import annotations

from ledger.decide.rule import Ledger
from ledger.model import Rejected
from ledger.numbers import number_of, transaction_of
from ledger.records import PastTransaction
from messages.reasons import Reason


def past_transaction(number: str, ledger: Ledger) -> PastTransaction | None:
    """The transaction of that number, year included."""
    transaction = transaction_of(number)
    past = ledger.past(transaction) if transaction is not None else None
    return past if past is not None and number_of(past.transaction, past.time) == number else None


def no_transaction(number: str) -> Rejected:
    return Rejected(Reason.TRANSACTION_NOT_FOUND, f"There is no transaction {number}.")
