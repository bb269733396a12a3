"""Every scenario, against the pure core and against the ledger on PostgreSQL."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.queries.balance import balance
from ledger.queries.statement import statement
from messages.commands import COMMANDS
from messages.reasons import Reason
from tests.cases_runner import Case, cases, play
from tests.desk import LedgerDesk, PureDesk, json_of
from tests.ledger.decide.test_precedence import WALKS

CASES = cases()

# Where nothing refuses for them yet: the checks of producers and the archive of dead letters come later.
LATER = {Reason.NOT_AUTHORIZED, Reason.ABANDONED}
# What no scenario can come to: its clock stands still, and no command issues a bill. The walks do.
WALKED_ONLY = {Reason.HOLD_EXPIRED, Reason.BILL_ALREADY_CONFIRMED}
NEVER_APPLIED = {"ConfirmBill"}


class PureSpeaker:
    """Answers for the pure core as the command line does for a running system."""

    def __init__(self) -> None:
        self._desk = PureDesk()

    def send(self, event: dict[str, Any]) -> dict[str, Any]:
        return json_of(self._desk.ask(event))

    def balance(self, account: str) -> dict[str, Any]:
        found = self._desk.account(account)
        paying = [self._desk.account(found["draws_from"])]
        if found["sponsor"] is not None:
            paying.append(self._desk.account(found["sponsor"]))
        available = [one["credit"] + one["credit_limit"] - one["frozen"] for one in paying]
        return {
            **found,
            "draws_from": found["draws_from"] if found["funding"] == "shared" else None,
            "available": available[0],
            "spendable": max(0, min(available)),
        }

    def statement(self, account: str) -> list[dict[str, Any]]:
        lines = []
        for line in self._desk.lines():
            if line["account"] == account:
                lines.append(line)
            elif line["consumer"] == account and line["counterparty"] != account:
                # What a master has paid; a sponsor's entry stands beside one of its customer's own.
                lines.append({**line, "account": account, "paid_by": line["account"], "balance": None})
        return lines[::-1]


class LedgerSpeaker:
    """Answers for a ledger on PostgreSQL, with the queries that the command line asks."""

    def __init__(self, desk: LedgerDesk) -> None:
        self._desk = desk

    def send(self, event: dict[str, Any]) -> dict[str, Any]:
        return json_of(self._desk.ask(event))

    def balance(self, account: str) -> dict[str, Any]:
        return balance(self._desk.connection, account)._asdict()

    def statement(self, account: str) -> list[dict[str, Any]]:
        return [line._asdict() for line in statement(self._desk.connection, account).rows]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_scenario_goes_as_told_in_the_pure_core(case: Case) -> None:
    play(case, PureSpeaker())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_scenario_goes_as_told_on_postgresql(case: Case, module_database_url: str) -> None:
    desk = LedgerDesk(module_database_url)
    try:
        play(case, LedgerSpeaker(desk))
    finally:
        desk.close()


def test_every_reason_is_reached_by_a_scenario() -> None:
    reached = {Reason(reason) for case in CASES for reason in case.reasons}
    assert reached == set(Reason) - LATER - WALKED_ONLY


def test_what_no_scenario_can_come_to_is_walked() -> None:
    assert {row.reason for rows in WALKS.values() for row in rows} >= WALKED_ONLY


def test_every_command_is_applied_in_a_scenario() -> None:
    applied = {
        step["send"]["type"] for case in CASES for step in case.steps if step.get("expect") == "applied"
    }
    assert applied == set(COMMANDS) - NEVER_APPLIED
