"""Which subscriptions that are owed are covered by now, since coins have come in (CONTRACT §8, "dunning")."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

import psycopg

from ledger.queries.goods import priced
from messages.reasons import Reason

# What an inflow, or the end of a suspension, can put right.
COINS_WERE_SHORT = (
    Reason.INSUFFICIENT_CREDIT,
    Reason.SPONSOR_INSUFFICIENT_CREDIT,
    Reason.MASTER_INSUFFICIENT_CREDIT,
    Reason.ACCOUNT_SUSPENDED,
)

# Of those accounts and of all who buy on their coins. What is about to be tried anyway is here too: it is paid first.
_OWED = f"""
WITH concerned AS MATERIALIZED (
  SELECT unnest(%(accounts)s::int8[]) AS id
  UNION SELECT id FROM account WHERE draws_from = ANY(%(accounts)s::int8[]) AND draws_from <> id
  UNION SELECT id FROM account WHERE sponsor = ANY(%(accounts)s::int8[]) AND sponsor IS NOT NULL
),
owed AS (
  SELECT s.subscription, s.next_payment_at, s.next_try_at <= %(now)s AS tried,
         priced.amount AS price,
         payer.id AS payer, payer.credit + payer.credit_limit - payer.frozen AS payer_has,
         sponsor.id AS sponsor, sponsor.credit + sponsor.credit_limit - sponsor.frozen AS sponsor_has
  FROM concerned c
  JOIN subscription s ON s.account = c.id AND s.status IN ('past_due', 'suspended')
  JOIN plan p ON p.plan = s.plan
  JOIN account a ON a.id = s.account
  JOIN account payer ON payer.id = a.draws_from
  LEFT JOIN account sponsor ON sponsor.id = a.sponsor
  {priced()}
  WHERE s.payment_method = 'balance' AND s.cancel_at IS NULL AND s.next_try_at IS NOT NULL
    AND s.refused_for = ANY(%(reasons)s::text[])
    AND a.state = 'active' AND payer.state = 'active' AND coalesce(sponsor.state, 'active') = 'active'
)
SELECT subscription, tried, price, payer, payer_has, sponsor, sponsor_has
FROM owed
WHERE price <= payer_has AND price <= coalesce(sponsor_has, price)
ORDER BY tried DESC, next_payment_at, subscription"""


class Covered(NamedTuple):
    """Subscriptions to be tried before their day, and whether there are more of them."""

    subscriptions: list[str]
    more: bool


def covered(
    connection: psycopg.Connection[Any], accounts: Iterable[int], now: datetime, *, most: int
) -> Covered:
    """What can be paid by everybody who pays for it, the longest due first; what does not fit is left for its day.

    accounts: those whose figures or state have changed, by their keys.
    """
    values = {"accounts": list(accounts), "now": now, "reasons": list(COINS_WERE_SHORT)}
    left: dict[int, int] = {}
    chosen: list[str] = []
    for subscription, tried, price, *who in connection.execute(_OWED, values):
        payers = [(who[0], who[1])] if who[2] is None else [(who[0], who[1]), (who[2], who[3])]
        for payer, has in payers:
            left.setdefault(payer, has)
        if any(left[payer] < price for payer, _ in payers):
            continue
        if not tried and len(chosen) == most:
            return Covered(chosen, more=True)
        for payer, _ in payers:
            left[payer] -= price
        if not tried:
            chosen.append(subscription)
    return Covered(chosen, more=False)


def coverable(connection: psycopg.Connection[Any], accounts: Iterable[int], now: datetime) -> set[str]:
    """What could be paid by now, each for itself, of what those accounts and who buys on their coins owe."""
    values = {"accounts": list(accounts), "now": now, "reasons": list(COINS_WERE_SHORT)}
    return {subscription for subscription, *_ in connection.execute(_OWED, values)}
