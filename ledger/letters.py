"""A dead letter as it is replayed, and what of it is decided: its own event, by whoever was found to have sent it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from ledger.batch import Delivery
from ledger.dead_letters import UNAUTHENTICATED
from ledger.trust import Producers
from messages.codec import bytes_of_parts
from messages.streams import read_commands_stream


class Letter(NamedTuple):
    """A letter as it is replayed. arrived_at: when it last came; arrival: where among all that came in.

    whole: its bytes are a message, else one event that was cut out of it. verified: it is its producer's.
    """

    id: int
    reason: str
    source: str | None
    command_id: str | None
    producer: str | None
    stream: str
    position: str
    place: int
    headers: dict[str, Any]
    raw: bytes
    whole: bool
    verified: bool
    arrived_at: datetime
    arrival: int | None


def delivery_of(letter: Letter, producers: Producers | None = None, *, vouched_for: bool = False) -> Delivery:
    """The letter's own event as a message of its own, by whoever was found to have sent it.

    Where nobody was found it has to be genuine by the producers file that is in force now, with the signature that it came
    with; what was never read is then looked at as a whole. vouched_for: an operator decides about it, whoever has sent it.
    """
    known = read_commands_stream(letter.stream)
    claimed = known[1] if known else letter.producer
    signature = str(letter.headers["signature"]).encode() if "signature" in letter.headers else None
    unread = letter.reason == UNAUTHENTICATED and letter.producer is None
    if vouched_for or (producers is None and not unread) or letter.verified:
        return _own_event(letter, letter.producer, None if vouched_for else producers)
    whole = Delivery(letter.stream, letter.position, claimed, letter.raw, None, signature, producers)
    if producers is None:
        whole.discredit("there is no producers file by which it could be found genuine")
    elif not letter.whole:
        whole.discredit("it came in when there was no producers file, and nobody has vouched for it")
    return whole if unread or not whole.is_genuine else _own_event(letter, claimed, producers)


def own_text(letter: Letter) -> str:
    """The letter's own event, for people."""
    return _own_event(letter, None, None).body.decode("utf-8", "backslashreplace")


def _own_event(letter: Letter, producer: str | None, producers: Producers | None) -> Delivery:
    """What was cut out of a message is one event, even if it looks like several."""
    body, single = letter.raw, not letter.whole
    if letter.whole:
        parts = bytes_of_parts(body)
        if parts != [body] and letter.place < len(parts):
            body, single = parts[letter.place], True
    return Delivery(
        letter.stream, letter.position, producer, body, producers=producers, verified=True, single=single
    )
