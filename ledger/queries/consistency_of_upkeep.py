"""Where what scheduled work has written does not agree with the ledger: bills, receipts, when it looks at a subscription."""

from __future__ import annotations

from ledger.model import CHARGES
from ledger.queries.entries import NUMBER

# The place in a series is counted, not believed: a gap, a number used twice and a last one that lies are all told.
RECEIPTS = """
SELECT r.number, problem.expected, problem.found
FROM (
  SELECT r.*, row_number() OVER (PARTITION BY r.top, r.year ORDER BY r.seq) AS place,
         count(*) OVER (PARTITION BY r.transaction) AS times
  FROM receipt r
) r
LEFT JOIN account top ON top.id = r.top
LEFT JOIN transaction t ON t.id = r.transaction
LEFT JOIN orders o ON o.order_id = r.order_id
LEFT JOIN LATERAL (
  SELECT sum(e.amount)::bigint AS amount FROM entry e
  WHERE e.transaction = r.transaction AND e.account = r.account AND e.type = 'recharge') e ON true
CROSS JOIN LATERAL (VALUES
  ('number ' || r.place || ' of its series', r.seq = r.place, 'number ' || r.seq),
  ('called ' || top.account || '-' || r.year || '-' || lpad(r.seq::text, greatest(6, length(r.seq::text)), '0'),
   r.number = top.account || '-' || r.year || '-' || lpad(r.seq::text, greatest(6, length(r.seq::text)), '0'), r.number),
  ('the only one of its transaction', r.times = 1, r.times || ' of it'),
  ('a transaction of its account', t.account = r.account, coalesce(t.account::text, 'none')),
  ('its amount', r.amount = CASE r.kind WHEN 'order' THEN o.amount ELSE e.amount END, r.amount::text)
) problem(expected, holds, found)
WHERE problem.holds IS NOT TRUE"""

# Word for word, as `ledger/receipts.py` composes it.
PRINTED = f"""
SELECT r.number, problem.expected, left(r.content, 200)
FROM receipt r
JOIN transaction t ON t.id = r.transaction
JOIN account a ON a.id = r.account
CROSS JOIN LATERAL (VALUES
  ('number ' || r.number, starts_with(r.content, '{{"number":"' || r.number || '","kind":"' || r.kind || '",')),
  ('account ' || a.account, strpos(r.content, ',"account":"' || a.account || '",') > 0),
  ('transaction ' || {NUMBER} || ', amount ' || r.amount,
   strpos(r.content, ',"transaction":"' || {NUMBER} || '","amount":' || r.amount || ',') > 0)
) problem(expected, holds)
WHERE NOT problem.holds"""

# What no receipt was made of, and none is going to be; but for what was paid before there were any.
RECEIPTED = """
SELECT paid.transaction || paid.for_what, 'a receipt', 'none, and none is due'
FROM (
  SELECT t.id AS transaction, ', a recharge' AS for_what
  FROM transaction t WHERE t.type = 'recharge' AND t.order_id IS NULL
  UNION ALL
  SELECT o.transaction, ' for order ' || o.order_id
  FROM orders o WHERE o.kind IN ('package', 'proxy') AND o.transaction IS NOT NULL
) paid
WHERE paid.transaction >= least((SELECT min(transaction) FROM receipt), (SELECT min(transaction) FROM receipt_due))
  AND NOT EXISTS (SELECT FROM receipt r WHERE r.transaction = paid.transaction)
  AND NOT EXISTS (SELECT FROM receipt_due d WHERE d.transaction = paid.transaction)"""

BILLED = """
SELECT 'transaction ' || l.transaction, 'a bill ' || l.bill, 'none'
FROM bill_line l
WHERE NOT EXISTS (SELECT FROM bill b WHERE b.bill = l.bill)"""

# An account's entries are in the order of their times, so that what is left for a later bill is behind what was billed.
UNBILLED = f"""
SELECT e.transaction || ' of ' || a.account, 'on a bill, as a later charge is', 'on none'
FROM account a
CROSS JOIN LATERAL (
  SELECT max(billed.version) AS version
  FROM bill b
  JOIN bill_line l ON l.bill = b.bill
  JOIN entry billed ON billed.transaction = l.transaction AND billed.account = b.account AND billed.unit = 'allotment'
  WHERE b.account = a.id) last
JOIN entry e ON e.account = a.id AND e.account > 0 AND e.version < last.version
WHERE e.unit = 'allotment' AND e.type IN ({", ".join(f"'{type_.value}'" for type_ in sorted(CHARGES))})
  AND NOT EXISTS (SELECT FROM bill_line l WHERE l.transaction = e.transaction)"""

SERIES = """
SELECT top.account || ' ' || s.year, 'the last number is ' || count(r.number), s.last::text
FROM receipt_series s
LEFT JOIN account top ON top.id = s.top
LEFT JOIN receipt r ON r.top = s.top AND r.year = s.year
GROUP BY top.account, s.top, s.year, s.last
HAVING s.last <> count(r.number)"""

NEXT_TRIES = """
SELECT s.subscription, problem.expected, problem.found
FROM subscription s
CROSS JOIN LATERAL (VALUES
  ('to be looked at again', s.status = 'canceled' OR s.next_try_at IS NOT NULL, 'never'),
  ('never to be looked at again', s.status <> 'canceled' OR s.next_try_at IS NULL, s.next_try_at::text),
  ('owed since some time', s.status <> 'suspended' OR s.past_due_since IS NOT NULL, 'never'),
  ('not owed', s.status NOT IN ('active', 'scheduled') OR s.past_due_since IS NULL, s.past_due_since::text)
) problem(expected, holds, found)
WHERE problem.holds IS NOT TRUE"""
