"""An example of every command with no more than it requires, and what a field takes and refuses, tried on them."""

from __future__ import annotations

import json
from typing import Any

from messages.codec import Decoded, Invalid, Part, decode

GOOD: dict[str, dict[str, Any]] = {
    "OpenAccount": {"account": "acme", "parent": "platform", "kind": "enterprise", "name": "Acme"},
    "UpdateAccount": {"account": "acme"},
    "SetCreditLimit": {"account": "acme", "credit_limit": 0},
    "SuspendAccount": {"account": "acme"},
    "ResumeAccount": {"account": "acme"},
    "CloseAccount": {"account": "acme"},
    "TopUp": {"account": "acme", "amount": 1},
    "ReverseTopUp": {"transaction": "T-2026-0000000001"},
    "Transfer": {"from_account": "a", "to_account": "b", "amount": 1},
    "Adjust": {"account": "acme", "amount": -1, "note": "why"},
    "PutPlan": {"plan": "p", "name": "Plan", "kind": "renewal"},
    "DebitForDeviceOnboarding": {"account": "acme", "devices": ["d"]},
    "Renewal": {"account": "acme", "devices": ["d"]},
    "ReleaseDevice": {"account": "acme", "device": "d"},
    "PutPaymentMethods": {"country": "DE", "methods": ["card"]},
    "AllocateCredit": {"reseller": "shop", "customer": "carl", "amount": -1},
    "PlaceOrder": {"order": "o", "account": "acme", "kind": "proxy", "product": "Static, DE"},
    "PayOrder": {"order": "o"},
    "CancelOrder": {"order": "o"},
    "PowerOn": {"account": "acme", "session": "s", "phone": "p", "at": "2026-11-22T08:00:00Z"},
    "PowerOff": {"session": "s", "at": "2026-11-22T08:00:00Z"},
    "PlaceHold": {"hold": "h", "account": "acme", "amount": 1},
    "CaptureHold": {"hold": "h"},
    "ReleaseHold": {"hold": "h"},
    "ActivatePostpaid": {"account": "acme", "resource": "r", "estimate": 1},
    "ReportUsage": {"resource": "r", "amount": 1},
    "TerminatePostpaid": {"resource": "r"},
    "Subscribe": {"subscription": "s", "account": "acme", "plan": "p", "kind": "package"},
    "ChangeSubscription": {"subscription": "s"},
    "CancelSubscription": {"subscription": "s"},
    "DeleteSubscription": {"subscription": "s"},
    "ConfirmBill": {"bill": "carl.2026-10", "confirmed_by": "shop"},
    "Refund": {"transaction": "T-2026-0000000001"},
    "SetWarning": {"warning": "w", "account": "acme", "set_by": "acme", "amount": 1},
    "RemoveWarning": {"warning": "w", "set_by": "acme"},
    "SetNotifications": {"account": "acme", "enabled": False},
    "RequestExport": {"export": "e", "account": "acme", "report": "orders"},
}
MOST = 10**15


def part(type_: str, data: Any, /, **envelope: Any) -> Part:
    event = {"specversion": "1.0", "id": "1", "source": "s", "type": f"coins.{type_}.v1", "data": data}
    (found,) = decode(json.dumps({**event, **envelope}).encode())
    return found


def takes(type_: str, **fields: Any) -> None:
    found = part(type_, {**GOOD[type_], **fields})
    assert isinstance(found, Decoded), f"{fields!r}: {found}"


def refuses(type_: str, **fields: Any) -> None:
    found = part(type_, {**GOOD[type_], **fields})
    assert isinstance(found, Invalid), f"{fields!r} was taken"
    assert (found.source, found.id, found.type) == ("s", "1", f"coins.{type_}.v1")
    assert any(name in found.why for name in fields), found.why
