"""What is mailed when a renewal fails, is owed, or stays unpaid: to the subscriber, with whom to ask for more."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import psycopg

from ledger.decide.dunning import CANCELED_AFTER, MANUAL, NOT_PAID, RETRIES
from ledger.model import Announcement
from ledger.queries.addressees import Addressee, addressees
from ledger.queries.prices import Price, prices
from ledger.records import Subscription
from ledger.upkeep import Kept
from messages.events import EventType
from workers.jobs.mailing import Draft, queue
from workers.mail import texts
from workers.settings import Settings

_TOLD = frozenset({EventType.SUBSCRIPTION_PAST_DUE, EventType.SUBSCRIPTION_SUSPENDED})


def write(
    connection: psycopg.Connection[Any], kept: Iterable[Kept], now: datetime, settings: Settings
) -> int:
    """A mail for each subscription that is past due or suspended now, in the caller's transaction. How many."""
    told = [
        (changed, said)
        for one in kept
        for changed in one.applied.changes
        if isinstance(changed, Subscription)
        for said in one.applied.announced
        if said.type in _TOLD
    ]
    people = addressees(connection, [subscription.account for subscription, _ in told])
    costs = prices(connection, [subscription.subscription for subscription, _ in told])
    drafts = [
        _draft(subscription, said, people[subscription.account], costs[subscription.subscription], settings)
        for subscription, said in told
        if people[subscription.account].nearest_email is not None
    ]
    return queue(connection, drafts, now, settings)


def _draft(
    subscription: Subscription, said: Announcement, whom: Addressee, cost: Price, settings: Settings
) -> Draft:
    cycle_no: int = said.data["cycle_no"]
    about: dict[str, Any] = {
        "subscription": subscription.subscription,
        "product": cost.plan_name,
        "account": whom.account,
        "account_name": whom.name,
        "cycle_no": cycle_no,
        "amount": cost.amount or 0,
        "zone": whom.zone,
        "scale": settings.scale,
        "contact_name": whom.contact_name,
        "contact_email": whom.contact_email,
    }
    since = subscription.past_due_since
    assert since is not None
    if said.type is EventType.SUBSCRIPTION_SUSPENDED:
        key = "suspended"
        subject, body = texts.subscription_suspended(
            **about, why=_in_words(subscription.refused_for), cancel_at=since + CANCELED_AFTER
        )
    elif subscription.payment_method == MANUAL:
        key = "payment due"
        subject, body = texts.payment_due(
            **about, due_at=subscription.next_payment_at or since, suspended_at=since + RETRIES[-1]
        )
    else:
        key = "renewal failed"
        subject, body = texts.renewal_failed(
            **about,
            why=_in_words(subscription.refused_for),
            next_try=subscription.next_try_at,
        )
    moment = str(said.data["next_try"] or since.isoformat())
    assert whom.nearest_email is not None
    return Draft(
        (key, subscription.subscription, str(cycle_no), moment),
        subscription.account,
        whom.nearest_email,
        subject,
        body,
    )


def _in_words(reason: str | None) -> str:
    return (reason or NOT_PAID).replace("_", " ")
