"""Outbox → edge: every event is published, in the order in which its partition was decided, at least once.

One relay is active, by a lease. One which was frozen and wakes up publishes nothing any more: the edge refuses an older
epoch (Redis), or has ended its connection (RabbitMQ). A row leaves the outbox only after the edge has confirmed its events.
"""

from __future__ import annotations

import time
from typing import Any

import psycopg
import structlog

from ledger.database import connect
from messages.publisher import check_url
from workers.counts import RelayCounts
from workers.leases import NamedLease
from workers.metrics import counting
from workers.process import Process
from workers.publishing import EventsOut, RelayedElsewhere, Superseded, events_out
from workers.settings import Settings

ROWS_AT_ONCE = 8
POLL_SECONDS = 0.5
RENEW_SECONDS = 1.0
STANDBY_SECONDS = 0.5
TAKE_SECONDS = 0.25

log = structlog.get_logger(__name__)

_NEXT = f"SELECT id, events FROM outbox ORDER BY id LIMIT {ROWS_AT_ONCE}"
_DONE = "DELETE FROM outbox WHERE id = ANY(%b)"


class Relay:
    """Publishes while it has the lease; waits while somebody else has it."""

    def __init__(self, settings: Settings, process: Process, counts: RelayCounts) -> None:
        self._settings = settings
        self._counts = counts
        self._process = process
        self._lease = NamedLease("relay", process.name)

    def serve(self) -> None:
        """Work until told to stop. Raises what goes wrong with the database or the edge; nothing is lost by it."""
        events = events_out(self._settings, self._process.name)
        try:
            # A deletion that a crash of the server forgets only means that these events are published again.
            with connect(
                self._settings.database, name="relay", options="-c synchronous_commit=off"
            ) as connection:
                connection.execute("LISTEN coins_outbox")
                self._process.ready()
                self._relay(connection, events)
                self._lease.release(connection)
        finally:
            self._counts.leading.set(False)
            events.close()

    def _relay(self, connection: psycopg.Connection[Any], events: EventsOut) -> None:
        epoch: int | None = None
        renewed_at = 0.0
        while not self._process.stopping.is_set():
            events.tick()
            if epoch is None or time.monotonic() - renewed_at > RENEW_SECONDS:
                taken = self._lease.take(connection)
                if taken is not None and taken != epoch:
                    log.info("relaying", epoch=taken)
                epoch, renewed_at = taken, time.monotonic()
                self._counts.leading.set(epoch is not None)
                if epoch is None:
                    events.stand_by()
                    self._process.wait(STANDBY_SECONDS)
                    continue
            rows = connection.execute(_NEXT, binary=True, prepare=True).fetchall()
            if rows:
                try:
                    published = events.publish(rows, epoch)
                except Superseded as superseded:
                    # With the lease in hand we are the newest, whatever a database from before a restore counts.
                    epoch = self._lease.take(connection, at_least=superseded.seen + 1)
                    log.warning("published nothing under an old epoch", seen=superseded.seen, epoch=epoch)
                    continue
                except RelayedElsewhere:
                    log.info("another relay has not let go of the edge yet")
                    self._process.wait(TAKE_SECONDS)
                    continue
                connection.execute(_DONE, ([row[0] for row in rows],), prepare=True)
                self._counts.published(published)
            else:
                # A knock may be lost (a proxy, a restart); the poll behind it is not.
                for _ in connection.notifies(timeout=POLL_SECONDS, stop_after=1):
                    break


def run(settings: Settings) -> None:
    """The process `coins relay`."""
    check_url(settings.edge)  # one that is none is no reason to wait
    with counting(settings) as registry, Process("relay", settings.database) as process:
        relay = Relay(settings, process, RelayCounts(registry))
        while not process.stopping.is_set():
            process.retrying(relay.serve, what="relaying stopped; what is in the outbox stays there")
