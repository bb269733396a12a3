"""Random commands against three ledgers: the pure core, the one on PostgreSQL in batches, and a naive model. They agree.

`COINS_HYPOTHESIS_PROFILE=long` runs for an hour or so; it alone also looks for the shortest way to a difference.
"""

from __future__ import annotations

import os
from collections import Counter
from itertools import count
from random import Random
from typing import Any

import psycopg
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from tests.desk import SOURCE, LedgerDesk, PureDesk, Said, array_of, body_of
from tests.ledger.machine.commands import Asked, first, random_command
from tests.ledger.machine.model import NaiveLedger

LONG = os.environ.get("COINS_HYPOTHESIS_PROFILE") == "long"

ENTRIES = """
SELECT e.transaction, a.account, e.unit, e.amount, e.balance, e.type, t.reverses
FROM transaction t JOIN entry e ON e.transaction = t.id LEFT JOIN account a ON a.id = e.account
WHERE t.command_id LIKE %s
ORDER BY e.transaction, e.version"""
CRASHED = "SELECT count(*) FROM dead_letter_group WHERE reason <> 'invalid'"

_runs = count(1)


class Agreement(RuleBasedStateMachine):
    """What is asked goes to all three; what they answer and what they hold must be the same."""

    desk: LedgerDesk
    url: str

    def __init__(self) -> None:
        super().__init__()
        self.prefix = f"r{next(_runs)}-"
        self.pure = PureDesk()
        self.desk.now = self.pure.now
        self.model = NaiveLedger()
        self.sent: list[tuple[str, str, dict[str, Any], bool]] = []
        self.known: dict[str, tuple[Any, str | None]] = {}
        self.numbers: dict[str, list[str]] = {"pure": [], "ledger": []}

    @initialize()
    def begin(self) -> None:
        self._ask(first(), arrayed=True)

    @rule(seed=st.integers(0, 2**32 - 1), size=st.integers(1, 14), arrayed=st.booleans())
    def ask(self, seed: int, size: int, arrayed: bool) -> None:
        rng = Random(seed)
        self._ask([random_command(rng) for _ in range(size)], arrayed=arrayed)

    @rule(hours=st.sampled_from([1, 30, 24 * 40]))
    def time_passes(self, hours: int) -> None:
        self.pure.later(hours=hours)
        self.desk.now = self.pure.now

    def _ask(self, asked: list[Asked], *, arrayed: bool) -> None:
        events = [self._event(one) for one in asked]
        expected = [self._expected(*event) for event in events]
        found = {}
        for name, desk in (("ledger", self.desk), ("pure", self.pure)):
            bodies = [self._body(name, *event) for event in events]
            found[name] = desk.deliver(array_of(*bodies)) if arrayed else desk.deliver(*bodies)
            self.numbers[name] += _numbers(found[name])
        for name, said in found.items():
            answers = [(one.data.reason, one.data.duplicate) for one in said]
            assert answers == expected, f"{name} answered {answers}, expected {expected} to {events}"
        self._compare()

    def _event(self, asked: Asked) -> tuple[str, str, dict[str, Any], bool]:
        """An id, a name, data with transactions as indexes, and whether it is valid."""
        data = self._own(asked.data)
        if "transaction" in data:
            newest = len(self.model.postings) - 1 - data["transaction"]
            data["transaction"] = newest if newest >= 0 else None
        id_, name, valid = f"{self.prefix}{len(self.sent)}", asked.name, asked.valid
        if asked.key != "new" and self.sent:
            earlier = self.sent[-1 - asked.earlier % len(self.sent)]
            if asked.key == "repeat":
                id_, name, data, valid = earlier
            else:
                id_ = earlier[0]
        event = (id_, name, data, valid)
        self.sent.append(event)
        return event

    def _own(self, value: Any) -> Any:
        if isinstance(value, str):
            return value.replace("$", self.prefix) if value.startswith("$") else value
        if isinstance(value, list):
            return [self._own(one) for one in value]
        if isinstance(value, dict):
            return {key: self._own(one) for key, one in value.items()}
        return value

    def _expected(self, id_: str, name: str, data: dict[str, Any], valid: bool) -> tuple[str | None, bool]:
        if not valid:
            return "invalid_message", False
        content = (name, _content(name, data))
        if id_ in self.known:
            first, reason = self.known[id_]
            return (reason, True) if first == content else ("idempotency_conflict", False)
        reason = self.model.decide(name, data, self.pure.now)
        self.known[id_] = (content, reason)
        return reason, False

    def _body(self, ledger: str, id_: str, name: str, data: dict[str, Any], valid: bool) -> bytes:
        if "transaction" in data:
            index, numbers = data["transaction"], self.numbers[ledger]
            number = "T-2026-0000000000" if index is None else numbers[index]
            data = {**data, "transaction": number}
        return body_of({"type": name, "id": id_, "source": SOURCE, "data": data})

    def _compare(self) -> None:
        here, there = self.pure.accounts_of(self.prefix), self.desk.accounts_of(self.prefix)
        for name, held in (("ledger", there), ("pure", here)):
            assert set(held) == set(self.model.holders)
            for id_, holder in self.model.holders.items():
                told = f"{id_} in {name}"
                assert held[id_]["credit"] == holder.credit, told
                assert held[id_]["credit_limit"] == holder.limit, told
                assert held[id_]["funding"] == holder.funding, told
                assert held[id_]["state"] == holder.state, told
                assert held[id_]["frozen"] == 0, told
                if holder.state != "closed":
                    assert held[id_]["draws_from"] == self.model.master(id_), told
                    sponsor = self.model.sponsor(id_) if holder.funding == "sponsored" else None
                    assert held[id_]["sponsor"] == sponsor, told
        for id_ in here:
            assert [here[id_][name] for name in ("reference", "version")] == [
                there[id_][name] for name in ("reference", "version")
            ]
        for name, desk in (("ledger", self.desk), ("pure", self.pure)):
            found = {id_: has for id_, has in desk.devices().items() if id_.startswith(self.prefix)}
            assert found == self.model.devices, name

    def teardown(self) -> None:
        """The books of this run, entry by entry."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            entries = connection.execute(ENTRIES, (f"{self.prefix}%",)).fetchall()
            crashed = connection.execute(CRASHED).fetchone()
        assert crashed == (0,)
        sums: Counter[Any] = Counter()
        credit: Counter[str] = Counter()
        charged: Counter[int] = Counter()
        given_back: Counter[int] = Counter()
        for transaction, account, unit, amount, balance, type_, reverses in entries:
            sums[transaction, unit] += amount
            if account is None:
                continue
            credit[account] += amount
            assert balance == credit[account], f"{transaction} of {account}"
            charged[transaction] += -amount if type_ in ("onboarding", "renewal") else 0
            given_back[reverses] += amount if type_ == "refund" else 0
        assert not any(sums.values())
        for transaction, amount in given_back.items():
            assert amount <= charged[transaction] or transaction is None
        for id_, holder in self.model.holders.items():
            assert credit[id_] == holder.credit


def _numbers(said: list[Said]) -> list[str]:
    """Of the transactions that were posted just now."""
    return [one.data.transaction for one in said if one.data.transaction and not one.data.duplicate]


def _content(name: str, data: dict[str, Any]) -> Any:
    """What a command says, whatever of its defaults is spelled out."""
    defaults: dict[str, Any] = {
        "OpenAccount": {"funding": "own", "credit_limit": 0},
        "TopUp": {"method": "offline"},
        "Transfer": {"ordered_by": data.get("from_account")},
    }.get(name, {})
    return {**defaults, **data}


@pytest.mark.timeout(7_200 if LONG else 180)
def test_three_ledgers_agree(desk: LedgerDesk, database_url: str) -> None:
    class Here(Agreement):
        pass

    Here.desk, Here.url = desk, database_url
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Here,
        settings=settings(
            max_examples=1_500 if LONG else 60,
            stateful_step_count=50 if LONG else 30,
            deadline=None,
            phases=[phase for phase in Phase if LONG or phase is not Phase.shrink],
        ),
    )
