"""What a partition's consumer needs of the edge, whichever server that is (`streams.py`, `queues.py`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from ledger.batch import Delivery, Move
from ledger.trust import Producers


class CommandReader(Protocol):
    """Reads the commands of one partition, of each producer in turn. All of it runs on one thread.

    partition, partitions: which one, of how many. producers: who may send from now on; None where everybody may.

    Whatever it raises: close it, forget what was read, and begin again.
    """

    partition: int
    partitions: int
    producers: Producers | None

    def begin(self, positions: Mapping[str, str]) -> None:
        """Read from where the ledger is, or everything that is not acknowledged."""

    def to_remember(self) -> Mapping[str, str]:
        """Positions that the ledger is to have now, besides those that are moved; each is told once."""

    def read(self, block_milliseconds: int | None) -> list[Delivery]:
        """What is there, a fair part of each producer's, in turn; waits for the first if asked to."""

    def tick(self) -> None:
        """Called several times a second, whatever else goes on: the server is told that we live."""

    def moves(self, deliveries: Iterable[Delivery]) -> list[Move]:
        """How far these bring the ledger's positions."""

    def done(self, deliveries: Iterable[Delivery], moves: Iterable[Move]) -> None:
        """These are committed. They need not be removed from the edge at once."""

    def tidy(self, *, idle: bool) -> None:
        """Now and then, or when there is nothing else to do: remove what is done from the edge."""

    def close(self) -> None:
        """Let go of everything that is not done."""
