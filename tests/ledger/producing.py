"""Desks of producers that are held to a producers file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ledger.batch import Batch
from ledger.trust import Producer, Producers, Rule
from messages.signing import sign
from tests.desk import SOURCE, LedgerDesk

SECRET, OTHERS_SECRET = "the secret of the tests' desk", "the secret of somebody else"
Signature = Callable[[bytes], bytes | None]


def genuine(body: bytes) -> bytes:
    return sign(body, SECRET).encode()


def producers(*rules: Rule, everything: bool = False) -> Producers:
    """A file in which the desk has these rules, and somebody else may send everything."""
    return Producers(
        {
            SOURCE: Producer(SOURCE, (SECRET,), None if everything else rules),
            "other": Producer("other", (OTHERS_SECRET,)),
        }
    )


class ProducerDesk(LedgerDesk):
    """A partition fed by one producer. `signature` makes the signature of each message."""

    def __init__(self, url: str, trust: Producers, **given: Any) -> None:
        super().__init__(url, **given)
        self.trust = trust
        self.signature: Signature = genuine

    def batch(self, *bodies: bytes) -> Batch:
        batch = super().batch(*bodies)
        for delivery in batch.deliveries:
            delivery.producers = self.trust
            delivery.signature = self.signature(delivery.body)
        return batch
