"""Walks of the commands about bills, warnings, mails and exports."""

from __future__ import annotations

from collections.abc import Callable

from ledger.records import Bill
from messages.commands import Kind
from messages.reasons import Reason
from tests.builders import (
    closing,
    confirmation,
    export,
    notifications,
    opened,
    remove_warning,
    sponsored_customer,
    warning,
)
from tests.desk import NOW, PureDesk
from tests.ledger.decide.walks.world import FULL, Row, at_the_edge


def issued(account: str, charged: int, status: str = "issued") -> Callable[[PureDesk], None]:
    """A bill of February that was issued to the account."""

    def put(desk: PureDesk) -> None:
        key = desk.account(account)["id"]
        bill = Bill(f"{account}.2026-02", key, "2026-02", NOW, NOW, charged, 0, status, NOW)
        desk.book.put(Bill, bill.bill, bill)

    return put


CONFIRM: list[Row] = [
    Row(confirmation("gus.2026-02", "none"), Reason.ACCOUNT_NOT_FOUND),
    Row(confirmation("gus.2026-02", "platform"), Reason.ACCOUNT_NOT_FOUND),
    Row(
        confirmation("gus.2026-02", "gone"),
        Reason.ACCOUNT_CLOSED,
        (sponsored_customer("gus"), closing("gus"), issued("gus", 5, "confirmed")),
    ),
    Row(confirmation("gus.2026-02", "acme"), Reason.ACCOUNT_CLOSED),
    Row(confirmation("none", "gone"), Reason.ACCOUNT_CLOSED),
    Row(
        confirmation("cora.2026-02", "acme"),
        Reason.NOT_IN_HIERARCHY,
        (opened("cora", "shop", Kind.CUSTOMER), issued("cora", 5, "confirmed")),
    ),
    Row(confirmation("cora.2026-02", "cora"), Reason.NOT_IN_HIERARCHY),
    Row(confirmation("carla.2026-02", "dist"), Reason.NOT_IN_HIERARCHY, (issued("carla", 5),)),
    Row(confirmation("cora.2026-02"), Reason.NOT_SPONSORED),
    Row(confirmation(), Reason.AMOUNT_TOO_LARGE, (issued("carl", 5, "confirmed"), at_the_edge("carl", FULL))),
    Row(confirmation(), Reason.BILL_ALREADY_CONFIRMED, (at_the_edge("carl", 0),)),
    Row(confirmation(), None, (issued("carl", 5),)),
    Row(confirmation(), Reason.BILL_ALREADY_CONFIRMED),
    Row(confirmation("carla.2026-02", "corner"), None),
    Row(confirmation("none"), Reason.BILL_NOT_FOUND),
]
SET: list[Row] = [
    Row(warning("taken", "none", "gone"), Reason.ACCOUNT_NOT_FOUND, (warning("taken", "north", "acme"),)),
    Row(warning("taken", "gone", "none"), Reason.ACCOUNT_NOT_FOUND),
    Row(warning("taken", "gone", "platform"), Reason.ACCOUNT_NOT_FOUND),
    Row(warning("taken", "gone", "shop"), Reason.ACCOUNT_CLOSED),
    Row(warning("taken", "acme", "gone"), Reason.ACCOUNT_CLOSED),
    Row(warning("new", "acme", "north"), Reason.NOT_IN_HIERARCHY),
    Row(warning("new", "north", "shop"), Reason.NOT_IN_HIERARCHY),
    Row(warning("taken", "north", "north"), Reason.NOT_IN_HIERARCHY),
    Row(warning("new", "north", "north"), None),
    Row(warning("new", "dept", "acme"), None),
    Row(warning("new", "north", "north"), Reason.NOT_IN_HIERARCHY),
]
REMOVE: list[Row] = [
    Row(remove_warning("taken", "none"), Reason.ACCOUNT_NOT_FOUND, (warning("taken", "west", "north"),)),
    Row(remove_warning("taken", "platform"), Reason.ACCOUNT_NOT_FOUND),
    Row(remove_warning("taken", "gone"), Reason.ACCOUNT_CLOSED),
    Row(remove_warning("taken", "west"), Reason.NOT_IN_HIERARCHY),
    Row(remove_warning("taken", "shop"), Reason.NOT_IN_HIERARCHY),
    Row(remove_warning("taken", "acme"), None),
    Row(remove_warning("taken", "acme"), Reason.WARNING_NOT_FOUND),
    Row(remove_warning("taken", "west"), Reason.WARNING_NOT_FOUND),
    Row(remove_warning("none", "acme"), Reason.WARNING_NOT_FOUND),
]
NOTIFY: list[Row] = [
    Row(notifications("none"), Reason.ACCOUNT_NOT_FOUND),
    Row(notifications("platform"), Reason.ACCOUNT_NOT_FOUND),
    Row(notifications("gone"), Reason.ACCOUNT_CLOSED),
    Row(notifications("off"), None),
]
EXPORT: list[Row] = [
    Row(export("taken", "none"), Reason.ACCOUNT_NOT_FOUND, (export("taken", "acme"),)),
    Row(export("taken", "platform"), Reason.ACCOUNT_NOT_FOUND),
    Row(export("taken", "gone"), Reason.EXPORT_EXISTS),
    Row(export("new", "gone"), None),
    Row(export("newer", "off"), None),
]
WALKS = {
    "ConfirmBill": CONFIRM,
    "SetWarning": SET,
    "RemoveWarning": REMOVE,
    "SetNotifications": NOTIFY,
    "RequestExport": EXPORT,
}
