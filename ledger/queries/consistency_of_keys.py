"""Where what was answered, and what was set aside, does not agree with the ledger."""

from __future__ import annotations

# As it is composed, word for word (`ledger/outcome.py`): reading millions of them as JSON would take minutes. A quotation
# mark within a text is escaped, so that these words stand between members alone. Whom a transaction is for is always told;
# a sponsor and a master never are.
FIGURES_TOLD = """
SELECT c.source || ' ' || c.id, problem.expected,
       substring(c.outcome FROM 1 + position(',"accounts":[' IN c.outcome) FOR 200)
FROM command c
JOIN transaction t ON t.id = c.transaction
JOIN account whom ON whom.id = t.account
LEFT JOIN entry e ON e.transaction = t.id AND e.account > 0
LEFT JOIN account a ON a.id = e.account
CROSS JOIN LATERAL (VALUES
  ('figures of ' || whom.account, strpos(c.outcome, '{"account":"' || whom.account || '","credit":') > 0),
  ('credit ' || e.balance || ' of ' || a.account,
   a.id IS NULL OR strpos(c.outcome, '{"account":"' || a.account || '","credit":') = 0
   OR strpos(c.outcome, '{"account":"' || a.account || '","credit":' || e.balance || ',') > 0)
) problem(expected, holds)
WHERE c.reason IS NULL
  AND NOT (a.id IS NOT DISTINCT FROM whom.id
           AND strpos(c.outcome, '{"account":"' || a.account || '","credit":' || e.balance || ',') > 0)
  AND NOT problem.holds"""

# One that was edited is resolved by another message, which has a key of its own; a job that gave up has none.
LETTERS = """
SELECT d.id::text, 'a command that is decided under its key ' || coalesce(d.source || ' ' || d.command_id, ''), 'none'
FROM dead_letter d
JOIN dead_letter_group g ON g.id = d.group_id
WHERE d.state = 'resolved' AND g.reason <> 'gave up'
  AND NOT EXISTS (SELECT FROM command c WHERE c.source = d.source AND c.id = d.command_id)
  AND NOT EXISTS (SELECT FROM dead_letter_act x WHERE x.letter = d.id AND x.act = 'edit')"""
