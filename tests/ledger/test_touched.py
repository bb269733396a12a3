"""Accounts that were changed are noted with the change, and taken with what it causes."""

from __future__ import annotations

from ledger.touched import Touched, last, take, touch
from tests import builders as a
from tests.desk import LedgerDesk


def test_whoever_is_changed_pays_or_is_warned_about_is_noted(desk: LedgerDesk) -> None:
    def noted() -> set[str]:
        rows = desk.all(
            "WITH gone AS (DELETE FROM touched RETURNING accounts) "
            "SELECT a.account FROM gone JOIN account a ON a.id = ANY(gone.accounts)"
        )
        return {account for (account,) in rows}

    desk.do(a.enterprise(), a.branch(), a.department(), a.top_up())
    assert noted() == {"acme"}
    desk.do(a.transfer())
    assert noted() == {"acme", "north"}
    desk.do(a.power_on(account="dept"))
    assert noted() == {"acme", "dept"}
    desk.do(a.suspend("north"))
    assert noted() == {"north"}
    desk.do(a.warning("w1", "north"))
    assert noted() == {"north"}
    desk.do(a.remove_warning("w1"))
    assert noted() == {"north"}
    assert desk.refused(a.order("o1", price=10_000)) is not None
    assert noted() == set()


def test_rows_are_taken_in_portions_of_about_so_many_accounts(desk: LedgerDesk) -> None:
    for accounts in ([1, 2], [2, 3], [4], [5]):
        until = touch(desk.connection, accounts)
    assert last(desk.connection) == until
    found, after = [], 0
    while (taken := take(desk.connection, after=after, until=until, most=3)) is not None:
        found.append(taken)
        after = taken.last
    assert found == [Touched(until - 2, [1, 2, 3]), Touched(until, [4, 5])]
    assert last(desk.connection) == 0
