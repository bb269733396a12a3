"""Batches are put together again as they were told, and decided in their order (`ledger/retelling.py`).

What was decided later than its neighbours (it had crashed, and was replayed) waits for its own turn; the ledger's position
of a stream does not go beyond it before.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby, islice
from operator import itemgetter
from typing import Any, Protocol

import psycopg

from ledger.batch import Batch, Delivery, Move
from ledger.database import connect_for_commands
from ledger.dead_letters import SLOT_BITS
from ledger.retelling import Key, Told, decide_again, decided_keys, last_number
from ledger.told import PAGE, ToldTables
from messages.codec import Decoded, Invalid, bytes_of_parts
from messages.streams import read_commands_stream
from workers.ahead import MAX_COMMANDS
from workers.commands import apply
from workers.remembered import Memory
from workers.settings import Settings
from workers.streams import MAX_BYTES, MAX_DELIVERIES, START, order_of
from workers.topology import KEPT


class Counted(Protocol):
    """What became of it."""

    untold: int
    batches: int
    as_told: int
    messages: int


@dataclass(order=True, slots=True)
class _Late:
    """An event that was decided at a later place than its message's neighbours, cut out of its message."""

    place: int
    number: int
    key: Key = field(compare=False)
    delivery: Delivery = field(compare=False)
    before: str | None = field(compare=False)

    @property
    def turn(self) -> int:
        return self.place >> SLOT_BITS


class Deciding:
    """`epochs`: of all partitions, which somebody holds meanwhile."""

    def __init__(
        self,
        settings: Settings,
        looking: psycopg.Connection[Any],
        memory: Memory,
        positions: dict[str, str],
        epochs: Mapping[int, int],
    ) -> None:
        self._settings = settings
        self._looking = looking
        self._memory = memory
        self._positions = positions
        self._epochs = epochs
        self._read: dict[str, str] = {}
        self._late: list[_Late] = []
        self._put_off: set[Key] = set()
        self._connection = connect_for_commands(settings.database, name="restored")

    def close(self) -> None:
        self._connection.close()

    def again(self, tables: ToldTables, result: Counted) -> None:
        """What was told, batch by batch as it was."""
        if not tables.told:
            return
        streams = list(self._memory.streams())
        for number, name in enumerate(streams):
            for page in _pages(self._memory.messages(name)):
                found = self._forgotten(page, tables)
                tables.come_in(number, [(_number(one), list(_keys(one))) for one in found])
        tables.line_up()
        lined_up = [_in_turn(tables.turns(number), self._memory, name) for number, name in enumerate(streams)]
        in_order = heapq.merge(*lined_up, key=itemgetter(0))
        for turn, group in groupby(in_order, key=lambda one: one[0] >> SLOT_BITS):
            while self._late and self._late[0].turn < turn:
                self._turn(tables, self._late[0].turn, (), result)
            self._turn(tables, turn, (delivery for _, delivery in group), result)
        while self._late:
            self._turn(tables, self._late[0].turn, (), result)

    def _turn(self, tables: ToldTables, turn: int, deliveries: Iterable[Delivery], result: Counted) -> None:
        """One batch as it was. Where more messages without an answer come with it than a batch may have, they go before."""
        late: list[_Late] = []
        while self._late and self._late[0].turn == turn:
            late.append(heapq.heappop(self._late))
        parts = _limited(deliveries)
        part = next(parts, [])
        while following := next(parts, None):
            late = self._decide(tables, turn, part, late, result, is_last=False)
            part = following
        self._decide(tables, turn, part, late, result, is_last=True)

    def _decide(
        self,
        tables: ToldTables,
        turn: int,
        deliveries: list[Delivery],
        late: list[_Late],
        result: Counted,
        *,
        is_last: bool,
    ) -> list[_Late]:
        """Decide a part of a batch. The late ones that no message of it stands for; with the last part they are decided."""
        keys = {key for one in deliveries for key in _keys(one)}
        decisions = tables.decisions({*keys, *(one.key for one in late)})
        for one in deliveries:
            self._put_off_parts(one, turn, decisions)
            self._read[one.stream] = one.position
        left = [one for one in late if one.key not in keys]
        everything = deliveries + [one.delivery for one in left] if is_last else deliveries
        if everything:
            streams = {one.stream for one in everything} | {one.delivery.stream for one in late}
            batch = self._batch(everything, self._reached(streams, [] if is_last else left))
            history = tables.history(turn, decisions)
            number, at = tables.batch_of(turn)
            as_told = decide_again(self._connection, batch, number if is_last else None, at, history)
            self._positions |= {move.stream: move.after for move in batch.moves}
            result.as_told += as_told
            result.batches += 1
            result.messages += len(everything)
        return left

    def _put_off_parts(
        self, delivery: Delivery, turn: int, decisions: Mapping[Key, tuple[int, Told]]
    ) -> None:
        """Those that were decided in a later batch are left to it."""
        for part in delivery.decoded():
            key = (part.source, part.id) if isinstance(part, Decoded) else None
            if key is None or key not in decisions or key in self._put_off:
                continue
            place, _ = decisions[key]
            if place >> SLOT_BITS <= turn:
                continue
            self._put_off.add(key)
            own = Delivery(
                delivery.stream,
                delivery.position,
                delivery.producer,
                bytes_of_parts(delivery.body)[part.place],
                producers=delivery.producers,
                verified=True,
                single=True,
            )
            before = self._read.get(delivery.stream, self._positions.get(delivery.stream))
            heapq.heappush(self._late, _Late(place, _number(delivery), key, own, before))

    def _reached(self, streams: Iterable[str], still_late: Iterable[_Late]) -> dict[str, str]:
        """How far these streams were read, up to the first message of which a part is still to be decided."""
        waiting: dict[str, list[tuple[int, str | None]]] = defaultdict(list)
        for one in (*self._late, *still_late):
            waiting[one.delivery.stream].append((one.number, one.before))
        reached = {
            name: min(waiting[name])[1] if name in waiting else self._read.get(name) for name in streams
        }
        return {name: position for name, position in reached.items() if position is not None}

    def _forgotten(self, some: list[Delivery], tables: ToldTables | None = None) -> list[Delivery]:
        """Without those that the ledger still knows, and nothing was answered to since: an edge may give them, too."""
        keys = [list(_keys(delivery)) for delivery in some]
        all_keys = [key for found in keys for key in found]
        settled = decided_keys(self._looking, all_keys)
        if tables is not None:
            settled -= tables.answered(all_keys)
        return [
            delivery
            for delivery, found in zip(some, keys, strict=True)
            if not found or any(key not in settled for key in found)
        ]

    def rest(self, result: Counted) -> None:
        """What was not told, by the clock of now. What is decided already is not answered once more."""
        for page in _pages(self._memory.rest()):
            by_partition: dict[int, list[Delivery]] = defaultdict(list)
            for delivery in self._forgotten(page):
                by_partition[self._partition(delivery)].append(delivery)
            batches = [some for deliveries in by_partition.values() for some in _limited(deliveries)]
            for number, some in enumerate(batches, 1):
                batch = self._batch(some, {})
                if number == len(batches):
                    batch.moves.append(self._gone_through(page[-1]))
                handled = apply(self._connection, batch)
                self._positions |= {move.stream: move.after for move in batch.moves}
                result.untold += handled.commands - handled.duplicates

    def _gone_through(self, last: Delivery) -> Move:
        """How far the kept copy was, with the number that the batch will get: nobody else takes one now."""
        number = last_number(self._looking, "batch_key") + 1
        return Move(KEPT, self._positions.get(KEPT, START), f"{last.position}-{number}")

    def _batch(self, deliveries: list[Delivery], reached: Mapping[str, str]) -> Batch:
        partition = self._partition(deliveries[0])
        moves = self._memory.moves(reached, self._positions)
        return Batch(partition, self._epochs[partition], moves, deliveries)

    def _partition(self, delivery: Delivery) -> int:
        known = read_commands_stream(delivery.stream)  # none: a routing key that is none
        return known[0] % self._settings.partitions if known is not None else 0


def read_before(positions: Mapping[str, str], last_batch: int) -> int:
    """The offset up to which another run has gone through the kept copy, as long as nothing was decided since; else -1."""
    offset, number = order_of(positions.get(KEPT, START))
    return offset if number and number == last_batch else -1


def _in_turn(turns: Iterator[tuple[int, int]], memory: Memory, stream: str) -> Iterator[tuple[int, Delivery]]:
    """A stream's messages up to the last one that was answered, each with the place at which it comes."""
    wanted = next(turns, None)
    if wanted is None:
        return
    for delivery in memory.messages(stream):
        while wanted is not None and wanted[0] < _number(delivery):
            wanted = next(turns, None)  # the edge has forgotten it meanwhile
        if wanted is None:
            return
        if wanted[0] == _number(delivery):
            yield wanted[1], delivery


def _pages(messages: Iterator[Delivery]) -> Iterator[list[Delivery]]:
    while page := list(islice(messages, PAGE)):
        yield page


def _limited(deliveries: Iterable[Delivery]) -> Iterator[list[Delivery]]:
    """No more at once than a batch may have."""
    some: list[Delivery] = []
    commands = size = 0
    for one in deliveries:
        weight = max(1, len(one.decoded()))
        if some and (
            len(some) == MAX_DELIVERIES
            or commands + weight > MAX_COMMANDS
            or size + len(one.body) > MAX_BYTES
        ):
            yield some
            some, commands, size = [], 0, 0
        some.append(one)
        commands, size = commands + weight, size + len(one.body)
    if some:
        yield some


def _number(delivery: Delivery) -> int:
    """The order of messages of all streams: on Redis the moment at which they came, on RabbitMQ that of the kept copy."""
    first, second = order_of(delivery.position)
    return first << 64 | second


def _keys(delivery: Delivery) -> Iterator[Key]:
    for part in delivery.decoded():
        if isinstance(part, Decoded):
            yield part.event.source, part.event.id
        elif isinstance(part, Invalid):
            yield part.source, part.id
