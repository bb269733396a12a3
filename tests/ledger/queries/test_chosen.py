from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from ledger.errors import QueryInvalid
from ledger.queries import chosen as by_flags
from ledger.queries.accounts import AccountFilter
from ledger.queries.allocations import AllocationFilter
from ledger.queries.bills import BillFilter
from ledger.queries.chosen import is_chosen
from ledger.queries.devices import DeviceFilter
from ledger.queries.orders import OrderFilter
from ledger.queries.statement import StatementFilter
from ledger.queries.subscriptions import SubscriptionFilter
from messages.reports import FILTERS, NUMBERS, SWITCHES, Report

FILTER_OF = {
    Report.STATEMENT: by_flags.statement_filter,
    Report.ACCOUNTS: by_flags.account_filter,
    Report.ORDERS: by_flags.order_filter,
    Report.SUBSCRIPTIONS: by_flags.subscription_filter,
    Report.ALLOCATIONS: by_flags.allocation_filter,
    Report.BILLS: by_flags.bill_filter,
    Report.DEVICES: by_flags.device_filter,
}
NOTHING = [
    StatementFilter(),
    AccountFilter(),
    OrderFilter(),
    SubscriptionFilter(),
    AllocationFilter(),
    BillFilter(),
    DeviceFilter(),
]


def a_value(flag: str) -> Any:
    if flag in SWITCHES:
        return True
    return 30 if flag in NUMBERS else "2026-03-01" if flag in ("from", "to") else "x"


def test_nothing_chosen_is_the_empty_filter() -> None:
    for of, nothing in zip(FILTER_OF.values(), NOTHING, strict=True):
        assert of({}) == nothing
        assert of(dict.fromkeys(("account", "type", "kind", "from", "subtree", "search"))) == nothing


@pytest.mark.parametrize(
    ("report", "flag"), [(report, flag) for report in FILTER_OF for flag in sorted(FILTERS[report])]
)
def test_every_flag_of_a_list_chooses_something(report: Report, flag: str) -> None:
    of: Any = FILTER_OF[report]
    chosen, nothing = of({flag: a_value(flag)}), of({})

    (name,) = [one for one in chosen.__slots__ if getattr(chosen, one) != getattr(nothing, one)]
    value = getattr(chosen, name)
    assert value in (True, 30, "x", ["x"], date(2026, 3, 1))
    # And a value by itself is as good as a list of one
    if value == ["x"]:
        assert of({flag: ["x"]}) == chosen


@pytest.mark.parametrize("report", [Report.STATEMENT, Report.ORDERS, Report.ALLOCATIONS, Report.BILLS])
def test_a_date_that_is_none_is_refused_with_its_flag(report: Report) -> None:
    of: Any = FILTER_OF[report]
    for flag in ("from", "to"):
        with pytest.raises(QueryInvalid, match=f"--{flag}"):
            of({flag: "soon"})


def test_a_number_chooses_whatever_it_is() -> None:
    assert [is_chosen(value) for value in (0, 30, True, "x", ["x"])] == [True] * 5
    assert [is_chosen(value) for value in (None, False, "", [])] == [False] * 4
