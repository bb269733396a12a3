"""Faults of the ledger. A business refusal is never one of them: it is a `Rejected` value."""

from __future__ import annotations


class LedgerError(Exception):
    """The root of this package's faults."""


class DatabaseUnavailable(LedgerError):
    """The database cannot be reached."""


class SchemaOutdated(LedgerError):
    """The database has no schema, or not the one this version needs. Run `coins migrate`."""


class FenceLost(LedgerError):
    """The partition has another owner by now, or a position was moved by somebody else: what was read is void."""


class BatchRaced(LedgerError):
    """Another transaction was faster with the same key or row. Roll back and run the batch again."""


class NotCopied(LedgerError):
    """A ledger cannot be copied into another database, where nothing was changed by it; the message says why."""


class NotFound(LedgerError):
    """A reader asked for something that does not exist; the message says what."""


class QueryInvalid(LedgerError):
    """A filter or a cursor cannot be used; the message names it and says what to do."""


class TooMuchAtOnce(Exception):
    """Some commands want more rows than should be held in memory at once; half of them may not."""
