"""What is printed on a receipt, as it was when the receipt was issued."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """A recharge or a paid order, with everything that its receipt says.

    `amount` and `unit_price` are integers of the smallest unit, `paid_amount` is the decimal text that the producer gave.
    Moments are aware; they are printed in the IANA zone `zone`.
    """

    number: str
    kind: Literal["recharge", "order"]
    issued_at: datetime
    posted_at: datetime
    zone: str
    top_account: str
    top_account_name: str
    account: str
    account_name: str
    transaction: str
    amount: int
    legal_name: str | None = None
    tax_id: str | None = None
    address: str | None = None
    paid_currency: str | None = None
    paid_amount: str | None = None
    method: str | None = None
    reference: str | None = None
    item: str | None = None
    quantity: int = 1
    unit_price: int | None = None
    order: str | None = None
    payer: str | None = None
    note: str | None = None
