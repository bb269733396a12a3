"""Accounts that a reader names by their public ids."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import psycopg

from ledger.errors import NotFound

_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
# As in `ledger.model`, which a reader that has to answer at once does not import: it brings the messages with it.
PLATFORM_ID, PLATFORM = 0, "platform"

_FIND = "SELECT id, account, path, timezone, name FROM account WHERE account = ANY(%(accounts)s::text[])"


class Named(NamedTuple):
    """An account: its key, its public id, the keys from its top account down to itself, its zone, its name."""

    id: int
    account: str
    path: list[int]
    timezone: str
    name: str


def account_named(connection: psycopg.Connection[Any], account: str) -> Named:
    """Raises NotFound, also for `platform`, which is only a parent."""
    return accounts_named(connection, [account])[0]


def accounts_named(
    connection: psycopg.Connection[Any], accounts: Sequence[str], *, platform: bool = False
) -> list[Named]:
    """The accounts of those ids, in their order; `platform` only where the caller can do with it. Raises NotFound."""
    asked = [account for account in accounts if _ID.fullmatch(account)]
    found = {
        row[1]: Named(*row)
        for row in (connection.execute(_FIND, {"accounts": asked}) if asked else ())
        if platform or row[0] != PLATFORM_ID
    }
    for account in accounts:
        if account not in found:
            raise NotFound(_missing(account))
    return [found[account] for account in accounts]


def root_named(connection: psycopg.Connection[Any], within: str | None) -> list[Named]:
    """The account that a list is kept within; none where it is not kept within any. Raises NotFound."""
    return accounts_named(connection, [within]) if within is not None else []


def zone_of(accounts: Sequence[Named], root: Sequence[Named] = ()) -> str:
    """The zone that dates are taken in: that of the account where one is chosen, else of the root, else UTC."""
    for some in (accounts, root):
        if len({one.id for one in some}) == 1:
            return some[0].timezone
    return "UTC"


def _missing(account: str) -> str:
    if account == PLATFORM:
        return f"{PLATFORM} is only a parent, no account with a balance; `coins accounts` lists those that have one"
    return f"there is no account {account!r}; `coins accounts --search TEXT` finds one by id, name or e-mail"
