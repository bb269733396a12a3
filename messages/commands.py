"""Every command, as a model: what a producer may ask for and which fields it takes (CONTRACT §4).

The name of a class is the command's name; its docstring says what applying it does. To add a command, add its model
here and to `COMMANDS` below, and its rule in `ledger/decide/`.
"""

from __future__ import annotations

from enum import StrEnum, auto
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from messages.fields import (
    Amount,
    AmountOrZero,
    Currency,
    CycleNumber,
    DecimalText,
    DeviceId,
    Devices,
    Email,
    Factor,
    Id,
    Integer,
    Name,
    ShortText,
    SignedAmount,
    Text,
    TransactionNumber,
    Zone,
)


class Kind(StrEnum):
    DISTRIBUTOR = auto()
    RESELLER = auto()
    ENTERPRISE = auto()
    AGENT = auto()
    BRANCH = auto()
    CUSTOMER = auto()


class Funding(StrEnum):
    OWN = auto()
    SHARED = auto()
    SPONSORED = auto()


class PlanKind(StrEnum):
    ONBOARDING = auto()
    RENEWAL = auto()
    PACKAGE = auto()
    PROXY = auto()
    PHONE = auto()
    POSTPAID = auto()


class CycleUnit(StrEnum):
    DAY = auto()
    WEEK = auto()
    MONTH = auto()
    YEAR = auto()


class Part(BaseModel):
    """What commands are made of: unknown fields are an error, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Command(Part):
    """The root of all commands."""


class Cycle(Part):
    """How long a period lasts: `count` (1–120) days, weeks, months or years."""

    unit: CycleUnit
    count: Annotated[Integer, Field(ge=1, le=120)]


class Money(Part):
    """What was paid outside, in a currency (ISO 4217); the amount is decimal text."""

    currency: Currency
    amount: DecimalText


class OpenAccount(Command):
    """Opens an account under a parent."""

    account: Id
    parent: Id
    kind: Kind
    name: Name
    funding: Funding = Funding.OWN
    email: Email | None = None
    boss_email: Email | None = None
    country: ShortText | None = None
    timezone: Zone = "UTC"
    credit_limit: AmountOrZero = 0
    legal_name: ShortText | None = None
    tax_id: ShortText | None = None
    address: Text | None = None


class UpdateAccount(Command):
    """Changes what is given of an account; an empty text clears a field."""

    account: Id
    name: Name | None = None
    funding: Funding | None = None
    email: Email | None = None
    boss_email: Email | None = None
    country: ShortText | None = None
    timezone: Zone | None = None
    legal_name: ShortText | None = None
    tax_id: ShortText | None = None
    address: Text | None = None


class SetCreditLimit(Command):
    """Sets how far the credit of an `own` account may fall below zero."""

    account: Id
    credit_limit: AmountOrZero


class SuspendAccount(Command):
    """No more purchases by the account or on its coins, and no transfers ordered by it."""

    account: Id
    note: Text | None = None


class ResumeAccount(Command):
    """Ends a suspension."""

    account: Id
    note: Text | None = None


class CloseAccount(Command):
    """Closes an account for good and releases its devices."""

    account: Id
    note: Text | None = None


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


class Transfer(Command):
    """Moves coins between two `own` accounts, at once."""

    from_account: Id
    to_account: Id
    amount: Amount
    ordered_by: Id = Field(
        default_factory=lambda given: given["from_account"], description="from_account or an ancestor of it"
    )
    note: Text | None = None


class Adjust(Command):
    """Corrects the credit of an `own` account by the back office; a negative amount needs available."""

    account: Id
    amount: SignedAmount
    note: Annotated[Text, Field(min_length=1)]


class PutPlan(Command):
    """Creates or replaces a plan."""

    plan: Id
    name: Name
    kind: PlanKind
    price: Amount | None = None
    rate: Factor | None = Field(None, description="coins a minute, decimal text")
    cycle: Cycle | None = None
    coefficient: Factor | None = Field(None, description="factor on the estimate, decimal text")


class DebitForDeviceOnboarding(Command):
    """Takes price × devices, and the devices become active under the account: all or nothing."""

    account: Id
    devices: Devices
    plan: Id | None = None
    price: Amount | None = None
    note: Text | None = None


class Renewal(Command):
    """Pays for one more cycle of devices, or of a subscription."""

    account: Id
    devices: Devices | None = None
    subscription: Id | None = None
    plan: Id | None = None
    price: Amount | None = None
    cycle: Cycle | None = None
    cycle_no: CycleNumber | None = None

    @model_validator(mode="after")
    def _devices_or_subscription(self) -> Self:
        if (self.devices is None) == (self.subscription is None):
            raise ValueError("give either devices or subscription, one of them")
        if self.subscription is not None and (self.plan or self.price or self.cycle):
            raise ValueError("with subscription give nothing but cycle_no")
        if self.devices is not None and self.cycle_no is not None:
            raise ValueError("cycle_no goes with subscription only")
        return self


class ReleaseDevice(Command):
    """The device may be onboarded again, anywhere; nothing is refunded."""

    account: Id
    device: DeviceId


class Refund(Command):
    """Gives a charge back, in full or in part, to every account that paid; never more than was charged."""

    transaction: TransactionNumber | None = None
    order: Id | None = None
    amount: Amount | None = Field(None, description="default: what is left of the charge")
    note: Text | None = None

    @model_validator(mode="after")
    def _transaction_or_order(self) -> Self:
        if (self.transaction is None) == (self.order is None):
            raise ValueError("give either transaction or order, one of them")
        return self


COMMANDS: dict[str, type[Command]] = {
    command.__name__: command
    for command in (
        OpenAccount,
        UpdateAccount,
        SetCreditLimit,
        SuspendAccount,
        ResumeAccount,
        CloseAccount,
        TopUp,
        ReverseTopUp,
        Transfer,
        Adjust,
        PutPlan,
        DebitForDeviceOnboarding,
        Renewal,
        ReleaseDevice,
        Refund,
    )
}


# Fields that name an account, in any command.
ACCOUNT_FIELDS = ("account", "parent", "from_account", "to_account", "ordered_by")


def type_of(name: str) -> str:
    """The CloudEvents type of a command's name: `TopUp` → `coins.TopUp.v1`."""
    return f"coins.{name}.v1"


def content_of(command: Command) -> dict[str, Any]:
    """What a command says beyond its defaults: the same for every way of writing the same command."""
    defaults = _DEFAULTS[type(command)]
    return {name: value for name, value in command.__dict__.items() if value != defaults[name]}


_DEFAULTS: dict[type[Command], dict[str, Any]] = {
    command: {name: field.default for name, field in command.model_fields.items()}
    for command in COMMANDS.values()
}
