"""Random commands against three ledgers: the pure core, the one on PostgreSQL in batches, and a naive model. They agree.

`COINS_HYPOTHESIS_PROFILE=long` runs for an hour or so; it alone also looks for the shortest way to a difference.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import count
from random import Random
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import psycopg
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from ledger import records
from ledger.records import Phone, Row
from ledger.verify import verify
from messages.commands import COMMANDS
from tests.desk import SOURCE, LedgerDesk, PureDesk, Said, array_of, body_of
from tests.ledger.machine.commands import Asked, first, random_command
from tests.ledger.machine.naive import books
from tests.ledger.machine.naive.books import CHARGES
from tests.ledger.machine.naive.ledger import PRECEDENCE, NaiveLedger
from tests.ledger.machine.sides import LedgerSide, PureSide, Side, named, shown
from tests.ledger.machine.world import World

LONG = os.environ.get("COINS_HYPOTHESIS_PROFILE") == "long"

ENTRIES = """
SELECT e.transaction, a.account, e.unit, e.amount, e.balance, e.type, t.reverses
FROM transaction t JOIN entry e ON e.transaction = t.id LEFT JOIN account a ON a.id = e.account
WHERE t.command_id LIKE %s
ORDER BY e.transaction, e.version"""
TRANSACTIONS = """
SELECT t.type, a.account FROM transaction t JOIN account a ON a.id = t.account
WHERE t.command_id LIKE %s
ORDER BY t.id"""
CRASHED = "SELECT count(*) FROM dead_letter_group WHERE reason <> 'invalid'"

TABLES: dict[type[Row], tuple[type, str]] = {
    records.Device: (books.Device, "devices"),
    records.Order: (books.Order, "orders"),
    records.Session: (books.Session, "sessions"),
    records.Hold: (books.Hold, "holds"),
    records.Resource: (books.Resource, "resources"),
    records.Subscription: (books.Subscription, "subscriptions"),
    records.SubscriptionCycle: (books.PaidCycle, "cycles"),
    records.Bill: (books.Bill, "bills"),
    records.CustomWarning: (books.CustomWarning, "warnings"),
    records.Export: (books.Export, "exports"),
}

_runs = count(1)


class Sent(NamedTuple):
    """A message: an id, a name, data with transactions as indexes, whether it is valid, and whether it comes too late."""

    id: str
    name: str
    data: dict[str, Any]
    valid: bool
    late: bool


class Answer(NamedTuple):
    """What is expected; `transaction` is an index, `figures` are those of all accounts right after it."""

    reason: str | None
    duplicate: bool = False
    transaction: int | None = None
    figures: Any = None


class Agreement(RuleBasedStateMachine):
    """What is asked goes to all three; what they answer and what they hold must be the same.

    tally: how often each command got each answer, over all runs.
    """

    desk: LedgerDesk
    url: str
    tally: Counter[tuple[str, str | None]]

    def __init__(self) -> None:
        super().__init__()
        self.prefix = f"r{next(_runs)}-"
        pure = PureDesk()
        self.desk.now = pure.now
        self.model = NaiveLedger()
        self.sides: dict[str, Side] = {
            "ledger": LedgerSide(self.desk, self.prefix),
            "pure": PureSide(pure),
        }
        self.sent: list[Sent] = []
        self.known: dict[str, tuple[Any, Answer]] = {}
        self.agreed = False

    @property
    def now(self) -> datetime:
        return self.desk.now

    @initialize()
    def begin(self) -> None:
        self._ask(first(self.prefix), arrayed=True)

    @rule(
        seed=st.integers(0, 2**24 - 1),
        size=st.integers(1, 40),
        arrayed=st.booleans(),
        before=st.sampled_from([None, None, None, "hours", "days", "month", "month", "missed"]),
    )
    def ask(self, seed: int, size: int, arrayed: bool, before: str | None) -> None:
        rng = Random(seed + len(self.sent))
        match before:
            case "hours":
                self._pass(timedelta(hours=rng.choice([1, 30])))
            case "days":
                self._pass(timedelta(days=rng.choice([7, 40])))
            case "month":
                self._pass(timedelta(days=31))
                self._bill()
            case "missed":
                self._miss_payments(rng)
        world = World(rng, self.prefix, self.model, self.now, len(self.model.postings))
        self._ask((random_command(world) for _ in range(size)), arrayed=arrayed)

    def _pass(self, by: timedelta) -> None:
        for side in self.sides.values():
            side.desk.now += by

    def _bill(self) -> None:
        """What the job does when a month has ended."""
        for id_, holder in self.model.holders.items():
            here = self.now.astimezone(ZoneInfo(holder.timezone)).date()
            month = (here.replace(day=1) - timedelta(days=1)).replace(day=1)
            self.model.issue(id_, month, self.now)
            for side in self.sides.values():
                side.issue(self.model, id_, month)

    def _miss_payments(self, rng: Random) -> None:
        """What the job does to subscriptions whose payment is refused."""
        for name, one in self.model.subscriptions.items():
            if one.status != "canceled" and one.next_payment_at and one.next_payment_at <= self.now:
                one.status = rng.choice(["past_due", "suspended"])
                for side in self.sides.values():
                    side.miss_payment(name, one.status)

    def _ask(self, asked: Iterable[Asked], *, arrayed: bool) -> None:
        messages: list[Sent] = []
        expected: list[Answer] = []
        for one in asked:
            message = self._message(one)
            messages.append(message)
            expected.append(self._expected(message))
        self.agreed = False
        for name, side in self.sides.items():
            bodies = [self._body(side, message) for message in messages]
            said = side.desk.deliver(array_of(*bodies)) if arrayed else side.desk.deliver(*bodies)
            side.learn()
            for message, one, answer in zip(messages, said, expected, strict=True):
                self._check(name, side, message, one, answer)
            assert len(side.numbers) == len(self.model.postings)
            self._compare(name, side)
        self.agreed = True

    def _check(self, name: str, side: Side, message: Sent, said: Said, expected: Answer) -> None:
        found = said.data
        answered = (found.reason, found.duplicate)
        assert answered == (expected.reason, expected.duplicate), f"{name} to {message}: {found.message}"
        number = None if expected.transaction is None else side.numbers[expected.transaction]
        assert found.transaction == number, f"{name} to {message}"
        for account in found.accounts:
            figures = (account.credit, account.credit_limit, account.frozen, account.available)
            assert figures == expected.figures[account.account], f"{name} to {message}"

    def _message(self, asked: Asked) -> Sent:
        message = Sent(
            f"{self.prefix}{len(self.sent)}", asked.name, asked.data, asked.valid, asked.key == "late"
        )
        if asked.key in ("repeat", "steal") and self.sent:
            earlier = self.sent[-1 - asked.earlier % len(self.sent)]
            # What was decided once is told again, however late.
            again = earlier._replace(late=earlier.late or asked.earlier % 2 == 0)
            message = again if asked.key == "repeat" else message._replace(id=earlier.id)
        self.sent.append(message)
        return message

    def _expected(self, message: Sent) -> Answer:
        if not message.valid:
            return Answer("invalid_message")
        content = (message.name, _content(message.name, message.data))
        if message.id in self.known:
            known, answer = self.known[message.id]
            return answer._replace(duplicate=True) if known == content else Answer("idempotency_conflict")
        before = len(self.model.postings)
        reason = "expired" if message.late else self.model.decide(message.name, message.data, self.now)
        posted = len(self.model.postings)
        number = posted - 1 if posted > before else None
        answer = Answer(reason, False, number, self.model.figures())
        self.known[message.id] = (content, answer)
        self.tally[message.name, reason] += 1
        return answer

    def _body(self, side: Side, message: Sent) -> bytes:
        data = message.data
        if "transaction" in data:
            index = data["transaction"]
            data = {**data, "transaction": "T-2026-0000000000" if index is None else side.numbers[index]}
        event = {"type": message.name, "id": message.id, "source": SOURCE, "data": data}
        if message.late:
            event["expirytime"] = "2026-01-01T00:00:00Z"
        return body_of(event)

    # What they hold

    def _compare(self, name: str, side: Side) -> None:
        held = side.desk.accounts_of(self.prefix)
        assert set(held) == set(self.model.holders)
        entries, figures = side.entries(), self.model.figures()
        for id_, holder in self.model.holders.items():
            found = held[id_]
            expected = {
                **vars(holder),
                "frozen": figures[id_][2],
                "running": self.model.running(id_),
                "settled": self.model.settled(id_),
            }
            if holder.state != "closed":
                expected |= {"draws_from": self.model.master(id_), "sponsor": self.model.sponsor(id_)}
            assert {field: found[field] for field in expected} == expected, f"{id_} in {name}"
            assert entries.get(id_, (0, 0)) == (holder.credit, found["version"]), (
                f"entries of {id_} in {name}"
            )
        ids = {one["id"]: id_ for id_, one in held.items()}
        rows = side.rows([*TABLES, Phone])
        for kind, (shape, known) in TABLES.items():
            expected_rows = {key: shown(one, kind) for key, one in getattr(self.model, known).items()}
            found_rows = named(rows[kind], kind, shape, ids, side.keys)
            assert found_rows == expected_rows, f"{kind.__name__} in {name}"
        phones = {row.phone: row.session for row in rows[Phone]}
        assert phones == self.model.phones(), f"phones in {name}"

    def teardown(self) -> None:
        """The books of this run, entry by entry."""
        if not self.agreed:
            return
        with psycopg.connect(self.url, autocommit=True) as connection:
            entries = connection.execute(ENTRIES, (f"{self.prefix}%",)).fetchall()
            transactions = connection.execute(TRANSACTIONS, (f"{self.prefix}%",)).fetchall()
            crashed = connection.execute(CRASHED).fetchone()
        assert crashed == (0,)
        assert transactions == [(one.type, one.account) for one in self.model.postings]
        sums: Counter[Any] = Counter()
        credit: Counter[str] = Counter()
        held: Counter[tuple[str, str]] = Counter()
        charged: Counter[tuple[int, str]] = Counter()
        given_back: Counter[tuple[int, str]] = Counter()
        allotted: dict[str, Counter[str]] = {id_: Counter() for id_ in self.model.holders}
        for transaction, account, unit, amount, balance, type_, reverses in entries:
            sums[transaction, unit] += amount
            if account is None:
                continue
            credit[account] += amount
            held[account, unit] += amount
            assert balance == credit[account], f"{transaction} of {account}"
            charged[transaction, unit] -= amount if type_ in CHARGES else 0
            given_back[reverses, unit] += amount if type_ == "refund" else 0
            if unit == "allotment":
                allotted[account]["charge" if type_ in CHARGES else type_] += amount
        assert not any(sums.values())
        for (transaction, unit), amount in given_back.items():
            assert amount <= charged[transaction, unit] or transaction is None
        for id_, holder in self.model.holders.items():
            unit, other = ("allotment", "coin") if holder.funding == "sponsored" else ("coin", "allotment")
            assert (held[id_, unit], held[id_, other]) == (holder.credit, 0)
            self._recount(id_, allotted[id_])

    def _recount(self, id_: str, by: Counter[str]) -> None:
        """An account's allotment: granted, reclaimed, charged and returned as told, and no more refunded than charged."""
        told: Counter[str] = Counter()
        for one in self.model.postings:
            if one.account == id_ and one.type in ("allocation", "credit_return"):
                told[one.type] += one.amount
            elif one.account == id_ and one.type == "reclaim":
                told[one.type] -= one.amount
            elif one.account == id_ and one.allotment:
                told["charge"] -= one.amount
        refunded = by.pop("refund", 0)
        assert by == told
        assert refunded + told["credit_return"] <= -told["charge"]


def _content(name: str, data: dict[str, Any]) -> Any:
    """What a command says, whatever of its defaults is spelled out."""
    defaults: dict[str, Any] = {
        "OpenAccount": {"funding": "own", "credit_limit": 0, "timezone": "UTC"},
        "TopUp": {"method": "offline"},
        "Transfer": {"ordered_by": data.get("from_account")},
        "PlaceOrder": {"quantity": 1, "pay": "now", "method": "balance"},
        "CaptureHold": {"final": True},
        "Subscribe": {"goods": [], "payment_method": "balance"},
        "CancelSubscription": {"at": "period_end"},
        "RequestExport": {"format": "xlsx"},
    }.get(name, {})
    return {**defaults, **data}


@pytest.mark.timeout(7_200 if LONG else 180)
def test_three_ledgers_agree(desk: LedgerDesk, database_url: str) -> None:
    class Here(Agreement):
        pass

    Here.desk, Here.url, Here.tally = desk, database_url, Counter()
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Here,
        settings=settings(
            max_examples=1_500 if LONG else 20,
            stateful_step_count=50 if LONG else 16,
            deadline=None,
            phases=[phase for phase in Phase if LONG or phase is not Phase.shrink],
        ),
    )
    applied = {name for name, reason in Here.tally if reason is None}
    reached = {reason for _, reason in Here.tally}
    assert applied == set(COMMANDS)
    assert len(set(PRECEDENCE) - reached) <= 5
    with psycopg.connect(database_url) as connection:
        assert verify(connection).differences == []
