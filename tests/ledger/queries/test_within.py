"""Lists that are kept within an account and everything below it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import psycopg
import pytest

from ledger.errors import NotFound
from ledger.queries.accounts import AccountFilter, accounts
from ledger.queries.allocations import AllocationFilter, allocations
from ledger.queries.bills import BillFilter, bills
from ledger.queries.devices import DeviceFilter, devices
from ledger.queries.exports import exports
from ledger.queries.orders import OrderFilter, orders
from ledger.queries.page import Page
from ledger.queries.subscriptions import SubscriptionFilter, subscriptions
from ledger.queries.warnings import warnings
from tests import builders as a
from tests.desk import NOW, LedgerDesk
from tests.ledger.queries.conftest import Bill

Reader = psycopg.Connection[Any]
Lister = Callable[[Reader, str | None], Page[Any]]

LISTS: dict[str, Lister] = {
    "accounts": lambda reader, within: accounts(reader, AccountFilter(within=within)),
    "orders": lambda reader, within: orders(reader, OrderFilter(within=within)),
    "subscriptions": lambda reader, within: subscriptions(reader, SubscriptionFilter(within=within)),
    "bills": lambda reader, within: bills(reader, BillFilter(within=within)),
    "devices": lambda reader, within: devices(reader, DeviceFilter(within=within), now=NOW),
    "warnings": lambda reader, within: warnings(reader, within=within),
    "exports": lambda reader, within: exports(reader, within=within),
}


@pytest.fixture
def two_shops(desk: LedgerDesk, bill_of: Bill) -> LedgerDesk:
    """shop ─ crew ─ dept (shared) · shop ─ carl (sponsored); and other ─ olga (sponsored) beside them; all of them busy."""
    desk.do(a.plan("pro", "package", price=1, cycle=a.MONTHLY))
    desk.do(
        a.reseller("shop", timezone="Asia/Shanghai"), a.branch("crew", "shop"), a.department("dept", "crew")
    )
    desk.do(a.sponsored_customer("carl", "shop"), a.reseller("other"), a.sponsored_customer("olga", "other"))
    desk.do(a.top_up("shop", 1_000), a.transfer("shop", "crew", 500), a.top_up("other", 1_000))
    desk.do(a.grant("carl", 100), a.grant("olga", 100, reseller="other"))
    for account in ("shop", "crew", "dept", "carl", "other", "olga"):
        desk.do(a.order(f"o-{account}", account), a.subscribe(f"s-{account}", account))
        desk.do(a.onboarding(account, f"d-{account}"), a.warning(f"w-{account}", account, set_by=account))
        desk.do(a.export(f"e-{account}", account))
    desk.later(days=40)
    for customer in ("carl", "olga"):
        bill_of(customer, "2026-03")
    return desk


def owners(page: Page[Any]) -> set[str]:
    return {row.account for row in page.rows}


@pytest.mark.parametrize("name", LISTS)
def test_a_list_has_the_account_and_everything_below_it(
    two_shops: LedgerDesk, reader: Reader, name: str
) -> None:
    within = LISTS[name]
    billed = name == "bills"

    assert owners(within(reader, "shop")) == ({"carl"} if billed else {"shop", "crew", "dept", "carl"})
    assert owners(within(reader, "crew")) == (set() if billed else {"crew", "dept"})
    assert owners(within(reader, "olga")) == {"olga"}
    assert owners(within(reader, None)) >= {"carl", "olga"}
    for nobody in ("nobody", "platform"):
        with pytest.raises(NotFound):
            within(reader, nobody)


def test_allotments_are_those_of_customers_within(two_shops: LedgerDesk, reader: Reader) -> None:
    def customers(**chosen: Any) -> set[str]:
        return {row.customer for row in allocations(reader, AllocationFilter(**chosen)).rows}

    assert customers(within="shop") == {"carl"}
    assert customers(within="carl") == {"carl"}
    assert customers(within="crew") == set()
    assert customers(within="shop", resellers=["other"]) == set()
    assert customers(within="shop", customers=["olga"]) == set()


def test_what_is_chosen_besides_is_chosen_from_those_within(two_shops: LedgerDesk, reader: Reader) -> None:
    def chosen(**given: Any) -> set[str]:
        return owners(orders(reader, OrderFilter(within="shop", **given)))

    assert chosen(accounts=["crew", "olga"]) == {"crew"}
    assert chosen(accounts=["olga"]) == set()
    found = accounts(reader, AccountFilter(within="shop", under=["platform", "other"]))
    assert owners(found) == {"shop", "crew", "dept", "carl"}


def test_days_are_those_of_the_account_chosen_else_of_the_one_within(
    two_shops: LedgerDesk, reader: Reader
) -> None:
    on = {"since": date(2026, 3, 1), "until": date(2026, 3, 1)}

    def zone(**given: Any) -> str:
        return orders(reader, OrderFilter(**on, **given)).timezone

    assert zone() == "UTC"
    assert zone(within="shop") == "Asia/Shanghai"
    assert zone(within="shop", accounts=["crew"]) == "UTC"
    assert zone(within="shop", accounts=["crew", "dept"]) == "Asia/Shanghai"
