"""What a producer needs: commands as models, their envelope, a publisher, outcomes. Start with `Publisher`.

Names are imported when they are first used: whoever needs one reason need not wait for the client of a server.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from messages.commands import COMMANDS as COMMANDS
    from messages.commands import ActivatePostpaid as ActivatePostpaid
    from messages.commands import Adjust as Adjust
    from messages.commands import AllocateCredit as AllocateCredit
    from messages.commands import CancelOrder as CancelOrder
    from messages.commands import CancelSubscription as CancelSubscription
    from messages.commands import CaptureHold as CaptureHold
    from messages.commands import ChangeSubscription as ChangeSubscription
    from messages.commands import CloseAccount as CloseAccount
    from messages.commands import Command as Command
    from messages.commands import ConfirmBill as ConfirmBill
    from messages.commands import Cycle as Cycle
    from messages.commands import DebitForDeviceOnboarding as DebitForDeviceOnboarding
    from messages.commands import DeleteSubscription as DeleteSubscription
    from messages.commands import Money as Money
    from messages.commands import OpenAccount as OpenAccount
    from messages.commands import PayOrder as PayOrder
    from messages.commands import PlaceHold as PlaceHold
    from messages.commands import PlaceOrder as PlaceOrder
    from messages.commands import PowerOff as PowerOff
    from messages.commands import PowerOn as PowerOn
    from messages.commands import PutPaymentMethods as PutPaymentMethods
    from messages.commands import PutPlan as PutPlan
    from messages.commands import Refund as Refund
    from messages.commands import ReleaseDevice as ReleaseDevice
    from messages.commands import ReleaseHold as ReleaseHold
    from messages.commands import RemoveWarning as RemoveWarning
    from messages.commands import Renewal as Renewal
    from messages.commands import ReportUsage as ReportUsage
    from messages.commands import RequestExport as RequestExport
    from messages.commands import ResumeAccount as ResumeAccount
    from messages.commands import ReverseTopUp as ReverseTopUp
    from messages.commands import SetCreditLimit as SetCreditLimit
    from messages.commands import SetNotifications as SetNotifications
    from messages.commands import SetWarning as SetWarning
    from messages.commands import Subscribe as Subscribe
    from messages.commands import SuspendAccount as SuspendAccount
    from messages.commands import TerminatePostpaid as TerminatePostpaid
    from messages.commands import TopUp as TopUp
    from messages.commands import Transfer as Transfer
    from messages.commands import UpdateAccount as UpdateAccount
    from messages.envelope import Event as Event
    from messages.errors import EdgeRefused as EdgeRefused
    from messages.errors import EdgeUnavailable as EdgeUnavailable
    from messages.errors import EventInvalid as EventInvalid
    from messages.errors import MessagesError as MessagesError
    from messages.errors import OutcomeTimeout as OutcomeTimeout
    from messages.events import CommandApplied as CommandApplied
    from messages.events import CommandRejected as CommandRejected
    from messages.events import Outcome as Outcome
    from messages.outcomes import OutcomeReader as OutcomeReader
    from messages.publisher import Message as Message
    from messages.publisher import Publisher as Publisher
    from messages.publisher import event as event
    from messages.reasons import Reason as Reason

_ROOMS = {
    "errors": ("EdgeRefused", "EdgeUnavailable", "EventInvalid", "MessagesError", "OutcomeTimeout"),
    "envelope": ("Event",),
    "events": ("CommandApplied", "CommandRejected", "Outcome"),
    "outcomes": ("OutcomeReader",),
    "publisher": ("Message", "Publisher", "event"),
    "reasons": ("Reason",),
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}


def __getattr__(name: str) -> Any:
    """Names that are in no other room are commands. For `import *` all are there."""
    if name == "__all__":
        commands = importlib.import_module("messages.commands")
        return [*_ROOM_OF, "COMMANDS", "Command", "Cycle", "Money", *commands.COMMANDS]
    if name.startswith("_"):
        raise AttributeError(name)
    room = importlib.import_module(f"messages.{_ROOM_OF.get(name, 'commands')}")
    try:
        return getattr(room, name)
    except AttributeError:
        raise AttributeError(f"module 'messages' has no attribute {name!r}") from None
