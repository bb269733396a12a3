"""Whose list it is: the account that an export is kept within, and in whose zone its days and times are."""

from __future__ import annotations

from typing import Any

import psycopg

from ledger.errors import NotFound, QueryInvalid
from ledger.queries.chosen import OF_ACCOUNTS, Chosen, several
from ledger.queries.named import Named, accounts_named, zone_of


def checked_scope(connection: psycopg.Connection[Any], root: Named, filters: Chosen) -> None:
    """Raises QueryInvalid for a filter that names an account outside of the root's subtree.

    Whether an account out there exists is not told.
    """
    for flag in OF_ACCOUNTS:
        for account in several(filters, flag):
            try:
                (named,) = accounts_named(connection, [account], platform=True)
            except NotFound:
                named = None
            if named is None or root.id not in named.path:
                raise QueryInvalid(f"{flag}: {account!r} is neither {root.account} nor an account below it")


def zone_of_list(connection: psycopg.Connection[Any], root: Named | None, filters: Chosen) -> str:
    """The zone of the account where one is chosen, else of the root, else UTC: as the lists take their dates."""
    for flag in OF_ACCOUNTS:
        if chosen := several(filters, flag):
            return zone_of(accounts_named(connection, chosen, platform=True), [root] if root else [])
    return root.timezone if root else "UTC"
