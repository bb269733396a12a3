"""An export for an account has nothing of anybody outside of its subtree, whatever is chosen."""

from __future__ import annotations

import csv
from typing import Any

import pytest

from ledger.errors import NotFound, QueryInvalid
from messages.commands import ExportFormat
from messages.reports import FILTERS, SWITCHES, Report
from tests.workers.exports.conftest import ACME, BETA, Export
from workers.exports.reports import LISTS

COMMON = {Report.PLANS, Report.PAYMENT_METHODS}
NAMING = {"account", "under", "reseller", "customer"}
# What is called `beta…`, whatever it is, is of the other tree; these are its accounts.
FOREIGN = (*BETA, "nobody", "platform")
VALUES: dict[str, Any] = {
    "from": "2020-01-01",
    "to": "2030-01-01",
    "expiring-within": 36_500,
    "search": "a",
    "type": ["transfer", "order", "onboarding", "allocation"],
    "category": ["Expense", "System", "Recharge"],
    "item": ["Pro beta", "Pro acme"],
    "device": ["beta-d1", "acme-d1"],
    "order": ["beta-o1", "acme-o1"],
    "actor": ["bo"],
    "product": ["Pro beta", "Pro acme"],
    "phone": ["p1"],
    "state": ["active"],
    "payment-method": ["balance"],
}
CHOICES = {
    Report.ACCOUNTS: {"kind": ["reseller", "branch", "customer"]},
    Report.ORDERS: {"kind": ["package"], "status": ["completed"]},
    Report.SUBSCRIPTIONS: {"kind": ["package"], "status": ["active"]},
    Report.BILLS: {"status": ["issued"]},
    Report.PLANS: {"kind": ["package"]},
}


def cells(export: Export, report: Report, whose: str | None, /, **filters: Any) -> list[list[str]]:
    path = export(report, whose, filters=filters, format=ExportFormat.CSV).path
    with path.open(encoding="utf-8-sig", newline="") as file:
        _, *rows = csv.reader(file)
    return rows


def foreign(rows: list[list[str]]) -> list[list[str]]:
    return [row for row in rows if any(cell in BETA or cell.startswith("beta") for cell in row)]


def without_times(rows: list[list[str]]) -> list[list[str]]:
    """An operator's are in another zone."""
    return [[cell for cell in row if not cell.endswith(":00")] for row in rows]


@pytest.mark.parametrize("report", [report for report in LISTS if report not in COMMON])
@pytest.mark.parametrize("account", ACME)
def test_every_list_is_kept_within_the_account_whatever_is_chosen(
    export: Export, report: Report, account: str
) -> None:
    # Given that an operator sees both trees
    assert foreign(cells(export, report, "beta" if LISTS[report].of_account else None))
    # When the account's list is chosen from by everything that it can be chosen by
    known = {**VALUES, **CHOICES.get(report, {}), **dict.fromkeys(SWITCHES, True)}
    for flag in sorted(FILTERS[report] - NAMING):
        # Then nothing of the other tree is in it
        assert not foreign(cells(export, report, account, **{flag: known[flag]}))
    assert not foreign(cells(export, report, account))


@pytest.mark.parametrize("report", [report for report in LISTS if FILTERS[report] & NAMING])
@pytest.mark.parametrize("stranger", FOREIGN)
def test_a_filter_cannot_name_an_account_outside(export: Export, report: Report, stranger: str) -> None:
    for flag in FILTERS[report] & NAMING:
        for value in (stranger, [stranger], ["acme", stranger]):
            with pytest.raises(QueryInvalid, match=f"'{stranger}' is neither acme nor an account below it"):
                cells(export, report, "acme", **{flag: value})
        # Not even its own parent
        with pytest.raises(QueryInvalid, match="'acme' is neither north nor"):
            cells(export, report, "north", **{flag: "acme"})


def test_a_filter_may_name_an_account_within(export: Export) -> None:
    assert {row[0] for row in cells(export, Report.ACCOUNTS, "acme", under="north")} == {"dept"}
    assert {row[4] for row in cells(export, Report.ORDERS, "acme", account=["dept", "carl"])} == {
        "dept",
        "carl",
    }
    assert {row[3] for row in cells(export, Report.ALLOCATIONS, "acme", reseller="acme")} == {"carl"}
    assert {row[3] for row in cells(export, Report.ALLOCATIONS, "carl", customer="carl")} == {"carl"}


@pytest.mark.parametrize("report", list(LISTS))
def test_a_list_of_an_account_has_all_of_its_subtree(export: Export, report: Report) -> None:
    whole = cells(export, report, "acme", **({"subtree": True} if report is Report.STATEMENT else {}))
    if report in COMMON:
        assert whole == cells(export, report, None) == cells(export, report, "dora")
        return
    if report is Report.HOLDS:
        assert {row[0] for row in whole} == {"acme-h0", "acme-h3"}  # its own, and its customer's on its coins
        return
    place = {Report.ORDERS: 4, Report.SUBSCRIPTIONS: 3, Report.ALLOCATIONS: 3}.get(
        report, 0 if report in (Report.STATEMENT, Report.ACCOUNTS) else 1
    )
    expected = {
        Report.STATEMENT: {"acme", "north", "carl"},  # what dept used is a line of north
        Report.ALLOCATIONS: {"carl"},
        Report.BILLS: {"carl"},
    }
    assert {row[place] for row in whole} == expected.get(report, set(ACME))
    if report not in (Report.STATEMENT, Report.HOLDS):
        everybody = cells(export, report, None)
        assert without_times(whole) == without_times([row for row in everybody if row[place] in ACME])


def test_who_does_not_exist_has_no_export(export: Export) -> None:
    for account in ("nobody", "platform"):
        for report in LISTS:
            with pytest.raises(NotFound):
                export(report, account)


def test_days_and_times_are_those_of_the_account(export: Export) -> None:
    # 16:30 UTC on 27 February is the next day in Shanghai
    assert len(cells(export, Report.ORDERS, "acme", to="2026-02-27")) == 0
    ours = cells(export, Report.ORDERS, "acme", to="2026-02-28")
    assert {row[11] for row in ours} == {"2026-02-28T00:30:00+08:00"}
    # And where one below it is chosen, that one's (north's is UTC)
    norths = cells(export, Report.ORDERS, "acme", account="north", to="2026-02-27")
    assert {row[11] for row in norths} == {"2026-02-27T16:30:00+00:00"}
    # And an operator's are UTC
    assert {row[11] for row in cells(export, Report.ORDERS, None, to="2026-02-27")} == {
        "2026-02-27T16:30:00+00:00"
    }
