"""Faults a producer meets. Refusals by the ledger are never exceptions: they come as `coins.CommandRejected.v1`."""

from __future__ import annotations


class MessagesError(Exception):
    """The root of this package's faults."""


class EventInvalid(MessagesError):
    """An event breaks the contract; the message names each field and what is wrong with it."""


class EdgeUnavailable(MessagesError):
    """The queue cannot be reached or did not confirm in time. What was sent may or may not have arrived:
    send it again with the same ids, the ledger applies each id once."""


class EdgeRefused(MessagesError):
    """The queue's server does not let this user in, or not do that. Sending it again changes nothing: the user and the
    password in the URL, the producer's name or the partition are to be mended first."""


class OutcomeTimeout(MessagesError):
    """Not every outcome came in time. The commands may still be decided: ask again with the same ids."""
