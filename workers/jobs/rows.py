"""The rows of runs: asked for, taken, ended. A message to a worker is only a doorbell; what is to be done stands here."""

from __future__ import annotations

import traceback
from collections.abc import Collection
from datetime import datetime
from typing import Any, NamedTuple

import psycopg

from ledger.dead_letters import escaped
from workers.jobs.run import LEASE_SECONDS

TRIES = 5
# Who has asked, where it was a person.
BY_HAND = "cli:"
RING_AGAIN_SECONDS = 5
LONGEST_PAUSE_SECONDS = 300
# Of two clocks one is always a little ahead: a run of midnight is to stay one of midnight.
AHEAD_SECONDS = 60

# One that waits already will see what this one would have seen. A scheduler whose clock is far ahead asks by the database's:
# nobody is to be billed for a month that is not over, or charged for a cycle that has not come.
_ASK_SCHEDULED = f"""
INSERT INTO job_run (job, at, asked_by)
SELECT %(job)s, CASE WHEN %(at)s > clock_timestamp() + interval '{AHEAD_SECONDS} seconds'
  THEN clock_timestamp() ELSE %(at)s END, 'scheduler'
WHERE NOT EXISTS (SELECT FROM job_run WHERE job = %(job)s AND state = 'waiting')
ON CONFLICT (job, at) WHERE asked_by = 'scheduler' DO NOTHING
RETURNING id"""
_ASK = "INSERT INTO job_run (job, at, asked_by) VALUES (%b, %b, %b) RETURNING id"

# Of one job one run at a time. Who looks whether another one runs must be alone with the question.
_ALONE = "SELECT pg_advisory_xact_lock(hashtextextended('coins job ' || job, 0)) FROM job_run WHERE id = %b"
# An owner that let its lease run out may only be frozen: should it wake up, it finds that the run is no longer its own. One
# that is in the middle of a transaction is not; then nobody else begins.
_SUPERSEDE = """
UPDATE job_run SET state = 'waiting', epoch = epoch + 1, owner = NULL
WHERE id IN (
  SELECT o.id FROM job_run r JOIN job_run o ON o.job = r.job AND o.id <> r.id
  WHERE r.id = %b AND o.state = 'running' AND o.lease_until < clock_timestamp()
  FOR UPDATE OF o SKIP LOCKED)"""
_TAKE = f"""
UPDATE job_run r SET
  state = 'running', owner = %(owner)s, epoch = r.epoch + 1, tries = r.tries + 1,
  started_at = coalesce(r.started_at, clock_timestamp()),
  lease_until = clock_timestamp() + interval '{LEASE_SECONDS} seconds'
WHERE r.id = %(id)s
  AND (r.state = 'waiting' OR r.state = 'running' AND r.lease_until < clock_timestamp())
  AND r.not_before <= clock_timestamp()
  AND NOT EXISTS (
    SELECT FROM job_run o
    WHERE o.job = r.job AND o.id <> r.id AND o.state = 'running')
RETURNING r.job, r.at, r.epoch, r.tries, starts_with(r.asked_by, '{BY_HAND}')"""

_BEAT = f"""
UPDATE job_run SET lease_until = clock_timestamp() + interval '{LEASE_SECONDS} seconds'
WHERE id IN (
  SELECT id FROM job_run
  WHERE id = ANY(%b::int8[]) AND owner = %b AND state = 'running'
  FOR UPDATE SKIP LOCKED)"""
# Whoever asked for it has gone: nobody is to go on with it behind his back.
_WITHDRAW = """
UPDATE job_run SET state = 'failed', epoch = epoch + 1, finished_at = clock_timestamp(), lease_until = '-infinity',
  result = 'given up by whoever asked for it'
WHERE id = %b AND (state = 'waiting' OR state = 'running' AND owner = %b)"""

_DONE = """
UPDATE job_run SET state = 'done', finished_at = clock_timestamp(), result = %b, error = NULL, lease_until = '-infinity'
WHERE id = %b AND epoch = %b"""
_AGAIN = """
UPDATE job_run SET state = 'waiting', error = %b, lease_until = '-infinity', owner = NULL,
  tries = CASE WHEN %b THEN tries - 1 ELSE tries END,
  not_before = clock_timestamp() + make_interval(secs => %b::float8)
WHERE id = %b AND epoch = %b"""
_FAILED = """
UPDATE job_run SET state = 'failed', finished_at = clock_timestamp(), error = %b, result = %b, lease_until = '-infinity'
WHERE id = %b AND epoch = %b"""

_TO_RING = f"""
UPDATE job_run SET rung_at = clock_timestamp()
WHERE id IN (
  SELECT id FROM job_run
  WHERE state IN ('waiting', 'running') AND lease_until < clock_timestamp() AND not_before <= clock_timestamp()
    AND (rung_at IS NULL OR rung_at < clock_timestamp() - interval '{RING_AGAIN_SECONDS} seconds')
  ORDER BY id
  FOR UPDATE SKIP LOCKED)
RETURNING id"""


class Taken(NamedTuple):
    """A run that is ours: which job, by which clock, under which epoch, the how manieth try it is, and whether a person
    asked for it."""

    id: int
    job: str
    at: datetime
    epoch: int
    tries: int
    by_hand: bool = False


def ask_scheduled(connection: psycopg.Connection[Any], job: str, at: datetime) -> int | None:
    """A run that the schedule asks for; None where the same is there already, or one still waits to begin."""
    row = connection.execute(_ASK_SCHEDULED, {"job": job, "at": at}).fetchone()
    return row[0] if row else None


def ask(connection: psycopg.Connection[Any], job: str, at: datetime, asked_by: str) -> int:
    """A run that somebody asks for."""
    (id_,) = connection.execute(_ASK, (job, at, asked_by)).fetchone() or (0,)
    return int(id_)


def take(connection: psycopg.Connection[Any], id: int, owner: str) -> Taken | None:
    """Take a run that waits, or whose owner is gone; None where it is done, or cannot run now."""
    with connection.transaction():
        connection.execute(_ALONE, (id,))
        connection.execute(_SUPERSEDE, (id,))
        row = connection.execute(_TAKE, {"id": id, "owner": owner}).fetchone()
    return Taken(id, *row) if row else None


def beat(connection: psycopg.Connection[Any], owner: str, runs: Collection[int]) -> None:
    """Keep the leases of those of the runs that are the owner's."""
    connection.execute(_BEAT, (list(runs), owner))


def withdraw(connection: psycopg.Connection[Any], id: int, owner: str) -> None:
    """Nobody waits for the run any more: it has failed, unless somebody else works on it."""
    connection.execute(_WITHDRAW, (id, owner))


def done(connection: psycopg.Connection[Any], run: Taken, result: str) -> bool:
    """Whether the run was still ours."""
    return connection.execute(_DONE, (result, run.id, run.epoch)).rowcount == 1


def again(
    connection: psycopg.Connection[Any],
    run: Taken,
    error: BaseException,
    *,
    outage: bool,
    pause_seconds: float | None = None,
) -> float:
    """Try it again after a pause, whose seconds are returned. An outage does not count as a try."""
    pause = pause_seconds if pause_seconds is not None else min(2.0**run.tries, LONGEST_PAUSE_SECONDS)
    connection.execute(_AGAIN, (shown(error), outage, pause, run.id, run.epoch))
    return pause


def failed(connection: psycopg.Connection[Any], run: Taken, error: BaseException) -> bool:
    """Whether the run was still ours."""
    result = escaped(f"{type(error).__name__}: {error}")[:500]
    return connection.execute(_FAILED, (shown(error), result, run.id, run.epoch)).rowcount == 1


def to_ring(connection: psycopg.Connection[Any]) -> list[int]:
    """Runs that nobody works on though they could be: a worker is to be knocked at."""
    return [id_ for (id_,) in connection.execute(_TO_RING).fetchall()]


def shown(error: BaseException) -> str:
    """A traceback that PostgreSQL can hold."""
    return escaped("".join(traceback.format_exception(error)))[-20_000:]
