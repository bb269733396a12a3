"""The place up to which the edge has been read, and who may move it.

A worker owns a partition under an epoch. Moving positions is the first statement of every batch, in the batch's own
transaction: position and postings stand or fall together, and who has lost the partition can commit nothing.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import psycopg

from ledger.arrays import columns
from ledger.batch import Batch
from ledger.errors import FenceLost

LEASE_SECONDS = 3
# An advisory lock shows the standby which session holds a batch open, should its process be frozen in the middle.
LOCK_CLASS = 0x636F696E

NOTHING = ("{}", "{}", "{}")

# All of it in one statement: a lone command waits for every one of them.
_CLAIM = f"""
WITH shown AS MATERIALIZED (
  SELECT pg_advisory_xact_lock_shared({LOCK_CLASS}, %(partition)s::int4)
), renewed AS (
  UPDATE partition SET lease_until = clock_timestamp() + interval '{LEASE_SECONDS} seconds'
  WHERE id = %(partition)s AND epoch = %(epoch)s AND stopped_at IS NULL
  RETURNING crashed_in_a_row
), moved AS (
  UPDATE position p SET position = m.after
  FROM unnest(%(streams)s::text[], %(before)s::text[], %(after)s::text[]) AS m(stream, before, after)
  WHERE p.stream = m.stream AND p.position = m.before
  RETURNING 1
)
SELECT (SELECT crashed_in_a_row FROM renewed), (SELECT count(*) FROM moved), nextval('batch_key'),
       EXISTS (SELECT FROM dead_letter WHERE state IN ('waiting', 'failed again') AND command_id IS NOT NULL)
FROM shown"""

_RENEW = f"""
UPDATE partition SET lease_until = clock_timestamp() + interval '{LEASE_SECONDS} seconds' WHERE id = %b"""

_CREATE = """
INSERT INTO position (stream, position) SELECT unnest(%b::text[]), '0-0' ON CONFLICT (stream) DO NOTHING"""


class Claim(NamedTuple):
    """What moving the positions told: the batch's number, how many commands in a row had crashed before it, and whether
    any dead letter waits for its key to be decided."""

    batch: int
    crashed_in_a_row: int
    letters_wait: bool


def claim(connection: psycopg.Connection[Any], batch: Batch) -> Claim:
    """Move the positions under the worker's epoch. Raises FenceLost."""
    new = [move.stream for move in batch.moves if move.before == "0-0"]
    if new:
        connection.execute(_CREATE, (new,), prepare=True)
    # An edge that knows itself what was read moves nothing; the epoch fences all the same.
    streams, before, after = (
        columns((move.stream, move.before, move.after) for move in batch.moves) or NOTHING
    )
    values = {
        "partition": batch.partition,
        "epoch": batch.epoch,
        "streams": streams,
        "before": before,
        "after": after,
    }
    row = connection.execute(_CLAIM, values, prepare=True).fetchone()
    assert row is not None
    crashed, moved, number, letters_wait = row
    if crashed is None:
        raise FenceLost(f"partition {batch.partition} has another owner than epoch {batch.epoch}")
    if moved != len(batch.moves):
        raise FenceLost(f"a stream of partition {batch.partition} was read further by somebody else")
    return Claim(number, crashed, letters_wait)


def renew(connection: psycopg.Connection[Any], batch: Batch) -> None:
    """At the end of a batch that took long: nobody else could renew the lease, the row was ours."""
    connection.execute(_RENEW, (batch.partition,), prepare=True)


def record_crashes(
    connection: psycopg.Connection[Any], partition: int, crashed_in_a_row: int, *, stop: bool
) -> None:
    """Remember how many commands in a row have crashed.

    `stop` takes the partition away from its owner and bars it to every worker that was started before now: what goes on
    crashing is a defect of this version, and the next one should find the commands still there.
    """
    connection.execute(_RECORD_CRASHES, {"partition": partition, "crashed": crashed_in_a_row, "stop": stop})


_RECORD_CRASHES = """
UPDATE partition SET
  crashed_in_a_row = %(crashed)s,
  stopped_at = CASE WHEN %(stop)s THEN clock_timestamp() END,
  epoch = CASE WHEN %(stop)s THEN epoch + 1 ELSE epoch END,
  owner = CASE WHEN %(stop)s THEN NULL ELSE owner END,
  lease_until = CASE WHEN %(stop)s THEN '-infinity' ELSE lease_until END
WHERE id = %(partition)s"""
