"""What becomes of a command whose key is free: whether it comes in time, whether its sender may, and then its rule."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from ledger.authority import refusal
from ledger.batch import Item
from ledger.book import Book
from ledger.decide import decide
from ledger.model import Decision, Rejected
from ledger.trust import Producer
from messages.fields import time_text
from messages.reasons import Reason


def ruling(
    item: Item, book: Book, now: datetime, sender: Producer | None, keys: Mapping[str, int]
) -> Decision:
    """What becomes of a command whose key is free: a pure function of the book, of `now`, and of its sender's rules, which
    name accounts with these keys (no sender: there is no producers file)."""
    event = item.event
    if event.expirytime is not None and event.expirytime <= now:
        return Rejected(Reason.EXPIRED, f"It was to be applied before {time_text(event.expirytime)}.")
    if sender is not None and (refused := refusal(event.data, sender, book, keys)):
        return refused
    return decide(event.data, book, now)
