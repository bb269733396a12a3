"""Records: rows of tables that decisions read and write whole. `rows.py` says which table, which key, and who owns them.

Accounts and transactions go by integer keys here, everything else by its public id.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, NamedTuple

# As the column is: all others are bigint.
Int4 = int


class Burden(NamedTuple):
    """What something that is open lays on accounts.

    running: whose funding may not change and who may not close, because it is to be charged to whoever pays by then.
    settled: the same, because who pays was settled when it was opened.
    frozen: how much is frozen, at each of `frozen_at`.
    """

    running: tuple[int, ...] = ()
    settled: tuple[int, ...] = ()
    frozen: int = 0
    frozen_at: tuple[int, ...] = ()


NOTHING = Burden()


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table."""

    burdens: ClassVar[bool] = False

    @property
    def burden(self) -> Burden:
        """What it lays on accounts as it stands."""
        return NOTHING


@dataclass(frozen=True, slots=True)
class Plan(Row):
    plan: str
    name: str
    kind: str
    price: int | None
    rate: str | None
    cycle_unit: str | None
    cycle_count: Int4 | None
    coefficient: str | None


@dataclass(frozen=True, slots=True)
class PaymentMethods(Row):
    """Which methods accounts of a country may use."""

    country: str
    methods: list[str]


@dataclass(frozen=True, slots=True)
class Device(Row):
    """A device; `account` is None once it is released."""

    device: str
    account: int | None
    plan: str | None
    onboarded_at: datetime
    paid_until: datetime | None


@dataclass(frozen=True, slots=True)
class RechargeReference(Row):
    """Which recharge uses a reference under a top account; None once that recharge was taken back."""

    top: int
    method: str
    reference: str
    transaction: int | None


@dataclass(frozen=True, slots=True)
class Returned(Row):
    """How much of a transaction was given or taken back by now."""

    transaction: int
    amount: int


@dataclass(frozen=True, slots=True)
class PastTransaction(Row):
    """A transaction that is in the ledger, with what it posted to accounts (account, unit, amount)."""

    transaction: int
    time: datetime
    type: str
    account: int
    top: int
    method: str | None
    reference: str | None
    order_id: str | None
    postings: tuple[tuple[int, str, int], ...]


@dataclass(frozen=True, slots=True)
class Hold(Row):
    """An amount that is frozen. `payer` and `sponsor` were settled when it was placed.

    state: open, captured, released, or expired.
    """

    hold: str
    account: int
    payer: int
    sponsor: int | None
    amount: int
    remaining: int
    state: str
    purpose: str | None
    placed_at: datetime
    expires_at: datetime | None
    ended_at: datetime | None

    burdens: ClassVar[bool] = True

    @property
    def burden(self) -> Burden:
        return _freezing(self) if self.state == "open" else NOTHING


@dataclass(frozen=True, slots=True)
class Resource(Row):
    """Something that is paid for after use. `frozen` was frozen when it was activated, `remaining` still is.

    state: active or terminated.
    """

    resource: str
    account: int
    payer: int
    sponsor: int | None
    plan: str | None
    estimate: int
    coefficient: str
    frozen: int
    remaining: int
    used: int
    state: str
    activated_at: datetime
    terminated_at: datetime | None

    burdens: ClassVar[bool] = True

    @property
    def burden(self) -> Burden:
        return _freezing(self) if self.state == "active" else NOTHING


@dataclass(frozen=True, slots=True)
class Order(Row):
    """An order; a cloud phone's goes by its session's id, a cycle's by `<subscription>/<cycle_no>`.

    status: pending_payment, completed, canceled; of a cloud phone running, then completed. `amount` is what it costs, None
    while a phone runs; `transaction` charged it. `details` is JSON.
    """

    order_id: str
    account: int
    kind: str
    product: str | None
    plan: str | None
    price: int | None
    quantity: int
    amount: int | None
    status: str
    method: str
    payer: str | None
    phone: str | None
    details: str | None
    created_at: datetime
    paid_at: datetime | None = None
    canceled_at: datetime | None = None
    note: str | None = None
    transaction: int | None = None

    burdens: ClassVar[bool] = True

    @property
    def burden(self) -> Burden:
        return Burden((self.account,)) if self.status == "pending_payment" else NOTHING


@dataclass(frozen=True, slots=True)
class Session(Row):
    """A cloud phone's run from power-up to power-down; `minutes` are the started ones."""

    session: str
    account: int
    payer: int
    sponsor: int | None
    phone: str
    rate: str
    power_up_at: datetime
    power_down_at: datetime | None
    minutes: int | None

    burdens: ClassVar[bool] = True

    @property
    def burden(self) -> Burden:
        if self.power_down_at is not None:
            return NOTHING
        return Burden((), _involved(self))


@dataclass(frozen=True, slots=True)
class Phone(Row):
    """Which session a cloud phone runs in; None while it is off."""

    phone: str
    session: str | None


@dataclass(frozen=True, slots=True)
class Subscription(Row):
    """What is paid cycle by cycle.

    Period n begins `n - anchor_no` cycles after `anchor`, in `zone`. `paid_cycles` are paid, up to `paid_until`.
    status: scheduled, active, past_due, suspended, canceled. `cancel_at`: when it will be canceled; nothing more is charged.
    `next_try_at`: when the billing cycle looks at it next, None: never. `past_due_since`, `refused_for`: since when its next
    cycle is owed, and why it could not be charged last.
    """

    subscription: str
    account: int
    plan: str
    kind: str
    goods: list[str]
    used_by: str | None
    payment_method: str
    status: str
    created_at: datetime
    start_at: datetime
    zone: str
    anchor: datetime
    anchor_no: int
    cycle_unit: str
    cycle_count: int
    paid_cycles: int
    paid_until: datetime | None
    next_payment_at: datetime | None
    cancel_at: datetime | None
    canceled_at: datetime | None
    deleted_at: datetime | None
    next_try_at: datetime | None
    past_due_since: datetime | None = None
    refused_for: str | None = None

    burdens: ClassVar[bool] = True

    @property
    def burden(self) -> Burden:
        return NOTHING if self.status == "canceled" else Burden((self.account,))


@dataclass(frozen=True, slots=True)
class SubscriptionCycle(Row):
    """A cycle that was paid: its period, for what, how much, by which transaction."""

    subscription: str
    cycle_no: int
    begins_at: datetime
    ends_at: datetime
    plan: str
    goods: list[str]
    amount: int
    paid_at: datetime
    transaction: int | None = None


@dataclass(frozen=True, slots=True)
class Bill(Row):
    """What a sponsored account was charged; `refunded` of it until it was confirmed. status: issued, confirmed."""

    bill: str
    account: int
    period: str
    begins_at: datetime
    ends_at: datetime
    charged: int
    refunded: int
    status: str
    issued_at: datetime
    confirmed_by: str | None = None
    confirmed_at: datetime | None = None
    transaction: int | None = None


@dataclass(frozen=True, slots=True)
class BillLine(Row):
    """A charge that stands on a bill."""

    transaction: int
    bill: str
    amount: int


@dataclass(frozen=True, slots=True)
class ReceiptDue(Row):
    """A recharge, or an order that was paid, for which a receipt is to be made."""

    account: int
    order_id: str | None
    transaction: int | None = None


@dataclass(frozen=True, slots=True)
class CustomWarning(Row):
    """A custom warning: below an amount, or below a percentage of the reference."""

    warning: str
    account: int
    set_by: int
    amount: int | None
    percent: int | None
    emails: list[str]
    set_at: datetime
    removed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Export(Row):
    """A list that is to be made into a file. `filters` is JSON."""

    export: str
    account: int
    report: str
    filters: str
    format: str
    state: str
    requested_at: datetime


def _involved(row: Hold | Resource | Session) -> tuple[int, ...]:
    """Everybody whom it concerns, each once."""
    found = (row.account,) if row.payer == row.account else (row.account, row.payer)
    return found if row.sponsor is None else (*found, row.sponsor)


def _freezing(row: Hold | Resource) -> Burden:
    """Frozen at the payer, and at the sponsor where there is one."""
    at = (row.payer,) if row.sponsor is None else (row.payer, row.sponsor)
    return Burden((), _involved(row), row.remaining, at)
