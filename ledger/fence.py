"""The place up to which the edge has been read, and who may move it.

A worker owns a partition under an epoch. Moving positions is the first statement of every batch, in the batch's own
transaction: position and postings stand or fall together, and who has lost the partition can commit nothing.
"""

from __future__ import annotations

from typing import Any

import psycopg

from ledger.batch import Batch
from ledger.errors import FenceLost

LEASE_SECONDS = 3
# An advisory lock shows the standby which session holds a batch open, should its process be frozen in the middle.
LOCK_CLASS = 0x636F696E

_FENCE = f"""
SELECT pg_advisory_xact_lock_shared({LOCK_CLASS}, %b::int4)"""

_RENEW = f"""
UPDATE partition SET lease_until = clock_timestamp() + interval '{LEASE_SECONDS} seconds'
WHERE id = %b AND epoch = %b
RETURNING crashed_in_a_row"""

_MOVE = """
UPDATE position p SET position = m.after
FROM unnest(%b::text[], %b::text[], %b::text[]) AS m(stream, before, after)
WHERE p.stream = m.stream AND p.position = m.before"""

_CREATE = """
INSERT INTO position (stream, position) SELECT unnest(%b::text[]), '0-0' ON CONFLICT (stream) DO NOTHING"""


class Fence:
    """Queues the fence of a batch on the connection's pipeline, and checks it once the answers are there."""

    def __init__(self, connection: psycopg.Connection[Any], batch: Batch) -> None:
        self._batch = batch
        connection.execute(_FENCE, (batch.partition,), prepare=True)
        self._renewed = connection.execute(_RENEW, (batch.partition, batch.epoch), prepare=True)
        new = [move.stream for move in batch.moves if move.before == "0-0"]
        if new:
            connection.execute(_CREATE, (new,), prepare=True)
        moves = batch.moves
        columns = ([m.stream for m in moves], [m.before for m in moves], [m.after for m in moves])
        self._moved = connection.execute(_MOVE, columns, prepare=True)

    def check(self) -> int:
        """How many commands in a row had crashed before this batch. Raises FenceLost."""
        row = self._renewed.fetchone()
        if row is None:
            raise FenceLost(
                f"partition {self._batch.partition} has another owner than epoch {self._batch.epoch}"
            )
        if self._moved.rowcount != len(self._batch.moves):
            raise FenceLost(
                f"a stream of partition {self._batch.partition} was read further by somebody else"
            )
        crashed: int = row[0]
        return crashed


def record_crashes(
    connection: psycopg.Connection[Any], partition: int, crashed_in_a_row: int, *, stop: bool
) -> None:
    """Remember how many commands in a row have crashed; `stop` bars the partition to workers started before now."""
    connection.execute(
        "UPDATE partition SET crashed_in_a_row = %b, stopped_at = CASE WHEN %b THEN clock_timestamp() END WHERE id = %b",
        (crashed_in_a_row, stop, partition),
    )
