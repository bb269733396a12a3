"""Mails are rows first, written with what they tell of, once; a job of their own sends them (`mails.py`)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

import psycopg

from workers.mail.message import domain_of, message_id_of
from workers.settings import Settings

# The same mail is there once, however often it is written. It is sent now, whatever clock its job went by.
_QUEUE = """
INSERT INTO mail (message_id, recipient, subject, body, receipt, account, created_at, next_try_at)
SELECT u.message_id, u.recipient, u.subject, u.body, u.receipt, u.account, %s, least(%s, clock_timestamp())
FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::int8[])
  AS u(message_id, recipient, subject, body, receipt, account)
ON CONFLICT (message_id) DO NOTHING"""


class Draft(NamedTuple):
    """A mail to one address. `key` is what it is about: with the recipient it makes the Message-ID, the same for ever."""

    key: tuple[str, ...]
    account: int
    recipient: str
    subject: str
    body: str
    receipt: str | None = None


def queue(
    connection: psycopg.Connection[Any], drafts: Iterable[Draft], now: datetime, settings: Settings
) -> int:
    """Write the mails, in the caller's transaction. How many are new. Raises SettingsInvalid for the sender's address."""
    domain = domain_of(settings.mail_from)
    listed = [
        (
            message_id_of(*one.key, one.recipient.lower(), domain=domain),
            one.recipient,
            one.subject,
            one.body,
            one.receipt,
            one.account,
        )
        for one in drafts
    ]
    if not listed:
        return 0
    columns = [list(column) for column in zip(*listed, strict=True)]
    return connection.execute(_QUEUE, (now, now, *columns)).rowcount
