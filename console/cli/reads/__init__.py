"""Verbs that read the ledger, a file a subject. `READS` names them all.

What takes long to import is imported where it is needed, so that help comes at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from console.cli.reads import (
    accounts,
    allocations,
    bills,
    command,
    devices,
    holds,
    notices,
    orders,
    plans,
    runway,
    statement,
    subscriptions,
    verify,
)

READS: Final[dict[str, Callable[..., None]]] = {
    **accounts.VERBS,
    **plans.VERBS,
    **devices.VERBS,
    **statement.VERBS,
    **orders.VERBS,
    **subscriptions.VERBS,
    **allocations.VERBS,
    **holds.VERBS,
    **bills.VERBS,
    **notices.VERBS,
    **runway.VERBS,
    **command.VERBS,
    **verify.VERBS,
}
