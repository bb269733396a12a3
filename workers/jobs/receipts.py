"""Receipts for what was recharged and ordered since, and the mails that carry them."""

from __future__ import annotations

from functools import partial
from typing import Any

import psycopg

from ledger.receipts import DUE, issue
from workers.jobs.mailing import Draft, queue
from workers.jobs.run import Run
from workers.mail.texts import receipt_attached

AT_ONCE = 200


def issue_receipts(run: Run) -> str:
    """Number what is due, in the order of posting, and write its mails: to the payer and to the boss, once each."""
    after, count = 0, 0
    while True:
        run.check()
        due = [number for (number,) in run.connection.execute(DUE, (after, AT_ONCE))]
        if not due:
            break
        count += sum(run.each(due, partial(_issue, run), "transaction {}".format))
        after = due[-1]
    if count:
        run.follow("mails")
    return f"{count:,} receipts issued"


def _issue(run: Run, connection: psycopg.Connection[Any], due: list[int]) -> int:
    issued = issue(connection, due, run.now)
    drafts = []
    for one in issued:
        subject, body = receipt_attached(
            number=one.number,
            account=one.account_id,
            account_name=one.account_name,
            amount=one.amount,
            what=one.what,
            scale=run.settings.scale,
        )
        drafts += [
            Draft(("receipt", one.number), one.account, email, subject, body, one.number)
            for email in one.emails
        ]
        run.item(one.number, detail=", ".join(one.emails) or "nobody to mail it to")
    queue(connection, drafts, run.now, run.settings)
    return len(issued)
