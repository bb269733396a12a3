"""The runway: who has to pay more within thirty days than there is, is told once, until it is covered again."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import psycopg

from ledger import upkeep
from ledger.queries.addressees import Addressee, addressees
from ledger.runway import DAYS, Outlook, doubtful, outlooks
from ledger.upkeep import News
from messages.events import EventType
from messages.fields import time_text
from workers.jobs.mailing import Draft, queue
from workers.jobs.run import Run
from workers.mail import texts

PAYERS_AT_ONCE = 200

_TOLD = "SELECT account FROM at_risk"
_TELL = """
INSERT INTO at_risk (account, since, date, missing)
SELECT u.account, %s, u.date, u.missing
FROM unnest(%s::int8[], %s::timestamptz[], %s::int8[]) AS u(account, date, missing)
ON CONFLICT (account) DO NOTHING
RETURNING account"""
_COVERED = "DELETE FROM at_risk WHERE account = ANY(%s::int8[])"


def look_ahead(run: Run) -> str:
    """Tell of renewals at risk by the run's clock. What is covered again is armed again, without a word."""
    until = run.now + timedelta(days=DAYS)
    told = {account for (account,) in run.connection.execute(_TOLD)}
    payers = sorted(told.union(doubtful(run.connection, run.now, until)))
    count = 0
    for first in range(0, len(payers), PAYERS_AT_ONCE):
        run.check()
        found = outlooks(run.connection, payers[first : first + PAYERS_AT_ONCE], run.now, until)
        risks = {key: one for key, one in found.items() if one.covered_until is not None and key not in told}
        covered = [key for key, one in found.items() if one.covered_until is None and key in told]
        if risks or covered:
            count += run.transact(partial(_settle, run, risks=risks, covered=covered))
    if count:
        run.follow("mails")
    return f"{count:,} accounts will not have enough for their renewals"


def _settle(
    run: Run, connection: psycopg.Connection[Any], *, risks: dict[int, Outlook], covered: list[int]
) -> int:
    connection.execute(_COVERED, (covered,))
    values = [(key, one.covered_until, one.missing) for key, one in risks.items()]
    columns = [list(column) for column in zip(*values, strict=True)] or [[], [], []]
    told = connection.execute(_TELL, (run.now, *columns)).fetchall()
    new = {key: risks[key] for (key,) in sorted(told)}
    upkeep.tell(connection, [_news(key, one) for key, one in new.items()], run.now)
    people = addressees(connection, new)
    for key, one in new.items():
        run.item(
            people[key].account, detail=f"{one.missing:,} missing, the first on {one.covered_until:%Y-%m-%d}"
        )
    queue(
        connection,
        [_draft(people[key], one, run) for key, one in new.items() if _is_mailed(people[key])],
        run.now,
        run.settings,
    )
    return len(new)


def _news(account: int, one: Outlook) -> News:
    assert one.covered_until is not None
    data = {"date": time_text(one.covered_until), "missing": one.missing}
    return News(EventType.RENEWALS_AT_RISK, account, data)


def _is_mailed(whom: Addressee) -> bool:
    return whom.nearest_email is not None and whom.nearest_notifications


def _draft(whom: Addressee, one: Outlook, run: Run) -> Draft:
    assert whom.nearest_email is not None
    assert one.covered_until is not None
    subject, body = texts.renewals_at_risk(
        account=whom.account,
        account_name=whom.name,
        date=one.covered_until,
        missing=one.missing,
        due_total=one.total,
        available=one.available,
        days=DAYS,
        contact_name=whom.contact_name,
        contact_email=whom.contact_email,
        zone=whom.zone,
        scale=run.settings.scale,
    )
    key = ("renewals at risk", whom.account, run.now.isoformat())
    return Draft(key, whom.id, whom.nearest_email, subject, body)
