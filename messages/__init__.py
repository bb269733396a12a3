"""What a producer needs: commands as models, their envelope, a publisher, outcomes. Start with `Publisher`."""

from messages.commands import COMMANDS as COMMANDS
from messages.commands import (
    Adjust,
    CloseAccount,
    Command,
    Cycle,
    DebitForDeviceOnboarding,
    Money,
    OpenAccount,
    PutPlan,
    Refund,
    ReleaseDevice,
    Renewal,
    ResumeAccount,
    ReverseTopUp,
    SetCreditLimit,
    SuspendAccount,
    TopUp,
    Transfer,
    UpdateAccount,
)
from messages.envelope import Event
from messages.errors import EdgeUnavailable, EventInvalid, MessagesError, OutcomeTimeout
from messages.events import CommandApplied, CommandRejected, Outcome
from messages.outcomes import OutcomeReader
from messages.publisher import Message, Publisher, event
from messages.reasons import Reason

__all__ = [
    "COMMANDS",
    "Adjust",
    "CloseAccount",
    "Command",
    "CommandApplied",
    "CommandRejected",
    "Cycle",
    "DebitForDeviceOnboarding",
    "EdgeUnavailable",
    "Event",
    "EventInvalid",
    "Message",
    "MessagesError",
    "Money",
    "OpenAccount",
    "Outcome",
    "OutcomeReader",
    "OutcomeTimeout",
    "Publisher",
    "PutPlan",
    "Reason",
    "Refund",
    "ReleaseDevice",
    "Renewal",
    "ResumeAccount",
    "ReverseTopUp",
    "SetCreditLimit",
    "SuspendAccount",
    "TopUp",
    "Transfer",
    "UpdateAccount",
    "event",
]
