"""The list of accounts, each with the totals of its subtree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import psycopg

from ledger.queries.conditions import Conditions, one_of, usable
from ledger.queries.named import accounts_named, root_named
from ledger.queries.page import DEFAULT_LIMIT, Page, checked_limit

KINDS = ("distributor", "reseller", "enterprise", "agent", "branch", "customer")
STATES = ("active", "suspended", "closed")

# The page first, then the totals: they are worth computing for what is shown alone.
_LIST = """
WITH page AS MATERIALIZED (
  SELECT a.*
  FROM account a
  WHERE {conditions}
  ORDER BY a.account
  LIMIT %(rows)s
)
SELECT a.account, a.name, a.kind, parent.account, a.funding, a.state, a.credit, a.credit_limit, a.frozen,
       payer.credit + payer.credit_limit - payer.frozen,
       subtree.credit::bigint, subtree.frozen::bigint, subtree.accounts
FROM page a
JOIN account payer ON payer.id = a.draws_from
JOIN account parent ON parent.id = a.parent
CROSS JOIN LATERAL (
  SELECT coalesce(sum(one.credit) FILTER (WHERE one.funding = 'own'), 0) AS credit,
         coalesce(sum(one.frozen) FILTER (WHERE one.funding = 'own'), 0) AS frozen,
         count(*) AS accounts
  FROM account one
  WHERE one.path @> ARRAY[a.id]
) subtree
ORDER BY a.account"""


class AccountRow(NamedTuple):
    """An account of the list. A shared one's `available` is its master's.

    The totals are of the account and everything below it: coins and frozen coins of those that have coins of their
    own (an allotment is no coin), and how many accounts there are.
    """

    account: str
    name: str
    kind: str
    parent: str
    funding: str
    state: str
    credit: int
    credit_limit: int
    frozen: int
    available: int
    subtree_credit: int
    subtree_frozen: int
    subtree_accounts: int


@dataclass(frozen=True, slots=True)
class AccountFilter:
    """`under`: below one of those accounts, themselves not included. `search`: in id, name, e-mail.

    `within`: that account and everything below it, and nothing else.
    """

    under: Sequence[str] = ()
    kinds: Sequence[str] = ()
    states: Sequence[str] = ()
    search: str | None = None
    within: str | None = None


def accounts(
    connection: psycopg.Connection[Any],
    chosen: AccountFilter | None = None,
    *,
    limit: int = DEFAULT_LIMIT,
    after: str | None = None,
) -> Page[AccountRow]:
    """Accounts in the order of their ids. The cursor is the last one's id. Raises NotFound, QueryInvalid."""
    chosen = chosen or AccountFilter()
    one_of(chosen.kinds, KINDS, flag="--kind")
    one_of(chosen.states, STATES, flag="--state")
    where = Conditions("a.id > 0")
    where.of_subtree("a.id", root_named(connection, chosen.within))
    above = accounts_named(connection, chosen.under, platform=True)
    if above and all(one.id > 0 for one in above):
        keys = [one.id for one in above]
        # `&&` finds the subtrees by index; of the accounts named, each may still stand below another one.
        where.add(
            "a.path && %(under)s::bigint[] AND trim_array(a.path, 1) && %(under)s::bigint[]", under=keys
        )
    where.any_of("a.kind", chosen.kinds, flag="--kind")
    where.any_of("a.state", chosen.states, flag="--state")
    where.contains(("a.account", "a.name", "a.email"), chosen.search)
    if after is not None:
        where.add("a.account > %(after)s", after=usable(after, "--after"))
    found = connection.execute(
        _LIST.format(conditions=where), {**where.parameters, "rows": checked_limit(limit) + 1}
    ).fetchall()
    rows = [AccountRow(*row) for row in found[:limit]]
    return Page(rows, rows[-1].account if len(found) > limit else None)
