"""After a restore, before anybody works: what producers were told since is decided again as it was told.

The edge remembers both sides (`remembered.py`): the commands, as long as COINS_COMMANDS_KEEP says, and the outcomes, as many
as COINS_EVENTS_KEEP says. An outcome's id says in which batch, at which place and when it was decided; so the batches can be
put together again, in their order, and decided by the clock of then (`ledger/retelling.py`). What was not told is left to
the workers, as far as they will find it.
"""

from __future__ import annotations

import heapq
import time
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import groupby, islice
from operator import itemgetter
from typing import Any, NamedTuple

import orjson
import psycopg
import redis

from ledger.batch import Batch, Delivery
from ledger.database import connect, connect_for_commands
from ledger.numbers import transaction_of
from ledger.retelling import (
    Difference,
    History,
    Key,
    Told,
    decide_again,
    decided_keys,
    differences,
    digest,
    last_number,
    leave_out,
)
from ledger.schema import check_schema
from messages.codec import Decoded, Invalid
from messages.reasons import Reason
from messages.streams import read_commands_stream
from workers.commands import apply
from workers.errors import NotReady
from workers.leases import PartitionLease
from workers.producers import producers_now
from workers.quiet import who_works
from workers.remembered import Memory, memory_of
from workers.settings import Settings
from workers.streams import MAX_DELIVERIES

# The relay tells a little later than was decided, and clocks differ.
MARGIN = timedelta(minutes=10)
# What was decided and not told to anybody any more; numbers have gaps anyhow.
UNTOLD_NUMBERS = 10_000
# Where nothing was told that would show how far numbers had gone.
SKIP = 1_000_000
PAGE = 1_000
SHOWN = 50
LEASE_SECONDS = 10.0
# These say nothing of the key's own command.
NO_DECISION = (Reason.IDEMPOTENCY_CONFLICT, Reason.INVALID_MESSAGE)

_BATCHES = "SELECT id, received_at FROM batch WHERE received_at >= %s"
# Who has sent something lately, by the streams that it came by.
_SENDERS = """
SELECT DISTINCT sent ->> 2 FROM (SELECT deliveries FROM batch ORDER BY id DESC LIMIT 10000) b,
  json_array_elements(b.deliveries::json) AS sent
WHERE sent ->> 2 IS NOT NULL"""
_LAST_BATCH = "SELECT id, received_at FROM batch ORDER BY id DESC LIMIT 1"


class _Place(NamedTuple):
    """When an answer was given: in which batch, at which slot of it."""

    batch: int
    slot: int
    at: datetime


class Answers(dict[Key, deque[_Place]]):
    """Every answer to each key, in the order in which they were given."""


@dataclass(slots=True)
class Retold:
    """What became of it. `since`: the ledger's last batch; `beyond`: new transactions get higher numbers; `untold`: commands
    decided now that nobody was told of, as far as the workers will not find them."""

    since: datetime | None
    told: int
    beyond: int
    untold: int = 0
    batches: int = 0
    as_told: int = 0
    messages: int = 0
    differences: list[Difference] = field(default_factory=list)

    def told_in_words(self) -> Iterator[str]:
        """For the person who restores."""
        if self.untold:
            yield f"{self.untold:,} commands that nobody was told of are decided now"
        if not self.told:
            yield (
                "the edge remembers no outcome that the ledger does not have; new transactions are numbered beyond "
                f"{self.beyond:,}. What producers sent later, and the edge does not have, they send again: keys decide"
            )
            return
        yield (
            f"{self.messages:,} messages in {self.batches:,} batches were decided again, {self.as_told:,} of the batches "
            f"word for word; new transactions are numbered beyond {self.beyond:,}"
        )
        for one in self.differences[:SHOWN]:
            yield f"  {one.source} {one.id}: told {one.told}, now {one.now or 'not decided'}"
        if len(self.differences) > SHOWN:
            yield f"  and {len(self.differences) - SHOWN:,} more"
        yield (
            f"{len(self.differences):,} of {self.told:,} commands are not as their producers were told"
            if self.differences
            else f"all {self.told:,} commands that were told since are as they were told"
        )


def retell(
    settings: Settings, *, skip: int = SKIP, progress: Callable[[str], None] = lambda _: None
) -> Retold:
    """Decide again what was told, and compare. It may be broken off and run again.

    On RabbitMQ also what was not told is decided, out of the kept copy: from the queues it may be gone.

    Raises NotReady while processes of the system are alive, or where a server cannot be read.
    """
    try:
        return _retell(settings, skip, progress)
    except redis.RedisError as error:
        raise NotReady(f"the edge cannot be read: {error}") from error


def _retell(settings: Settings, skip: int, progress: Callable[[str], None]) -> Retold:
    with connect(settings.database, name="restored") as looking:
        check_schema(looking)
        demand_restored(looking)
        row = looking.execute(_LAST_BATCH).fetchone()
        last_batch, since = row if row is not None else (0, None)
        begin = since - MARGIN if since is not None else None
        positions = dict(looking.execute("SELECT stream, position FROM position").fetchall())
        senders = [name for (name,) in looking.execute(_SENDERS)]
        memory = memory_of(settings, begin, positions, producers_now(settings), senders)
        try:
            progress("reading what was told")
            known = set(looking.execute(_BATCHES, (begin,)).fetchall()) if begin is not None else set()
            history, answers = told_in(memory.outcomes(begin), known)
            beyond = _leave_out(looking, history, answers, last_batch, skip)
            result = Retold(since, len(history.told), beyond)
            progress(f"{len(history.told):,} outcomes were told that the ledger does not have")
            deciding = _Deciding(settings, looking, memory, positions)
            try:
                deciding.again(history, answers, result)
                deciding.rest(result)
            finally:
                deciding.close()
        finally:
            memory.close()
        progress("comparing")
        result.differences = list(_compare(looking, history.told))
        return result


def demand_restored(connection: psycopg.Connection[Any]) -> None:
    """Raises NotReady while the database is still being restored, or somebody works on it."""
    row = connection.execute("SELECT pg_is_in_recovery()").fetchone()
    if row is not None and row[0]:
        raise NotReady("the database is still being restored, or is a replica: wait for it, or promote it")
    if live := who_works(connection):
        raise NotReady(
            f"processes have sessions ({live}): stop them, and run this before they are started again"
        )


def told_in(
    outcomes: Iterable[bytes], known: Collection[tuple[int, datetime]] = ()
) -> tuple[History, Answers]:
    """What was told of batches that are not known; of a command that was answered often, also each of its answers."""
    told: dict[Key, Told] = {}
    events: dict[str, bytes] = {}
    numbers: set[int] = set()
    answers: dict[Key, set[_Place]] = defaultdict(set)
    for raw in outcomes:
        event = orjson.loads(raw)
        data = event["data"]
        key = data["command"]["source"], data["command"]["id"]
        number = transaction_of(data["transaction"]) if data["transaction"] else None
        if number is not None:
            numbers.add(number)
        batch, slot, _ = event["id"].split("-")
        at = datetime.fromisoformat(event["time"])
        if (int(batch), at) in known:
            continue
        events[event["id"]] = digest(raw)
        answers[key].add(_Place(int(batch), int(slot), at))
        if not data["duplicate"] and data["reason"] not in NO_DECISION:
            told.setdefault(key, Told(data["reason"], number))
    in_order = Answers((key, deque(sorted(places))) for key, places in answers.items())
    return History(told, events, numbers), in_order


def _leave_out(
    connection: psycopg.Connection[Any], history: History, answers: Answers, last_batch: int, skip: int
) -> int:
    """No new transaction gets a number that was told of another one."""
    beyond = max(history.numbers, default=0) + UNTOLD_NUMBERS
    if beyond <= (last := last_number(connection, "transaction_key")) + UNTOLD_NUMBERS:
        beyond = last + (skip if not history.numbers else UNTOLD_NUMBERS)
    last_told = max((place.batch for places in answers.values() for place in places), default=0)
    leave_out(connection, transaction=beyond, batch=max(last_told, last_batch) + UNTOLD_NUMBERS)
    return beyond


class _Deciding:
    """Takes partitions as their commands come, and gives them back at the end."""

    def __init__(
        self,
        settings: Settings,
        looking: psycopg.Connection[Any],
        memory: Memory,
        positions: dict[str, str],
    ) -> None:
        self._settings = settings
        self._looking = looking
        self._memory = memory
        self._positions = positions
        self._epochs: dict[int, int] = {}
        self._connection = connect_for_commands(settings.database, name="restored")

    def again(self, history: History, answers: Answers, result: Retold) -> None:
        """What was told, batch by batch as it was."""
        if not history.told:
            return
        streams = (
            _turns(self._forgotten(self._memory.messages(name), answers), answers)
            for name in self._memory.streams()
        )
        turns = heapq.merge(*streams, key=itemgetter(0))
        for number, group in groupby(turns, key=lambda turn: turn[0].batch):
            places, deliveries = zip(*group, strict=True)
            batch = self._batch(_partition(deliveries[0].stream, self._settings), list(deliveries))
            result.as_told += decide_again(self._connection, batch, number, places[0].at, history)
            self._positions |= {move.stream: move.after for move in batch.moves}
            result.batches += 1
            result.messages += len(deliveries)

    def _forgotten(self, messages: Iterator[Delivery], answers: Mapping[Key, Any] = {}) -> Iterator[Delivery]:
        """Without those that the ledger still knows, and nothing was answered to since: an edge may give them, too."""
        while some := list(islice(messages, PAGE)):
            keys = [list(_keys(delivery)) for delivery in some]
            decided = decided_keys(self._looking, [key for found in keys for key in found])
            for delivery, found in zip(some, keys, strict=True):
                if not found or any(key in answers or key not in decided for key in found):
                    yield delivery

    def rest(self, result: Retold) -> None:
        """What was not told, by the clock of now. What is decided already is not answered once more."""
        rest = self._forgotten(self._memory.rest())
        while some := list(islice(rest, PAGE)):
            by_partition: dict[int, list[Delivery]] = defaultdict(list)
            for delivery in some:
                by_partition[_partition(delivery.stream, self._settings)].append(delivery)
            for partition, deliveries in by_partition.items():
                for begin in range(0, len(deliveries), MAX_DELIVERIES):
                    batch = self._batch(partition, deliveries[begin : begin + MAX_DELIVERIES])
                    handled = apply(self._connection, batch)
                    result.untold += handled.commands - handled.duplicates

    def close(self) -> None:
        self._connection.close()
        for partition, epoch in self._epochs.items():
            _lease(self._looking, partition, self._settings.partitions).release(epoch)

    def _batch(self, partition: int, deliveries: list[Delivery]) -> Batch:
        if partition not in self._epochs:
            self._epochs[partition] = _take(self._looking, partition, self._settings.partitions)
        moves = self._memory.moves(deliveries, self._positions)
        return Batch(partition, self._epochs[partition], moves, deliveries)


def _turns(messages: Iterable[Delivery], answers: Answers) -> Iterator[tuple[_Place, Delivery]]:
    """A stream's messages up to the last one that was answered, each with its place.

    What got no answer (it was not readable, or not genuine) comes with the next one that did.
    """
    waiting: list[Delivery] = []
    last: _Place | None = None
    for delivery in messages:
        waiting.append(delivery)
        found = [places.popleft() for key in _keys(delivery) if (places := answers.get(key))]
        if found and (last is None or min(found) > last):
            last = min(found)
            for one in waiting:
                yield last, one
            waiting = []


def _keys(delivery: Delivery) -> Iterator[Key]:
    for part in delivery.decoded():
        if isinstance(part, Decoded):
            yield part.event.source, part.event.id
        elif isinstance(part, Invalid):
            yield part.source, part.id


def _partition(stream: str, settings: Settings) -> int:
    known = read_commands_stream(stream)  # none: a routing key that is none
    return known[0] % settings.partitions if known is not None else 0


def _lease(connection: psycopg.Connection[Any], partition: int, partitions: int) -> PartitionLease:
    return PartitionLease(connection, partition, partitions, "restored", datetime.now(UTC))


def _take(connection: psycopg.Connection[Any], partition: int, partitions: int) -> int:
    """The partition, under a new epoch. Raises NotReady where somebody else keeps it."""
    lease = _lease(connection, partition, partitions)
    lease.create()
    deadline = time.monotonic() + LEASE_SECONDS
    while (epoch := lease.take()) is None:
        if time.monotonic() > deadline:
            raise NotReady(
                f"partition {partition} is being read by somebody else, or stopped: stop the workers"
            )
        time.sleep(0.1)
    return epoch


def _compare(connection: psycopg.Connection[Any], told: Mapping[Key, Told]) -> Iterator[Difference]:
    everything = iter(told.items())
    while page := dict(islice(everything, PAGE)):
        yield from differences(connection, page)
