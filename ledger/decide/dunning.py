"""What becomes of a subscription when its time has come: it begins, ends, is owed, is suspended (CONTRACT §8).

Rules for `ledger/upkeep.py`. Charging a cycle is a command (`Renewal`); what follows when it is refused is decided here. All
days count from the first refusal of the cycle that is owed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple

from ledger.decide.cycles import (
    ACTIVE,
    CANCELED,
    PAST_DUE,
    SCHEDULED,
    SUSPENDED,
    canceled_with,
    coming_period,
    told,
)
from ledger.decide.rule import Ledger
from ledger.model import Account, Announcement, Applied
from ledger.records import Subscription
from messages.events import EventType
from messages.fields import time_text

RETRIES = tuple(timedelta(days=days) for days in (1, 3, 7))
CANCELED_AFTER = timedelta(days=30)
MANUAL = "manual"
NOT_PAID = "not_paid"


class Refusal(NamedTuple):
    """A renewal that was refused: of which cycle, and why."""

    cycle_no: int
    reason: str


def time_has_come(id_: str, ledger: Ledger, now: datetime) -> Applied | None:
    """Whatever a subscription does on its day without being charged."""
    subscription: Subscription | None = ledger.get(Subscription, id_)
    if subscription is None or subscription.next_try_at is None or subscription.next_try_at > now:
        return None
    account = ledger.by_key(subscription.account)
    if subscription.cancel_at is not None and subscription.cancel_at <= now:
        return _canceled(subscription, account, now, None)
    if subscription.status == SCHEDULED and subscription.paid_cycles:
        following = subscription.cancel_at or subscription.next_payment_at
        begun = replace(subscription, status=ACTIVE, next_try_at=following)
        return Applied((account,), changes=(begun,))
    if subscription.past_due_since is not None and now >= subscription.past_due_since + CANCELED_AFTER:
        return _canceled(subscription, account, now, subscription.refused_for)
    if subscription.payment_method == MANUAL:
        return _owed(subscription, account, NOT_PAID, now)
    return None


def refused(refusals: dict[str, Refusal]) -> Callable[[str, Ledger, datetime], Applied | None]:
    """The rule for subscriptions whose renewal was refused."""

    def rule(id_: str, ledger: Ledger, now: datetime) -> Applied | None:
        subscription: Subscription | None = ledger.get(Subscription, id_)
        refusal = refusals[id_]
        # Paid or ended meanwhile, by somebody else: nothing is owed of that cycle.
        if (
            subscription is None
            or subscription.status == CANCELED
            or subscription.cancel_at is not None
            or subscription.paid_cycles >= refusal.cycle_no
        ):
            return None
        return _owed(subscription, ledger.by_key(subscription.account), refusal.reason, now)

    return rule


def try_now(id_: str, ledger: Ledger, now: datetime) -> Applied | None:
    """What is owed is covered by now: it is tried before its day."""
    subscription: Subscription | None = ledger.get(Subscription, id_)
    if (
        subscription is None
        or subscription.status not in (PAST_DUE, SUSPENDED)
        or subscription.next_try_at is None
        or subscription.next_try_at <= now
    ):
        return None
    return Applied((ledger.by_key(subscription.account),), changes=(replace(subscription, next_try_at=now),))


def _canceled(subscription: Subscription, account: Account, now: datetime, reason: str | None) -> Applied:
    canceled, said = canceled_with(subscription, account, now, reason)
    return Applied((account,), changes=(canceled,), announced=(said,))


def _owed(subscription: Subscription, account: Account, reason: str, now: datetime) -> Applied:
    """Past due, tried again after 1, 3 and 7 days; with the last of them suspended, then canceled."""
    # By whatever clock it was refused before: never from a day that is still to come.
    since = min(subscription.past_due_since or now, now)
    by_hand = subscription.payment_method == MANUAL
    days = RETRIES[-1:] if by_hand else RETRIES
    coming = next((since + day for day in days if since + day > now), None)
    status = PAST_DUE if coming is not None and subscription.status != SUSPENDED else SUSPENDED
    next_try = coming if status == PAST_DUE else since + CANCELED_AFTER
    owed = replace(
        subscription, status=status, past_due_since=since, refused_for=reason, next_try_at=next_try
    )
    changed = status != subscription.status or subscription.past_due_since is None
    said: tuple[Announcement, ...] = ()
    if changed or status == PAST_DUE:
        type_ = EventType.SUBSCRIPTION_SUSPENDED if status == SUSPENDED else EventType.SUBSCRIPTION_PAST_DUE
        data = {
            "subscription": subscription.subscription,
            "cycle_no": subscription.paid_cycles + 1,
            "period": told(*coming_period(subscription)),
            "reason": reason,
            "next_try": time_text(next_try) if status == PAST_DUE and not by_hand and next_try else None,
        }
        said = (Announcement(type_, account, data),)
    return Applied((account,), changes=(owed,), announced=said)
