"""After a restore, on RabbitMQ: commands that the ledger has forgotten are read again, from the copy that was kept of them.

What is acknowledged is gone from a queue, so a database that was put back to an earlier moment does not find it there. With
COINS_COMMANDS_KEEP every command also stands in the stream `coins.commands.kept` for so long. They are applied in the order
in which they came; those that the ledger still knows are answered once more, as duplicates. What waits in the queues was
among them, and is known by its keys when its turn comes.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import psycopg

from ledger.batch import Batch, Delivery
from ledger.database import connect_for_commands
from messages.amqp_wire import drain
from messages.publisher import RABBITMQ
from messages.rabbitmq import FAILURES, READ_AHEAD, close, connect, failure
from messages.streams import read_commands_stream
from workers.commands import apply
from workers.errors import NotReady, SettingsInvalid
from workers.leases import PartitionLease
from workers.producers import producers_now
from workers.queues import delivery_of
from workers.settings import Settings
from workers.topology import KEPT, is_there

OWNER = "coins reread"
QUIET_SECONDS = 2.0
AT_ONCE = 500


@dataclass(slots=True)
class Reread:
    """How many commands were read again, and what became of them: applied now, known before, refused, dead letters."""

    commands: int = 0
    known: int = 0
    dead_letters: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)


def reread(settings: Settings, since: datetime) -> Reread:
    """Apply what was kept of all commands that came since then.

    Raises NotReady while a worker has a partition, or where nothing was kept; SettingsInvalid where the edge is no RabbitMQ.
    """
    if not settings.edge.startswith(RABBITMQ):
        raise SettingsInvalid(
            "the edge is no RabbitMQ: on Redis and Valkey a restored database reads again by itself what "
            "COINS_COMMANDS_KEEP has kept"
        )
    edge = connect(settings.edge, name=OWNER)
    done = Reread()
    try:
        if not is_there(edge, KEPT):
            raise NotReady(
                f"RabbitMQ has no stream {KEPT}: nothing was kept. Set COINS_COMMANDS_KEEP and run `coins migrate`"
            )
        with connect_for_commands(settings.database, name=OWNER) as connection:
            epochs = _taken(connection, settings.partitions)
            producers = producers_now(settings)
            kept = _kept(edge, since)
            while some := list(itertools.islice(kept, AT_ONCE)):
                _renewed(connection, settings.partitions, epochs)
                _apply(connection, [delivery_of(KEPT, one, producers) for one in some], epochs, done)
            _given_back(connection, settings.partitions, epochs)
    except FAILURES as error:
        raise failure(error, "not everything was read again; run it once more") from error
    finally:
        close(edge)
    return done


def _kept(edge: Any, since: datetime) -> Iterator[Any]:
    """Every kept message that came since then, in order, until none has come for a while."""
    came: list[Any] = []
    channel = edge.channel()
    channel.basic_qos(0, READ_AHEAD, False)
    channel.basic_consume(KEPT, callback=came.append, arguments={"x-stream-offset": since})
    while drain(edge, QUIET_SECONDS):
        if came:
            channel.basic_ack(came[-1].delivery_info["delivery_tag"], multiple=True)
            found, came[:] = list(came), []
            yield from found


def _taken(connection: psycopg.Connection[Any], partitions: int) -> dict[int, int]:
    """The epoch of each partition, which nobody else may have meanwhile. Raises NotReady."""
    epochs: dict[int, int] = {}
    for partition in range(partitions):
        lease = _lease(connection, partition, partitions)
        lease.create()
        epoch = lease.take()
        if epoch is None:
            connection.rollback()
            raise NotReady(
                f"partition {partition} is being read by a worker; stop all of them (coins worker commands), then try again"
            )
        epochs[partition] = epoch
    connection.commit()
    return epochs


def _renewed(connection: psycopg.Connection[Any], partitions: int, epochs: dict[int, int]) -> None:
    """Of partitions that nothing comes for, too. One that was lost all the same shows with its next batch."""
    for partition, epoch in epochs.items():
        _lease(connection, partition, partitions).renew(epoch)
    connection.commit()


def _given_back(connection: psycopg.Connection[Any], partitions: int, epochs: dict[int, int]) -> None:
    for partition, epoch in epochs.items():
        _lease(connection, partition, partitions).release(epoch)
    connection.commit()


def _lease(connection: psycopg.Connection[Any], partition: int, partitions: int) -> PartitionLease:
    return PartitionLease(connection, partition, partitions, OWNER, datetime.now(UTC))


def _apply(
    connection: psycopg.Connection[Any], deliveries: list[Delivery], epochs: dict[int, int], done: Reread
) -> None:
    """Partition by partition, each in its order, and a batch a transaction. Raises FenceLost where a worker was faster."""
    by_partition: dict[int, list[Delivery]] = {}
    for one in deliveries:
        known = read_commands_stream(one.stream)
        by_partition.setdefault((known[0] if known else 0) % len(epochs), []).append(one)
    for partition, some in by_partition.items():
        handled = apply(connection, Batch(partition, epochs[partition], [], some))
        done.commands += handled.commands
        done.known += handled.duplicates
        done.dead_letters += handled.dead_letters
        for (_, outcome), count in handled.outcomes.items():
            done.outcomes[outcome] += count
