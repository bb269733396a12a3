"""Outbox → edge: every event is published, in the order in which its partition was decided, at least once.

One relay is active, by a lease; its epoch goes along to the edge, so that one which was frozen and wakes up publishes
nothing anymore. A row leaves the outbox only after the edge has confirmed its events.
"""

from __future__ import annotations

import time
from typing import Any

import psycopg
import structlog

from ledger.database import connect
from messages.publisher import connect as connect_redis
from messages.streams import EVENTS, outcomes_stream
from workers.leases import NamedLease
from workers.process import Process
from workers.settings import Settings

ROWS_AT_ONCE = 8
POLL_SECONDS = 0.5
RENEW_SECONDS = 1.0
STANDBY_SECONDS = 0.5
EPOCH_KEY = "coins:relay:epoch"

log = structlog.get_logger(__name__)

_NEXT = f"SELECT id, events FROM outbox ORDER BY id LIMIT {ROWS_AT_ONCE}"
_DONE = "DELETE FROM outbox WHERE id = ANY(%b)"

# All events of some rows in one call. A key that has a stream's name and is none is put aside: it must not keep everybody
# else from being told. Whoever comes with an older epoch than was seen is refused.
_PUBLISH = """
local seen = tonumber(redis.call('GET', KEYS[1]) or '0')
if seen > tonumber(ARGV[1]) then return {seen} end
if seen < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], ARGV[1]) end
for i = 3, #ARGV, 3 do
  local add = {'XADD', ARGV[i], 'MAXLEN', '~', ARGV[2], '*', 'event', ARGV[i + 2], 'type', ARGV[i + 1]}
  local added = redis.pcall(unpack(add))
  if type(added) == 'table' and added.err then
    if not string.find(added.err, 'WRONGTYPE') then return added end
    redis.call('RENAME', ARGV[i], ARGV[i] .. ':foreign:' .. ARGV[1])
    redis.call(unpack(add))
  end
end
return (#ARGV - 2) / 3"""


def stream_of(route: str) -> str:
    """The stream for a routing key: `outcome.<producer>.…` goes to the producer's own, `event.…` to everybody's."""
    kind, _, rest = route.partition(".")
    return outcomes_stream(rest.partition(".")[0]) if kind == "outcome" else EVENTS


class Superseded(Exception):
    """The edge has seen a higher epoch than ours: a newer relay is active, or our database is older than the edge."""

    def __init__(self, seen: int) -> None:
        super().__init__(f"the edge has seen epoch {seen}")
        self.seen = seen


class RedisEvents:
    """Events into Redis or Valkey streams.

    Raises redis.RedisError, after which any part may have been published, and Superseded, after which nothing was.
    """

    def __init__(self, url: str, *, keep: int) -> None:
        self._client = connect_redis(url)
        self._publish = self._client.register_script(_PUBLISH)
        self._keep = keep

    def publish(self, rows: list[Any], epoch: int) -> int:
        arguments: list[Any] = [epoch, self._keep]
        streams: dict[bytes, str] = {}
        for _, lines in rows:
            for line in lines.split(b"\n"):
                route, type_, event = line.split(b" ", 2)
                stream = streams.get(route)
                if stream is None:
                    stream = streams[route] = stream_of(route.decode())
                arguments += (stream, type_, event)
        published: Any = self._publish(keys=[EPOCH_KEY], args=arguments)
        if isinstance(published, list):
            raise Superseded(int(published[0]))
        return int(published)

    def close(self) -> None:
        self._client.close()


class Relay:
    """Publishes while it has the lease; waits while somebody else has it."""

    def __init__(self, settings: Settings, process: Process) -> None:
        self._settings = settings
        self._process = process
        self._lease = NamedLease("relay", process.name)

    def serve(self) -> None:
        """Work until told to stop. Raises what goes wrong with the database or the edge; nothing is lost by it."""
        events = RedisEvents(self._settings.edge, keep=self._settings.events_keep)
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
            events.close()

    def _relay(self, connection: psycopg.Connection[Any], events: RedisEvents) -> None:
        epoch: int | None = None
        renewed_at = 0.0
        while not self._process.stopping.is_set():
            if epoch is None or time.monotonic() - renewed_at > RENEW_SECONDS:
                taken = self._lease.take(connection)
                if taken is not None and taken != epoch:
                    log.info("relaying", epoch=taken)
                epoch, renewed_at = taken, time.monotonic()
                if epoch is None:
                    self._process.wait(STANDBY_SECONDS)
                    continue
            rows = connection.execute(_NEXT, binary=True, prepare=True).fetchall()
            if rows:
                try:
                    events.publish(rows, epoch)
                except Superseded as superseded:
                    # With the lease in hand we are the newest, whatever a database from before a restore counts.
                    epoch = self._lease.take(connection, at_least=superseded.seen + 1)
                    log.warning("published nothing under an old epoch", seen=superseded.seen, epoch=epoch)
                    continue
                connection.execute(_DONE, ([row[0] for row in rows],), prepare=True)
            else:
                # A knock may be lost (a proxy, a restart); the poll behind it is not.
                for _ in connection.notifies(timeout=POLL_SECONDS, stop_after=1):
                    break


def run(settings: Settings) -> None:
    """The process `coins relay`."""
    connect_redis(settings.edge).close()  # a URL that is none is no reason to wait
    with Process("relay", settings.database) as process:
        relay = Relay(settings, process)
        while not process.stopping.is_set():
            process.retrying(relay.serve, what="relaying stopped; what is in the outbox stays there")
