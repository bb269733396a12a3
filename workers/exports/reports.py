"""Every list that can be exported: its rows, read to the end, and by what they are totalled. `LISTS` names them all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple, TypeVar

import psycopg

from ledger.queries import chosen as flags
from ledger.queries.accounts import AccountRow, accounts
from ledger.queries.allocations import AllocationRow, allocations
from ledger.queries.bills import BillRow, bills
from ledger.queries.chosen import Chosen, several
from ledger.queries.devices import DeviceRow, devices
from ledger.queries.exports import ExportRow, exports
from ledger.queries.holds import HoldRow, holds
from ledger.queries.orders import OrderRow, orders
from ledger.queries.page import Page
from ledger.queries.payment_methods import PaymentMethodsRow, payment_methods
from ledger.queries.plans import PlanRow, plans
from ledger.queries.receipts import ReceiptRow, receipts
from ledger.queries.statement import StatementLine, every_line
from ledger.queries.subscriptions import SubscriptionRow, subscriptions
from ledger.queries.warnings import WarningRow, warnings
from messages.reports import Report

ROWS_A_PAGE = 5_000
PAID_BY_OTHERS = "paid by others"

Line = TypeVar("Line")


@dataclass(frozen=True, slots=True)
class Reading:
    """From where, whose (None: everybody's), what is chosen, and when."""

    connection: psycopg.Connection[Any]
    account: str | None
    filters: Chosen
    now: datetime


class Totals(NamedTuple):
    """Which amounts are summed, and by what: of a row its section, and its group in there.

    Only what may be added up is in one section: coins and allotments never are.
    """

    by: str
    summed: tuple[str, ...]
    group_of: Callable[[Any], tuple[str, str]]


class Exportable(NamedTuple):
    """A list as it is exported.

    row: the query's, a NamedTuple. of_account: it is that of one account, which has to be given.
    """

    title: str
    row: type
    read: Callable[[Reading], Iterator[Any]]
    totals: Totals | None = None
    of_account: bool = False


def _every(page_after: Callable[[str | None], Page[Line]]) -> Iterator[Line]:
    """The rows of all pages. No more than one page is held."""
    page = page_after(None)
    yield from page.rows
    while page.next is not None:
        page = page_after(page.next)
        yield from page.rows


def _statement(reading: Reading) -> Iterator[StatementLine]:
    return every_line(reading.connection, reading.account or "", flags.statement_filter(reading.filters))


def _accounts(reading: Reading) -> Iterator[AccountRow]:
    chosen = flags.account_filter(reading.filters, reading.account)
    return _every(lambda after: accounts(reading.connection, chosen, limit=ROWS_A_PAGE, after=after))


def _orders(reading: Reading) -> Iterator[OrderRow]:
    chosen = flags.order_filter(reading.filters, reading.account)
    return _every(lambda after: orders(reading.connection, chosen, limit=ROWS_A_PAGE, after=after))


def _subscriptions(reading: Reading) -> Iterator[SubscriptionRow]:
    chosen = flags.subscription_filter(reading.filters, reading.account)
    return _every(lambda after: subscriptions(reading.connection, chosen, limit=ROWS_A_PAGE, after=after))


def _allocations(reading: Reading) -> Iterator[AllocationRow]:
    chosen = flags.allocation_filter(reading.filters, reading.account)
    return _every(lambda after: allocations(reading.connection, chosen, limit=ROWS_A_PAGE, after=after))


def _holds(reading: Reading) -> Iterator[HoldRow]:
    return _every(
        lambda after: holds(
            reading.connection,
            reading.account or "",
            now=reading.now,
            search=reading.filters.get("search"),
            limit=ROWS_A_PAGE,
            after=after,
        )
    )


def _bills(reading: Reading) -> Iterator[BillRow]:
    chosen = flags.bill_filter(reading.filters, reading.account)
    return _every(lambda after: bills(reading.connection, chosen, limit=ROWS_A_PAGE, after=after))


def _devices(reading: Reading) -> Iterator[DeviceRow]:
    chosen = flags.device_filter(reading.filters, reading.account)
    return _every(
        lambda after: devices(reading.connection, chosen, now=reading.now, limit=ROWS_A_PAGE, after=after)
    )


def _plans(reading: Reading) -> Iterator[PlanRow]:
    kinds, search = several(reading.filters, "kind"), reading.filters.get("search")
    return _every(
        lambda after: plans(reading.connection, kinds=kinds, search=search, limit=ROWS_A_PAGE, after=after)
    )


def _payment_methods(reading: Reading) -> Iterator[PaymentMethodsRow]:
    search = reading.filters.get("search")
    return _every(
        lambda after: payment_methods(reading.connection, search=search, limit=ROWS_A_PAGE, after=after)
    )


def _of_accounts(find: Callable[..., Page[Any]]) -> Callable[[Reading], Iterator[Any]]:
    """A list of which accounts and a text can be chosen, and nothing else."""

    def read(reading: Reading) -> Iterator[Any]:
        return _every(
            lambda after: find(
                reading.connection,
                accounts=several(reading.filters, "account"),
                search=reading.filters.get("search"),
                within=reading.account,
                limit=ROWS_A_PAGE,
                after=after,
            )
        )

    return read


def _by_unit_and_type(line: StatementLine) -> tuple[str, str]:
    """What a shared account used is no movement of its own credit: it has a section of its own."""
    return (line.unit if line.balance is not None else f"{line.unit}, {PAID_BY_OTHERS}", line.type)


def _by_unit_and_kind(account: AccountRow) -> tuple[str, str]:
    return ("allotment" if account.funding == "sponsored" else "coin", account.kind)


def _by_status(row: OrderRow | SubscriptionRow | BillRow) -> tuple[str, str]:
    return ("", row.status)


LISTS: Final[dict[Report, Exportable]] = {
    Report.STATEMENT: Exportable(
        "Statement",
        StatementLine,
        _statement,
        Totals("type", ("amount",), _by_unit_and_type),
        of_account=True,
    ),
    Report.ACCOUNTS: Exportable(
        "Accounts",
        AccountRow,
        _accounts,
        Totals("kind", ("credit", "credit_limit", "frozen"), _by_unit_and_kind),
    ),
    Report.ORDERS: Exportable(
        "Orders", OrderRow, _orders, Totals("status", ("amount", "refunded"), _by_status)
    ),
    Report.SUBSCRIPTIONS: Exportable(
        "Subscriptions", SubscriptionRow, _subscriptions, Totals("status", ("price",), _by_status)
    ),
    Report.ALLOCATIONS: Exportable(
        "Allocations", AllocationRow, _allocations, Totals("type", ("amount",), lambda row: ("", row.type))
    ),
    Report.HOLDS: Exportable(
        "Holds",
        HoldRow,
        _holds,
        Totals("kind", ("frozen", "remaining"), lambda row: ("", "hold" if row.hold else "resource")),
        of_account=True,
    ),
    Report.BILLS: Exportable(
        "Bills", BillRow, _bills, Totals("status", ("charged", "refunded", "total"), _by_status)
    ),
    Report.DEVICES: Exportable("Devices", DeviceRow, _devices),
    Report.PLANS: Exportable("Plans", PlanRow, _plans),
    Report.PAYMENT_METHODS: Exportable("Payment methods", PaymentMethodsRow, _payment_methods),
    Report.WARNINGS: Exportable("Warnings", WarningRow, _of_accounts(warnings)),
    Report.EXPORTS: Exportable("Exports", ExportRow, _of_accounts(exports)),
    Report.RECEIPTS: Exportable(
        "Receipts",
        ReceiptRow,
        _of_accounts(receipts),
        Totals("kind", ("amount",), lambda row: ("", row.kind)),
    ),
}
