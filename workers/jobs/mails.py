"""Sends the mails that wait, each until its server has taken it; what stays refused for days becomes a dead letter."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

import psycopg
import structlog

from ledger.dead_letters import escaped
from ledger.queries.receipts import content_of
from workers.errors import SettingsInvalid
from workers.jobs.performing import MAIL_STREAM, give_up
from workers.jobs.run import Run, is_defect, is_outage
from workers.mail.errors import MailDelayed, MailError, ServerAway
from workers.mail.message import Attachment, Mail, message_of
from workers.mail.retries import next_try
from workers.mail.transport import Transport, transport_for
from workers.receipts.stored import printed

AT_ONCE = 100
# A server that is away is not asked for each of a thousand mails.
AWAY_AFTER = 3

log = structlog.get_logger(__name__)

_WAITING = """
SELECT id, message_id, recipient, subject, body, receipt, created_at, tries, next_try_at
FROM mail
WHERE state = 'waiting' AND next_try_at <= %(now)s AND (next_try_at, id) > (%(after_at)s, %(after_id)s)
ORDER BY next_try_at, id
LIMIT %(rows)s"""
_SENT = "UPDATE mail SET state = 'sent', sent_at = %b, tries = tries + 1, error = NULL WHERE id = %b"
# The pause counts from now, whatever clock the run goes by.
_LATER = """
UPDATE mail SET tries = tries + 1, next_try_at = least(%b, clock_timestamp() + %b), error = %b WHERE id = %b"""
_GIVEN_UP = "UPDATE mail SET state = 'given up', tries = tries + 1, error = %b WHERE id = %b"


class _Waiting(NamedTuple):
    id: int
    message_id: str
    recipient: str
    subject: str
    body: str
    receipt: str | None
    created_at: datetime
    tries: int
    next_try_at: datetime


def send_mails(run: Run) -> str:
    """Send what is due. Raises SettingsInvalid for a server or a sender that cannot be used."""
    settings = run.settings
    url = settings.smtp_url.get_secret_value() if settings.smtp_url else None
    transport = transport_for(url, settings.mail_dir)
    try:
        sent, left = _send_all(run, transport)
    finally:
        transport.close()
    told = f"{sent:,} mails sent" if url else f"{sent:,} mails written to {settings.mail_dir}"
    return f"{told}, {left:,} to be tried again" if left else told


def _send_all(run: Run, transport: Transport) -> tuple[int, int]:
    sent = left = away = 0
    after: tuple[Any, int] = ("-infinity", 0)
    while away < AWAY_AFTER:
        found = _waiting(run, after)
        if not found:
            break
        for one in found:
            run.check()
            after = (one.next_try_at, one.id)
            error = None if run.dry_run else _send(run, transport, one)
            run.transact(partial(_settle, run, one=one, error=error))
            sent += error is None
            left += isinstance(error, MailDelayed)
            away = away + 1 if isinstance(error, ServerAway) else 0
            if away >= AWAY_AFTER:
                break
    return sent, left


def _waiting(run: Run, after: tuple[Any, int]) -> list[_Waiting]:
    values = {"now": run.now, "after_at": after[0], "after_id": after[1], "rows": AT_ONCE}
    return [_Waiting(*row) for row in run.connection.execute(_WAITING, values)]


def _send(run: Run, transport: Transport, one: _Waiting) -> MailError | None:
    """Before anything is written down: killed in between, the mail goes out again, under the same Message-ID."""
    try:
        transport.send(_mail(run, one))
    except SettingsInvalid:
        raise
    except MailError as error:
        return error
    except Exception as error:
        if is_outage(error) or is_defect(error):
            raise
        # Nobody else waits behind one that cannot be made; until it is given up there is time to mend it.
        log.exception("mail cannot be made", mail=one.id, run=run.id)
        return MailDelayed(escaped(f"cannot be made: {type(error).__name__}: {error}")[:2_000])
    return None


def _mail(run: Run, one: _Waiting) -> Mail:
    attachment = None
    if one.receipt is not None:
        content = printed(content_of(run.connection, one.receipt), scale=run.settings.scale)
        attachment = Attachment(f"{one.receipt}.pdf", content)
    return Mail(
        message_id=one.message_id,
        sender=run.settings.mail_from,
        recipient=one.recipient,
        subject=one.subject,
        body=one.body,
        created_at=one.created_at,
        attachment=attachment,
    )


def _settle(run: Run, connection: psycopg.Connection[Any], *, one: _Waiting, error: MailError | None) -> None:
    item = f"{one.id} to {one.recipient}"
    if error is None:
        connection.execute(_SENT, (run.now, one.id))
        run.item(item, detail=one.subject)
        return
    again_at = next_try(one.tries + 1, run.now) if isinstance(error, MailDelayed) else None
    if again_at is not None:
        connection.execute(_LATER, (again_at, again_at - run.now, str(error), one.id))
        run.item(item, "refused", "delayed", f"{error}; again at {again_at:%Y-%m-%d %H:%M} UTC")
        return
    connection.execute(_GIVEN_UP, (str(error), one.id))
    give_up(connection, _raw(run, one), MAIL_STREAM, str(one.id), error, run.now)
    run.item(item, "failed", "given up", str(error))


def _raw(run: Run, one: _Waiting) -> bytes:
    """The mail as it would have been sent; where that cannot even be composed, what it says."""
    try:
        return message_of(_mail(run, one)).as_bytes()
    except Exception:  # noqa: BLE001 - whatever keeps it from being made
        return f"To: {one.recipient}\nSubject: {one.subject}\n\n{one.body}".encode()
