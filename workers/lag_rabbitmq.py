"""How much RabbitMQ has not given to any worker yet. When it came nobody can ask without taking it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from amqp.exceptions import NotFound

from messages.rabbitmq import FAILURES, close, connect, failure
from messages.streams import read_routing_key
from workers.from_queues import key_of


def waiting_messages(url: str, queues: Collection[str], *, partitions: int) -> dict[int, int]:
    """Of each partition, how many messages no worker was given, in those of the queues that hold commands.

    Raises MessagesError.
    """
    connection = connect(url, timeout_seconds=3, name="coins metrics")
    try:
        found = dict.fromkeys(range(partitions), 0)
        for queue in queues:
            key = key_of(queue)
            known = read_routing_key(key) if key is not None else None
            if known is not None:
                found[known[0] % partitions] += _in(connection, queue)
    except FAILURES as error:
        raise failure(error, "RabbitMQ does not tell how much waits") from error
    finally:
        close(connection)
    return found


def _in(connection: Any, queue: str) -> int:
    channel = connection.channel()
    try:
        count: int = channel.queue_declare(queue, passive=True).message_count
    except NotFound:  # it was removed; the ledger remembers it
        return 0
    channel.close()
    return count
