"""When what commands set was set last: a dead letter that is older must not undo by its replay what was said since.

Sums do not mind in which order they come; what stands until somebody says otherwise does.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Any, NamedTuple

import psycopg

from ledger.arrays import columns
from messages.commands import (
    ChangeSubscription,
    Command,
    OpenAccount,
    PutPaymentMethods,
    PutPlan,
    RemoveWarning,
    ResumeAccount,
    SetCreditLimit,
    SetNotifications,
    SetWarning,
    Subscribe,
    SuspendAccount,
    UpdateAccount,
)

Said = tuple[str, str]
"""What is set, and of what: `("plan", "year")`."""


class Moment(NamedTuple):
    """When something was said: at what time, and where among all that came in (`dead_letters.arrival_of`)."""

    at: datetime
    arrival: int


_NOT_SET = frozenset({"account", "parent", "kind", "credit_limit"})


def _fields(command: UpdateAccount | OpenAccount) -> list[Said]:
    """Each field for itself: a new address is no reason to keep an old name."""
    return [
        (f"account {name}", command.account)
        for name, value in command.__dict__.items()
        if name not in _NOT_SET and value is not None
    ]


def _of_update(command: UpdateAccount) -> list[Said]:
    """A change of funding sets the limit to 0."""
    limit = [("credit limit", command.account)] if command.funding is not None else []
    return [*_fields(command), *limit]


def _of_opening(command: OpenAccount) -> list[Said]:
    return [*_fields(command), ("credit limit", command.account), ("state", command.account)]


_SETS: dict[type[Command], Callable[[Any], list[Said]]] = {
    OpenAccount: _of_opening,
    UpdateAccount: _of_update,
    SetCreditLimit: lambda command: [("credit limit", command.account)],
    SuspendAccount: lambda command: [("state", command.account)],
    ResumeAccount: lambda command: [("state", command.account)],
    PutPaymentMethods: lambda command: [("payment methods", command.country)],
    PutPlan: lambda command: [("plan", command.plan)],
    Subscribe: lambda command: [("subscription", command.subscription)],
    ChangeSubscription: lambda command: [("subscription", command.subscription)],
    SetWarning: lambda command: [("warning", command.warning)],
    RemoveWarning: lambda command: [("warning", command.warning)],
    SetNotifications: lambda command: [("notifications", command.account)],
}
# They make what they set: there was nothing before that a late one could undo.
_MAKES: frozenset[type[Command]] = frozenset({OpenAccount, Subscribe})

# In the order of their keys: two batches that set the same do not wait for each other in a circle.
_RECORD = """
INSERT INTO last_set AS l (kind, subject, at, arrival)
SELECT u.kind, u.subject, u.at, u.arrival
FROM unnest(%s::text[], %s::text[], %s::timestamptz[], %s::int8[]) AS u(kind, subject, at, arrival)
ORDER BY u.kind, u.subject
ON CONFLICT (kind, subject) DO UPDATE SET at = excluded.at, arrival = excluded.arrival
WHERE l.arrival < excluded.arrival"""

_FOUND = """
SELECT l.kind, l.subject, l.at, l.arrival
FROM unnest(%s::text[], %s::text[]) AS u(kind, subject)
JOIN last_set l ON l.kind = u.kind AND l.subject = u.subject"""
_LOCKED = f"{_FOUND} ORDER BY l.kind, l.subject FOR UPDATE OF l"


def sets(command: Command) -> list[Said]:
    """What the command sets; nothing for one that only adds or takes."""
    rule = _SETS.get(type(command))
    return rule(command) if rule else []


def may_undo(command: Command) -> list[Said]:
    """What the command would set that may have been set otherwise before."""
    return [] if type(command) in _MAKES else sets(command)


def record(connection: psycopg.Connection[Any], said: Mapping[Said, Moment]) -> None:
    """What was set, and when that was said: by a letter that is replayed, when it had come in."""
    if said:
        rows = ((kind, subject, when.at, when.arrival) for (kind, subject), when in said.items())
        connection.execute(_RECORD, columns(rows))


def when(connection: psycopg.Connection[Any], said: Collection[Said], *, locked: bool) -> dict[Said, Moment]:
    """When each was set last, as far as it ever was. locked: nobody sets it before this transaction ends."""
    if not said:
        return {}
    found = connection.execute(_LOCKED if locked else _FOUND, columns(sorted(said)))
    return {(kind, subject): Moment(at, arrival) for kind, subject, at, arrival in found}
