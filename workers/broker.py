"""The broker: command queues are read from the edge a batch at a time, all other queues are dramatiq's own on Redis."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from dramatiq.broker import Consumer
from dramatiq.brokers.redis import RedisBroker
from dramatiq.worker import Worker

from messages.publisher import RABBITMQ, connect
from workers.edge import PartitionConsumer
from workers.producers import ProducersFile
from workers.reading import CommandReader
from workers.settings import Settings
from workers.streams import StreamReader

_COMMAND_QUEUE = re.compile(r"commands-(\d+)")


def command_queue(partition: int) -> str:
    """The dramatiq queue that stands for a partition of the edge."""
    return f"commands-{partition}"


def has_its_threads(worker: Worker) -> bool:
    """Whether every thread of a worker that was started is there, or it is being stopped anyway."""
    return all(thread.is_alive() for thread in (*worker.consumers.values(), *worker.workers))


class CoinsBroker(RedisBroker):
    """Dramatiq's Redis broker, but for command queues, whose consumer is ours.

    Without middleware: retries, time limits and shutdown notifications would acknowledge, drop or interrupt a batch.
    """

    def __init__(self, settings: Settings, *, owner: str, producers: ProducersFile | None = None) -> None:
        super().__init__(client=connect(settings.redis), middleware=[], namespace="coins:jobs")  # type: ignore[no-untyped-call]
        self._settings = settings
        self._owner = owner
        self._producers = producers
        self._started_at = datetime.now(UTC)
        self._partitions: list[PartitionConsumer] = []

    def declare_queue(self, queue_name: str) -> None:
        """Command queues have no delay queue: what the edge delivers is due."""
        if not _COMMAND_QUEUE.fullmatch(queue_name):
            super().declare_queue(queue_name)
        elif queue_name not in self.queues:
            self.emit_before("declare_queue", queue_name)
            self.queues.add(queue_name)
            self.emit_after("declare_queue", queue_name)

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5_000) -> Consumer:
        found = _COMMAND_QUEUE.fullmatch(queue_name)
        if found is None:
            return super().consume(queue_name, prefetch, timeout)
        consumer = PartitionConsumer(
            queue_name=queue_name,
            reader=self._reader(int(found[1])),
            database_url=self._settings.database,
            owner=self._owner,
            started_at=self._started_at,
            producers=self._producers,
        )
        self._partitions = [*(one for one in self._partitions if not one.closed), consumer]
        return consumer

    def _reader(self, partition: int) -> CommandReader:
        settings = self._settings
        producers = self._producers.current() if self._producers is not None else None
        if settings.edge.startswith(RABBITMQ):
            from workers.queues import QueueReader

            return QueueReader(
                settings.edge,
                partition,
                settings.partitions,
                producers=producers,
                name=self._owner,
            )
        return StreamReader(
            settings.edge,
            partition,
            settings.partitions,
            common=producers is None,
            producers=producers,
            keep_seconds=settings.commands_keep,
        )

    def hangs(self) -> bool:
        """Whether a batch of ours has been in hand for so long that others should not leave us our share."""
        return any(one.hangs() for one in self._partitions)
