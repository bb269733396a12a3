"""Whom a mail about an account goes to, and what it has to say of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import psycopg

# A path leads from the top account down to the account itself; the nearest that has an address is the last.
_NEAREST = """(
    SELECT up.{field} FROM unnest(a.path) WITH ORDINALITY AS p(id, place) JOIN account up ON up.id = p.id
    WHERE up.{address} IS NOT NULL ORDER BY p.place DESC LIMIT 1)"""

_WHOM = f"""
SELECT a.id, a.account, a.name, a.timezone, a.email, a.notifications, {_NEAREST.format(field="email", address="email")},
       {_NEAREST.format(field="boss_email", address="boss_email")},
       parent.name, parent.email, parent.notifications, top.account,
       coalesce({_NEAREST.format(field="notifications", address="email")}, false)
FROM account a
JOIN account parent ON parent.id = a.parent
JOIN account top ON top.id = a.path[1]
WHERE a.id = ANY(%s::int8[])"""


class Addressee(NamedTuple):
    """An account as mails see it.

    nearest_email, nearest_boss_email: its own, else the nearest ancestor's. contact_name, contact_email: its parent, whom it
    asks for more. notifications, contact_notifications, nearest_notifications: whether warnings are mailed to it, to its
    parent, and to whom the nearest e-mail is.
    """

    id: int
    account: str
    name: str
    zone: str
    email: str | None
    notifications: bool
    nearest_email: str | None
    nearest_boss_email: str | None
    contact_name: str
    contact_email: str | None
    contact_notifications: bool
    top_account: str
    nearest_notifications: bool


def addressees(connection: psycopg.Connection[Any], accounts: Iterable[int]) -> dict[int, Addressee]:
    """By their keys."""
    return {row[0]: Addressee(*row) for row in connection.execute(_WHOM, (list(set(accounts)),))}
