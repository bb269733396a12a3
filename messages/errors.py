"""Faults a producer meets. Refusals by the ledger are never exceptions: they come as `coins.CommandRejected.v1`."""

from __future__ import annotations


class MessagesError(Exception):
    """The root of this package's faults."""


class EventInvalid(MessagesError):
    """An event breaks the contract; the message names each field and what is wrong with it."""


class EdgeUnavailable(MessagesError):
    """The queue cannot be reached or did not confirm in time. What was sent may or may not have arrived:
    send it again with the same ids, the ledger applies each id once."""


class OutcomeTimeout(MessagesError):
    """Not every outcome came in time. The commands may still be decided: ask again with the same ids."""
