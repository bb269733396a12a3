"""Renewals on their way: published and not decided yet, message by message, in the order of their partitions."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import psycopg
import structlog

from ledger.upkeep import SOURCE
from messages.commands import Renewal
from messages.envelope import encode
from messages.publisher import Message, Publisher, arrays, event
from messages.streams import SCHEDULER, partition_of
from workers.jobs import attempts
from workers.jobs.attempts import Attempt, Due, Outcome
from workers.producers import secret_of
from workers.settings import Settings

# A message is decided as a whole: with few in it, nobody's command waits long behind them.
A_MESSAGE = 25

log = structlog.get_logger(__name__)


class Flight:
    """What was published. Of a message only the last command is asked for: those before it are decided by then."""

    def __init__(self, settings: Settings) -> None:
        self._partitions = settings.partitions
        self._publisher = Publisher(
            settings.edge,
            producer=SCHEDULER,
            partitions=settings.partitions,
            secret=secret_of(settings, SCHEDULER),
            timeout_seconds=5.0,
        )
        self._messages: dict[int, deque[list[Attempt]]] = defaultdict(deque)
        # What goes to the edge's disk next is looked for meanwhile.
        self._sender = ThreadPoolExecutor(1, "renewals")
        self._sent: Future[None] | None = None

    def __len__(self) -> int:
        return sum(self.waiting().values())

    def waiting(self) -> dict[int, int]:
        """How many wait for their outcome, partition by partition."""
        return {
            partition: sum(map(len, messages)) for partition, messages in self._messages.items() if messages
        }

    def partition(self, one: Attempt | Due) -> int:
        """Where it is decided."""
        return partition_of(one.top_account, self._partitions)

    def close(self) -> None:
        self._sender.shutdown()
        if self._sent is not None and (error := self._sent.exception()) is not None:
            log.warning("renewals not published; they will be", why=str(error))
        self._publisher.close()

    def follow(self, made: Iterable[Attempt]) -> None:
        """Wait for what somebody else has published."""
        for one in made:
            self._messages[self.partition(one)].append([one])

    def publish(self, made: Sequence[Attempt]) -> None:
        """Send them off. Raises EdgeUnavailable where those before have not arrived; they are published again later."""
        messages = list(self._in_messages(made))
        for partition, message in messages:
            self._messages[partition].append(message)
        self._send(messages)

    def publish_again(self, made: Sequence[Attempt]) -> None:
        """What is waited for already, and may have been lost."""
        self._send(self._in_messages(made))

    def _in_messages(self, made: Sequence[Attempt]) -> Iterator[tuple[int, list[Attempt]]]:
        by_partition: dict[int, list[Attempt]] = defaultdict(list)
        for one in made:
            by_partition[self.partition(one)].append(one)
        for partition, some in by_partition.items():
            for begin in range(0, len(some), A_MESSAGE):
                yield partition, some[begin : begin + A_MESSAGE]

    def _send(self, messages: Iterable[tuple[int, list[Attempt]]]) -> None:
        """All at once: each time is a write to the edge's disk."""
        encoded = [
            Message(body, partition)
            for partition, message in messages
            for body in arrays(map(_renewal, message), A_MESSAGE)
        ]
        self.arrived()
        self._sent = self._sender.submit(self._publisher.send_raw, encoded)

    def arrived(self) -> None:
        """Wait until what was published is on the edge. Raises EdgeUnavailable."""
        sent, self._sent = self._sent, None
        if sent is not None:
            sent.result()

    def landed(self, connection: psycopg.Connection[Any]) -> list[Outcome]:
        """What was decided since, up to the last message of each partition whose last command is."""
        tails = [message[-1] for waiting in self._messages.values() for message in waiting]
        decided = {one.attempt for one in attempts.outcomes(connection, tails)}
        done: list[Attempt] = []
        for waiting in self._messages.values():
            last = max((at for at, message in enumerate(waiting) if message[-1] in decided), default=-1)
            for _ in range(last + 1):
                done += waiting.popleft()
        found = attempts.outcomes(connection, done)
        if len(found) < len(done):
            self._go_on_waiting(connection, done, found)
        return found

    def _go_on_waiting(
        self, connection: psycopg.Connection[Any], done: list[Attempt], found: list[Outcome]
    ) -> None:
        """For what is without an outcome though one behind it has one: what crashed is not; what was followed may be."""
        left = [one for one in done if one not in {outcome.attempt for outcome in found}]
        crashed = attempts.crashed(connection, left)
        for one in reversed(left):
            if one not in crashed:
                self._messages[self.partition(one)].appendleft([one])

    def look_at_all(self, connection: psycopg.Connection[Any]) -> list[Outcome]:
        """As `landed`, command by command: of a message that crashed in part the rest is decided, too.

        What waits as a dead letter is no longer waited for.
        """
        everything = [one for waiting in self._messages.values() for message in waiting for one in message]
        found = attempts.outcomes(connection, everything)
        gone = {one.attempt for one in found} | attempts.crashed(connection, everything)
        for partition, waiting in self._messages.items():
            left = ([one for one in message if one not in gone] for message in waiting)
            self._messages[partition] = deque(message for message in left if message)
        return found


def _renewal(attempt: Attempt) -> bytes:
    return encode(
        event(
            Renewal(account=attempt.account, subscription=attempt.subscription, cycle_no=attempt.cycle_no),
            source=SOURCE,
            id=attempt.command_id,
            partitionkey=attempt.top_account,
        )
    )
