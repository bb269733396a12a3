"""What stands in a RabbitMQ message and in a queue's name."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from ledger.batch import Delivery
from ledger.trust import Producers
from messages.streams import COMMANDS_EXCHANGE, commands_stream, read_routing_key
from workers.lag import moment
from workers.streams import LONGEST_KEPT_BYTES, LONGEST_SIGNATURE, cut


def delivery_of(queue: str, message: Any, producers: Producers | None) -> Delivery:
    """A message as it came in: by whose routing key, with its signature."""
    body: bytes = message.body or b""  # an empty one is no bytes to py-amqp
    information = message.delivery_info
    stream, producer = _sent_by(information["routing_key"])
    headers = message.headers
    signature = _bytes(headers.get("signature")) if headers else None
    made = Delivery(
        stream if stream is not None else queue,
        str(information["delivery_tag"]),
        producer,
        body,
        signature=signature[:LONGEST_SIGNATURE] if signature is not None else None,
        producers=producers,
        arrived_at=arrived_at(message),
    )
    if len(body) > LONGEST_KEPT_BYTES and made.is_genuine:
        made.body, made.parts = cut(body)
        made.verified = True  # what is left of it would not be
    return made


@lru_cache(1_024)
def _sent_by(key: str) -> tuple[str | None, str | None]:
    """The stream that it would have come by on Redis, and the producer; None where it is no such routing key."""
    known = read_routing_key(key)
    return (commands_stream(*known), known[1]) if known is not None else (None, None)


def _bytes(header: Any) -> bytes | None:
    """A text is one to some clients and bytes to others."""
    if isinstance(header, str):
        return header.encode(errors="replace")
    return bytes(header) if isinstance(header, bytes | bytearray | memoryview) else None


def arrived_at(message: Any) -> float | None:
    """As the server notes it where it is set up to, else as the producer has: in whole seconds, so at the latest."""
    headers, sent = message.headers, message.properties.get("timestamp")
    noted = headers.get("timestamp_in_ms") if headers else None
    if isinstance(noted, int):
        return moment(noted / 1000)
    return moment(sent + 1) if isinstance(sent, int) else None


def key_of(queue: str) -> str | None:
    """The routing key of a commands queue's name: `coins.commands.<partition>[.<producer>]`."""
    beginning, _, rest = queue.partition(f"{COMMANDS_EXCHANGE}.")
    partition, _, producer = rest.partition(".")
    return f"{producer}.{partition}" if not beginning and partition else None


def place_of(queue: str) -> int | None:
    """The partition of a commands queue; None where it has no such name."""
    key = key_of(queue)
    found = read_routing_key(key) if key is not None else None
    return found[0] if found is not None else None
