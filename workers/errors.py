"""Faults of the processes around the ledger. Business refusals are never exceptions: they are outcomes."""

from __future__ import annotations


class WorkersError(Exception):
    """The root of this package's faults."""


class SettingsInvalid(WorkersError):
    """A setting has a value that cannot be used; the message names it and says what to do."""


class NotReady(WorkersError):
    """A server that is needed cannot be reached (the command line exits 3)."""


class ExportFailed(WorkersError):
    """A list cannot be made into a file; the message says which and why."""


class FileNotWritten(WorkersError):
    """A file cannot be written where it is to be; the message says which and why. That may pass."""
