"""The consumer of a partition: it hands dramatiq one message for everything it has drained.

One batch is in flight at a time; meanwhile, and just before the next is sent, what has come for that is read and decoded.
Only the `committed` mark that the actor sets makes a batch done. Without it, whatever dramatiq says, everything read is
forgotten and read again from the position that the ledger has.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import dramatiq
import psycopg
import structlog
from dramatiq.broker import Consumer, MessageProxy
from structlog.contextvars import bind_contextvars

from ledger.batch import Batch
from ledger.database import connect
from ledger.fence import LEASE_SECONDS
from ledger.trust import Producers
from workers.ahead import Ahead
from workers.leases import PartitionLease
from workers.producers import ProducersFile
from workers.reading import CommandReader

ACTOR = "apply_commands"
BLOCK_MILLISECONDS = 250
TAKE_SECONDS = 0.25
RENEW_SECONDS = 1.0
MAX_BACKOFF_SECONDS = 5.0
# The server at the edge is told that we live, also while many messages are decoded.
TICK_SECONDS = 0.25
# A batch takes a fraction of a second. One that is in hand this long waits for a database that does not answer.
HANGS_AFTER_SECONDS = 6.0

log = structlog.get_logger(__name__)

_REMEMBER = """
INSERT INTO position (stream, position) SELECT * FROM unnest(%b::text[], %b::text[])
ON CONFLICT (stream) DO UPDATE SET position = excluded.position"""


@dataclass(slots=True)
class EdgeBatch:
    """A batch on its way through dramatiq, with the mark that alone makes it done."""

    batch: Batch
    committed: bool = False

    def __repr__(self) -> str:
        return repr(self.batch)


class PartitionConsumer(Consumer):
    """Owns a partition for as long as it can, and yields its batches. All but `ack` and `nack` runs on one thread."""

    def __init__(
        self,
        *,
        queue_name: str,
        reader: CommandReader,
        database_url: str,
        owner: str,
        started_at: datetime,
        producers: ProducersFile | None = None,
    ) -> None:
        self._queue_name = queue_name
        self._reader = reader
        self._url = database_url
        self._owner = owner
        self._started_at = started_at
        self._producers = producers
        self._connection: psycopg.Connection[Any] | None = None
        self._lease: PartitionLease | None = None
        self._epoch: int | None = None
        self._ahead = Ahead()
        self._in_flight: EdgeBatch | None = None
        self._sent_at = 0.0
        self.closed = False
        self._finished = threading.Event()
        self._renewed_at = 0.0
        self._ticked_at = 0.0
        self._looked_at = 0.0
        self._failures = 0
        # What was read is of no use any more, once the batch in flight has come to its end.
        self._afresh = False

    def __next__(self) -> MessageProxy | None:
        try:
            return self._next()
        except Exception as error:  # noqa: BLE001 - whatever it is: nothing is lost by reading again from where the ledger is
            self._begin_again(f"{type(error).__name__}: {error}".strip())
            return None

    def ack(self, message: MessageProxy) -> None:
        self._finished.set()

    def nack(self, message: MessageProxy) -> None:
        self._finished.set()

    def requeue(self, messages: Any) -> None:
        """Nothing to do: what was not committed is still on the edge."""

    def hangs(self) -> bool:
        """Whether the batch in hand has been there for very long. May be asked from any thread."""
        return self._in_flight is not None and time.monotonic() - self._sent_at > HANGS_AFTER_SECONDS

    def close(self) -> None:
        self.closed = True
        try:
            if self._in_flight is not None and self._finished.is_set() and not self._afresh:
                self._acknowledge(self._in_flight)
        except Exception as error:  # noqa: BLE001 - whatever the edge's client raises
            log.info("what is committed could not be acknowledged; its key decides", error=str(error).strip())
        self._reader.close()
        if self._connection is not None:
            try:
                if self._lease is not None and self._epoch is not None:
                    self._lease.release(self._epoch)
            except psycopg.Error as error:
                log.info("the lease could not be released; it runs out", error=str(error).strip())
            self._connection.close()
        self._connection, self._lease, self._epoch = None, None, None

    # The states, in the order of a partition's life

    def _next(self) -> MessageProxy | None:
        self._look_who_may_send()
        if self._epoch is not None and not self._afresh:
            self._tick()
        if self._in_flight is not None:
            self._wait_for_batch()
            return None
        if self._epoch is None:
            self._take()
            return None
        self._keep_lease()
        if self._epoch is None:
            return None
        if not self._ahead:
            self._fill(BLOCK_MILLISECONDS)
        elif not (self._ahead.is_full and self._ahead.somebody_waits):
            # What has come during the last batch. Of the scheduler's more is read than goes into a batch, for the sake of
            # those who may have come behind it; billing has no more than its `WAITING` on the edge.
            self._fill(None)
        self._reader.tidy(idle=not self._ahead)
        return self._send() if self._ahead else None

    def _take(self) -> None:
        lease = self._connected()
        self._epoch = lease.take()
        if self._epoch is None:
            time.sleep(TAKE_SECONDS)
            return
        self._renewed_at = time.monotonic()
        bind_contextvars(partition=self._reader.partition, epoch=self._epoch)
        assert self._connection is not None
        rows = self._connection.execute("SELECT stream, position FROM position").fetchall()
        self._ahead.clear()
        self._reader.begin(dict(rows))
        self._remember()
        log.info("partition taken", partition=lease.partition, epoch=self._epoch)

    def _keep_lease(self) -> None:
        if time.monotonic() - self._renewed_at < RENEW_SECONDS:
            return
        assert self._lease is not None
        assert self._epoch is not None
        self._renewed_at, epoch = time.monotonic(), self._epoch
        if not self._lease.renew(epoch):
            log.warning("partition lost", partition=self._lease.partition, epoch=epoch)
            self._forget()
        elif self._lease.has_too_many():
            log.info("partition handed on", partition=self._lease.partition, epoch=epoch)
            self._forget()
            self._lease.release(epoch)
            time.sleep(2 * TAKE_SECONDS)

    def _look_who_may_send(self) -> None:
        if self._producers is not None:
            self._let_send(self._producers.current())

    def _let_send(self, producers: Producers) -> None:
        if producers is not self._reader.producers:
            self._reader.producers = producers
            self._ahead.judge_anew(producers)

    def _fill(self, block_milliseconds: int | None) -> None:
        deliveries = self._reader.read(block_milliseconds)
        self._remember()
        if deliveries and self._producers is not None:
            # Whoever was added before these were sent is known when they are judged.
            self._let_send(producers := self._producers.current(at_once=True))
            for delivery in deliveries:
                if delivery.parts is None:
                    delivery.producers = producers
        for delivery in deliveries:
            delivery.decoded()
            if time.monotonic() - self._ticked_at > TICK_SECONDS:
                self._tick()
        self._ahead.extend(deliveries)

    def _remember(self) -> None:
        if told := self._reader.to_remember():
            assert self._connection is not None
            self._connection.execute(_REMEMBER, (list(told), list(told.values())))

    def _tick(self) -> None:
        self._reader.tick()
        self._ticked_at = time.monotonic()

    def _send(self) -> MessageProxy:
        assert self._epoch is not None
        deliveries = self._ahead.portion()
        assert self._lease is not None
        moves = self._reader.moves(deliveries)
        batch = EdgeBatch(Batch(self._lease.partition, self._epoch, moves, deliveries))
        self._finished.clear()
        self._sent_at = time.monotonic()
        self._in_flight = batch
        return MessageProxy(
            dramatiq.Message(
                queue_name=self._queue_name, actor_name=ACTOR, args=(batch,), kwargs={}, options={}
            )
        )

    def _wait_for_batch(self) -> None:
        if not self._afresh and not self._ahead and not self._finished.is_set():
            self._fill(None)
        if not self._finished.wait(BLOCK_MILLISECONDS / 1000):
            self._let_go_if_superseded()
            return
        batch, self._in_flight = self._in_flight, None
        assert batch is not None
        if not batch.committed:
            self._begin_again("the batch was not committed")
            return
        self._failures = 0
        self._renewed_at = time.monotonic()
        if self._afresh:
            self._forget()
            return
        self._acknowledge(batch)
        self._reader.tidy(idle=False)

    def _let_go_if_superseded(self) -> None:
        """A batch that hangs renews no lease. Whoever has taken it over is to be given what the edge has given us."""
        now = time.monotonic()
        if self._afresh or now - self._sent_at < LEASE_SECONDS or now - self._looked_at < RENEW_SECONDS:
            return
        self._looked_at = now
        assert self._lease is not None
        assert self._epoch is not None
        if not self._lease.is_ours(self._epoch):
            log.warning("partition lost in a batch", partition=self._lease.partition, epoch=self._epoch)
            self._afresh = True
            self._reader.close()

    def _acknowledge(self, batch: EdgeBatch) -> None:
        if batch.committed:
            self._reader.done(batch.batch.deliveries, batch.batch.moves)

    # After a failure

    def _begin_again(self, why: str) -> None:
        pause = min(0.1 * 2**self._failures, MAX_BACKOFF_SECONDS)
        self._failures = min(self._failures + 1, 10)
        log.warning(
            "reading again from the ledger's position", why=why, in_seconds=pause, queue=self._queue_name
        )
        if self._in_flight is None:
            self._forget()
            if self._connection is not None and self._connection.broken:
                self._connection, self._lease = None, None
        else:
            self._afresh = True
            self._reader.close()
        time.sleep(pause)

    def _forget(self) -> None:
        """Everything that was read, and that the partition was ours."""
        self._reader.close()
        self._epoch = None
        self._afresh = False
        self._ahead.clear()

    def _connected(self) -> PartitionLease:
        if self._lease is None or self._connection is None or self._connection.closed:
            self._connection = connect(
                self._url, name="worker lease", options="-c lock_timeout=500ms -c statement_timeout=5s"
            )
            self._lease = PartitionLease(
                self._connection,
                self._reader.partition,
                self._reader.partitions,
                self._owner,
                self._started_at,
            )
            self._lease.create()
        return self._lease
