"""A batch of deliveries becomes outcomes. Read this first.

In one transaction, which the caller commits: the position on the edge moves, every command is decided in its order,
everything decided is written, outcomes go to the outbox, and what could not be decided becomes a dead letter.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import psycopg
import structlog
from structlog.contextvars import bind_contextvars

from ledger import dead_letters, last_set, outcome
from ledger.answering import Answering
from ledger.authority import keys_of_rules
from ledger.batch import Batch, Delivery, Handled, Item, Stage
from ledger.book import Book, Origin
from ledger.dead_letters import INVALID, SLOT_BITS, UNAUTHENTICATED, UNREADABLE, DeadLetter
from ledger.decide import Wanted, needs
from ledger.errors import BatchRaced, TooMuchAtOnce
from ledger.faults import Fault, classify
from ledger.fence import LEASE_SECONDS, Claim, claim, record_crashes, renew
from ledger.last_set import Moment, Said
from ledger.model import Applied
from ledger.numbers import number_of
from ledger.ruling import ruling
from ledger.snapshot import Known, Snapshot, load
from ledger.store import archive, publish, store
from messages.codec import Decoded, Invalid, Unauthenticated, Unreadable, command_name
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
    handled = Handled()
    work = Work(connection, batch, claim(connection, batch), now, handled)
    work.sort_out()
    work.decide_all(work.items)
    work.write()
    return handled


def _halves(items: list[Item]) -> list[list[Item]]:
    """The second half, then the first: the last one is taken next."""
    middle = len(items) // 2
    return [items[middle:], items[:middle]]


class _Void(Exception):
    """A command raised while it was being applied: what the chunk has changed in memory can no longer be trusted."""

    def __init__(self, item: Item, error: Exception) -> None:
        super().__init__(item.key)
        self.item = item
        self.error = error


class Work:
    """The steps of one batch, and what they hand to each other. Letters that are replayed go the same way (`replay.py`)."""

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        batch: Batch,
        claimed: Claim,
        now: datetime,
        handled: Handled | None = None,
    ) -> None:
        self.connection = connection
        self.batch = batch
        self.claimed = claimed
        self.key = claimed.batch
        self.now = now
        self.handled = handled or Handled()
        self.began = time.monotonic()
        self.items: list[Item] = []
        self.letters: list[DeadLetter] = []
        self.refused: dict[tuple[str, str], int] = {}
        self.answering = Answering(claimed.batch, now, self.handled)
        self.keys_of_rules: Mapping[str, int] | None = None
        self.crashed_in_a_row = 0
        self.most_crashed_in_a_row = 0
        self.any_decided = False
        self.handled.batch = self.key
        bind_contextvars(batch=self.key)

    # 1. What came in: commands, and what is none

    def sort_out(self) -> None:
        slot = 0
        for number, delivery in enumerate(self.batch.deliveries):
            for part in delivery.decoded():
                if isinstance(part, Decoded) and delivery.may_come_from(part.event.source):
                    self.items.append(Item.of(part, delivery.producer_of(part.event.source), number, slot))
                elif isinstance(part, Unauthenticated):
                    self.letters.append(
                        DeadLetter(delivery, UNAUTHENTICATED, part.place, part.why, slot=slot)
                    )
                elif isinstance(part, Unreadable):
                    self.letters.append(
                        DeadLetter(
                            delivery, UNREADABLE, part.place, part.why, producer=delivery.producer, slot=slot
                        )
                    )
                elif isinstance(part, Invalid) and delivery.may_come_from(part.source):
                    self._refuse(delivery, part, slot)
                else:
                    self._disown(delivery, part, slot)
                slot += 1

    def _refuse(self, delivery: Delivery, part: Invalid, slot: int) -> None:
        """An invalid message with a readable key is answered, and its key stays free."""
        producer = delivery.producer_of(part.source)
        name = command_name(part.type)
        self.refused.setdefault((part.source, part.id), slot)
        self.letters.append(
            DeadLetter(
                delivery,
                INVALID,
                part.place,
                part.why,
                producer,
                part.source,
                part.id,
                name,
                slot=slot,
                traceparent=part.traceparent,
            )
        )
        self.answer_invalid(delivery, part, slot)

    def answer_invalid(self, delivery: Delivery, part: Invalid, slot: int) -> None:
        producer, name = delivery.producer_of(part.source), command_name(part.type) or "unknown"
        self.answering.refuse(slot, producer, name, part, Reason.INVALID_MESSAGE, part.why)

    def _disown(self, delivery: Delivery, part: Decoded | Invalid, slot: int) -> None:
        """A genuine message under somebody else's source: its sender is answered, and nothing is kept under that key,
        which is not its sender's to use up."""
        producer, name = delivery.producer_of(part.source), command_name(part.type)
        message = delivery.disowned(part.source)
        why = f"{message} The id is {part.id}."
        self.letters.append(
            DeadLetter(
                delivery,
                UNAUTHENTICATED,
                part.place,
                why,
                producer,
                type=name,
                slot=slot,
                traceparent=part.traceparent,
            )
        )
        self.answering.refuse(slot, producer, name or "unknown", part, Reason.NOT_AUTHORIZED, message)

    # 2. Every command in its order

    def decide_all(self, items: list[Item]) -> None:
        """Decide and store. Where one command is at fault it is found, and its neighbours are done without it."""
        waiting = [items]
        while waiting:
            some = waiting.pop()
            if not some:
                continue
            try:
                self._decide(some)
            except BatchRaced:
                raise
            except TooMuchAtOnce:
                self._undo(some)
                waiting += _halves(some)
            except _Void as void:
                self._undo(some)
                at = some.index(void.item)
                self.crash(void.item, void.error)
                waiting += [some[at + 1 :], some[:at]]
            except Exception as error:
                self._undo(some)
                match classify(error, persistent=self.batch.persistent):
                    case Fault.RACE:
                        raise BatchRaced(str(error)) from error
                    case Fault.OUTAGE:
                        raise
                if len(some) == 1:
                    self.crash(some[0], error)
                else:
                    waiting += _halves(some)

    def _decide(self, items: list[Item]) -> None:
        """Decide the items against what the ledger holds, and store it. Raises _Void where that cannot be all of them."""
        crashed: dict[int, tuple[Item, Exception]] = {}
        # An earlier chunk may have opened what a rule names.
        self.keys_of_rules = keys_of_rules(self.connection, self.batch.deliveries, known=self.keys_of_rules)
        wanted = Wanted()
        for item in items:
            try:
                needs(item.event.data, wanted)
            except (MemoryError, OSError):
                raise
            except Exception as error:  # noqa: BLE001 - whatever a rule raises is its defect: dead-lettered, not passed on
                crashed[item.slot] = (item, error)
        with self.connection.pipeline():
            self.connection.execute("SAVEPOINT chunk", prepare=True)
            snapshot = load(self.connection, items, wanted)
        self.begin_chunk(items)
        self.handled.lap(Stage.LOAD)
        decided: list[Item] = []
        here: dict[tuple[str, str], Item] = {}
        for item in items:
            raised = self._decide_one(item, snapshot, here, decided) if item.slot not in crashed else None
            if raised is not None:
                crashed[item.slot] = (item, raised)
        self.handled.lap(Stage.DECIDE)
        last_set.record(self.connection, self.said(item for item in decided if item.reason is None))
        store(self.connection, snapshot.book, decided, batch=self.key, now=self.now)
        self.handled.lap(Stage.STORE)
        for item in items:
            if item.slot in crashed:
                self.crash(*crashed[item.slot])
            else:
                self.any_decided, self.crashed_in_a_row = True, 0

    def said(self, applied: Iterable[Item]) -> dict[Said, Moment]:
        """What applied commands have set, and when they said so."""
        return {
            one: Moment(self.now, self.key << SLOT_BITS | item.slot)
            for item in applied
            for one in last_set.sets(item.event.data)
        }

    def begin_chunk(self, items: list[Item]) -> None:
        """What else there is to know before these are decided: everybody that they need is locked by now."""

    def _decide_one(
        self, item: Item, snapshot: Snapshot, here: dict[tuple[str, str], Item], decided: list[Item]
    ) -> Exception | None:
        """Decide an item, if nothing with its key was decided before. What its rule raised, if it did."""
        key = item.key
        first = here.get(key)
        known = (
            Known(first.fingerprint, first.reason, first.body or b"") if first else snapshot.known.get(key)
        )
        if known is None:
            raised = self.decide_new(item, snapshot.book)
            if raised is None:
                here[key] = item
                decided.append(item)
            return raised
        if known.fingerprint == item.fingerprint:
            item.duplicate, item.reason, item.body = True, known.reason, known.outcome
        else:
            source, id_ = key
            message = f"{id_} of {source} was another command; a new command needs a new id."
            item.reason = Reason.IDEMPOTENCY_CONFLICT
            item.body = outcome.stored(Reason.IDEMPOTENCY_CONFLICT, message, None)
        return None

    def decide_new(self, item: Item, book: Book) -> Exception | None:
        """Decide an item whose key is free, and apply it to the book. What its rule raised, if it did."""
        event = item.event
        sender = self.batch.deliveries[item.delivery].sender
        try:
            decision = ruling(item, book, self.now, sender, self.keys_of_rules or {})
        except (MemoryError, OSError):
            raise
        except Exception as error:  # noqa: BLE001 - as above; it has changed nothing, so the others go on
            return error
        if not isinstance(decision, Applied):
            item.reason = decision.reason
            item.body = outcome.stored(decision.reason, decision.message, None)
            return None
        try:
            self.about_to_apply(item, decision, book)
            posted = book.apply(decision, Origin(event.source, event.id, event.actor), self.now)
            number = None
            if posted is not None:
                item.transaction = posted[0]
                number = number_of(*posted)
            item.body = outcome.stored(None, decision.message, number, decision.accounts)
            item.announced = decision.announced
        except Exception as error:
            raise _Void(item, error) from error
        return None

    def about_to_apply(self, item: Item, decision: Applied, book: Book) -> None:
        """For those who know by which number it went before (`retelling.py`)."""

    def _undo(self, items: list[Item]) -> None:
        self.connection.execute("ROLLBACK TO SAVEPOINT chunk")
        for item in items:
            item.reset()

    def crash(self, item: Item, error: BaseException) -> None:
        log.error("command crashed", **item.named, exc_info=error)
        self.letters.append(DeadLetter.of_command(self.batch.deliveries[item.delivery], item, error))
        self.refused.setdefault(item.key, item.slot)
        self.handled.crashed += 1
        self.crashed_in_a_row += 1
        before = 0 if self.any_decided else self.claimed.crashed_in_a_row
        self.most_crashed_in_a_row = max(self.most_crashed_in_a_row, before + self.crashed_in_a_row)

    # 3. What goes out

    def write(self) -> None:
        done = [item for item in self.items if item.body is not None]
        # Before this batch's own letters are there: what came in after a decision is not settled by it.
        if done and self.claimed.letters_wait:
            dead_letters.resolve(self.connection, [item.key for item in done], self.now)
        in_order = self.answering.all_of(self.connection, done)
        if self.letters:
            in_order += dead_letters.record(self.connection, self.letters, self.now, batch=self.key)
        with self.connection.pipeline():
            archive(
                self.connection,
                self.key,
                self.batch,
                {item.delivery for item in done if item.is_new},
                self.now,
            )
            publish(self.connection, in_order)
        self._resolve_within(done)
        self._count_crashes(self.claimed.crashed_in_a_row)
        if time.monotonic() - self.began > LEASE_SECONDS / 3:
            renew(self.connection, self.batch)
        self.handled.commands = len(self.items)
        self.handled.dead_letters = len(self.letters)
        self.handled.lap(Stage.STORE)
        if logging.getLogger(__name__).isEnabledFor(logging.DEBUG):
            self._tell(done)

    def _tell(self, done: list[Item]) -> None:
        for item in done:
            outcome_ = "duplicate" if item.duplicate else item.reason or "applied"
            log.debug("command decided", outcome=outcome_, **item.named)

    def _resolve_within(self, done: list[Item]) -> None:
        """Letters of this very batch whose key was decided further on in it."""
        mended = [item.key for item in done if self.refused.get(item.key, item.slot) < item.slot]
        if mended:
            dead_letters.resolve(self.connection, mended, self.now)

    def _count_crashes(self, crashed_before: int) -> None:
        """After too many crashes in a row the partition stops: that many are a defect of ours, not of the commands."""
        in_a_row = self.crashed_in_a_row + (0 if self.any_decided else crashed_before)
        worst = max(in_a_row, self.most_crashed_in_a_row)
        if worst == crashed_before == 0:
            return
        stop = worst >= CRASHES_THAT_STOP
        record_crashes(self.connection, self.batch.partition, in_a_row, stop=stop)
        if stop:
            log.critical("partition stopped", partition=self.batch.partition, crashed_in_a_row=worst)
