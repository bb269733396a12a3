"""Every command, as a model: what a producer may ask for and which fields it takes (CONTRACT §4).

The name of a class is the command's name; its docstring says what applying it does. To add a command, add its model to the
file of its subject and to `COMMANDS` below, and its rule in `ledger/decide/`.
"""

from __future__ import annotations

from typing import Any

from .accounts import (
    CloseAccount,
    Funding,
    Kind,
    OpenAccount,
    ResumeAccount,
    SetCreditLimit,
    SuspendAccount,
    UpdateAccount,
)
from .base import Command, Cycle, CycleUnit, Money, Part
from .coins import (
    Adjust,
    AllocateCredit,
    ConfirmBill,
    PutPaymentMethods,
    Refund,
    ReverseTopUp,
    TopUp,
    Transfer,
)
from .devices import DebitForDeviceOnboarding, PlanKind, PutPlan, ReleaseDevice, Renewal
from .holds import (
    ActivatePostpaid,
    CaptureHold,
    PlaceHold,
    ReleaseHold,
    ReportUsage,
    TerminatePostpaid,
)
from .notices import (
    ExportFormat,
    RemoveWarning,
    RequestExport,
    SetNotifications,
    SetWarning,
)
from .orders import (
    BALANCE,
    CancelOrder,
    OrderKind,
    Pay,
    PayOrder,
    PlaceOrder,
    PowerOff,
    PowerOn,
)
from .subscriptions import (
    CancelAt,
    CancelSubscription,
    ChangeSubscription,
    DeleteSubscription,
    PaymentMethod,
    Subscribe,
    SubscriptionKind,
)

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
        PutPaymentMethods,
        Transfer,
        AllocateCredit,
        Adjust,
        PutPlan,
        DebitForDeviceOnboarding,
        Renewal,
        ReleaseDevice,
        PlaceOrder,
        PayOrder,
        CancelOrder,
        PowerOn,
        PowerOff,
        PlaceHold,
        CaptureHold,
        ReleaseHold,
        ActivatePostpaid,
        ReportUsage,
        TerminatePostpaid,
        Subscribe,
        ChangeSubscription,
        CancelSubscription,
        DeleteSubscription,
        ConfirmBill,
        Refund,
        SetWarning,
        RemoveWarning,
        SetNotifications,
        RequestExport,
    )
}


# Fields that name an account, in any command.
ACCOUNT_FIELDS = (
    "account",
    "parent",
    "from_account",
    "to_account",
    "ordered_by",
    "reseller",
    "customer",
    "confirmed_by",
    "set_by",
)


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


__all__ = [
    "ACCOUNT_FIELDS",
    "BALANCE",
    "COMMANDS",
    "ActivatePostpaid",
    "Adjust",
    "AllocateCredit",
    "CancelAt",
    "CancelOrder",
    "CancelSubscription",
    "CaptureHold",
    "ChangeSubscription",
    "CloseAccount",
    "Command",
    "ConfirmBill",
    "Cycle",
    "CycleUnit",
    "DebitForDeviceOnboarding",
    "DeleteSubscription",
    "ExportFormat",
    "Funding",
    "Kind",
    "Money",
    "OpenAccount",
    "OrderKind",
    "Part",
    "Pay",
    "PayOrder",
    "PaymentMethod",
    "PlaceHold",
    "PlaceOrder",
    "PlanKind",
    "PowerOff",
    "PowerOn",
    "PutPaymentMethods",
    "PutPlan",
    "Refund",
    "ReleaseDevice",
    "ReleaseHold",
    "RemoveWarning",
    "Renewal",
    "ReportUsage",
    "RequestExport",
    "ResumeAccount",
    "ReverseTopUp",
    "SetCreditLimit",
    "SetNotifications",
    "SetWarning",
    "Subscribe",
    "SubscriptionKind",
    "SuspendAccount",
    "TerminatePostpaid",
    "TopUp",
    "Transfer",
    "UpdateAccount",
    "content_of",
    "type_of",
]
