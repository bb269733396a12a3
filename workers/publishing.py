"""Events of the outbox to the edge: whole rows, in their order, under the epoch of the relay that publishes them."""

from __future__ import annotations

from typing import Any, Protocol

from messages.publisher import RABBITMQ
from messages.publisher import connect as connect_redis
from messages.streams import EVENTS, outcomes_stream
from workers.settings import Settings

EPOCH_KEY = "coins:relay:epoch"

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


class RelayedElsewhere(Exception):
    """Another relay has the edge to itself, or one that had is not known to be gone yet."""


class EventsOut(Protocol):
    """Where events go. Whatever else it raises: any part may have been published, and all of it is published again."""

    def publish(self, rows: list[Any], epoch: int) -> int:
        """Publish rows of the outbox, (id, events); how many events that were.

        Raises Superseded or RelayedElsewhere: nothing was published.
        """

    def tick(self) -> None:
        """Called about twice a second, whatever else goes on."""

    def stand_by(self) -> None:
        """Somebody else publishes from now on."""

    def close(self) -> None: ...


def events_out(settings: Settings, name: str) -> EventsOut:
    """The edge's, by its URL. `name` is what the server shows of us."""
    if settings.edge.startswith(RABBITMQ):
        from workers.publishing_rabbitmq import RabbitEvents

        return RabbitEvents(settings.edge, keep=settings.events_keep, name=name)
    return RedisEvents(settings.edge, keep=settings.events_keep)


class RedisEvents:
    """Events into Redis or Valkey streams. Raises redis.RedisError, and Superseded."""

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

    def tick(self) -> None:
        """Nothing to do: the server asks nobody whether he lives."""

    def stand_by(self) -> None:
        """Nothing to do: what comes with an older epoch is refused."""

    def close(self) -> None:
        self._client.close()
