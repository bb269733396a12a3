"""What the ledger does by itself when its time has come: the same load, rules and store as for commands, without a command.

A hold expires, an order stays unpaid, a subscription ends: each is a pure rule in `decide/`, tried on rows that are locked,
so that one which somebody else was faster with changes nothing. The caller commits.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

import psycopg

from ledger import outcome
from ledger.book import Origin
from ledger.decide import Wanted
from ledger.decide.rule import Ledger
from ledger.model import Announcement, Applied
from ledger.records import Row
from ledger.snapshot import load
from ledger.store import publish, store
from messages.events import EventType

SOURCE = "coins/scheduler"
_NAMES = """
SELECT a.id, a.account, top.account
FROM account a JOIN account top ON top.id = a.path[1]
WHERE a.id = ANY(%b::int8[])"""
# As on the path of a command: rows are looked up by their keys, whatever the statistics say.
_BY_INDEX = """
SELECT set_config(name, 'off', true) FROM unnest(ARRAY['enable_seqscan', 'enable_hashjoin', 'enable_mergejoin']) AS name"""
_NEXT_BATCH = "SELECT nextval('batch_key')"

Key = TypeVar("Key", bound=Hashable)
Rule = Callable[[Any, Ledger, datetime], Applied | None]


class Kept(NamedTuple):
    """What was done with a row, by its key: what the rule decided."""

    key: Any
    applied: Applied


class News(NamedTuple):
    """A further event: its type, the key of the account that it is about, and what it says."""

    type: EventType
    account: int
    data: dict[str, Any]


def keep_up(
    connection: psycopg.Connection[Any], kind: type[Row], keys: Iterable[Key], rule: Rule, now: datetime
) -> list[Kept]:
    """Apply the rule to each row of that kind, in the caller's transaction; those for which it answered None are left out.

    Raises BatchRaced: somebody else was faster; roll back and do it again.
    """
    listed = list(dict.fromkeys(keys))
    if not listed:
        return []
    connection.execute(_BY_INDEX)
    wanted = Wanted()
    wanted.row(kind, *listed)
    book = load(connection, [], wanted).book
    kept = []
    for key in listed:
        applied = rule(key, book, now)
        if applied is not None:
            book.apply(applied, Origin(SOURCE, str(key), None), now)
            kept.append(Kept(key, applied))
    if kept:
        store(connection, book, [], batch=0, now=now)
        announce(connection, [said for one in kept for said in one.applied.announced], now)
    return kept


def announce(connection: psycopg.Connection[Any], said: Iterable[Announcement], now: datetime) -> None:
    """Put further events into the outbox, in the caller's transaction. Each gets an id of its own, for every publication."""
    tell(connection, [News(one.type, one.account.id, one.data) for one in said], now)


def tell(connection: psycopg.Connection[Any], news: Iterable[News], now: datetime) -> None:
    """As `announce`, of accounts by their keys."""
    listed = list(news)
    if not listed:
        return
    (number,) = connection.execute(_NEXT_BATCH).fetchone() or (0,)
    keys = list({one.account for one in listed})
    names = {key: names for key, *names in connection.execute(_NAMES, (keys,)).fetchall()}
    answers = outcome.Answers(number, now)
    events = []
    for place, (type_, key, data) in enumerate(listed):
        account, top_account = names[key]
        event = answers.news(0, place, type_, account, top_account, data)
        events.append((outcome.further_route(top_account, type_), type_.value, event))
    publish(connection, events)
