"""Events to RabbitMQ: into the topic exchange `coins.events`, confirmed, each with its routing key out of the outbox.

Only one relay publishes: whose connection has the queue `coins.relay` to itself. One that was frozen has lost its connection
by the time that another one gets that, so it publishes nothing when it wakes up.
"""

from __future__ import annotations

from typing import Any

from amqp.exceptions import ResourceLocked

from messages.amqp_wire import drain
from messages.rabbitmq import EVENT, Confirms, close, common_channel, connect, declare_stream
from messages.streams import EVENTS_EXCHANGE, outcomes_binding, outcomes_queue
from workers.publishing import RelayedElsewhere
from workers.topology import Binding, bind

# Two to three of them without a word, and the server lets the next relay in.
HEARTBEAT_SECONDS = 1
CONFIRM_SECONDS = 10.0
LOCK = "coins.relay"
FURTHER = "event.#"


class Unheard(Exception):
    """Events for which there is no stream. Whoever begins again declares it."""


class RabbitEvents:
    """Raises what py-amqp does, OSError, Unheard and RelayedElsewhere."""

    def __init__(self, url: str, *, keep: int, name: str = "coins relay") -> None:
        self._keep = keep
        self._connection = connect(url, heartbeat_seconds=HEARTBEAT_SECONDS, name=name)
        self._streams: set[str] = set()
        self._confirms: Confirms | None = None

    def publish(self, rows: list[Any], epoch: int) -> int:
        confirms = self._leading()
        published = 0
        for _, lines in rows:
            for line in lines.split(b"\n"):
                route, type_, event = line.split(b" ", 2)
                key = route.decode()
                self._keep_outcomes(key)
                confirms.publish(
                    event, EVENTS_EXCHANGE, key, mandatory=True, content_type=EVENT, type=type_.decode()
                )
                published += 1
        confirms.wait(CONFIRM_SECONDS)
        if confirms.returned:
            raise Unheard(f"no stream takes {confirms.returned[0]}: it was deleted, or is not bound any more")
        return published

    def tick(self) -> None:
        """Notice that the connection has gone, and tell the server that we are here."""
        drain(self._connection, 0)
        self._connection.heartbeat_check()

    def stand_by(self) -> None:
        """Let another relay publish."""
        if self._confirms is not None:
            self._confirms.channel.queue_delete(LOCK)
            self._confirms.channel.close()
            self._confirms = None

    def close(self) -> None:
        close(self._connection)

    def _leading(self) -> Confirms:
        if self._confirms is None:
            try:
                common_channel(self._connection).queue_declare(
                    LOCK, exclusive=True, durable=False, auto_delete=False
                )
            except ResourceLocked:
                raise RelayedElsewhere from None
            self._ensure_stream(EVENTS_EXCHANGE, FURTHER)
            self._confirms = Confirms(self._connection)
        return self._confirms

    def _keep_outcomes(self, key: str) -> None:
        """With a producer's first outcome: the stream that it will be read from."""
        kind, _, rest = key.partition(".")
        producer = rest.partition(".")[0]
        if kind == "outcome" and producer not in self._streams:
            self._ensure_stream(outcomes_queue(producer), outcomes_binding(producer))
            self._streams.add(producer)

    def _ensure_stream(self, queue: str, key: str) -> None:
        declare_stream(self._connection, queue, key, keep=self._keep)
        bind(self._connection, Binding(EVENTS_EXCHANGE, queue, key))
