"""Where commands go in and events come out, by name (CONTRACT §3, "Transport", and §7).

On Redis and Valkey these are streams. On RabbitMQ commands go to an exchange, and stand in a queue for each partition and
producer; what is written down of a message names its stream as if it had come by one.
"""

from __future__ import annotations

import re
import zlib

COMMANDS = "coins:commands:"
EVENTS = "coins:events"
# The scheduler is a producer like any other, by this name.
SCHEDULER = "coins"
# As many as there can ever be; a producer is not to have more streams than that looked through.
MAX_PARTITIONS = 1_024
COMMANDS_EXCHANGE = "coins.commands"
EVENTS_EXCHANGE = "coins.events"
_COMMANDS_STREAM = re.compile(r"coins:commands:(0|[1-9][0-9]{0,3})(?::([A-Za-z0-9_-]{1,64}))?")


def partition_of(partitionkey: str | None, partitions: int) -> int:
    """The partition of a message: CRC-32 of its partition key, and 0 where it has none."""
    return zlib.crc32(partitionkey.encode()) % partitions if partitionkey else 0


def commands_stream(partition: int, producer: str | None = None) -> str:
    """The stream a producer writes to; without a producer the common one of the partition."""
    return f"{COMMANDS}{partition}:{producer}" if producer else f"{COMMANDS}{partition}"


def read_commands_stream(stream: str) -> tuple[int, str | None] | None:
    """Partition and producer of a commands stream's name; None where it is no such name."""
    found = _COMMANDS_STREAM.fullmatch(stream)
    return (int(found[1]), found[2]) if found and int(found[1]) < MAX_PARTITIONS else None


def outcomes_stream(producer: str) -> str:
    """The stream a producer reads its outcomes from."""
    return f"{EVENTS}:{producer}"


def routing_key(partition: int, producer: str | None = None) -> str:
    """What a producer sends commands with to the exchange; without a producer the first word is empty."""
    return f"{producer or ''}.{partition}"


def read_routing_key(key: str) -> tuple[int, str | None] | None:
    """Partition and producer of a routing key; None where it is no such key. An empty producer is none."""
    producer, _, partition = key.partition(".")
    return read_commands_stream(f"{COMMANDS}{partition}:{producer}" if producer else f"{COMMANDS}{partition}")


def commands_queue(partition: int, producer: str | None = None) -> str:
    """The RabbitMQ queue of a producer's commands; without a producer that of all who have none of their own."""
    return f"{COMMANDS_EXCHANGE}.{partition}" + (f".{producer}" if producer else "")


def outcomes_queue(producer: str) -> str:
    """The RabbitMQ stream that a producer's outcomes stand in."""
    return f"{EVENTS_EXCHANGE}.{producer}"


def outcomes_binding(producer: str) -> str:
    """The routing keys of a producer's outcomes."""
    return f"outcome.{producer}.#"
