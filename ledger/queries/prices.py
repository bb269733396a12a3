"""What the next cycle of a subscription will cost, and what its account could spend on it now."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import psycopg

from ledger.queries.goods import priced

# Who pays: the account or its master, and a sponsor with it.
_PRICES = f"""
SELECT s.subscription, coalesce(p.name, s.plan),
       priced.amount,
       greatest(0, least(payer.credit + payer.credit_limit - payer.frozen,
                         sponsor.credit + sponsor.credit_limit - sponsor.frozen))
FROM subscription s
JOIN account a ON a.id = s.account
JOIN account payer ON payer.id = a.draws_from
LEFT JOIN account sponsor ON sponsor.id = a.sponsor
LEFT JOIN plan p ON p.plan = s.plan
{priced()}
WHERE s.subscription = ANY(%s::text[])"""


class Price(NamedTuple):
    """`amount` is None where its plan has no price. `spendable`: the least of all who would pay, never below 0."""

    plan_name: str
    amount: int | None
    spendable: int


def prices(connection: psycopg.Connection[Any], subscriptions: Iterable[str]) -> dict[str, Price]:
    """By the ids of the subscriptions."""
    return {row[0]: Price(*row[1:]) for row in connection.execute(_PRICES, (list(subscriptions),))}
