"""What `handle` works on: a batch of deliveries of one partition, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ledger.model import Announcement
from messages.codec import Decoded, Part, decode
from messages.envelope import Event


@dataclass(slots=True)
class Delivery:
    """A message as it came in: its bytes, whose stream it came by (None: the common one), and where it stood there."""

    stream: str
    position: str
    producer: str | None
    body: bytes
    parts: list[Part] | None = None

    def decoded(self) -> list[Part]:
        """What the message holds; decoded once, by whoever asks first."""
        if self.parts is None:
            self.parts = decode(self.body)
        return self.parts

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

    def reset(self) -> None:
        self.body, self.duplicate, self.reason, self.transaction = None, False, None, None
        self.announced = ()


@dataclass(slots=True)
class Handled:
    """What became of a batch, for logs and metrics. `outcomes` counts by (command, reason or `applied`)."""

    commands: int = 0
    duplicates: int = 0
    dead_letters: int = 0
    crashed: int = 0
    outcomes: dict[tuple[str, str], int] = field(default_factory=dict)
