"""Faults of starting and stopping programs. Each says how `coins up` leaves because of it."""

from __future__ import annotations

from typing import ClassVar


class DeployError(Exception):
    """The root of this package's faults."""

    exit_code: ClassVar[int] = 1


class AlreadyRunning(DeployError):
    """Another `coins up` holds the directory."""

    exit_code = 3


class Moved(DeployError):
    """The ledger of the directory goes on somewhere else."""

    exit_code = 3


class HalfRestored(DeployError):
    """A restore was broken off; nobody is to work on what there is."""

    exit_code = 3


class NotMoved(DeployError):
    """The ledger is not ready to be moved, or the target not to take it; the message says what to do."""


class NotBackedUp(DeployError):
    """A back-up cannot be made, or is not one that can be restored; the message says why."""


class ServerNotStarted(DeployError):
    """PostgreSQL or Valkey cannot be started; the message has the end of its log."""

    exit_code = 3


class ServerNotRunning(DeployError):
    """Something was asked of a server that has not been started, or has been stopped."""


class ChildNotReady(DeployError):
    """A child process did not report ready in time; the message has the end of its log."""

    exit_code = 3


class ChildMisconfigured(DeployError):
    """A child process refuses its settings: starting it again would not help."""

    exit_code = 2


class PreparationFailed(DeployError):
    """A step that runs once, before everything else, failed; the message has the end of its log."""


class Interrupted(DeployError):
    """Somebody asked to stop while something was being started: not a fault, a way out."""

    exit_code = 0
