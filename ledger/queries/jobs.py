"""Runs of jobs: the last of each, the list of them, and one with what it did, item by item."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import psycopg

from ledger.errors import NotFound
from ledger.queries.conditions import Conditions, one_of
from ledger.queries.page import DEFAULT_LIMIT, Page, checked_limit, number_in

STATES = ("waiting", "running", "done", "failed")

_SECONDS = "extract(epoch FROM coalesce(r.finished_at, clock_timestamp()) - r.started_at)::float8"
_LISTED = f"""r.id, r.job, r.at, r.asked_by, r.state, r.tries, r.created_at, r.started_at, r.finished_at, {_SECONDS},
       r.done, r.refused, r.total, r.result"""
_LIST = f"SELECT {_LISTED} FROM job_run r WHERE {{conditions}} ORDER BY r.id DESC LIMIT %(rows)s"
_ONE = f"SELECT {_LISTED}, r.error FROM job_run r WHERE r.id = %(run)s"
_LAST = f"""
SELECT {_LISTED}
FROM (SELECT DISTINCT job FROM job_run) j
CROSS JOIN LATERAL (
  SELECT * FROM job_run r WHERE r.job = j.job AND r.started_at IS NOT NULL ORDER BY r.id DESC LIMIT 1) r"""

# Renewals have a table of their own: an attempt is there before its outcome is.
_ITEMS = """
WITH items AS (
  SELECT i.item, i.outcome, i.reason, i.detail, i.at FROM job_item i WHERE i.run = %(run)s
  UNION ALL
  SELECT a.subscription || ' cycle ' || a.cycle_no || ' attempt ' || a.attempt,
         CASE WHEN a.decided_at IS NULL THEN 'waiting' WHEN a.reason IS NULL THEN 'done' ELSE 'refused' END,
         a.reason, a.message, coalesce(a.decided_at, a.published_at)
  FROM renewal_attempt a WHERE a.run = %(run)s
)
SELECT item, outcome, reason, detail, at FROM items
WHERE %(after)s::text IS NULL OR (outcome = 'done', item) > (
  SELECT outcome = 'done', item FROM items WHERE item = %(after)s)
ORDER BY outcome = 'done', item
LIMIT %(rows)s"""


class RunRow(NamedTuple):
    """A run of a job. `at` is the clock it went by; `total` how much was due, where that is known; `result` a sentence."""

    run: int
    job: str
    at: datetime
    asked_by: str
    state: str
    tries: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    seconds: float | None
    done: int
    refused: int
    total: int | None
    result: str | None


class RunItem(NamedTuple):
    """What became of one thing: done, refused, failed, or waiting for its outcome."""

    item: str
    outcome: str
    reason: str | None
    detail: str | None
    at: datetime


class RunReport(NamedTuple):
    """A run with its items, those that were not done first. `error`: a traceback, of the last try that raised."""

    run: int
    job: str
    at: datetime
    asked_by: str
    state: str
    tries: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    seconds: float | None
    done: int
    refused: int
    total: int | None
    result: str | None
    error: str | None
    items: list[RunItem]
    next: str | None


def last_runs(connection: psycopg.Connection[Any]) -> dict[str, RunRow]:
    """Of each job the run that began last."""
    return {row[1]: RunRow(*row) for row in connection.execute(_LAST)}


def runs(
    connection: psycopg.Connection[Any],
    *,
    jobs: Sequence[str] = (),
    states: Sequence[str] = (),
    busy: bool = False,
    limit: int = DEFAULT_LIMIT,
    after: str | None = None,
) -> Page[RunRow]:
    """Runs, the latest first; `busy`: without those that are done and found nothing to do.

    The cursor is the last one's number. Raises QueryInvalid.
    """
    one_of(states, STATES, flag="--state")
    where = Conditions()
    where.any_of("r.job", jobs, flag="--job")
    where.any_of("r.state", states, flag="--state")
    if busy:
        where.add("NOT (r.state = 'done' AND r.done = 0 AND r.refused = 0)")
    if after is not None:
        where.add("r.id < %(after)s", after=number_in(after, "run"))
    found = connection.execute(
        _LIST.format(conditions=where), {**where.parameters, "rows": checked_limit(limit) + 1}
    ).fetchall()
    rows = [RunRow(*row) for row in found[:limit]]
    return Page(rows, str(rows[-1].run) if len(found) > limit else None)


def run(
    connection: psycopg.Connection[Any], id: int, *, limit: int = 1_000, after: str | None = None
) -> RunReport:
    """The run of that number. Raises NotFound, QueryInvalid."""
    row = connection.execute(_ONE, {"run": id}).fetchone() if 0 < id < 1 << 63 else None
    if row is None:
        raise NotFound(f"there is no run {id}; `coins jobs runs` lists them")
    values = {"run": id, "after": after, "rows": checked_limit(limit) + 1}
    items = [RunItem(*item) for item in connection.execute(_ITEMS, values)]
    following = items[limit - 1].item if len(items) > limit else None
    return RunReport._make((*row, items[:limit], following))
