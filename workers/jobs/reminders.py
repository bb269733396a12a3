"""A mail seven days before a subscription is renewed, with what it will cost."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from typing import Any

import psycopg

from ledger.decide.dunning import MANUAL
from ledger.queries.addressees import addressees
from ledger.queries.prices import prices
from workers.jobs.mailing import Draft, queue
from workers.jobs.marks import mark, marked
from workers.jobs.run import Run
from workers.mail import texts

JOB = "renewal-reminders"
AHEAD = timedelta(days=7)
# Behind the clock, so that a payment date which is being committed just now is not passed over.
LAG = timedelta(minutes=1)
AT_ONCE = 500

# What is renewed every seven days or oftener is told of once, before it begins: nobody wants a mail for each time.
_COMING = """
SELECT s.subscription, s.account, s.next_try_at, s.payment_method, s.paid_cycles + 1
FROM subscription s
WHERE s.next_try_at > %(since)s AND s.next_try_at <= %(until)s AND s.next_try_at > %(now)s
  AND (s.next_try_at, s.subscription) > (%(after_at)s, %(after_id)s) AND s.next_try_at = s.next_payment_at
  AND s.status IN ('active', 'scheduled') AND s.created_at <= s.next_try_at - interval '7 days'
  AND (s.paid_cycles = 0 OR s.cycle_unit IN ('month', 'year')
       OR s.cycle_count * CASE s.cycle_unit WHEN 'week' THEN 7 ELSE 1 END > 7)
ORDER BY s.next_try_at, s.subscription
LIMIT %(rows)s"""


def remind(run: Run) -> int:
    """Write the mails for what has come within seven days since the last time. How many."""
    until = run.now - LAG
    since = marked(run.connection, JOB)
    if since is None:  # who was told before there was this job is not told again
        run.transact(lambda connection: mark(connection, JOB, until))
        return 0
    after: tuple[datetime, str] = (since + AHEAD, "")
    count = 0
    while True:
        run.check()
        found = run.connection.execute(
            _COMING,
            {
                "since": since + AHEAD,
                "until": until + AHEAD,
                "now": run.now,
                "after_at": after[0],
                "after_id": after[1],
                "rows": AT_ONCE,
            },
        ).fetchall()
        if not found:
            break
        count += run.transact(partial(_write, run, found=found))
        after = (found[-1][2], found[-1][0])
    run.transact(lambda connection: mark(connection, JOB, until))
    return count


def _write(run: Run, connection: psycopg.Connection[Any], *, found: list[Any]) -> int:
    people = addressees(connection, [row[1] for row in found])
    costs = prices(connection, [row[0] for row in found])
    drafts = []
    for subscription, account, at, method, cycle_no in found:
        whom, cost = people[account], costs[subscription]
        if whom.nearest_email is None:
            continue
        subject, body = texts.renewal_coming(
            subscription=subscription,
            product=cost.plan_name,
            account=whom.account,
            account_name=whom.name,
            amount=cost.amount or 0,
            date=at,
            manual=method == MANUAL,
            covered=cost.amount is not None and cost.spendable >= cost.amount,
            zone=whom.zone,
            scale=run.settings.scale,
            contact_name=whom.contact_name,
            contact_email=whom.contact_email,
        )
        drafts.append(
            Draft(
                ("renewal coming", subscription, str(cycle_no), at.isoformat()),
                account,
                whom.nearest_email,
                subject,
                body,
            )
        )
    return queue(connection, drafts, run.now, run.settings)
