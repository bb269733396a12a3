"""Coins come in, go back, move, are granted, corrected, refunded."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from ..fields import (
    Amount,
    BillId,
    Id,
    Ids,
    OrderName,
    ShortText,
    SignedAmount,
    Text,
    TransactionNumber,
)
from .base import Command, Money


class TopUp(Command):
    """Recharges an `own` account."""

    account: Id
    amount: Amount
    method: Id = "offline"
    reference: ShortText | None = None
    payer: ShortText | None = None
    paid: Money | None = None
    note: Text | None = None


class ReverseTopUp(Command):
    """Takes a recharge back, once and in full, beyond available if need be."""

    transaction: TransactionNumber
    note: Text | None = None


class PutPaymentMethods(Command):
    """Says which methods accounts of a country may pay by; `offline` is always allowed."""

    country: Annotated[ShortText, Field(min_length=1)]
    methods: Ids


class Transfer(Command):
    """Moves coins between two `own` accounts, at once."""

    from_account: Id
    to_account: Id
    amount: Amount
    ordered_by: Id = Field(
        default_factory=lambda given: given["from_account"],
        description="from_account (the default) or an ancestor of it",
    )
    note: Text | None = None


class AllocateCredit(Command):
    """Grants allotment to a `sponsored` customer, or with a negative amount reclaims it."""

    reseller: Id = Field(description="the customer's parent")
    customer: Id
    amount: SignedAmount
    note: Text | None = None


class Adjust(Command):
    """Corrects the credit of an `own` account by the back office; a negative amount needs available."""

    account: Id
    amount: SignedAmount
    note: Annotated[Text, Field(min_length=1)]


class Refund(Command):
    """Gives a charge back, in full or in part, to every account that paid; never more than was charged."""

    transaction: TransactionNumber | None = Field(None, description="the charge; this or order")
    order: OrderName | None = Field(None, description="the order that was charged; this or transaction")
    amount: Amount | None = Field(None, description="default: what is left of the charge")
    note: Text | None = None

    @model_validator(mode="after")
    def _transaction_or_order(self) -> Self:
        if (self.transaction is None) == (self.order is None):
            raise ValueError("give either transaction or order, one of them")
        return self


class ConfirmBill(Command):
    """The customer's parent confirms a bill; what was billed, less what was refunded of it, returns to the allotment."""

    bill: BillId
    confirmed_by: Id
