"""A sample of every command's data, for the contract and whoever reads it: a business one could meet."""

from __future__ import annotations

from typing import Any

SAMPLES: dict[str, dict[str, Any]] = {
    "OpenAccount": {
        "account": "acme",
        "parent": "platform",
        "kind": "enterprise",
        "name": "Acme Logistics",
        "email": "li.na@acme.example",
        "country": "DE",
        "timezone": "Europe/Berlin",
        "credit_limit": 200,
    },
    "UpdateAccount": {"account": "acme", "email": "ops@acme.example", "boss_email": ""},
    "SetCreditLimit": {"account": "acme", "credit_limit": 500},
    "SuspendAccount": {"account": "acme", "note": "invoice 4711 is overdue"},
    "ResumeAccount": {"account": "acme", "note": "invoice 4711 is paid"},
    "CloseAccount": {"account": "acme"},
    "TopUp": {
        "account": "acme",
        "amount": 500,
        "method": "offline",
        "reference": "WIRE-881",
        "paid": {"currency": "EUR", "amount": "450.00"},
    },
    "ReverseTopUp": {"transaction": "T-2026-0000001234", "note": "the wire was recalled"},
    "PutPaymentMethods": {"country": "DE", "methods": ["card", "sepa"]},
    "Transfer": {"from_account": "acme", "to_account": "acme-north", "amount": 120, "ordered_by": "acme"},
    "AllocateCredit": {"reseller": "vista", "customer": "vista-carl", "amount": 300},
    "Adjust": {"account": "acme", "amount": -15, "note": "charged twice by hand on 3 May"},
    "PutPlan": {
        "plan": "tracker-year",
        "name": "Tracker, a year",
        "kind": "onboarding",
        "price": 110,
        "cycle": {"unit": "year", "count": 1},
    },
    "DebitForDeviceOnboarding": {
        "account": "acme",
        "devices": ["SN-1001", "SN-1002"],
        "plan": "tracker-year",
    },
    "Renewal": {
        "account": "acme",
        "devices": ["SN-1001"],
        "price": 96,
        "cycle": {"unit": "month", "count": 12},
    },
    "ReleaseDevice": {"account": "acme", "device": "SN-1001"},
    "PlaceOrder": {
        "order": "o-2001",
        "account": "acme",
        "kind": "proxy",
        "product": "Static residential, DE",
        "price": 30,
        "quantity": 2,
        "details": {"region": "DE"},
    },
    "PayOrder": {"order": "o-2002", "method": "card"},
    "CancelOrder": {"order": "o-2003", "note": "ordered by mistake"},
    "PowerOn": {
        "account": "acme",
        "session": "s-77",
        "phone": "phone-5",
        "rate": "0.35",
        "at": "2026-11-22T08:00:00Z",
    },
    "PowerOff": {"session": "s-77", "at": "2026-11-22T09:12:30Z"},
    "PlaceHold": {"hold": "h-9", "account": "acme", "amount": 80, "expires_at": "2026-11-23T08:00:00Z"},
    "CaptureHold": {"hold": "h-9", "amount": 50, "final": True, "item": "installation"},
    "ReleaseHold": {"hold": "h-9"},
    "ActivatePostpaid": {"account": "acme", "resource": "cdn-1", "estimate": 200, "coefficient": "1.5"},
    "ReportUsage": {"resource": "cdn-1", "amount": 42, "item": "November, 420 GB"},
    "TerminatePostpaid": {"resource": "cdn-1"},
    "Subscribe": {
        "subscription": "pro-7",
        "account": "acme",
        "plan": "pro-month",
        "kind": "package",
        "user": "li.na@acme.example",
    },
    "ChangeSubscription": {"subscription": "pro-7", "plan": "pro-year"},
    "CancelSubscription": {"subscription": "pro-7", "at": "period_end"},
    "DeleteSubscription": {"subscription": "pro-7"},
    "ConfirmBill": {"bill": "vista-carl.2026-10", "confirmed_by": "vista"},
    "Refund": {"order": "o-2001", "amount": 30, "note": "one of the two did not work"},
    "SetWarning": {
        "warning": "w-1",
        "account": "acme",
        "set_by": "acme",
        "percent": 50,
        "emails": ["ops@acme.example"],
    },
    "RemoveWarning": {"warning": "w-1", "set_by": "acme"},
    "SetNotifications": {"account": "acme", "enabled": False},
    "RequestExport": {
        "export": "e-3",
        "account": "acme",
        "report": "statement",
        "filters": {"subtree": True, "from": "2026-11-01", "to": "2026-11-30"},
    },
}

# An outcome of each kind, as it is read.
_ENVELOPE = {"specversion": "1.0", "source": "coins", "datacontenttype": "application/json"}
_COMMAND = {"source": "shop", "id": "top-up-WIRE-881", "type": "coins.TopUp.v1"}
OUTCOMES: dict[str, dict[str, Any]] = {
    "CommandApplied": {
        **_ENVELOPE,
        "id": "16-0-66131087ba7a5",
        "type": "coins.CommandApplied.v1",
        "time": "2026-11-22T08:00:00.877285Z",
        "causationid": "top-up-WIRE-881",
        "data": {
            "command": _COMMAND,
            "duplicate": False,
            "reason": None,
            "message": None,
            "transaction": "T-2026-0000001234",
            "accounts": [
                {"account": "acme", "credit": 500, "credit_limit": 200, "frozen": 0, "available": 700}
            ],
        },
    },
    "CommandRejected": {
        **_ENVELOPE,
        "id": "17-0-66131087ba7a5",
        "type": "coins.CommandRejected.v1",
        "time": "2026-11-22T08:00:00.877285Z",
        "causationid": "top-up-WIRE-881",
        "data": {
            "command": _COMMAND,
            "duplicate": False,
            "reason": "account_not_found",
            "message": "There is no account acme.",
            "transaction": None,
            "accounts": [],
        },
    },
}


def event_of(type_: str, data: dict[str, Any]) -> dict[str, Any]:
    """A sample in its envelope."""
    key = {"specversion": "1.0", "id": "9f1c-0001", "source": "shop"}
    return {**key, "type": type_, "partitionkey": "acme", "data": data}
