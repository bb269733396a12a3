"""Who may send, and what: the producers file as values (CONTRACT §3). `workers/producers.py` reads it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ledger.model import PLATFORM
from messages.signing import decoded, verifies


@dataclass(frozen=True, slots=True)
class Rule:
    """Some commands, for what stands under an account; `itself`: for that account, too.

    `commands` is None for all of them; `under` the platform is everybody.
    """

    commands: frozenset[str] | None
    under: str
    itself: bool = False

    @property
    def everywhere(self) -> bool:
        return self.under == PLATFORM

    def lists(self, command: str) -> bool:
        return self.commands is None or command in self.commands


@dataclass(frozen=True, slots=True)
class Producer:
    """Whoever sends by streams of its own.

    secrets: one or two, both valid; the first is the one to sign with.
    rules: None: it may send everything; none of them: nothing.
    logins: SHA-256, in hex, of its passwords at the edge's server.
    amqp_logins: its users at RabbitMQ, each with what is kept of its password: `user:hash`.
    """

    name: str
    secrets: tuple[str, ...] = field(repr=False)
    rules: tuple[Rule, ...] | None = None
    logins: tuple[str, ...] = field(default=(), repr=False)
    amqp_logins: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Producers:
    """All of them, by name."""

    by_name: Mapping[str, Producer]

    def __iter__(self) -> Iterator[Producer]:
        return iter(self.by_name.values())

    def get(self, name: str | None) -> Producer | None:
        return self.by_name.get(name) if name is not None else None

    def stranger(self, name: str | None) -> str | None:
        """Why nothing can come from there, if that is so."""
        if name is None:
            return "it came by no producer's own stream; write to coins:commands:<partition>:<producer>"
        return None if name in self.by_name else f"the producers file knows no producer {name}"

    def objection(self, name: str | None, body: bytes, signature: bytes | None) -> str | None:
        """Why a message that came by this producer's stream is not genuine; None where it is."""
        producer = self.get(name)
        if producer is None:
            return self.stranger(name)
        if signature is None:
            return "it is not signed: the field `signature` is missing"
        mac = decoded(signature)
        if mac is None:
            return "its signature is not the base64 of 32 bytes"
        if any(verifies(body, mac, secret) for secret in producer.secrets):
            return None
        return f"its signature does not verify with a secret of {producer.name}"
