"""What comes out: outcomes of commands, and further events (CONTRACT §5), as CloudEvents 1.0 in JSON."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from .fields import Time
from .reasons import Reason
from .tracing import TRACEPARENT_PATTERN

SOURCE = "coins"


class EventType(StrEnum):
    APPLIED = "coins.CommandApplied.v1"
    REJECTED = "coins.CommandRejected.v1"
    CREDIT_EXHAUSTED = "coins.CreditExhausted.v1"
    BALANCE_LOW = "coins.BalanceLow.v1"
    BALANCE_RECOVERED = "coins.BalanceRecovered.v1"
    SUBSCRIPTION_RENEWED = "coins.SubscriptionRenewed.v1"
    SUBSCRIPTION_PAST_DUE = "coins.SubscriptionPastDue.v1"
    SUBSCRIPTION_SUSPENDED = "coins.SubscriptionSuspended.v1"
    SUBSCRIPTION_CANCELED = "coins.SubscriptionCanceled.v1"
    RENEWALS_AT_RISK = "coins.RenewalsAtRisk.v1"
    DEVICE_EXPIRING = "coins.DeviceExpiring.v1"
    DEVICE_EXPIRED = "coins.DeviceExpired.v1"
    BILL_ISSUED = "coins.BillIssued.v1"
    RECEIPT_ISSUED = "coins.ReceiptIssued.v1"
    EXPORT_READY = "coins.ExportReady.v1"
    DEAD_LETTER_GROUP_OPENED = "coins.DeadLetterGroupOpened.v1"


class _Shape(BaseModel):
    """Events grow: a reader ignores fields it does not know."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class CommandKey(_Shape):
    """The command that an outcome answers."""

    source: str
    id: str
    type: str | None


class AccountFigures(_Shape):
    """What an account named by the command has now, in the smallest unit.

    `available` is null for a `shared` account: what it could spend is its master's, and that is not told here.
    """

    account: str
    credit: int
    credit_limit: int
    frozen: int
    available: int | None


class Outcome(_Shape):
    """What became of a command. `duplicate`: it had been decided before, and nothing was applied now."""

    command: CommandKey
    duplicate: bool
    reason: Reason | None
    message: str | None = Field(description="for a person")
    transaction: str | None = Field(description="its number on statements")
    accounts: list[AccountFigures]


def _absent(value: str | None) -> bool:
    return value is None


class _OutcomeEvent(_Shape):
    specversion: Literal["1.0"]
    id: str = Field(description="the same on every publication of this event")
    source: Literal["coins"]
    time: Time
    causationid: str = Field(description="the command's id")
    traceparent: str | None = Field(
        None,
        pattern=TRACEPARENT_PATTERN,
        exclude_if=_absent,
        description="the command's; of one that was sent again, as it came this time",
    )
    datacontenttype: Literal["application/json"]
    data: Outcome


class CommandApplied(_OutcomeEvent):
    """The command is decided and applied."""

    type: Literal["coins.CommandApplied.v1"]


class CommandRejected(_OutcomeEvent):
    """The command is decided and nothing was applied; `data.reason` says why."""

    type: Literal["coins.CommandRejected.v1"]


class Period(_Shape):
    """A period, half-open."""

    begin: Time | None = Field(alias="from")
    end: Time | None = Field(alias="to")


class _About(_Shape):
    account: str
    top_account: str


class Exhaustion(_About):
    """Consumption took available below 0. `consumer`: who used it, on the account's coins."""

    available: int
    consumer: str


class SubscriptionNews(_About):
    """What became of a subscription: with which cycle, for which period, why, and when it is tried again."""

    subscription: str
    cycle_no: int
    period: Period
    reason: str | None
    next_try: Time | None


class BalanceNews(_About):
    """Available fell below a threshold, or is above it again.

    threshold: `25 %`, `10 %` or `0` for a preset, `custom:<warning>` for one that somebody has set. available: by now, less
    what running phones have used so far. reference: available right after the latest inflow.
    """

    threshold: str
    available: int
    reference: int


class RiskNews(_About):
    """The renewals of the next 30 days will not be covered: from when on, and how many coins are missing for all of them."""

    date: Time
    missing: int


class DeviceNews(_About):
    """A device, and until when it is paid for."""

    device: str
    paid_until: Time


class ReceiptNews(_About):
    """A receipt was made: its number, for which transaction, and of an order for which order."""

    receipt: str
    transaction: str
    order: str | None
    amount: int


class ExportNews(_About):
    """A file can be fetched. `path` lies below FILES_DIR."""

    export: str
    path: str
    rows: int
    sha256: str


class TroubleNews(_About):
    """Dead letters with a trouble that there was none with before, to be looked at with `coins dead list --group`.

    account and top_account: `platform`. reason, type of command, exception and innermost frame of ours make the group, and
    of what is no command the producer by whose stream it came.
    """

    group: int
    reason: str
    command: str | None = Field(alias="type")
    exception: str | None
    frame: str | None
    producer: str | None = None


class BillNews(_About):
    """A bill was issued: what was charged in its period, less what was refunded of it."""

    bill: str
    period: str
    charged: int
    refunded: int
    total: int


class _FurtherEvent(_Shape):
    specversion: Literal["1.0"]
    id: str = Field(description="the same on every publication of this event")
    source: Literal["coins"]
    time: Time
    traceparent: str | None = Field(
        None,
        pattern=TRACEPARENT_PATTERN,
        exclude_if=_absent,
        description="of the command that has caused it, where one has",
    )
    datacontenttype: Literal["application/json"]


class CreditExhausted(_FurtherEvent):
    """Consumption took an account's available below 0."""

    type: Literal["coins.CreditExhausted.v1"]
    data: Exhaustion


class SubscriptionRenewed(_FurtherEvent):
    """A cycle of a subscription was paid."""

    type: Literal["coins.SubscriptionRenewed.v1"]
    data: SubscriptionNews


class BalanceLow(_FurtherEvent):
    """Available fell below a threshold."""

    type: Literal["coins.BalanceLow.v1"]
    data: BalanceNews


class BalanceRecovered(_FurtherEvent):
    """Available is above a threshold again that it had fallen below."""

    type: Literal["coins.BalanceRecovered.v1"]
    data: BalanceNews


class SubscriptionPastDue(_FurtherEvent):
    """A cycle of a subscription could not be charged, or was not paid; `next_try` says when it is tried again."""

    type: Literal["coins.SubscriptionPastDue.v1"]
    data: SubscriptionNews


class SubscriptionSuspended(_FurtherEvent):
    """A cycle stayed unpaid for seven days; once paid, the subscription goes on."""

    type: Literal["coins.SubscriptionSuspended.v1"]
    data: SubscriptionNews


class RenewalsAtRisk(_FurtherEvent):
    """The renewals of the next 30 days will not be covered."""

    type: Literal["coins.RenewalsAtRisk.v1"]
    data: RiskNews


class DeviceExpiring(_FurtherEvent):
    """A device is paid for seven days longer."""

    type: Literal["coins.DeviceExpiring.v1"]
    data: DeviceNews


class DeviceExpired(_FurtherEvent):
    """A device is not paid for any longer."""

    type: Literal["coins.DeviceExpired.v1"]
    data: DeviceNews


class ReceiptIssued(_FurtherEvent):
    """A receipt was made."""

    type: Literal["coins.ReceiptIssued.v1"]
    data: ReceiptNews


class ExportReady(_FurtherEvent):
    """A list that was asked for is a file by now."""

    type: Literal["coins.ExportReady.v1"]
    data: ExportNews


class SubscriptionCanceled(_FurtherEvent):
    """A subscription has ended."""

    type: Literal["coins.SubscriptionCanceled.v1"]
    data: SubscriptionNews


class BillIssued(_FurtherEvent):
    """A sponsored account was billed."""

    type: Literal["coins.BillIssued.v1"]
    data: BillNews


class DeadLetterGroupOpened(_FurtherEvent):
    """A message could not be decided, or a job gave up, in a way that is new."""

    type: Literal["coins.DeadLetterGroupOpened.v1"]
    data: TroubleNews


OUTCOMES: TypeAdapter[CommandApplied | CommandRejected] = TypeAdapter(
    Annotated[CommandApplied | CommandRejected, Field(discriminator="type")]
)
FurtherEvent = (
    CreditExhausted
    | BalanceLow
    | BalanceRecovered
    | SubscriptionRenewed
    | SubscriptionPastDue
    | SubscriptionSuspended
    | SubscriptionCanceled
    | RenewalsAtRisk
    | DeviceExpiring
    | DeviceExpired
    | BillIssued
    | ReceiptIssued
    | ExportReady
    | DeadLetterGroupOpened
)
FURTHER_EVENTS: TypeAdapter[FurtherEvent] = TypeAdapter(Annotated[FurtherEvent, Field(discriminator="type")])
OUTCOME_MODELS: tuple[type[BaseModel], ...] = (CommandApplied, CommandRejected)
FURTHER_MODELS: tuple[type[BaseModel], ...] = get_args(FurtherEvent)
EVENT_MODELS = (*OUTCOME_MODELS, *FURTHER_MODELS)
