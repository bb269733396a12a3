"""When what commands set was set last: a dead letter that is older must not undo by its replay what was said since.

Sums do not mind in which order they come; what stands until somebody says otherwise does.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Any

import psycopg

from ledger.arrays import columns
from messages.commands import (
    ChangeSubscription,
    Command,
    PutPaymentMethods,
    PutPlan,
    RemoveWarning,
    ResumeAccount,
    SetCreditLimit,
    SetNotifications,
    SetWarning,
    SuspendAccount,
    UpdateAccount,
)

Said = tuple[str, str]
"""What is set, and of what: `("plan", "year")`."""


def _fields(command: UpdateAccount) -> list[Said]:
    """Each field for itself: a new address is no reason to keep an old name."""
    return [
        (f"account {name}", command.account)
        for name, value in command.__dict__.items()
        if name != "account" and value is not None
    ]


_SETS: dict[type[Command], Callable[[Any], list[Said]]] = {
    UpdateAccount: _fields,
    SetCreditLimit: lambda command: [("credit limit", command.account)],
    SuspendAccount: lambda command: [("state", command.account)],
    ResumeAccount: lambda command: [("state", command.account)],
    PutPaymentMethods: lambda command: [("payment methods", command.country)],
    PutPlan: lambda command: [("plan", command.plan)],
    ChangeSubscription: lambda command: [("subscription", command.subscription)],
    SetWarning: lambda command: [("warning", command.warning)],
    RemoveWarning: lambda command: [("warning", command.warning)],
    SetNotifications: lambda command: [("notifications", command.account)],
}

# In the order of their keys: two batches that set the same do not wait for each other in a circle.
_RECORD = """
INSERT INTO last_set AS l (kind, subject, at)
SELECT u.kind, u.subject, u.at FROM unnest(%s::text[], %s::text[], %s::timestamptz[]) AS u(kind, subject, at)
ORDER BY u.kind, u.subject
ON CONFLICT (kind, subject) DO UPDATE SET at = greatest(l.at, excluded.at)"""

_FOUND = """
SELECT l.kind, l.subject, l.at
FROM unnest(%s::text[], %s::text[]) AS u(kind, subject)
JOIN last_set l ON l.kind = u.kind AND l.subject = u.subject"""
_LOCKED = f"{_FOUND} ORDER BY l.kind, l.subject FOR UPDATE OF l"


def sets(command: Command) -> list[Said]:
    """What the command sets; nothing for one that only adds, takes or opens."""
    rule = _SETS.get(type(command))
    return rule(command) if rule else []


def record(connection: psycopg.Connection[Any], said: Mapping[Said, datetime]) -> None:
    """What was set, and when that was said: by a letter that is replayed, when it had come in."""
    if said:
        connection.execute(_RECORD, columns((kind, subject, at) for (kind, subject), at in said.items()))


def when(
    connection: psycopg.Connection[Any], said: Collection[Said], *, locked: bool
) -> dict[Said, datetime]:
    """When each was set last, as far as it ever was. locked: nobody sets it before this transaction ends."""
    if not said:
        return {}
    found = connection.execute(_LOCKED if locked else _FOUND, columns(sorted(said)))
    return {(kind, subject): at for kind, subject, at in found}
