"""After a restore, before anybody works: what producers were told since is decided again as it was told.

The edge remembers both sides: the commands, as long as COINS_COMMANDS_KEEP says, and the outcomes, as many as
COINS_EVENTS_KEEP says. An outcome's id says in which batch, at which place and when it was decided; so the batches can be
put together again, in their order, and decided by the clock of then (`ledger/retelling.py`). What was not told is left to
the workers.
"""

from __future__ import annotations

import heapq
import time
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import groupby, islice
from operator import itemgetter
from typing import Any, NamedTuple

import orjson
import psycopg
import redis

from ledger.batch import Batch, Delivery, Move
from ledger.database import connect, connect_for_commands
from ledger.numbers import transaction_of
from ledger.retelling import (
    Difference,
    History,
    Key,
    Told,
    decide_again,
    differences,
    digest,
    last_number,
    leave_out,
)
from ledger.schema import check_schema
from messages.codec import Decoded, Invalid
from messages.events import EventType
from messages.publisher import RABBITMQ
from messages.publisher import connect as connect_edge
from messages.reasons import Reason
from messages.streams import EVENTS, read_commands_stream
from workers.errors import NotReady
from workers.leases import PartitionLease
from workers.producers import producers_now
from workers.quiet import who_works
from workers.settings import Settings
from workers.streams import START, StreamReader

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
OUTCOMES = (EventType.APPLIED.encode(), EventType.REJECTED.encode())

_BATCHES = "SELECT id, received_at FROM batch WHERE received_at >= %s"
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
    """What became of it. `since`: the ledger's last batch; `beyond`: new transactions get higher numbers; `asked`: whether
    this edge can be asked what was told."""

    since: datetime | None
    told: int
    beyond: int
    asked: bool = True
    batches: int = 0
    as_told: int = 0
    messages: int = 0
    differences: list[Difference] = field(default_factory=list)

    def told_in_words(self) -> Iterator[str]:
        """For the person who restores."""
        if not self.asked:
            since = f"{self.since.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if self.since is not None else "TIME"
            yield (
                f"new transactions are numbered beyond {self.beyond:,}; RabbitMQ is not asked what was told. "
                f"Next: coins reread --since {since}"
            )
            return
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

    RabbitMQ is not asked what it remembers: there only numbers are left out, and the workers decide anew.

    Raises NotReady while processes of the system are alive, or where a server cannot be read.
    """
    with connect(settings.database, name="restored") as looking:
        check_schema(looking)
        demand_restored(looking)
        row = looking.execute(_LAST_BATCH).fetchone()
        last_batch, since = row if row is not None else (0, None)
        begin = since - MARGIN if since is not None else None
        history, answers = History({}, {}, ()), Answers()
        asked = not settings.edge.startswith(RABBITMQ)
        if asked:
            progress("reading what was told")
            known = set(looking.execute(_BATCHES, (begin,)).fetchall()) if begin is not None else set()
            history, answers = _read(settings, begin, known)
        beyond = _leave_out(looking, history, answers, last_batch, skip)
        result = Retold(since, len(history.told), beyond, asked)
        if history.told:
            progress(
                f"{len(history.told):,} outcomes were told that the ledger does not have; deciding again"
            )
            _again(settings, looking, history, answers, result)
            progress("comparing")
            result.differences = list(_compare(looking, history.told))
        return result


def _read(
    settings: Settings, since: datetime | None, known: Collection[tuple[int, datetime]]
) -> tuple[History, Answers]:
    client = connect_edge(settings.edge, timeout_seconds=30.0)
    try:
        return told_since(client, since, known)
    except redis.RedisError as error:
        raise NotReady(f"the edge cannot be read: {error}") from error
    finally:
        client.close()


def demand_restored(connection: psycopg.Connection[Any]) -> None:
    """Raises NotReady while the database is still being restored, or somebody works on it."""
    row = connection.execute("SELECT pg_is_in_recovery()").fetchone()
    if row is not None and row[0]:
        raise NotReady("the database is still being restored, or is a replica: wait for it, or promote it")
    if live := who_works(connection):
        raise NotReady(
            f"processes have sessions ({live}): stop them, and run this before they are started again"
        )


def told_since(
    client: redis.Redis, since: datetime | None, known: Collection[tuple[int, datetime]] = ()
) -> tuple[History, Answers]:
    """What was told since of batches that are not known; of a command that was answered often, also each of its answers."""
    told: dict[Key, Told] = {}
    events: dict[str, bytes] = {}
    numbers: set[int] = set()
    answers: dict[Key, set[_Place]] = defaultdict(set)
    for stream in client.scan_iter(match=f"{EVENTS}:*", count=1_000, _type="stream"):
        for raw in _outcomes(client, stream, since):
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


def _outcomes(client: Any, stream: bytes, since: datetime | None) -> Iterator[bytes]:
    after = f"{int(since.timestamp() * 1_000)}-0" if since is not None else "-"
    while entries := client.xrange(stream, after, count=PAGE):
        yield from (fields[b"event"] for _, fields in entries if fields.get(b"type") in OUTCOMES)
        after = f"({entries[-1][0].decode()}"


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


def _again(
    settings: Settings,
    looking: psycopg.Connection[Any],
    history: History,
    answers: Answers,
    result: Retold,
) -> None:
    current = producers_now(settings)
    # One reader for all partitions: a batch is put together whichever of them it was.
    reader = StreamReader(settings.edge, 0, 1, common=current is None, producers=current)
    epochs: dict[int, int] = {}
    with connect_for_commands(settings.database, name="restored") as connection:
        try:
            positions = dict(looking.execute("SELECT stream, position FROM position").fetchall())
            reader.begin(positions)
            streams = (_turns(reader, name, answers) for name in reader.streams)
            turns = heapq.merge(*streams, key=itemgetter(0))
            for number, group in groupby(turns, key=lambda turn: turn[0].batch):
                places, deliveries = zip(*group, strict=True)
                partition = _partition(deliveries[0].stream, settings)
                if partition not in epochs:
                    epochs[partition] = _take(looking, partition, settings.partitions)
                last = {one.stream: one.position for one in deliveries}
                moves = [Move(name, positions.get(name, START), after) for name, after in last.items()]
                batch = Batch(partition, epochs[partition], moves, list(deliveries))
                result.as_told += decide_again(connection, batch, number, places[0].at, history)
                positions |= last
                result.batches += 1
                result.messages += len(deliveries)
        finally:
            reader.close()
            for partition, epoch in epochs.items():
                _lease(looking, partition, settings.partitions).release(epoch)


def _turns(reader: StreamReader, name: str, answers: Answers) -> Iterator[tuple[_Place, Delivery]]:
    """A stream's messages up to the last one that was answered, each with its place.

    What got no answer (it was not readable, or not genuine) comes with the next one that did.
    """
    waiting: list[Delivery] = []
    last: _Place | None = None
    for delivery in reader.rest_of(name):
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
    known = read_commands_stream(stream)
    assert known is not None
    return known[0] % settings.partitions


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
