"""Events to RabbitMQ: into the topic exchange `coins.events`, confirmed, each with its routing key out of the outbox.

Only one relay publishes: whose connection has the queue `coins.relay` to itself. One that was frozen has lost its connection
by the time that another one gets that, so it publishes nothing when it wakes up.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Any

import structlog
from amqp.exceptions import AccessRefused, ResourceLocked

from messages.amqp_messages import Envelope
from messages.amqp_wire import drain
from messages.rabbitmq import EVENT, Confirms, close, common_channel, connect, declare_stream
from messages.streams import EVENTS_EXCHANGE, outcomes_binding, outcomes_queue
from workers.publishing import RelayedElsewhere
from workers.topology import Binding, bind

# Two to three of them without a word, and the server lets the next relay in.
HEARTBEAT_SECONDS = 1
CONFIRM_SECONDS = 10.0
# How long events are published all the same that nobody can read, before it is looked again whether somebody can.
AGAIN_SECONDS = 10.0
LOCK = "coins.relay"
FURTHER = "event.#"

log = structlog.get_logger(__name__)


class RabbitEvents:
    """Raises what py-amqp does, OSError and RelayedElsewhere."""

    def __init__(
        self, url: str, *, keep: int, name: str = "coins relay", again_seconds: float = AGAIN_SECONDS
    ) -> None:
        self._again_seconds = again_seconds
        self._keep = keep
        self._connection = connect(url, heartbeat_seconds=HEARTBEAT_SECONDS, name=name)
        self._streams: set[str] = set()
        self._unheard_until: dict[str, float] = {}
        self._told: set[str] = set()
        self._confirms: Confirms | None = None

    def publish(self, rows: list[Any], epoch: int) -> int:
        confirms = self._leading()
        published = self._send(confirms, rows)
        if returned := _streams_of(confirms):
            # Deleted, or not bound any more: declared again, and told again.
            self._streams -= returned
            self._send(confirms, rows, only=returned)
            for stream in _streams_of(confirms):
                self._streams.discard(stream)
                self._is_unheard(stream, "it is not bound")
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
            self._has_stream(EVENTS_EXCHANGE, FURTHER)
            self._confirms = Confirms(self._connection)
        return self._confirms

    def _send(self, confirms: Confirms, rows: list[Any], only: Collection[str] = ()) -> int:
        """Publish them, or those for some streams, and wait until they are confirmed. How many."""
        envelopes: dict[tuple[bytes, bytes], Envelope | None] = {}
        sent = 0
        for _, lines in rows:
            for line in lines.split(b"\n"):
                route, type_, event = line.split(b" ", 2)
                into = route, type_
                if into not in envelopes:
                    envelopes[into] = self._envelope(confirms, route.decode(), type_.decode(), only)
                envelope = envelopes[into]
                if envelope is not None:
                    confirms.publish(envelope, event)
                    sent += 1
        confirms.wait(CONFIRM_SECONDS)
        return sent

    def _envelope(self, confirms: Confirms, key: str, type_: str, only: Collection[str]) -> Envelope | None:
        """For events with a routing key; None where their stream is not one of those that are asked for."""
        stream, binding = _stream_of(key)
        if only and stream not in only:
            return None
        heard = self._has_stream(stream, binding)
        return confirms.envelope(EVENTS_EXCHANGE, key, mandatory=heard, content_type=EVENT, type=type_)

    def _has_stream(self, stream: str, binding: str) -> bool:
        """Whether somebody can read it there; with a producer's first outcome its stream is declared."""
        if stream in self._streams:
            return True
        if time.monotonic() < self._unheard_until.get(stream, 0.0):
            return False
        try:
            declare_stream(self._connection, stream, binding, keep=self._keep)
        except AccessRefused as refused:
            self._is_unheard(stream, str(refused))
            return False
        bind(self._connection, Binding(EVENTS_EXCHANGE, stream, binding))
        self._streams.add(stream)
        return True

    def _is_unheard(self, stream: str, why: str) -> None:
        """What nobody can read must not keep from the others what they can."""
        self._unheard_until[stream] = time.monotonic() + self._again_seconds
        if stream not in self._told:
            self._told.add(stream)
            log.error(
                "events for a stream are lost: it is missing or not bound, and this user may not mend that",
                stream=stream,
                why=why,
                what="import the definitions: coins migrate --definitions rabbitmq.json, then "
                "rabbitmqctl import_definitions < rabbitmq.json",
            )


def _stream_of(key: str) -> tuple[str, str]:
    """Where events with a routing key are read, and how that is bound."""
    kind, _, rest = key.partition(".")
    producer = rest.partition(".")[0]
    if kind == "outcome":
        return outcomes_queue(producer), outcomes_binding(producer)
    return EVENTS_EXCHANGE, FURTHER


def _streams_of(confirms: Confirms) -> set[str]:
    """Those for which something was returned since this was asked."""
    returned, confirms.returned = confirms.returned, []
    return {_stream_of(key)[0] for key in returned}
