"""Where tests hand in commands and get outcomes: `LedgerDesk` on a database, as a worker would; `PureDesk` without one."""

from __future__ import annotations

import json
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import psycopg
from psycopg.rows import dict_row

from ledger import outcome
from ledger.batch import Batch, Delivery, Handled, Move
from ledger.book import Book, Origin
from ledger.database import connect_for_commands
from ledger.decide import Wanted, decide, needs
from ledger.errors import BatchRaced
from ledger.handle import handle
from ledger.model import CHARGES, Account, Applied
from ledger.numbers import number_of
from ledger.records import Device
from messages.codec import Decoded, Invalid, decode
from messages.commands import Command
from messages.envelope import Event, encode
from messages.events import FURTHER_EVENTS, OUTCOMES, CommandApplied, CommandRejected
from messages.publisher import event
from messages.reasons import Reason

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SOURCE = "tests"
RACES = 8

Said = CommandApplied | CommandRejected
Ask = Command | Event[Any] | dict[str, Any] | bytes

CATEGORIES = {
    "recharge": "Recharge",
    "recharge_reversal": "Recharge",
    **dict.fromkeys(CHARGES, "Expense"),
}


def body_of(ask: Ask) -> bytes:
    """An event as it comes in. A command by itself gets a new id; a dict may be short, as for `coins send`."""
    match ask:
        case bytes():
            return ask
        case dict():
            return json.dumps(completed(ask)).encode()
        case Command():
            return encode(event(ask, source=SOURCE))
        case _:
            return encode(ask)


def completed(short: dict[str, Any]) -> dict[str, Any]:
    """The short form of `coins send`, filled in."""
    type_ = short.get("type", "")
    full = type_ if type_.startswith("coins.") else f"coins.{type_}.v1"
    return {"specversion": "1.0", "id": str(uuid.uuid4()), "source": "cli", **short, "type": full}


def array_of(*asks: Ask) -> bytes:
    """One message that holds all of them."""
    return b"[" + b",".join(body_of(ask) for ask in asks) + b"]"


class Desk(ABC):
    """What both desks can do. The clock is `now`, moved by hand."""

    now: datetime

    @abstractmethod
    def deliver(self, *bodies: bytes) -> list[Said]:
        """Messages, in one batch; the outcomes of all commands in them, in order."""

    def send(self, *asks: Ask) -> list[Said]:
        """Commands, a message each, in one batch."""
        return self.deliver(*(body_of(ask) for ask in asks))

    def ask(self, ask: Ask, **attributes: Any) -> Said:
        """One command, with attributes of its envelope (`id`, `actor`, `expirytime`, …); its outcome."""
        if attributes:
            assert isinstance(ask, Command)
            ask = event(ask, **{"source": SOURCE, **attributes})
        (said,) = self.send(ask)
        return said

    def do(self, *asks: Ask) -> str | None:
        """Commands that must be applied, each in a batch of its own. The number of the last one's transaction."""
        number = None
        for ask in asks:
            said = self.ask(ask)
            assert said.data.reason is None, f"{ask!r}: {said.data.reason}: {said.data.message}"
            number = said.data.transaction
        return number

    def refused(self, ask: Ask) -> Reason | None:
        """The reason for which a command is refused; None if it is applied."""
        return self.ask(ask).data.reason

    def later(self, **by: float) -> None:
        self.now += timedelta(**by)

    @abstractmethod
    def account(self, id_: str) -> dict[str, Any]:
        """An account as the ledger holds it; parent, payer and sponsor by their public ids."""

    @abstractmethod
    def accounts_of(self, prefix: str) -> dict[str, dict[str, Any]]:
        """Every account whose id begins so."""

    @abstractmethod
    def accounts(self) -> list[str]:
        """The public ids of all accounts but the platform."""

    @abstractmethod
    def lines(self) -> list[dict[str, Any]]:
        """Every entry of every account with its transaction, in the order of posting; accounts by their public ids."""

    @abstractmethod
    def devices(self) -> dict[str, tuple[str | None, datetime | None]]:
        """Owner and paid-until of every device that was ever onboarded."""

    def credit(self, id_: str) -> int:
        credit: int = self.account(id_)["credit"]
        return credit

    def reference(self, id_: str) -> int | None:
        reference: int | None = self.account(id_)["reference"]
        return reference

    def close(self) -> None:  # noqa: B027 - most have nothing to close
        pass


class PureDesk(Desk):
    """The core alone: rules on a book that is kept over all commands. Keys are remembered here."""

    def __init__(self, now: datetime = NOW) -> None:
        self.now = now
        self.book = Book()
        self.known: dict[tuple[str, str], tuple[bytes, str | None, bytes]] = {}
        self._batches = 0

    def deliver(self, *bodies: bytes) -> list[Said]:
        self._batches += 1
        answers = outcome.Answers(self._batches, self.now)
        said: list[Said] = []
        for body in bodies:
            for part in decode(body):
                if isinstance(part, Decoded):
                    source, id_, type_ = part.event.source, part.event.id, part.event.type
                    reason, lasting, duplicate = self._decide(part)
                elif isinstance(part, Invalid):
                    source, id_, type_ = part.source, part.id, part.type
                    reason, duplicate = Reason.INVALID_MESSAGE, False
                    lasting = outcome.stored(reason, part.why, None)
                else:
                    continue
                raw = answers.event(
                    len(said),
                    source=source,
                    id=id_,
                    type=type_,
                    applied=reason is None,
                    duplicate=duplicate,
                    lasting=lasting,
                )
                said.append(OUTCOMES.validate_json(raw))
        return said

    def _decide(self, part: Decoded) -> tuple[str | None, bytes, bool]:
        event_ = part.event
        key = (event_.source, event_.id)
        if key in self.known:
            fingerprint, reason, lasting = self.known[key]
            if fingerprint == part.fingerprint:
                return reason, lasting, True
            conflict = Reason.IDEMPOTENCY_CONFLICT
            return conflict, outcome.stored(conflict, "another command", None), False
        reason, lasting = self._decide_new(event_)
        self.known[key] = (part.fingerprint, reason, lasting)
        return reason, lasting, False

    def _decide_new(self, event_: Event[Any]) -> tuple[str | None, bytes]:
        if event_.expirytime is not None and event_.expirytime <= self.now:
            return Reason.EXPIRED, outcome.stored(Reason.EXPIRED, "too late", None)
        needs(event_.data, Wanted())
        decision = decide(event_.data, self.book, self.now)
        if not isinstance(decision, Applied):
            return decision.reason, outcome.stored(decision.reason, decision.message, None)
        posted = self.book.apply(decision, Origin(event_.source, event_.id, event_.actor), self.now)
        number = number_of(*posted) if posted else None
        return None, outcome.stored(None, decision.message, number, decision.accounts)

    def _by_key(self) -> dict[int, Account]:
        return self.book._by_key

    def account(self, id_: str) -> dict[str, Any]:
        account = self.book.account(id_)
        assert account is not None, f"no account {id_}"
        ids = {key: one.account for key, one in self._by_key().items()}
        found = {name: getattr(account, name) for name in Account.__slots__}
        return {
            **found,
            "parent": ids[account.parent],
            "draws_from": ids[account.draws_from],
            "sponsor": ids[account.sponsor] if account.sponsor is not None else None,
            "path": [ids[key] for key in account.path],
        }

    def accounts_of(self, prefix: str) -> dict[str, dict[str, Any]]:
        return {id_: self.account(id_) for id_ in self.accounts() if id_.startswith(prefix)}

    def accounts(self) -> list[str]:
        return [account.account for key, account in self._by_key().items() if key > 0]

    def lines(self) -> list[dict[str, Any]]:
        ids = {key: one.account for key, one in self._by_key().items()}
        transactions = {row[0]: row for row in self.book.transactions}
        return [_line(entry, transactions[entry[0]], ids) for entry in self.book.entries if entry[1] in ids]

    def devices(self) -> dict[str, tuple[str | None, datetime | None]]:
        ids = {key: one.account for key, one in self._by_key().items()}
        rows: Iterable[Any] = self.book._rows[Device].values()
        return {
            row.device: (ids[row.account] if row.account is not None else None, row.paid_until)
            for row in rows
        }


class LedgerDesk(Desk):
    """A partition of a ledger on PostgreSQL, fed batch by batch, as a worker feeds it.

    Parameters
        partition: which one it takes, under a new epoch.
        producer: by whose stream its messages come; None for the common one.
    """

    def __init__(
        self,
        url: str,
        *,
        partition: int = 0,
        producer: str | None = SOURCE,
        now: datetime = NOW,
    ) -> None:
        self.now = now
        self.partition = partition
        self.producer = producer
        self.stream = f"coins:commands:{partition}" + (f":{producer}" if producer else "")
        self.connection = connect_for_commands(url, name="test")
        self.read = 0
        self.races = 0
        self.handled = Handled()
        self.routes: list[str] = []
        self.further: list[Any] = []
        self.epoch = self._take()

    def _take(self) -> int:
        """The partition, as a worker takes it when the lease of its owner has run out."""
        (epoch,) = self.one(
            "UPDATE partition SET epoch = epoch + 1, owner = 'test', "
            "lease_until = clock_timestamp() + interval '3 seconds' WHERE id = %s RETURNING epoch",
            self.partition,
        )
        found = self.all("SELECT position FROM position WHERE stream = %s", self.stream)
        self.read = int(found[0][0].partition("-")[0]) if found else 0
        taken: int = epoch
        return taken

    def batch(self, *bodies: bytes) -> Batch:
        """The next messages of the stream, as a batch; the desk's place moves only with `deliver`."""
        deliveries = [
            Delivery(self.stream, f"{self.read + number}-0", self.producer, body)
            for number, body in enumerate(bodies, 1)
        ]
        move = Move(self.stream, self._position(), f"{self.read + len(bodies)}-0")
        return Batch(self.partition, self.epoch, [move], deliveries)

    def _position(self) -> str:
        return f"{self.read}-0"

    def deliver(self, *bodies: bytes) -> list[Said]:
        batch = self.batch(*bodies)
        for race in range(RACES):
            # What comes back every time is no race: then the command at fault is looked for.
            batch.persistent = race == RACES - 1
            try:
                self.handled = handle(self.connection, batch, self.now)
                self.connection.commit()
                break
            except BatchRaced:
                self.connection.rollback()
                self.races += 1
            except BaseException:
                self.connection.rollback()
                raise
        else:
            raise AssertionError(f"{batch!r} lost {RACES} races in a row")
        self.read += len(bodies)
        return self._new_outcomes()

    def _new_outcomes(self) -> list[Said]:
        """What this desk's batch has put into the outbox, taken out of it as the relay would."""
        try:
            (row,) = self.one("SELECT currval(pg_get_serial_sequence('outbox', 'id'))")
        except psycopg.errors.ObjectNotInPrerequisiteState:
            self.connection.rollback()
            return []
        said: list[Said] = []
        self.routes = []
        self.further = []
        for (lines,) in self.all("DELETE FROM outbox WHERE id = %s RETURNING events", row):
            for line in lines.split(b"\n"):
                route, type_, raw = line.split(b" ", 2)
                self.routes.append(route.decode())
                if route.startswith(b"event."):
                    self.further.append(FURTHER_EVENTS.validate_json(raw))
                    assert self.further[-1].type == type_.decode()
                    continue
                said.append(OUTCOMES.validate_json(raw))
                assert said[-1].type == type_.decode()
        return said

    def all(self, query: str, *values: Any) -> list[Any]:
        """Rows, in a transaction of its own that is over when this returns."""
        with self.connection.cursor() as cursor:
            cursor.execute(query, values)
            rows = cursor.fetchall() if cursor.description else []
        self.connection.commit()
        return rows

    def one(self, query: str, *values: Any) -> Any:
        (row,) = self.all(query, *values)
        return row

    def dicts(self, query: str, *values: Any) -> list[dict[str, Any]]:
        with self.connection.cursor(row_factory=dict_row) as cursor:
            cursor.execute(query, values)
            rows = cursor.fetchall()
        self.connection.commit()
        return rows

    def letters(self) -> list[dict[str, Any]]:
        """The dead letters with their groups, oldest first."""
        return self.dicts(
            "SELECT d.*, g.reason, g.type, g.exception, g.frame, g.count AS group_count, g.kept "
            "FROM dead_letter d JOIN dead_letter_group g ON g.id = d.group_id ORDER BY d.id"
        )

    def account(self, id_: str) -> dict[str, Any]:
        (found,) = self.dicts(f"{_ACCOUNTS} WHERE a.account = %s", id_)
        return found

    def accounts_of(self, prefix: str) -> dict[str, dict[str, Any]]:
        return {
            one["account"]: one
            for one in self.dicts(
                f"{_ACCOUNTS} WHERE a.account >= %s AND a.account < %s", prefix, f"{prefix}~"
            )
        }

    def accounts(self) -> list[str]:
        return [id_ for (id_,) in self.all("SELECT account FROM account WHERE id > 0 ORDER BY id")]

    def lines(self) -> list[dict[str, Any]]:
        ids = dict(self.all("SELECT id, account FROM account"))
        transactions = {row[0]: row for row in self.all(_TRANSACTIONS)}
        entries = self.all(_ENTRIES)
        return [_line(entry, transactions[entry[0]], ids) for entry in entries if entry[1] in ids]

    def devices(self) -> dict[str, tuple[str | None, datetime | None]]:
        rows = self.all(
            "SELECT d.device, a.account, d.paid_until FROM device d LEFT JOIN account a ON a.id = d.account"
        )
        return {device: (owner, until) for device, owner, until in rows}

    def close(self) -> None:
        self.connection.close()


_ACCOUNTS = """
SELECT a.*, p.account AS parent, d.account AS draws_from, s.account AS sponsor,
       ARRAY(SELECT x.account FROM unnest(a.path) WITH ORDINALITY u(id, n) JOIN account x ON x.id = u.id ORDER BY n) AS path
FROM account a JOIN account p ON p.id = a.parent JOIN account d ON d.id = a.draws_from
LEFT JOIN account s ON s.id = a.sponsor"""
_TRANSACTIONS = """
SELECT id, time, type, top, account, item, devices, note, order_id, method, reference, payer, paid_currency, paid_amount,
       ordered_by, reverses, command_source, command_id, actor
FROM transaction"""
_ENTRIES = """
SELECT transaction, account, unit, amount, balance, version, top, type, time, counterparty, consumer
FROM entry ORDER BY transaction, account, version"""


def _line(entry: Sequence[Any], transaction: Sequence[Any], ids: dict[int, str]) -> dict[str, Any]:
    """An entry under the names of CONTRACT §9."""
    counterparty, consumer = entry[9], entry[10]
    return {
        "account": ids[entry[1]],
        "time": entry[8],
        "number": number_of(entry[0], transaction[1]),
        "type": entry[7],
        "category": CATEGORIES.get(entry[7], "System"),
        "unit": entry[2],
        "item": transaction[5],
        "devices": transaction[6],
        "amount": entry[3],
        "balance": entry[4],
        "version": entry[5],
        "counterparty": ids[counterparty] if counterparty is not None else None,
        "note": transaction[7],
        "order": transaction[8],
        "method": transaction[9],
        "reference": transaction[10],
        "payer": transaction[11],
        "consumer": ids[consumer] if consumer is not None else None,
        "command_source": transaction[16],
        "command_id": transaction[17],
        "ordered_by": transaction[14],
        "actor": transaction[18],
    }


def json_of(said: Said) -> dict[str, Any]:
    """The outcome event as a reader of the stream sees it."""
    parsed: dict[str, Any] = orjson.loads(said.model_dump_json())
    return parsed
