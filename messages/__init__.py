"""What a producer needs: commands as models, their envelope, a publisher, outcomes. Start with `Publisher`.

Names are imported when they are first used: whoever needs one reason need not wait for the client of a server.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .commands import COMMANDS as COMMANDS
    from .commands import ActivatePostpaid as ActivatePostpaid
    from .commands import Adjust as Adjust
    from .commands import AllocateCredit as AllocateCredit
    from .commands import CancelOrder as CancelOrder
    from .commands import CancelSubscription as CancelSubscription
    from .commands import CaptureHold as CaptureHold
    from .commands import ChangeSubscription as ChangeSubscription
    from .commands import CloseAccount as CloseAccount
    from .commands import Command as Command
    from .commands import ConfirmBill as ConfirmBill
    from .commands import Cycle as Cycle
    from .commands import DebitForDeviceOnboarding as DebitForDeviceOnboarding
    from .commands import DeleteSubscription as DeleteSubscription
    from .commands import Money as Money
    from .commands import OpenAccount as OpenAccount
    from .commands import PayOrder as PayOrder
    from .commands import PlaceHold as PlaceHold
    from .commands import PlaceOrder as PlaceOrder
    from .commands import PowerOff as PowerOff
    from .commands import PowerOn as PowerOn
    from .commands import PutPaymentMethods as PutPaymentMethods
    from .commands import PutPlan as PutPlan
    from .commands import Refund as Refund
    from .commands import ReleaseDevice as ReleaseDevice
    from .commands import ReleaseHold as ReleaseHold
    from .commands import RemoveWarning as RemoveWarning
    from .commands import Renewal as Renewal
    from .commands import ReportUsage as ReportUsage
    from .commands import RequestExport as RequestExport
    from .commands import ResumeAccount as ResumeAccount
    from .commands import ReverseTopUp as ReverseTopUp
    from .commands import SetCreditLimit as SetCreditLimit
    from .commands import SetNotifications as SetNotifications
    from .commands import SetWarning as SetWarning
    from .commands import Subscribe as Subscribe
    from .commands import SuspendAccount as SuspendAccount
    from .commands import TerminatePostpaid as TerminatePostpaid
    from .commands import TopUp as TopUp
    from .commands import Transfer as Transfer
    from .commands import UpdateAccount as UpdateAccount
    from .envelope import Event as Event
    from .errors import EdgeRefused as EdgeRefused
    from .errors import EdgeUnavailable as EdgeUnavailable
    from .errors import EventInvalid as EventInvalid
    from .errors import MessagesError as MessagesError
    from .errors import OutcomeTimeout as OutcomeTimeout
    from .events import CommandApplied as CommandApplied
    from .events import CommandRejected as CommandRejected
    from .events import Outcome as Outcome
    from .outcomes import OutcomeReader as OutcomeReader
    from .publisher import Message as Message
    from .publisher import Publisher as Publisher
    from .publisher import event as event
    from .reasons import Reason as Reason

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
        commands = importlib.import_module(f"{__name__}.commands")
        return [*_ROOM_OF, "COMMANDS", "Command", "Cycle", "Money", *commands.COMMANDS]
    if name.startswith("_"):
        raise AttributeError(name)
    room = importlib.import_module(f"{__name__}.{_ROOM_OF.get(name, 'commands')}")
    try:
        return getattr(room, name)
    except AttributeError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
