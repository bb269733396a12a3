"""Verification finds what was changed behind the ledger's back, and nothing where nothing was."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from ledger.database import connect
from ledger.queries.consistency import CHECKS
from ledger.verify import MAX_DIFFERENCES, Verification, verify
from tests import builders as a
from tests.desk import SOURCE, LedgerDesk

Tampering = psycopg.Connection[Any]


def fill(desk: LedgerDesk) -> None:
    """Something of everything: a tree, every command that posts, refusals, a reference that is free again."""
    desk.do(a.enterprise(), a.branch("north"), a.department("dept", "north"))
    desk.do(a.distributor(), a.reseller("second", "dist"), a.sponsored_customer("carl", "second"))
    desk.ask(a.top_up("acme", 1_000, reference="R-1", method="bank"), id="recharge")
    bounced = desk.do(a.top_up("acme", 5, reference="R-2", method="bank"))
    desk.do(a.reversal(bounced), a.top_up("acme", 6, reference="R-2", method="bank"))
    desk.later(seconds=1)
    desk.ask(a.transfer("acme", "north", 300), id="transfer")
    desk.later(seconds=1)
    charge = desk.do(a.onboarding("dept", "d1", "d2", price=10))
    desk.do(a.refund(charge, 4), a.refund(charge, 6), a.adjustment("acme", -3))
    desk.ask(a.onboarding("north", "d3"), id="charge")
    desk.ask(a.top_up("nobody"), id="refused")
    desk.do(a.enterprise("gone"), a.closing("gone"))


@pytest.fixture(scope="module")
def filled(module_database_url: str) -> Iterator[Tampering]:
    """A ledger whose triggers do not fire, so that everything can be changed."""
    desk = LedgerDesk(module_database_url)
    fill(desk)
    desk.close()
    connection = connect(module_database_url, name="test verify")
    connection.execute("SET session_replication_role = replica")
    yield connection
    connection.close()


def found_by(result: Verification) -> dict[str, list[tuple[str, str, str]]]:
    found: dict[str, list[tuple[str, str, str]]] = {}
    for one in result.differences:
        found.setdefault(one.check, []).append((one.where, one.expected, one.found))
    return found


def test_a_sound_ledger_has_no_difference(filled: Tampering) -> None:
    told: list[str] = []

    result = verify(filled, told.append)

    assert result.differences == []
    assert result.checks == [check.name for check in CHECKS] + ["outcome", "message"]
    assert result.checked["entry"] == 20
    assert result.checked["command"] == 19
    assert len(told) == len(result.checks) + 1


ENTRY = "(SELECT transaction FROM command WHERE id = '{}')"
CHARGE, TRANSFER, RECHARGE = (ENTRY.format(id_) for id_ in ("charge", "transfer", "recharge"))
ACCOUNT = "(SELECT id FROM account WHERE account = '{}')"
ACME, NORTH, CARL, DIST = (ACCOUNT.format(id_) for id_ in ("acme", "north", "carl", "dist"))


@pytest.mark.parametrize(
    ("change", "checks"),
    [
        # entries
        (
            f"UPDATE entry SET amount = amount - 1 WHERE transaction = {CHARGE} AND account > 0",
            {"balanced", "figures", "message", "steps"},
        ),
        (f"UPDATE entry SET unit = 'allotment' WHERE transaction = {CHARGE} AND account > 0", {"balanced"}),
        (
            f"UPDATE entry SET balance = balance + 1 WHERE transaction = {TRANSFER} AND account = {ACME}",
            {"figures_told", "steps"},
        ),
        (
            f"UPDATE entry SET balance = balance + 1 WHERE transaction = {CHARGE} AND account = {NORTH}",
            {"figures", "figures_told", "steps"},
        ),
        (
            f"DELETE FROM entry WHERE transaction = {TRANSFER} AND account = {ACME}",
            {"balanced", "figures", "message", "steps"},
        ),
        (f"DELETE FROM entry WHERE transaction = {CHARGE} AND account = {NORTH}", {"balanced", "figures"}),
        (f"DELETE FROM entry WHERE transaction = {CHARGE} AND account < 0", {"balanced", "totals"}),
        (f"DELETE FROM entry WHERE transaction = {CHARGE}", {"has_entries", "figures", "totals"}),
        (
            f"UPDATE entry SET version = version + 100 WHERE transaction = {CHARGE} AND account > 0",
            {"steps", "figures"},
        ),
        (f"UPDATE entry SET top = top + 1 WHERE transaction = {CHARGE} AND account > 0", {"belonging"}),
        (f"UPDATE entry SET top = top + 1 WHERE transaction = {CHARGE} AND account < 0", {"belonging"}),
        (f"UPDATE entry SET type = 'renewal' WHERE transaction = {CHARGE} AND account > 0", {"belonging"}),
        (
            f"UPDATE entry SET time = time - interval '1 day' WHERE transaction = {CHARGE} AND account > 0",
            {"belonging", "steps"},
        ),
        (
            f"UPDATE entry SET account = 999 WHERE transaction = {CHARGE} AND account > 0",
            {"belonging", "figures"},
        ),
        (f"UPDATE entry SET account = -9 WHERE transaction = {CHARGE} AND account < 0", {"belonging"}),
        (f"UPDATE entry SET counterparty = 999 WHERE transaction = {TRANSFER}", {"referred"}),
        (f"UPDATE entry SET consumer = 999 WHERE transaction = {CHARGE} AND account > 0", {"referred"}),
        # accounts
        (f"UPDATE account SET credit = credit + 1 WHERE id = {NORTH}", {"figures", "totals"}),
        (f"UPDATE account SET version = version + 1 WHERE id = {NORTH}", {"figures"}),
        (f"UPDATE account SET posted_at = posted_at + interval '1 s' WHERE id = {NORTH}", {"figures"}),
        (f"UPDATE account SET frozen = 1 WHERE id = {NORTH}", {"open"}),
        (f"UPDATE account SET path = ARRAY[{DIST}, id] WHERE id = {CARL}", {"place"}),
        (f"UPDATE account SET parent = 999 WHERE id = {CARL}", {"place"}),
        (f"UPDATE account SET sponsor = parent WHERE id = {CARL}", {"payers"}),
        (f"UPDATE account SET sponsor = NULL WHERE id = {CARL}", {"payers"}),
        (f"UPDATE account SET draws_from = {ACME} WHERE id = {NORTH}", {"payers"}),
        (f"UPDATE account SET draws_from = {ACME} WHERE account = 'dept'", {"payers"}),
        # transactions and commands
        (
            f"DELETE FROM transaction WHERE id = {CHARGE}",
            {"belonging", "has_transaction", "message", "outcome"},
        ),
        (
            f"UPDATE transaction SET account = {DIST} WHERE id = {CHARGE}",
            {"figures_told", "for_whom", "message"},
        ),
        (
            "UPDATE transaction SET command_id = 'x' WHERE command_id = 'charge'",
            {"has_command", "has_transaction"},
        ),
        ("DELETE FROM command WHERE id = 'charge'", {"has_command", "message"}),
        ("UPDATE command SET transaction = NULL WHERE id = 'charge'", {"has_command", "outcome"}),
        (
            "UPDATE command SET reason = 'expired' WHERE id = 'charge'",
            {"has_command", "has_transaction", "outcome"},
        ),
        (
            "UPDATE command c SET transaction = other.transaction FROM command other "
            "WHERE (c.id, other.id) IN (('charge', 'transfer'), ('transfer', 'charge'))",
            {"figures_told", "has_command", "has_transaction", "message", "outcome"},
        ),
        (
            "UPDATE command c SET outcome = other.outcome FROM command other "
            "WHERE (c.id, other.id) IN (('charge', 'transfer'), ('transfer', 'charge'))",
            {"figures_told", "outcome"},
        ),
        ("UPDATE command SET reason = 'expired' WHERE id = 'refused'", {"outcome"}),
        ("UPDATE command SET outcome = left(outcome, 20) WHERE id = 'charge'", {"figures_told", "outcome"}),
        ("UPDATE command SET outcome = '[]' WHERE id = 'charge'", {"figures_told", "outcome"}),
        # the rest
        ("UPDATE device SET account = (SELECT id FROM account WHERE account = 'gone')", {"devices"}),
        ("UPDATE device SET account = 999 WHERE device = 'd1'", {"devices"}),
        (
            "UPDATE recharge_reference SET transaction = NULL WHERE reference = 'R-1'",
            {"holds_reference"},
        ),
        ("DELETE FROM recharge_reference WHERE reference = 'R-1'", {"holds_reference"}),
        (
            f"UPDATE recharge_reference SET transaction = {RECHARGE} WHERE reference = 'R-2'",
            {"references", "holds_reference"},
        ),
        (
            "UPDATE recharge_reference SET transaction = (SELECT reverses FROM transaction WHERE type = "
            "'recharge_reversal') WHERE reference = 'R-2'",
            {"references", "holds_reference"},
        ),
        ("UPDATE returned SET amount = amount - 1", {"returned"}),
        ("DELETE FROM returned WHERE amount = 10", {"returned"}),
        (
            f"INSERT INTO returned VALUES ({RECHARGE}, 5)",
            {"returned", "references"},
        ),
        (
            f"UPDATE transaction SET reverses = {CHARGE} WHERE type = 'refund'",
            {"returned"},
        ),
    ],
)
def test_what_was_changed_behind_its_back_is_found(filled: Tampering, change: str, checks: set[str]) -> None:
    # Given a change that leaves no other trace
    changed: int
    with Undone(filled, change) as changed:
        assert changed > 0
        # When everything is recomputed
        result = verify(filled)

    # Then exactly the checks that it breaks have found it
    assert found_by(result).keys() == checks


TABLES = ("account", "transaction", "entry", "command", "device", "recharge_reference", "returned")


class Undone:
    """A change that is there for others to see, and gone afterwards: copies of the tables are put back."""

    def __init__(self, connection: Tampering, change: str, tables: tuple[str, ...] = TABLES) -> None:
        self.connection = connection
        self.change = change
        self.tables = tables

    def __enter__(self) -> int:
        for table in self.tables:
            self.connection.execute(f"CREATE TEMP TABLE kept_{table} AS TABLE {table}")
        return self.connection.execute(self.change).rowcount

    def __exit__(self, *_: object) -> None:
        with self.connection.transaction():
            for table in self.tables:
                self.connection.execute(f"DELETE FROM {table}")
                self.connection.execute(f"INSERT INTO {table} OVERRIDING SYSTEM VALUE TABLE kept_{table}")
                self.connection.execute(f"DROP TABLE kept_{table}")


def test_a_difference_says_what_where_and_how(filled: Tampering) -> None:
    with Undone(
        filled, f"UPDATE entry SET balance = balance + 1 WHERE transaction = {TRANSFER} AND account = {ACME}"
    ):
        result = verify(filled)

    # One step is wrong, and the next one back is, too: not every entry after it
    first, second = (one for one in result.differences if one.check == "steps")
    assert first.where == "entry of acme version 5"
    assert (first.expected, first.found) == ("balance 706", "balance 707")
    assert "versions without gaps" in first.what
    assert (second.where, second.expected, second.found) == (
        "entry of acme version 6",
        "balance 704",
        "balance 703",
    )


def test_of_very_many_differences_the_first_are_told(filled: Tampering) -> None:
    many = (
        "INSERT INTO command SELECT 'x', 'x-' || n, '', now(), NULL, NULL, '{}', 0, 0, 0 "
        f"FROM generate_series(1, {MAX_DIFFERENCES + 5}) n"
    )
    with Undone(filled, many):
        result = verify(filled)

    assert len(result.differences) == MAX_DIFFERENCES
    assert result.cut_off == ["outcome"]


def test_it_writes_nothing_and_leaves_the_connection_as_it_was(desk: LedgerDesk, database_url: str) -> None:
    desk.do(a.enterprise())
    with connect(database_url, name="test verify") as connection:
        verify(connection)

        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
        connection.execute("CREATE TEMP TABLE still_writable ()")


def test_what_is_posted_meanwhile_makes_no_difference(desk: LedgerDesk, database_url: str) -> None:
    # Given a verification that goes on while commands are applied
    desk.do(a.enterprise())
    with connect(database_url, name="test verify") as connection:
        result = verify(connection, lambda _: desk.do(a.top_up("acme", 1)) and None)

    assert result.differences == []
    assert desk.credit("acme") == len(result.checks) + 1


def test_source_is_named_with_the_id(filled: Tampering) -> None:
    with Undone(filled, "UPDATE command SET reason = 'expired' WHERE id = 'refused'"):
        (difference,) = verify(filled).differences

    assert difference.where == f"command {SOURCE} refused"
    assert difference.expected == "reason expired, transaction nothing"
    assert difference.found == "reason account_not_found, transaction nothing"
