"""Dead letters are decided after all: by the same steps as any batch, under the keys that they came with.

A letter's own event goes to `Work`, with its producer as it was verified when it came; neighbours in its message are left
alone. What cannot be decided this time either is written into the letter, and stops no partition. Whatever was decided under
its key meanwhile counts, and nobody is told of that again. `abandon` decides crashed ones without asking their rule.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

import orjson
import psycopg

from ledger import dead_letters, last_set, outcome
from ledger.acts import Doing, Done, write_down
from ledger.batch import Batch, Item
from ledger.book import Book
from ledger.dead_letters import CRASHED, INVALID, UNAUTHENTICATED, UNREADABLE, DeadLetter, escaped
from ledger.fence import Claim
from ledger.handle import Work
from ledger.last_set import Moment, Said
from ledger.letters import Letter, delivery_of
from ledger.store import archive, publish
from ledger.trust import Producers
from messages.codec import Decoded, Invalid, Part, Unauthenticated, Unreadable, command_name
from messages.reasons import Reason

# The partition of messages that come from here and not from the edge, in the table of raw messages.
NO_PARTITION = -1
NEXT_BATCH = "SELECT nextval('batch_key')"


class Result(StrEnum):
    """What became of a letter. The last three leave it as it is, or to somebody."""

    APPLIED = "applied"
    REFUSED = "refused"
    ALREADY_APPLIED = "already applied"
    ALREADY_REFUSED = "already refused"
    OTHER_DECIDED = "another command was decided under its key"
    ABANDONED = "abandoned"
    ARCHIVED = "archived"
    RUN_AGAIN = "run again"
    FAILED = "failed again"
    OLDER = "older than the present state"
    GONE = "dealt with by somebody else"


SETTLED = frozenset(
    {
        Result.APPLIED,
        Result.REFUSED,
        Result.ALREADY_APPLIED,
        Result.ALREADY_REFUSED,
        Result.OTHER_DECIDED,
        Result.ABANDONED,
    }
)


class Verdict(NamedTuple):
    """What became of a letter, `why` in a few words; under which key it is decided, where it is.

    trouble: why it was refused or what it failed by, without what is particular to this one.
    """

    letter: int
    result: Result
    why: str = ""
    source: str | None = None
    command_id: str | None = None
    trouble: str | None = None

    @property
    def kind(self) -> str:
        """By what replays are counted: letters that end alike have the same."""
        return f"{self.result}: {self.trouble}" if self.trouble else str(self.result)

    @property
    def told(self) -> str:
        return f"{self.result}: {self.why}" if self.why else str(self.result)


class SetSince(Exception):
    """What the command sets was set by a later one."""


class DealtWith(Exception):
    """The letter does not wait for anybody any more."""


_SETTLE = """
UPDATE dead_letter d SET
  state = 'resolved', resolved_at = %s, source = coalesce(d.source, v.source), command_id = coalesce(d.command_id, v.id)
FROM unnest(%s::int8[], %s::text[], %s::text[]) AS v(letter, source, id)
WHERE d.id = v.letter AND d.state <> 'resolved'"""
_ARCHIVE = """
UPDATE dead_letter SET state = 'archived', resolved_at = %s
WHERE id = ANY(%s::int8[]) AND (id = ANY(%s::int8[]) OR state IN ('waiting', 'failed again')
  AND (claimed_until IS NULL OR claimed_until < clock_timestamp()))
RETURNING id"""
# In the order of their numbers, after the accounts: as live commands resolve them.
_HOLD = """
SELECT id FROM dead_letter
WHERE id = ANY(%s::int8[]) AND state IN ('waiting', 'failed again')
  AND (claimed_until IS NULL OR claimed_until < clock_timestamp())
ORDER BY id FOR UPDATE"""


class _Again(Work):
    """Letters instead of what the edge has delivered; a delivery each, in the same order."""

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        letters: Sequence[Letter],
        now: datetime,
        *,
        even_if_newer: bool,
        producers: Producers | None = None,
        abandon: str | None = None,
    ) -> None:
        row = connection.execute(NEXT_BATCH).fetchone()
        assert row is not None
        deliveries = [delivery_of(one, producers, vouched_for=abandon is not None) for one in letters]
        batch = Batch(NO_PARTITION, 0, [], deliveries)
        super().__init__(connection, batch, Claim(row[0], 0, True), now)
        self._letters = letters
        self._even_if_newer = even_if_newer
        self._abandon = abandon
        self._set_at: dict[Said, Moment] = {}
        self._failed: dict[int, list[tuple[Result, DeadLetter]]] = defaultdict(list)
        self._gone: set[int] = set()

    def sort_out(self) -> None:
        slot = 0
        for number, delivery in enumerate(self.batch.deliveries):
            for part in delivery.decoded():
                if isinstance(part, Decoded) and delivery.may_come_from(part.event.source):
                    self.items.append(Item.of(part, delivery.producer_of(part.event.source), number, slot))
                elif isinstance(part, Unauthenticated):
                    self._fail(number, UNAUTHENTICATED, part)
                elif isinstance(part, Unreadable):
                    self._fail(number, UNREADABLE, part)
                elif isinstance(part, Invalid) and delivery.may_come_from(part.source):
                    self._fail_invalid(number, part, slot)
                else:
                    why = delivery.disowned(part.source)
                    self._fail(number, UNAUTHENTICATED, part, why=why, type=command_name(part.type))
                slot += 1

    def _fail_invalid(self, number: int, part: Invalid, slot: int) -> None:
        """Its sender has been told so, unless nobody knew until now that it was his."""
        delivery, letter = self.batch.deliveries[number], self._letters[number]
        if letter.reason == UNAUTHENTICATED and letter.producer is None:
            self.answer_invalid(delivery, part, slot)
        self._fail(
            number,
            INVALID,
            part,
            type=command_name(part.type),
            producer=delivery.producer_of(part.source),
            source=part.source,
            id=part.id,
            traceparent=part.traceparent,
        )

    def _fail(self, number: int, reason: str, part: Part, *, why: str | None = None, **more: Any) -> None:
        told = why if why is not None or isinstance(part, Decoded) else part.why
        letter = DeadLetter(self.batch.deliveries[number], reason, part.place, told or "", **more)
        self._failed[number].append((Result.FAILED, letter))

    def said(self, applied: Iterable[Item]) -> dict[Said, Moment]:
        found: dict[Said, Moment] = {}
        for item in applied:
            letter = self._letters[item.delivery]
            for one in last_set.sets(item.event.data):
                found[one] = Moment(letter.arrived_at, letter.arrival or 0)
        return found

    def begin_chunk(self, items: list[Item]) -> None:
        """Whether somebody else has dealt with the letters meanwhile; from here on nobody does before we have."""
        numbers = sorted({self._letters[item.delivery].id for item in items})
        held = self.connection.execute(_HOLD, (numbers,)).fetchall()
        self._gone = set(numbers) - {number for (number,) in held}
        if not self._even_if_newer and self._abandon is None:
            said = {one for item in items for one in last_set.may_undo(item.event.data)}
            self._set_at = last_set.when(self.connection, said, locked=True)

    def decide_new(self, item: Item, book: Book) -> Exception | None:
        letter = self._letters[item.delivery]
        if letter.id in self._gone:
            return DealtWith("somebody else has dealt with it meanwhile")
        if self._abandon is not None:
            item.reason = Reason.ABANDONED
            item.body = outcome.stored(Reason.ABANDONED, self._abandon, None)
            return None
        since = None if self._even_if_newer else set_since(item.event.data, letter.arrival, self._set_at)
        return SetSince(since) if since else super().decide_new(item, book)

    def crash(self, item: Item, error: BaseException) -> None:
        item.reset()
        delivery = self.batch.deliveries[item.delivery]
        if isinstance(error, SetSince | DealtWith):
            result = Result.OLDER if isinstance(error, SetSince) else Result.GONE
            self._failed[item.delivery].append((result, DeadLetter(delivery, "", item.place, str(error))))
            return
        letter = DeadLetter.of_command(delivery, item, error)
        self._failed[item.delivery].append((Result.FAILED, letter))

    def settle(self) -> list[Verdict]:
        """Decide all of them and write it, but for what becomes of the letters themselves."""
        self.sort_out()
        self.decide_all(self.items)
        by_letter: dict[int, list[Item]] = defaultdict(list)
        for item in self.items:
            if item.body is not None:
                by_letter[item.delivery].append(item)
        # Of what was decided before, everybody has heard.
        new = [item for item in self.items if item.is_new]
        if new:
            archive(self.connection, self.key, self.batch, {item.delivery for item in new}, self.now)
            dead_letters.resolve(self.connection, [item.key for item in new], self.now)
        publish(self.connection, self.answering.all_of(self.connection, new))
        return [self._verdict(number, by_letter[number]) for number in range(len(self._letters))]

    def _verdict(self, number: int, items: list[Item]) -> Verdict:
        letter = self._letters[number].id
        if number in self._failed:
            result, failed = self._failed[number][0]
            return Verdict(letter, result, failed.why, trouble=_trouble(failed))
        told = [(item, *_told(item)) for item in items]
        item, result, why = told[-1]
        if len(told) > 1:
            why = "; ".join(f"{one.event.id} {result}" for one, result, _ in told)
        return Verdict(letter, result, why, item.event.source, item.event.id, item.reason)

    def write_failures(self) -> None:
        """What failed again is written into its letter; what else of its message did is a letter of its own from now on."""
        again: list[tuple[int, DeadLetter]] = []
        more: list[DeadLetter] = []
        for number, failed in self._failed.items():
            letters = [letter for result, letter in failed if result is Result.FAILED]
            again += [(self._letters[number].id, letter) for letter in letters[:1]]
            more += letters[1:]
        news = dead_letters.fail_again(self.connection, again, self.now)
        news += dead_letters.record(self.connection, more, self.now, batch=self.key)
        publish(self.connection, news)


def set_since(command: Any, arrival: int | None, set_at: Mapping[Said, Moment]) -> str | None:
    """What of the command was set by another that came in after it.

    Of what came in before that was counted nobody knows what was set since.
    """
    for one in last_set.may_undo(command):
        last = set_at.get(one)
        kind, subject = one
        if arrival is None:
            return f"nobody knows whether the {kind} of {subject} was set since: the letter is older than that was kept"
        if last is not None and last.arrival > arrival:
            return f"the {kind} of {subject} was set at {last.at:%Y-%m-%d %H:%M:%S} UTC"
    return None


def _trouble(failed: DeadLetter) -> str | None:
    return f"{failed.exception} at {failed.frame}" if failed.exception else failed.reason or None


def _told(item: Item) -> tuple[Result, str]:
    if item.reason == Reason.IDEMPOTENCY_CONFLICT:
        return Result.OTHER_DECIDED, ""
    if item.duplicate:
        already = Result.ALREADY_REFUSED if item.reason else Result.ALREADY_APPLIED
        return already, item.reason or ""
    if item.reason == Reason.ABANDONED:
        return Result.ABANDONED, ""
    if item.reason is not None:
        return Result.REFUSED, item.reason
    return Result.APPLIED, orjson.loads(item.body or b"{}").get("transaction") or ""


def replay(
    connection: psycopg.Connection[Any],
    letters: Sequence[Letter],
    now: datetime,
    doing: Doing,
    *,
    producers: Producers | None = None,
    even_if_newer: bool = False,
    persistent: bool = False,
) -> list[Verdict]:
    """Decide the letters, which came by the edge, in their order, in the caller's transaction.

    producers: who may send, by the producers file that is in force. even_if_newer: also those that set what was set again
    since they came in. persistent: a race that was lost every time is taken for a defect, and whose it is is searched for.
    Raises BatchRaced, psycopg.Error: nothing is done then.
    """
    if not letters:
        return []
    work = _Again(connection, letters, now, even_if_newer=even_if_newer, producers=producers)
    work.batch.persistent = persistent
    verdicts = work.settle()
    settle_letters(connection, verdicts, now)
    work.write_failures()
    done = [Done(one.letter, one.told) for one in verdicts if one.result is not Result.GONE]
    write_down(connection, doing, done, now)
    return verdicts


def abandon(
    connection: psycopg.Connection[Any], letters: Sequence[Letter], now: datetime, doing: Doing
) -> list[Verdict]:
    """Archive the letters, in the caller's transaction: nothing is to come of them any more.

    Under the key of a crashed one that is not decided by now it is decided: `abandoned`, and its producer is told; one that
    cannot be read any more stays. What was unreadable, not genuine or invalid was never to be decided; its key stays free.
    Raises as `replay` does.
    """
    crashed = [one for one in letters if one.reason == CRASHED]
    found: dict[int, Verdict] = {}
    if crashed:
        message = escaped(f"It crashed, and was given up: {doing.why or 'no reason was given'}")[:500]
        work = _Again(connection, crashed, now, even_if_newer=True, abandon=message)
        found = {one.letter: one for one in work.settle()}
    settle_letters(connection, found.values(), now)
    # What cannot be read any more cannot be decided either: it stays for somebody to see.
    to_archive = [
        one.id for one in letters if one.id not in found or found[one.id].result is Result.ABANDONED
    ]
    decided = [one.letter for one in found.values() if one.result is Result.ABANDONED]
    archived = {id_ for (id_,) in connection.execute(_ARCHIVE, (now, to_archive, decided))}
    verdicts = [
        found.get(one.id) or Verdict(one.id, Result.ARCHIVED if one.id in archived else Result.GONE)
        for one in letters
    ]
    done = [Done(one.letter, one.told) for one in verdicts if one.result is not Result.GONE]
    write_down(connection, doing, done, now)
    return verdicts


def settle_letters(connection: psycopg.Connection[Any], verdicts: Iterable[Verdict], now: datetime) -> None:
    """Letters whose key is decided by now, and under which key that is."""
    settled = [one for one in verdicts if one.result in SETTLED]
    if settled:
        keys = [[one.letter for one in settled], [one.source for one in settled]]
        connection.execute(_SETTLE, (now, *keys, [one.command_id for one in settled]))
