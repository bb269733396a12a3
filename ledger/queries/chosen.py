"""What a reader chooses of a list, under the names of the flags, as the filter that the list takes.

One form for two readers: the flags of a verb, and the `filters` of a `RequestExport`. What is None, empty or False is not
chosen. A value may stand alone where several may.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ledger.queries.accounts import AccountFilter
from ledger.queries.allocations import AllocationFilter
from ledger.queries.bills import BillFilter
from ledger.queries.devices import DeviceFilter
from ledger.queries.orders import OrderFilter
from ledger.queries.statement import StatementFilter
from ledger.queries.subscriptions import SubscriptionFilter
from ledger.queries.times import Day, parse_day

Chosen = Mapping[str, Any]

# Under which of these names an account is chosen, in the order in which it decides whose days are meant.
OF_ACCOUNTS = ("customer", "reseller", "account", "under")


def is_chosen(value: Any) -> bool:
    """Whether it chooses anything; a number does, whatever it is."""
    return value is not False and (value == 0 or bool(value))


def several(chosen: Chosen, name: str) -> Sequence[str]:
    value = chosen.get(name) or ()
    return [value] if isinstance(value, str) else value


def day(chosen: Chosen, name: str) -> Day | None:
    """Raises QueryInvalid."""
    return parse_day(chosen.get(name), flag=f"--{name}")


def statement_filter(chosen: Chosen) -> StatementFilter:
    """Raises QueryInvalid for a date that is none; so do the others."""
    return StatementFilter(
        since=day(chosen, "from"),
        until=day(chosen, "to"),
        types=several(chosen, "type"),
        categories=several(chosen, "category"),
        items=several(chosen, "item"),
        devices=several(chosen, "device"),
        orders=several(chosen, "order"),
        actors=several(chosen, "actor"),
        subtree=bool(chosen.get("subtree")),
        search=chosen.get("search"),
    )


def account_filter(chosen: Chosen, within: str | None = None) -> AccountFilter:
    return AccountFilter(
        under=several(chosen, "under"),
        kinds=several(chosen, "kind"),
        states=several(chosen, "state"),
        search=chosen.get("search"),
        within=within,
    )


def order_filter(chosen: Chosen, within: str | None = None) -> OrderFilter:
    return OrderFilter(
        accounts=several(chosen, "account"),
        since=day(chosen, "from"),
        until=day(chosen, "to"),
        kinds=several(chosen, "kind"),
        statuses=several(chosen, "status"),
        products=several(chosen, "product"),
        phones=several(chosen, "phone"),
        search=chosen.get("search"),
        within=within,
    )


def subscription_filter(chosen: Chosen, within: str | None = None) -> SubscriptionFilter:
    return SubscriptionFilter(
        accounts=several(chosen, "account"),
        statuses=several(chosen, "status"),
        payment_methods=several(chosen, "payment-method"),
        kinds=several(chosen, "kind"),
        search=chosen.get("search"),
        within=within,
    )


def allocation_filter(chosen: Chosen, within: str | None = None) -> AllocationFilter:
    return AllocationFilter(
        resellers=several(chosen, "reseller"),
        customers=several(chosen, "customer"),
        since=day(chosen, "from"),
        until=day(chosen, "to"),
        search=chosen.get("search"),
        within=within,
    )


def bill_filter(chosen: Chosen, within: str | None = None) -> BillFilter:
    return BillFilter(
        accounts=several(chosen, "account"),
        statuses=several(chosen, "status"),
        since=day(chosen, "from"),
        until=day(chosen, "to"),
        search=chosen.get("search"),
        within=within,
    )


def device_filter(chosen: Chosen, within: str | None = None) -> DeviceFilter:
    return DeviceFilter(
        accounts=several(chosen, "account"),
        expiring_within=chosen.get("expiring-within"),
        expired=bool(chosen.get("expired")),
        search=chosen.get("search"),
        within=within,
    )
