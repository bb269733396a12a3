"""What a cycle of a subscription costs, as a fragment of SQL that several queries are built from."""

from __future__ import annotations

# Of subscription `s`, by the plan's price as it is now: of a device subscription for each of its goods that is a device
# still active under the account, of others for all. (OFFSET 0 has goods looked up one by one, however many devices the
# account has besides.)
_PRICED = """CROSS JOIN LATERAL (
  SELECT {price} * CASE WHEN s.kind = 'device' THEN count(*) FILTER (WHERE d.account = s.account) ELSE 1 END AS amount
  FROM (SELECT account FROM device WHERE s.kind = 'device' AND device = ANY(s.goods) OFFSET 0) d
) priced"""


def priced(price: str = "p.price") -> str:
    """Gives `priced.amount`; None where there is no price. `price`: the column that has it."""
    return _PRICED.format(price=price)
