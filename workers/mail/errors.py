"""Why a mail was not sent: for good, or for now."""

from __future__ import annotations

from workers.errors import WorkersError


class MailError(WorkersError):
    """The root of this package's faults. Messages hold no secrets and may be stored and shown."""


class MailRefused(MailError):
    """This mail will never be taken: trying it again is pointless."""


class MailUnsendable(MailRefused):
    """The recipient is no address that a mail could be sent to."""


class MailDelayed(MailError):
    """The mail could not be sent now, for a reason that passes or that is ours to mend: try it again later."""


class ServerAway(MailDelayed):
    """Nothing can be sent now, this mail or another: the server is not there, or wants something else of us."""
