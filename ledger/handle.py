"""A batch of deliveries becomes outcomes. Read this first.

In one transaction, which the caller commits: the position on the edge moves, every command is decided in its order,
everything decided is written, outcomes go to the outbox, and what could not be decided becomes a dead letter.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import psycopg
import structlog

from ledger import dead_letters, outcome
from ledger.batch import Batch, Delivery, Handled, Item
from ledger.book import Book, Origin
from ledger.dead_letters import INVALID, UNREADABLE, DeadLetter
from ledger.decide import decide
from ledger.errors import BatchRaced
from ledger.faults import Fault, classify
from ledger.fence import Claim, claim, record_crashes
from ledger.model import Applied
from ledger.numbers import number_of
from ledger.snapshot import Known, Snapshot, load
from ledger.store import archive, publish, store
from messages.codec import Decoded, Invalid, command_name
from messages.events import EventType
from messages.fields import time_text
from messages.reasons import Reason

CRASHES_THAT_STOP = 20
log = structlog.get_logger(__name__)


def handle(connection: psycopg.Connection[Any], batch: Batch, now: datetime) -> Handled:
    """Decide a batch. Nothing is done before the caller has committed.

    Raises
        FenceLost: the partition has another owner; roll back and forget what was read.
        BatchRaced: somebody else was faster; roll back and run the batch again.
        psycopg.Error: an outage; roll back, wait and run the batch again.
    """
    work = _Work(connection, batch, claim(connection, batch), now)
    work.sort_out()
    work.decide_all(work.items)
    work.write()
    return work.handled


class _Work:
    """The steps of one batch, and what they hand to each other."""

    def __init__(
        self, connection: psycopg.Connection[Any], batch: Batch, claimed: Claim, now: datetime
    ) -> None:
        self.connection = connection
        self.batch = batch
        self.claimed = claimed
        self.key = claimed.batch
        self.now = now
        self.handled = Handled()
        self.items: list[Item] = []
        self.letters: list[DeadLetter] = []
        self.refused: dict[tuple[str, str], int] = {}
        self.answers = outcome.Answers(claimed.batch, time_text(now))
        self.events: dict[int, tuple[str, str, bytes]] = {}
        self.crashed_in_a_row = 0
        self.any_decided = False

    # 1. What came in: commands, and what is none

    def sort_out(self) -> None:
        slot = 0
        for number, delivery in enumerate(self.batch.deliveries):
            for part in delivery.decoded():
                if isinstance(part, Decoded):
                    self.items.append(Item.of(part, delivery.producer_of(part.event.source), number, slot))
                elif isinstance(part, Invalid):
                    self._refuse(delivery, part, slot)
                else:
                    self.letters.append(
                        DeadLetter(delivery, UNREADABLE, part.place, part.why, producer=delivery.producer)
                    )
                slot += 1

    def _refuse(self, delivery: Delivery, part: Invalid, slot: int) -> None:
        """An invalid message with a readable key is answered, and its key stays free."""
        producer = delivery.producer_of(part.source)
        name = command_name(part.type)
        self.refused.setdefault((part.source, part.id), slot)
        self.letters.append(
            DeadLetter(delivery, INVALID, part.place, part.why, producer, part.source, part.id, name)
        )
        lasting = outcome.stored(Reason.INVALID_MESSAGE, part.why, None)
        self._answer(
            slot,
            producer,
            name or "unknown",
            part.source,
            part.id,
            part.type,
            lasting,
            Reason.INVALID_MESSAGE,
        )

    # 2. Every command in its order

    def decide_all(self, items: Sequence[Item]) -> None:
        """Decide and store. Where one command is at fault it is found, and its neighbours are done without it."""
        if not items:
            return
        try:
            culprit = self._decide(items)
        except psycopg.Error as error:
            match classify(error, persistent=self.batch.persistent):
                case Fault.RACE:
                    raise BatchRaced(str(error)) from error
                case Fault.OUTAGE:
                    raise
            self._undo(items)
            if len(items) == 1:
                self._crash(items[0], error)
                return
            middle = len(items) // 2
            self.decide_all(items[:middle])
            self.decide_all(items[middle:])
            return
        if culprit is not None:
            index, raised = culprit
            self._undo(items)
            self.decide_all(items[:index])
            self._crash(items[index], raised)
            self.decide_all(items[index + 1 :])
            return
        self.any_decided = True
        self.crashed_in_a_row = 0

    def _decide(self, items: Sequence[Item]) -> tuple[int, Exception] | None:
        """Decide the items against what the ledger holds, and store it; or say which of them raised."""
        with self.connection.pipeline():
            self.connection.execute("SAVEPOINT chunk", prepare=True)
            snapshot = load(self.connection, items)
        decided: list[Item] = []
        here: dict[tuple[str, str], Item] = {}
        for index, item in enumerate(items):
            try:
                self._decide_one(item, snapshot, here, decided)
            except Exception as error:  # noqa: BLE001 - whatever a rule raises is a defect of that rule, dead-lettered
                return index, error
        store(self.connection, snapshot.book, decided, batch=self.key, now=self.now)
        return None

    def _decide_one(
        self, item: Item, snapshot: Snapshot, here: dict[tuple[str, str], Item], decided: list[Item]
    ) -> None:
        event, key = item.event, item.key
        first = here.get(key)
        known = (
            Known(first.fingerprint, first.reason, None, first.body or b"")
            if first
            else snapshot.known.get(key)
        )
        if known is not None:
            if known.fingerprint == item.fingerprint:
                item.duplicate, item.reason, item.body = True, known.reason, known.outcome
            else:
                item.reason = Reason.IDEMPOTENCY_CONFLICT
                item.body = outcome.stored(
                    Reason.IDEMPOTENCY_CONFLICT,
                    f"{event.id} of {event.source} was another command; a new command needs a new id.",
                    None,
                )
            return
        self._decide_new(item, snapshot.book)
        here[key] = item
        decided.append(item)

    def _decide_new(self, item: Item, book: Book) -> None:
        event = item.event
        if event.expirytime is not None and event.expirytime <= self.now:
            item.reason = Reason.EXPIRED
            item.body = outcome.stored(
                Reason.EXPIRED, f"It was to be applied before {time_text(event.expirytime)}.", None
            )
            return
        decision = decide(event.data, book, self.now)
        if isinstance(decision, Applied):
            posted = book.apply(decision, Origin(event.source, event.id, event.actor), self.now)
            number = None
            if posted is not None:
                item.transaction = posted[0]
                number = number_of(*posted)
            item.body = outcome.stored(None, None, number, decision.accounts)
        else:
            item.reason = decision.reason
            item.body = outcome.stored(decision.reason, decision.message, None)

    def _undo(self, items: Sequence[Item]) -> None:
        self.connection.execute("ROLLBACK TO SAVEPOINT chunk")
        for item in items:
            item.reset()

    def _crash(self, item: Item, error: BaseException) -> None:
        event = item.event
        log.error("command crashed", source=event.source, id=event.id, exc_info=error)
        delivery = self.batch.deliveries[item.delivery]
        self.letters.append(
            DeadLetter.crashed(
                delivery,
                item.place,
                error,
                producer=item.producer,
                source=event.source,
                id=event.id,
                type=type(event.data).__name__,
            )
        )
        self.handled.crashed += 1
        self.crashed_in_a_row += 1

    # 3. What goes out

    def write(self) -> None:
        done = [item for item in self.items if item.body is not None]
        for item in done:
            event = item.event
            self._answer(
                item.slot,
                item.producer,
                type(event.data).__name__,
                event.source,
                event.id,
                event.type,
                item.body or b"",
                item.reason,
                duplicate=item.duplicate,
            )
        in_order = [self.events[slot] for slot in sorted(self.events)]
        with self.connection.pipeline():
            archive(self.connection, self.key, self.batch, self.now)
            if done and self.claimed.letters_wait:
                dead_letters.resolve(self.connection, [item.key for item in done], self.now)
            publish(self.connection, in_order)
        if self.letters:
            dead_letters.record(self.connection, self.letters, self.now)
            self._resolve_within(done)
        self._count_crashes(self.claimed.crashed_in_a_row)
        self.handled.commands = len(self.items)
        self.handled.dead_letters = len(self.letters)

    def _resolve_within(self, done: list[Item]) -> None:
        """Letters of this very batch whose key was decided further on in it."""
        mended = [item.key for item in done if self.refused.get(item.key, item.slot) < item.slot]
        if mended:
            dead_letters.resolve(self.connection, mended, self.now)

    def _answer(
        self,
        slot: int,
        producer: str,
        name: str,
        source: str,
        id_: str,
        type_: str | None,
        lasting: bytes,
        reason: str | None,
        *,
        duplicate: bool = False,
    ) -> None:
        applied = reason is None
        event = self.answers.event(
            slot, source=source, id=id_, type=type_, applied=applied, duplicate=duplicate, lasting=lasting
        )
        event_type = EventType.APPLIED if applied else EventType.REJECTED
        self.events[slot] = (outcome.route(producer, applied, name), event_type.value, event)
        counted = (name, "duplicate" if duplicate else reason or "applied")
        self.handled.outcomes[counted] = self.handled.outcomes.get(counted, 0) + 1
        self.handled.duplicates += duplicate

    def _count_crashes(self, crashed_before: int) -> None:
        """After too many crashes in a row the partition stops: that many are a defect of ours, not of the commands."""
        in_a_row = self.crashed_in_a_row + (0 if self.any_decided else crashed_before)
        if in_a_row == crashed_before == 0:
            return
        stop = in_a_row >= CRASHES_THAT_STOP
        record_crashes(self.connection, self.batch.partition, in_a_row, stop=stop)
        if stop:
            log.critical("partition stopped", partition=self.batch.partition, crashed_in_a_row=in_a_row)
