"""What is mailed when available falls below a threshold: to each address one mail, about the lowest that concerns it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

import psycopg

from ledger.queries.addressees import Addressee
from ledger.warnings import EMPTY, PRESETS, Crossing
from workers.jobs.mailing import Draft, queue
from workers.mail import texts
from workers.printed import coins_text
from workers.settings import Settings


def write(
    connection: psycopg.Connection[Any],
    fallen: Iterable[Crossing],
    people: Mapping[int, Addressee],
    now: datetime,
    settings: Settings,
) -> int:
    """The mails about what has fallen, in the caller's transaction. How many.

    people: the accounts that it is about, and those that have set custom warnings, by their keys.
    """
    drafts: dict[tuple[int, str], Draft] = {}
    for one in sorted(fallen, key=_height):
        for address in _recipients(one, people):
            to = (one.account, address.lower())
            if to not in drafts:
                drafts[to] = _draft(one, people[one.account], address, now, settings.scale)
    return queue(connection, drafts.values(), now, settings)


def _height(one: Crossing) -> tuple[int, bool, str]:
    assert one.line is not None
    return one.line, one.threshold != EMPTY, one.threshold


def _recipients(one: Crossing, people: Mapping[int, Addressee]) -> Iterator[str]:
    """Of a preset the account and its parent, of a custom one whom it names, else whoever has set it."""
    if one.custom is not None and one.custom.emails:
        yield from one.custom.emails
        return
    whom = people[one.account if one.custom is None else one.custom.set_by]
    if whom.email and whom.notifications:
        yield whom.email
    if one.custom is None and whom.contact_email and whom.contact_notifications:
        yield whom.contact_email


def _draft(one: Crossing, whom: Addressee, address: str, now: datetime, scale: int) -> Draft:
    about: dict[str, Any] = {
        "account": whom.account,
        "account_name": whom.name,
        "available": one.available,
        "contact_name": whom.contact_name,
        "contact_email": whom.contact_email,
        "zone": whom.zone,
        "at": now,
        "scale": scale,
    }
    if one.threshold == EMPTY:
        subject, body = texts.exhausted(**about)
    else:
        threshold = _in_words(one, scale)
        subject, body = texts.low_balance(**about, threshold=threshold, reference=one.reference)
    key = ("low balance", whom.account, one.threshold, now.isoformat())
    return Draft(key, one.account, address, subject, body)


def _in_words(one: Crossing, scale: int) -> str:
    if one.custom is None:
        return texts.percent_of(PRESETS[one.threshold], one.reference, scale)
    if one.custom.amount is not None:
        return coins_text(one.custom.amount, scale)
    assert one.custom.percent is not None
    return texts.percent_of(one.custom.percent, one.reference, scale)
