"""What was decided against the messages as they came in: the archived ones are read again, batch by batch.

Entries, balances and outcomes can be changed so that they agree with each other; then the message still says what was
asked for. Of batches that were archived elsewhere the messages are gone, and nothing is said of their commands.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby
from typing import Any, NamedTuple

import psycopg

from messages.codec import Decoded, decode
from messages.commands import (
    Adjust,
    AllocateCredit,
    CaptureHold,
    Command,
    DebitForDeviceOnboarding,
    PlaceHold,
    PlaceOrder,
    Refund,
    Renewal,
    ReportUsage,
    TopUp,
    Transfer,
)

MESSAGES_AGREE = "a command was decided as its message says, and what came in has its key"
_BATCHES_AT_ONCE, _COMMANDS_AT_ONCE, _KEYS_AT_ONCE = 20, 5_000, 1_000

_BATCHES = "SELECT id, deliveries, bodies FROM batch ORDER BY id"

# What was moved, of what moves coins as its message says; of a charge, which several may pay, how much it is.
_DECIDED = """
SELECT c.batch, c.delivery, c.place, c.source, c.id, c.fingerprint, c.reason, whom.account, posted.moved, posted.most
FROM command c
LEFT JOIN transaction t ON t.id = c.transaction
LEFT JOIN account whom ON whom.id = t.account
LEFT JOIN (
  SELECT e.transaction, max(abs(e.amount)) AS most,
         string_agg(a.account || ' ' || e.amount, ', ' ORDER BY e.amount) FILTER (WHERE e.type IN (
           'recharge', 'adjustment', 'allocation', 'reclaim', 'transfer_in', 'transfer_out')) AS moved
  FROM entry e
  JOIN account a ON a.id = e.account
  WHERE e.account > 0
  GROUP BY e.transaction
) posted ON posted.transaction = c.transaction
ORDER BY c.batch"""

# What crashed was not decided. (Of what is not genuine no message is kept.)
_FORGOTTEN = """
SELECT k.source || ' ' || k.id
FROM unnest(%s::text[], %s::text[]) k(source, id)
WHERE NOT EXISTS (SELECT FROM command c WHERE c.source = k.source AND c.id = k.id)
  AND NOT EXISTS (SELECT FROM dead_letter d WHERE d.source = k.source AND d.command_id = k.id)"""


# Of a hold that is open: what was placed, as far as its message is still here, less what was captured.
_OPEN_HOLDS = "SELECT hold, remaining FROM hold WHERE state = 'open'"


class Differing(NamedTuple):
    """A row that is not what the messages say."""

    where: str
    expected: str
    found: str


class _Row(NamedTuple):
    batch: int
    delivery: int
    place: int
    source: str
    id: str
    fingerprint: bytes
    reason: str | None
    account: str | None
    moved: str | None
    most: int | None


_Key = tuple[str, str]


def differing(connection: psycopg.Connection[Any]) -> Iterator[Differing]:
    """Every command that was not decided as its message says, and every message without its key, in the order of arrival."""
    waiting: list[_Key] = []
    holds = _Holds(dict(connection.execute(_OPEN_HOLDS).fetchall()))
    with connection.cursor("decided") as decided, connection.cursor("messages") as messages:
        decided.itersize, messages.itersize = _COMMANDS_AT_ONCE, _BATCHES_AT_ONCE
        rows = groupby(map(_Row._make, decided.execute(_DECIDED)), lambda row: row.batch)
        batch, some = next(rows, (None, iter(())))
        for key, index, bodies in messages.execute(_BATCHES):
            while batch is not None and batch < key:
                batch, some = next(rows, (None, iter(())))
            held = _Held(json.loads(index), bytes(bodies))
            if batch == key:
                for row in some:
                    yield from held.compared(row, holds)
            waiting += held.without_row()
            if len(waiting) >= _KEYS_AT_ONCE:
                yield from _forgotten(connection, waiting)
                waiting = []
    yield from _forgotten(connection, waiting)
    yield from holds.differing()


class _Holds:
    """What the messages say is left of the holds that are open."""

    def __init__(self, remaining: dict[str, int]) -> None:
        self.remaining = remaining
        self.placed: dict[str, int] = {}
        self.captured: dict[str, int] = {}

    def count(self, command: Command, most: int | None) -> None:
        match command:
            case PlaceHold() if command.hold in self.remaining:
                self.placed[command.hold] = command.amount
            case CaptureHold() if command.hold in self.remaining:
                self.captured[command.hold] = self.captured.get(command.hold, 0) + (most or 0)

    def differing(self) -> Iterator[Differing]:
        for hold, placed in self.placed.items():
            left = placed - self.captured.get(hold, 0)
            if left != self.remaining[hold]:
                yield Differing(f"hold {hold}", f"remaining {left}", f"remaining {self.remaining[hold]}")


class _Held:
    """The commands that the messages of a batch hold, by where they stand there and by their keys."""

    def __init__(self, index: list[list[Any]], bodies: bytes) -> None:
        self.by_place: dict[tuple[int, int], Decoded] = {}
        self.by_key: dict[_Key, Decoded] = {}
        self.undecided: set[_Key] = set()
        begin = 0
        for number, (_, _, producer, length, *_) in enumerate(index):
            body = bodies[begin : begin + length]
            begin += length
            for part in decode(body):
                if isinstance(part, Decoded):
                    key = (part.event.source, part.event.id)
                    self.by_place[number, part.place] = part
                    self.by_key.setdefault(key, part)
                    # What came in under another producer's key was not decided under it.
                    if producer is None or producer == part.event.source.partition("/")[0]:
                        self.undecided.add(key)

    def compared(self, row: _Row, holds: _Holds) -> Iterator[Differing]:
        key = (row.source, row.id)
        self.undecided.discard(key)
        part = self.by_place.get((row.delivery, row.place))
        if part is None or (part.event.source, part.event.id) != key:
            part = self.by_key.get(key)
        where = f"command {row.source} {row.id}"
        if part is None:
            yield Differing(where, "a message of its batch that holds it", "none does")
            return
        if part.fingerprint != row.fingerprint:
            yield Differing(
                where, f"fingerprint {part.fingerprint.hex()}", f"fingerprint {row.fingerprint.hex()}"
            )
        if row.reason is not None:
            return
        holds.count(part.event.data, row.most)
        if row.most is None:
            return
        account, amount, moved = asked_for(part.event.data)
        if account is not None and account != row.account:
            yield Differing(where, f"a transaction for {account}", f"one for {row.account}")
        if amount is not None and amount != row.most:
            yield Differing(where, f"an amount of {amount}", str(row.most))
        if moved is not None and moved != row.moved:
            yield Differing(where, f"posted: {moved}", f"posted: {row.moved}")

    def without_row(self) -> list[_Key]:
        """Keys that came in and were not decided in this batch: before it, or not at all."""
        return sorted(self.undecided)


def _forgotten(connection: psycopg.Connection[Any], keys: list[_Key]) -> Iterator[Differing]:
    columns = [[one[column] for one in keys] for column in range(2)]
    for (where,) in connection.execute(_FORGOTTEN, columns):
        yield Differing(f"command {where}", "the key of a command that came in", "none")


def asked_for(command: Command) -> tuple[str | None, int | None, str | None]:
    """What the message itself says, as far as it does: for whom, how much, and what is moved at whom.

    Where a plan sets the price, or what is left of something is taken, the message does not say how much.
    """
    match command:
        case TopUp() | Adjust():
            return command.account, None, f"{command.account} {command.amount}"
        case AllocateCredit():
            return command.customer, None, f"{command.customer} {command.amount}"
        case Transfer():
            source, target = command.from_account, command.to_account
            return source, None, f"{source} {-command.amount}, {target} {command.amount}"
        case DebitForDeviceOnboarding() | Renewal():
            devices = command.devices or []
            return command.account, command.price * len(devices) if command.price else None, None
        case PlaceOrder():
            return command.account, command.price * command.quantity if command.price else None, None
        case ReportUsage() | CaptureHold() | Refund():
            return None, command.amount, None
    return None, None, None
