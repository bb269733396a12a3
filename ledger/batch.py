"""What `handle` works on: a batch of deliveries of one partition, and what became of it."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ledger.model import Announcement
from ledger.trust import Producer, Producers
from messages.codec import Decoded, Part, Unauthenticated, decode, decode_event
from messages.envelope import Event
from messages.reasons import Reason
from messages.tracing import trace_id, traceparent_in

# Of what is not genuine no more is kept; a genuine command is rarely larger.
KEPT_UNAUTHENTICATED_BYTES = 64 * 1024


@dataclass(slots=True)
class Delivery:
    """A message as it came in: its bytes, whose stream it came by (None: the common one), and where it stood there.

    producers: who may send, by the file that was in force when it was read; None where there is no such file.
    verified: that it is its producer's was found out before (on its first arrival): no signature is asked for, and what
    that producer may send is looked at all the same.
    single: it is one event that was cut out of a message, whatever it looks like.
    arrived_at: when the edge took it, in Unix seconds; None where the edge does not say.
    """

    stream: str
    position: str
    producer: str | None
    body: bytes
    parts: list[Part] | None = None
    signature: bytes | None = None
    producers: Producers | None = None
    verified: bool = False
    single: bool = False
    arrived_at: float | None = None

    def decoded(self) -> list[Part]:
        """What the message holds; decoded once, by whoever asks first, and only if it is genuine."""
        if self.parts is None:
            why = self._objection()
            if why is None:
                self.parts = [decode_event(self.body)] if self.single else decode(self.body)
            else:
                self.discredit(why)
        return self.parts or []

    def _objection(self) -> str | None:
        if self.producers is None:
            return None
        if self.verified:
            return self.producers.stranger(self.producer)
        return self.producers.objection(self.producer, self.body, self.signature)

    def discredit(self, why: str) -> None:
        """Nothing of it is to be believed, or read; of a long one the beginning is kept."""
        if len(self.body) > KEPT_UNAUTHENTICATED_BYTES:
            digest = hashlib.sha256(self.body).hexdigest()
            why = f"{why}; of its {len(self.body):,} bytes (SHA-256 {digest}) the beginning is kept"
            self.body = self.body[:KEPT_UNAUTHENTICATED_BYTES]
        self.parts = [Unauthenticated(why)]

    def judge_anew(self, producers: Producers) -> None:
        """Another file is in force: what the one before let in has to stand up to this one."""
        if self.producers is not None and self.is_genuine:
            self.producers = producers
            if (why := self._objection()) is not None:
                self.discredit(why)

    @property
    def is_genuine(self) -> bool:
        parts = self.decoded()
        return not (parts and isinstance(parts[0], Unauthenticated))

    @property
    def sender(self) -> Producer | None:
        """Who sent it, by the producers file; None where there is no such file, or no such producer in it."""
        return self.producers.get(self.producer) if self.producers is not None else None

    def may_come_from(self, source: str) -> bool:
        """Whether a source is its producer's: its name, or its name and a part."""
        return self.producers is None or source.partition("/")[0] == self.producer

    def disowned(self, source: str) -> str:
        """What is said of a source that it may not come from."""
        producer = self.producer_of(source)
        return f"{source} is no source of {producer}: it is {producer}, or begins with {producer}/."

    def producer_of(self, source: str) -> str:
        """Who sent it: by whose stream it came, and on the common stream its source up to the slash."""
        return self.producer or source.partition("/")[0]


@dataclass(frozen=True, slots=True)
class Move:
    """How far a stream has been read: from where the ledger stands to where it will stand with this batch."""

    stream: str
    before: str
    after: str


@dataclass(slots=True)
class Batch:
    """Deliveries of one partition, read under an epoch. Applied in one transaction or not at all."""

    partition: int
    epoch: int
    moves: list[Move]
    deliveries: list[Delivery]
    # A unique violation that comes back every time is no race but a defect of one command: then it is searched for.
    persistent: bool = False

    def __repr__(self) -> str:
        return f"<batch of {len(self.deliveries)} deliveries, partition {self.partition}, epoch {self.epoch}>"


@dataclass(slots=True)
class Item:
    """A valid command of a batch on its way to its outcome."""

    event: Event[Any]
    fingerprint: bytes
    producer: str
    delivery: int
    place: int
    slot: int
    key: tuple[str, str]
    body: bytes | None = None
    duplicate: bool = False
    reason: str | None = None
    transaction: int | None = None
    announced: tuple[Announcement, ...] = ()

    @classmethod
    def of(cls, decoded: Decoded, producer: str, delivery: int, slot: int) -> Item:
        event = decoded.event
        return cls(
            event, decoded.fingerprint, producer, delivery, decoded.place, slot, (event.source, event.id)
        )

    @property
    def is_new(self) -> bool:
        """Whether it was decided just now, and not before."""
        return self.body is not None and not self.duplicate and self.reason != Reason.IDEMPOTENCY_CONFLICT

    @property
    def traceparent(self) -> str | None:
        given = self.event.traceparent
        return traceparent_in(given) if given is not None else None

    @property
    def named(self) -> dict[str, str]:
        """By what it is found in logs."""
        named = {"source": self.event.source, "id": self.event.id}
        trace = trace_id(self.traceparent)
        return named if trace is None else {**named, "trace_id": trace}

    def reset(self) -> None:
        self.body, self.duplicate, self.reason, self.transaction = None, False, None, None
        self.announced = ()


class Stage(StrEnum):
    """Where the time of a batch goes: claiming, locking, loading; deciding; writing; the commit, which is the caller's."""

    LOAD = "load"
    DECIDE = "decide"
    STORE = "store"
    COMMIT = "commit"


@dataclass(slots=True)
class Handled:
    """What became of a batch, for logs and metrics, and its number in the ledger.

    `outcomes` counts by (command, reason or `applied` or `duplicate`), `seconds` by stage.
    """

    batch: int = 0
    commands: int = 0
    duplicates: int = 0
    dead_letters: int = 0
    crashed: int = 0
    outcomes: dict[tuple[str, str], int] = field(default_factory=dict)
    seconds: dict[Stage, float] = field(default_factory=lambda: dict.fromkeys(Stage, 0.0))
    _since: float = field(default_factory=time.perf_counter)

    def lap(self, stage: Stage) -> None:
        """What has passed since the last lap belongs to that stage."""
        now = time.perf_counter()
        self.seconds[stage] += now - self._since
        self._since = now
