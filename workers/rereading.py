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
from datetime import datetime
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
                _apply(connection, [delivery_of(KEPT, one, producers) for one in some], epochs, done)
            _given_back(connection, settings.partitions, epochs)
    except FAILURES as error:
        raise failure(error, "not everything was read again; run it once more") from error
    finally:
        close(edge)
    return done
