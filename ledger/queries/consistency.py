"""Where the ledger does not agree with itself: one statement a check, each over whole tables.

Every statement gives rows of three: which row of the check's table, what should be there, what is there. Entries are
the truth that all else is compared with; what entries say of each other is compared first. Where what differs has to be
put in words, rows that are as they should be are left out beforehand: words for millions of them take minutes.
"""

from __future__ import annotations

from typing import NamedTuple

from ledger.queries.consistency_of_keys import FIGURES_TOLD, LETTERS
from ledger.queries.consistency_of_sales import (
    BILLS,
    CYCLES,
    ORDERS,
    REMAINING,
    SESSIONS,
    SUBSCRIPTIONS,
)
from ledger.queries.consistency_of_upkeep import (
    BILLED,
    NEXT_TRIES,
    PRINTED,
    RECEIPTED,
    RECEIPTS,
    SERIES,
    UNBILLED,
)
from ledger.queries.entries import NUMBER


class Check(NamedTuple):
    """`what` says what must hold; `table` is where the rows that `sql` names stand."""

    name: str
    what: str
    table: str
    sql: str


COUNTED = (
    "account",
    "transaction",
    "entry",
    "command",
    "device",
    "recharge_reference",
    "returned",
    "orders",
    "hold",
    "resource",
    "session",
    "subscription",
    "bill",
    "receipt",
)

_BALANCED = """
SELECT e.transaction, e.unit || ' sums to 0', sum(e.amount)
FROM entry e
GROUP BY e.transaction, e.unit
HAVING sum(e.amount) <> 0"""

# Step by step, not against a running sum: one wrong balance is then one difference, not one for every entry after it.
_STEPS = """
SELECT a.account || ' version ' || e.version, step.expected, step.found
FROM (
  SELECT e.account, e.version, e.amount, e.balance, e.time, e.transaction,
         lag(e.version, 1, 0::bigint) OVER before AS last_version,
         lag(e.balance, 1, 0::bigint) OVER before AS last_balance,
         lag(e.time) OVER before AS last_time,
         lag(e.transaction) OVER before AS last_transaction
  FROM entry e
  WHERE e.account > 0
  WINDOW before AS (PARTITION BY e.account ORDER BY e.version)
) e
JOIN account a ON a.id = e.account
CROSS JOIN LATERAL (VALUES
  ('version ' || last_version + 1, 'version ' || e.version),
  ('balance ' || last_balance + amount, 'balance ' || coalesce(balance::text, 'null')),
  ('no earlier than ' || last_time, CASE WHEN time >= last_time THEN 'no earlier than ' || last_time ELSE time::text END),
  ('after transaction ' || last_transaction,
   CASE WHEN transaction >= last_transaction THEN 'after transaction ' || last_transaction
        ELSE 'transaction ' || transaction END)
) step(expected, found)
WHERE (e.version <> last_version + 1 OR e.balance IS DISTINCT FROM last_balance + amount
       OR e.time < last_time OR e.transaction < last_transaction)
  AND step.expected <> step.found"""

_FIGURES = """
SELECT a.account, figure.name || ' ' || figure.expected, figure.name || ' ' || figure.found
FROM account a
LEFT JOIN (
  SELECT account, sum(amount) AS credit, count(*) AS entries, max(version) AS version, max(time) AS time
  FROM entry
  WHERE account > 0
  GROUP BY account
) s ON s.account = a.id
LEFT JOIN entry latest ON latest.account = a.id AND latest.version = a.version AND latest.account > 0
CROSS JOIN LATERAL (VALUES
  ('credit', coalesce(s.credit, 0)::text, a.credit::text),
  ('balance of the latest entry', a.credit::text, coalesce(latest.balance, 0)::text),
  ('version', coalesce(s.entries, 0)::text, a.version::text),
  ('version', coalesce(s.version, 0)::text, a.version::text),
  ('posted_at', coalesce(s.time::text, 'null'), coalesce(a.posted_at::text, 'null'))
) figure(name, expected, found)
WHERE figure.expected <> figure.found"""

# What is frozen, and what keeps an account from changing its funding and from closing, follows from what is open.
_OPEN = """
WITH open AS (
  SELECT account, payer, sponsor, remaining FROM hold WHERE state = 'open'
  UNION ALL SELECT account, payer, sponsor, remaining FROM resource WHERE state = 'active'
  UNION ALL SELECT account, payer, sponsor, 0 FROM session WHERE power_down_at IS NULL
), pending AS (
  SELECT account FROM orders WHERE status = 'pending_payment'
  UNION ALL SELECT account FROM subscription WHERE status <> 'canceled'
), laid AS (
  SELECT payer AS account, remaining AS frozen, 0 AS settled, 0 AS running FROM open
  UNION ALL SELECT sponsor, remaining, 0, 0 FROM open WHERE sponsor IS NOT NULL
  UNION ALL SELECT account, 0, 1, 0 FROM open
  UNION ALL SELECT payer, 0, 1, 0 FROM open WHERE payer <> account
  UNION ALL SELECT sponsor, 0, 1, 0 FROM open WHERE sponsor IS NOT NULL
  UNION ALL SELECT account, 0, 0, 1 FROM pending
), summed AS (
  SELECT account, sum(frozen)::bigint AS frozen, sum(settled)::bigint AS settled, sum(running)::bigint AS running
  FROM laid
  GROUP BY account
)
SELECT coalesce(a.account, 'of key ' || s.account), figure.name || ' ' || figure.expected,
       figure.name || ' ' || coalesce(figure.found::text, 'none')
FROM account a
FULL JOIN summed s ON s.account = a.id
CROSS JOIN LATERAL (VALUES
  ('frozen', coalesce(s.frozen, 0), a.frozen),
  ('settled', coalesce(s.settled, 0), a.settled),
  ('running', coalesce(s.running, 0), a.running)
) figure(name, expected, found)
WHERE (coalesce(s.frozen, 0), coalesce(s.settled, 0), coalesce(s.running, 0))
      IS DISTINCT FROM (a.frozen, a.settled, a.running)
  AND figure.expected IS DISTINCT FROM figure.found"""

# Of each unit: what all accounts have, and what stands on the other side.
_TOTALS = """
SELECT unit, 'accounts and the system''s accounts sum to 0', sum(amount)
FROM (
  SELECT CASE WHEN funding = 'sponsored' THEN 'allotment' ELSE 'coin' END AS unit, credit AS amount FROM account
  UNION ALL
  SELECT unit, amount FROM entry WHERE account < 0
) posted
GROUP BY unit
HAVING sum(amount) <> 0"""

_BELONGING = """
SELECT 'transaction ' || e.transaction || ' account ' || e.account || coalesce(' version ' || e.version, ''),
       problem.expected, problem.found
FROM entry e
LEFT JOIN transaction t ON t.id = e.transaction
LEFT JOIN account a ON a.id = e.account AND e.account > 0
CROSS JOIN LATERAL (VALUES
  ('its transaction', t.id IS NOT NULL, 'none'),
  ('an account, or one of the system''s', a.id IS NOT NULL OR e.account BETWEEN -4 AND -1, 'none'),
  ('the top account ' || coalesce(a.path[1], t.top), e.top = coalesce(a.path[1], t.top), e.top::text),
  ('the top account of its transaction, ' || t.top, e.top = t.top, e.top::text),
  ('the time of its transaction, ' || t.time, e.time = t.time, e.time::text),
  ('the type of its transaction, ' || t.type,
   e.type = t.type OR t.type IN ('transfer_in', 'transfer_out') AND e.type IN ('transfer_in', 'transfer_out'), e.type)
) problem(expected, holds, found)
WHERE (t.id IS NULL OR e.top <> t.top OR e.time <> t.time OR e.type <> t.type
       OR CASE WHEN e.account > 0 THEN a.id IS NULL OR a.path[1] <> e.top ELSE e.account NOT BETWEEN -4 AND -1 END)
  AND NOT problem.holds"""

_REFERRED = """
SELECT 'transaction ' || e.transaction || ' account ' || e.account, 'an account as ' || other.role, other.account
FROM entry e
CROSS JOIN LATERAL (VALUES ('counterparty', e.counterparty), ('consumer', e.consumer)) other(role, account)
LEFT JOIN account a ON a.id = other.account AND a.id > 0
WHERE other.account IS NOT NULL AND a.id IS NULL"""

_HAS_ENTRIES = f"""
SELECT {NUMBER}, 'entries', 'none'
FROM transaction t
WHERE NOT EXISTS (SELECT FROM entry e WHERE e.transaction = t.id)"""

_FOR_WHOM = f"""
SELECT {NUMBER}, 'an account of the tree of ' || t.top, coalesce(a.account, 'none')
FROM transaction t
LEFT JOIN account a ON a.id = t.account AND a.id > 0
WHERE a.path[1] IS DISTINCT FROM t.top"""

# An order that is paid by another method has its recharge besides.
_HAS_COMMAND = f"""
SELECT {NUMBER}, 'the applied command ' || t.command_source || ' ' || t.command_id || ' points to it',
       CASE WHEN c.id IS NULL THEN 'there is no such command'
            WHEN c.reason IS NOT NULL THEN 'it was rejected: ' || c.reason
            ELSE 'it points to ' || coalesce(c.transaction::text, 'none') END
FROM transaction t
LEFT JOIN command c ON c.source = t.command_source AND c.id = t.command_id
LEFT JOIN transaction own ON own.id = c.transaction
WHERE (c.reason IS NOT NULL OR c.transaction IS DISTINCT FROM t.id)
  AND NOT coalesce(c.reason IS NULL AND t.type = 'recharge' AND own.type = 'order' AND own.order_id = t.order_id, false)"""

_HAS_TRANSACTION = """
SELECT c.source || ' ' || c.id,
       CASE WHEN c.reason IS NULL THEN 'its transaction ' || c.transaction ELSE 'rejected, no transaction' END,
       CASE WHEN t.id IS NULL THEN 'there is no transaction ' || c.transaction
            ELSE 'transaction ' || t.id || ' of ' || t.command_source || ' ' || t.command_id END
FROM command c
LEFT JOIN transaction t ON t.id = c.transaction
WHERE c.transaction IS NOT NULL
  AND (c.reason IS NOT NULL OR t.id IS NULL OR (t.command_source, t.command_id) <> (c.source, c.id))"""

_PLACE = """
SELECT a.account, 'path ' || (coalesce(p.path, '{}') || a.id)::text,
       'path ' || a.path::text || ', ' || CASE WHEN p.id IS NULL THEN 'no such parent' ELSE 'parent ' || p.account END
FROM account a
LEFT JOIN account p ON p.id = a.parent
WHERE a.id > 0 AND (p.id IS NULL OR a.path <> p.path || a.id)"""

# A shared account draws on whatever its parent draws on. Under a second-level reseller its distributor is the sponsor.
_PAYERS = """
SELECT a.account, a.funding || ', ' || payer.name || ' ' || coalesce(payer.expected::text, 'none'),
       coalesce(payer.found::text, 'none')
FROM account a
JOIN account p ON p.id = a.parent
CROSS JOIN LATERAL (VALUES
  ('draws_from', CASE WHEN a.funding = 'shared' THEN p.draws_from ELSE a.id END, a.draws_from),
  ('sponsor', CASE WHEN a.funding = 'sponsored' THEN CASE WHEN p.parent = 0 THEN p.id ELSE p.parent END END, a.sponsor)
) payer(name, expected, found)
WHERE payer.expected IS DISTINCT FROM payer.found"""

_DRAWN_ON = """
SELECT a.account, 'draws on an account with coins of its own', coalesce(m.account || ', ' || m.funding, 'none')
FROM account a
LEFT JOIN account m ON m.id = a.draws_from AND m.id > 0
WHERE a.funding = 'shared' AND a.state <> 'closed' AND m.funding IS DISTINCT FROM 'own'"""

_DEVICES = """
SELECT d.device, 'an account that is not closed', coalesce(a.account || ', ' || a.state, 'none')
FROM device d
LEFT JOIN account a ON a.id = d.account AND a.id > 0
WHERE d.account IS NOT NULL AND (a.id IS NULL OR a.state = 'closed')"""

_REFERENCES = """
SELECT r.top || ' ' || r.method || ' ' || r.reference, 'a recharge by it that was not taken back',
       CASE WHEN t.id IS NULL THEN 'there is no transaction ' || r.transaction
            WHEN EXISTS (SELECT FROM returned x WHERE x.transaction = t.id) THEN 'it was taken back'
            ELSE t.type || ' by ' || coalesce(t.method, 'none') || ' ' || coalesce(t.reference, 'none') END
FROM recharge_reference r
LEFT JOIN transaction t ON t.id = r.transaction
WHERE r.transaction IS NOT NULL
  AND (t.id IS NULL
       OR (t.type, t.top, t.method, t.reference) IS DISTINCT FROM ('recharge', r.top, r.method, r.reference)
       OR EXISTS (SELECT FROM returned x WHERE x.transaction = t.id))"""

_HOLDS_REFERENCE = f"""
SELECT {NUMBER}, 'holds its reference ' || t.method || ' ' || t.reference,
       coalesce('transaction ' || r.transaction, 'the reference is free')
FROM transaction t
LEFT JOIN recharge_reference r ON (r.top, r.method, r.reference) = (t.top, t.method, t.reference)
WHERE t.type = 'recharge' AND t.reference IS NOT NULL
  AND NOT EXISTS (SELECT FROM transaction back WHERE back.reverses = t.id)
  AND r.transaction IS DISTINCT FROM t.id"""

# A transaction moves the same amount at everybody who pays, so that the largest entry is what was charged, or given back.
_RETURNED = """
WITH given_back AS (
  SELECT t.reverses AS transaction, sum(one.amount)::bigint AS amount
  FROM transaction t
  CROSS JOIN LATERAL (
    SELECT max(abs(e.amount)) AS amount FROM entry e WHERE e.transaction = t.id AND e.account > 0
  ) one
  WHERE t.reverses IS NOT NULL
  GROUP BY t.reverses
)
SELECT 'of transaction ' || coalesce(g.transaction, r.transaction), problem.expected, problem.found
FROM given_back g
FULL JOIN returned r ON r.transaction = g.transaction
LEFT JOIN LATERAL (
  SELECT max(abs(e.amount)) AS amount FROM entry e
  WHERE e.transaction = coalesce(g.transaction, r.transaction) AND e.account > 0
) charged ON true
CROSS JOIN LATERAL (VALUES
  (coalesce(g.amount, 0)::text, coalesce(r.amount, 0)::text, coalesce(g.amount, 0) = coalesce(r.amount, 0)),
  ('no more than ' || coalesce(charged.amount, 0), coalesce(g.amount, r.amount)::text,
   coalesce(g.amount, r.amount) <= coalesce(charged.amount, 0))
) problem(expected, found, holds)
WHERE NOT problem.holds"""

CHECKS = (
    Check("balanced", "a transaction's entries sum to zero in each unit", "transaction", _BALANCED),
    Check(
        "steps",
        "an account's entries have versions without gaps, balances that add up, and times in order",
        "entry of",
        _STEPS,
    ),
    Check("figures", "an account's figures are those of its entries", "account", _FIGURES),
    Check("open", "what is frozen and what is running is what is open", "account", _OPEN),
    Check("totals", "all credit stands against what came in and went out", "all", _TOTALS),
    Check("belonging", "an entry agrees with its transaction and its account", "entry of", _BELONGING),
    Check("referred", "the accounts that an entry names exist", "entry of", _REFERRED),
    Check("has_entries", "a transaction has entries", "transaction", _HAS_ENTRIES),
    Check("for_whom", "a transaction is for an account of its tree", "transaction", _FOR_WHOM),
    Check("has_command", "a transaction has the command that it says it has", "transaction", _HAS_COMMAND),
    Check("has_transaction", "an applied command has its transaction", "command", _HAS_TRANSACTION),
    Check("figures_told", "an outcome tells the credit that was left", "command", FIGURES_TOLD),
    Check("letters", "a letter is resolved by a command under its key", "dead_letter", LETTERS),
    Check("place", "an account stands under its parent", "account", _PLACE),
    Check("payers", "who pays for an account follows from its funding and its place", "account", _PAYERS),
    Check("drawn_on", "a shared account draws on coins", "account", _DRAWN_ON),
    Check("devices", "a device belongs to an account that is not closed", "device", _DEVICES),
    Check("references", "a reference in use names its recharge", "recharge_reference", _REFERENCES),
    Check("holds_reference", "a recharge holds its reference", "transaction", _HOLDS_REFERENCE),
    Check("returned", "what was given back is what refunds and reversals say", "returned", _RETURNED),
    Check("remaining", "what has ended holds nothing, what was used is not frozen", "all", REMAINING),
    Check("orders", "an order was charged what it costs", "orders", ORDERS),
    Check("sessions", "a session, its order and its phone agree", "session", SESSIONS),
    Check("cycles", "the cycles of a subscription touch and were charged", "subscription_cycle", CYCLES),
    Check("subscriptions", "a subscription is paid as far as its cycles say", "subscription", SUBSCRIPTIONS),
    Check("bills", "a bill is the sum of its lines, and returned what it says", "bill", BILLS),
    Check("billed", "a line stands on a bill", "bill_line", BILLED),
    Check("unbilled", "no charge is left off the bills", "transaction", UNBILLED),
    Check("receipts", "receipts are numbered without gaps, and are of what was paid", "receipt", RECEIPTS),
    Check("printed", "what is printed on a receipt is what it is for", "receipt", PRINTED),
    Check("receipted", "what was paid has a receipt, or is to have one", "transaction", RECEIPTED),
    Check("series", "a series of receipts goes on after its last number", "receipt_series", SERIES),
    Check("next_tries", "a subscription is looked at again until it has ended", "subscription", NEXT_TRIES),
)
