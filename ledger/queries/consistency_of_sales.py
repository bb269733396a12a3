"""Where what is sold does not agree with what was charged for it: holds, orders, sessions, subscriptions, bills."""

from __future__ import annotations

REMAINING = """
SELECT one.name, 'remaining ' || one.expected, 'remaining ' || one.remaining
FROM (
  SELECT 'resource ' || resource AS name, remaining,
         CASE state WHEN 'active' THEN greatest(frozen - used, 0) ELSE 0 END AS expected
  FROM resource
  UNION ALL
  SELECT 'hold ' || hold, remaining, 0 FROM hold WHERE state <> 'open'
) one
WHERE one.remaining <> one.expected"""

# The largest entry of a charge is what was charged: a sponsored one takes it twice.
_CHARGED = """(SELECT max(abs(e.amount)) FROM entry e WHERE e.transaction = t.id AND e.account > 0)"""

ORDERS = f"""
SELECT o.order_id, problem.expected, problem.found
FROM orders o
LEFT JOIN transaction t ON t.id = o.transaction
CROSS JOIN LATERAL (VALUES
  ('no charge while it is ' || o.status, o.status = 'completed' OR o.transaction IS NULL, o.transaction::text),
  ('a charge of ' || o.amount, o.status <> 'completed' OR o.amount = 0 OR t.id IS NOT NULL, 'none'),
  ('a charge of ' || o.amount, o.transaction IS NULL OR t.id IS NULL OR {_CHARGED} = o.amount, {_CHARGED}::text),
  ('a charge that names it', t.id IS NULL OR (t.order_id, t.account) = (o.order_id, o.account)
   AND t.type IN ('order', 'renewal', 'running_fee'), t.type || ' of ' || coalesce(t.order_id, 'none'))
) problem(expected, holds, found)
WHERE NOT problem.holds"""

SESSIONS = """
SELECT s.session, problem.expected, problem.found
FROM session s
LEFT JOIN orders o ON o.order_id = s.session
LEFT JOIN phone p ON p.phone = s.phone
CROSS JOIN LATERAL (VALUES
  ('an order of a phone, of the same account', o.kind = 'phone' AND o.account = s.account, coalesce(o.kind, 'none')),
  (CASE WHEN s.power_down_at IS NULL THEN 'its order is running' ELSE 'its order is completed' END,
   o.status = CASE WHEN s.power_down_at IS NULL THEN 'running' ELSE 'completed' END, coalesce(o.status, 'none')),
  ('its phone runs in it', s.power_down_at IS NOT NULL OR p.session = s.session, coalesce(p.session, 'none')),
  ('its phone does not run in it', s.power_down_at IS NULL OR p.session IS DISTINCT FROM s.session, p.session)
) problem(expected, holds, found)
WHERE problem.holds IS NOT TRUE"""

CYCLES = f"""
SELECT c.subscription || ' cycle ' || c.cycle_no, problem.expected, problem.found
FROM (
  SELECT c.*, lag(c.ends_at) OVER before AS last_end, lag(c.cycle_no, 1, 0::bigint) OVER before AS last_no
  FROM subscription_cycle c
  WINDOW before AS (PARTITION BY c.subscription ORDER BY c.cycle_no)
) c
LEFT JOIN subscription s ON s.subscription = c.subscription
LEFT JOIN transaction t ON t.id = c.transaction
CROSS JOIN LATERAL (VALUES
  ('cycle ' || c.last_no + 1, c.cycle_no = c.last_no + 1, 'cycle ' || c.cycle_no),
  ('begins at ' || c.last_end, c.last_end IS NULL OR c.begins_at = c.last_end, c.begins_at::text),
  ('a charge of ' || c.amount || ' to its account', t.account = s.account AND {_CHARGED} = c.amount,
   coalesce({_CHARGED}::text, 'none'))
) problem(expected, holds, found)
WHERE problem.holds IS NOT TRUE"""

SUBSCRIPTIONS = """
SELECT s.subscription, problem.expected, problem.found
FROM subscription s
LEFT JOIN (
  SELECT subscription, count(*) AS cycles, max(ends_at) AS ends_at FROM subscription_cycle GROUP BY subscription
) c ON c.subscription = s.subscription
CROSS JOIN LATERAL (VALUES
  ('paid cycles ' || coalesce(c.cycles, 0), s.paid_cycles = coalesce(c.cycles, 0), s.paid_cycles::text),
  ('paid until ' || coalesce(c.ends_at::text, 'never'), s.paid_until IS NOT DISTINCT FROM c.ends_at,
   coalesce(s.paid_until::text, 'never')),
  ('next payment with the end of what is paid',
   s.next_payment_at IS NULL OR s.next_payment_at = coalesce(s.paid_until, s.start_at), s.next_payment_at::text),
  ('no payment due any more', s.status <> 'canceled' AND s.cancel_at IS NULL OR s.next_payment_at IS NULL,
   s.next_payment_at::text)
) problem(expected, holds, found)
WHERE NOT problem.holds"""

BILLS = """
SELECT b.bill, problem.expected, problem.found
FROM bill b
LEFT JOIN LATERAL (
  SELECT sum(l.amount)::bigint AS charged,
         coalesce(sum(r.amount), 0)::bigint AS refunded,
         count(*) FILTER (WHERE e.amount IS DISTINCT FROM -l.amount) AS strange
  FROM bill_line l
  LEFT JOIN returned r ON r.transaction = l.transaction
  LEFT JOIN entry e ON e.transaction = l.transaction AND e.account = b.account AND e.unit = 'allotment'
  WHERE l.bill = b.bill
) lines ON true
LEFT JOIN entry back ON back.transaction = b.transaction AND back.account = b.account AND back.type = 'credit_return'
CROSS JOIN LATERAL (VALUES
  ('lines of ' || b.charged, lines.charged = b.charged, coalesce(lines.charged::text, 'none')),
  ('lines that are charges to its account', lines.strange = 0, lines.strange || ' are not'),
  ('refunded ' || lines.refunded,
   CASE b.status WHEN 'issued' THEN b.refunded = lines.refunded ELSE b.refunded <= lines.refunded END, b.refunded::text),
  ('returned ' || b.charged - b.refunded,
   b.status = 'issued' AND b.transaction IS NULL
   OR b.status = 'confirmed' AND coalesce(back.amount, 0) = b.charged - b.refunded, coalesce(back.amount::text, 'nothing'))
) problem(expected, holds, found)
WHERE problem.holds IS NOT TRUE"""
