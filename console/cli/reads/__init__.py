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
    exports,
    holds,
    orders,
    plans,
    receipts,
    runway,
    statement,
    subscriptions,
    verify,
    warnings,
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
    **warnings.VERBS,
    **receipts.VERBS,
    **exports.VERBS,
    **runway.VERBS,
    **command.VERBS,
    **verify.VERBS,
}
