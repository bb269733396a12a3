"""Verification of what is sold: orders, sessions, holds, resources, subscriptions, bills."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest

from ledger.billing import issue
from ledger.database import connect
from ledger.receipts import issue as issue_receipts
from ledger.verify import verify
from tests import builders as a
from tests.desk import LedgerDesk
from tests.ledger.test_verify import Tampering, Undone, found_by

TABLES = (
    "account",
    "entry",
    "transaction",
    "orders",
    "session",
    "phone",
    "hold",
    "resource",
    "subscription",
    "subscription_cycle",
    "bill",
    "bill_line",
    "returned",
    "receipt",
    "receipt_series",
    "receipt_due",
)


def asked(type_: str, **data: Any) -> dict[str, Any]:
    return {"type": type_, "data": data}


def fill(desk: LedgerDesk) -> None:
    """One of everything that is sold, open and ended, on coins of its own, of a master and of a sponsor."""
    monthly = {"unit": "month", "count": 1}
    desk.do(
        a.enterprise("acme", country="DE"),
        a.department("dept", "acme"),
        a.reseller("shop"),
        a.sponsored_customer("carl", "shop"),
        a.top_up("acme", 1_000),
        a.top_up("shop", 500),
        asked("AllocateCredit", reseller="shop", customer="carl", amount=400),
        asked("PutPlan", plan="pro", name="Pro", kind="package", price=10, cycle=monthly),
        asked("PutPlan", plan="watch", name="Watch", kind="renewal", price=2, cycle=monthly),
        asked("PlaceOrder", order="paid", account="acme", kind="proxy", product="x", price=30),
        asked("PlaceOrder", order="card", account="acme", kind="proxy", product="x", price=7, method="card"),
        asked("PlaceOrder", order="open", account="dept", kind="proxy", product="x", price=5, pay="later"),
        asked("PowerOn", account="dept", session="run", phone="p1", rate="1", at="2026-03-01T10:00:00Z"),
        asked("PowerOn", account="acme", session="ran", phone="p2", rate="1", at="2026-03-01T10:00:00Z"),
        asked("PowerOff", session="ran", at="2026-03-01T10:03:00Z"),
        asked("PlaceHold", hold="held", account="dept", amount=20),
        asked("PlaceHold", hold="sponsored", account="carl", amount=15),
        asked("PlaceHold", hold="gone", account="acme", amount=20),
        asked("CaptureHold", hold="gone", amount=5),
        asked("ActivatePostpaid", account="acme", resource="video", estimate=40),
        asked("ReportUsage", resource="video", amount=10),
        asked("Subscribe", subscription="s", account="acme", plan="pro", kind="package"),
        asked("Renewal", account="acme", subscription="s"),
        a.onboarding("carl", "d1", price=3),
        asked("Subscribe", subscription="d", account="carl", plan="watch", kind="device", goods=["d1"]),
        asked("PlaceOrder", order="early", account="carl", kind="proxy", product="x", price=50),
        asked("Refund", order="early", amount=5),
    )
    desk.later(days=31)
    with desk.connection.transaction():
        issue(desk.connection, "carl", date(2026, 3, 1), desk.now)
        due = [number for (number,) in desk.connection.execute("SELECT transaction FROM receipt_due")]
        issue_receipts(desk.connection, due, desk.now)
    desk.do(a.top_up("shop", 1))
    desk.do(asked("ConfirmBill", bill="carl.2026-03", confirmed_by="shop"))
    desk.do(asked("Refund", order="early", amount=6), a.onboarding("carl", "d2", price=4))
    desk.later(days=30)
    with desk.connection.transaction():
        issue(desk.connection, "carl", date(2026, 4, 1), desk.now)


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


def test_a_sound_ledger_has_no_difference(filled: Tampering) -> None:
    assert verify(filled).differences == []


@pytest.mark.parametrize(
    ("change", "checks"),
    [
        # what is open
        ("UPDATE account SET frozen = frozen + 1 WHERE account = 'acme'", {"open"}),
        ("UPDATE account SET settled = settled + 1 WHERE account = 'shop'", {"open"}),
        ("UPDATE account SET running = 0 WHERE account = 'carl'", {"open"}),
        ("UPDATE hold SET remaining = remaining - 1 WHERE hold = 'sponsored'", {"message", "open"}),
        ("UPDATE hold SET state = 'released' WHERE hold = 'held'", {"open", "remaining"}),
        ("UPDATE resource SET remaining = remaining - 1", {"open", "remaining"}),
        ("DELETE FROM hold WHERE hold = 'held'", {"open"}),
        # orders
        ("UPDATE orders SET amount = amount + 1 WHERE order_id = 'paid'", {"orders", "receipts"}),
        ("UPDATE orders SET transaction = NULL WHERE order_id = 'paid'", {"orders"}),
        ("UPDATE orders SET status = 'canceled' WHERE order_id = 'paid'", {"orders"}),
        ("UPDATE orders SET status = 'completed' WHERE order_id = 'open'", {"orders", "open"}),
        (
            "UPDATE orders SET transaction = (SELECT transaction FROM orders WHERE order_id = 'card') "
            "WHERE order_id = 'paid'",
            {"orders"},
        ),
        ("UPDATE transaction SET order_id = 'other' WHERE type = 'order' AND order_id = 'paid'", {"orders"}),
        (
            "UPDATE transaction SET order_id = 'other' WHERE type = 'recharge' AND order_id = 'card'",
            {"has_command"},
        ),
        # sessions
        ("UPDATE orders SET status = 'running', transaction = NULL WHERE order_id = 'ran'", {"sessions"}),
        ("UPDATE phone SET session = NULL WHERE phone = 'p1'", {"sessions"}),
        ("UPDATE phone SET session = 'ran' WHERE phone = 'p2'", {"sessions"}),
        ("DELETE FROM orders WHERE order_id = 'run'", {"sessions"}),
        # subscriptions
        ("UPDATE subscription SET paid_cycles = 1 WHERE subscription = 's'", {"subscriptions"}),
        ("UPDATE subscription SET paid_until = paid_until + interval '1 day'", {"subscriptions"}),
        ("UPDATE subscription SET next_payment_at = start_at WHERE subscription = 's'", {"subscriptions"}),
        ("UPDATE subscription_cycle SET amount = 1 WHERE subscription = 'd'", {"cycles"}),
        (
            "UPDATE subscription_cycle SET begins_at = begins_at + interval '1 day' WHERE cycle_no = 2",
            {"cycles"},
        ),
        (
            "DELETE FROM subscription_cycle WHERE subscription = 's' AND cycle_no = 1",
            {"cycles", "subscriptions"},
        ),
        # bills
        ("UPDATE bill SET charged = charged + 1 WHERE bill = 'carl.2026-04'", {"bills"}),
        ("UPDATE bill SET refunded = refunded + 1 WHERE bill = 'carl.2026-03'", {"bills"}),
        ("UPDATE bill SET status = 'issued', transaction = NULL WHERE bill = 'carl.2026-03'", {"bills"}),
        ("UPDATE bill_line SET amount = amount + 1 WHERE bill = 'carl.2026-04'", {"bills"}),
        ("UPDATE bill_line SET bill = 'carl.2026-04' WHERE amount = 50", {"bills"}),
        ("DELETE FROM bill_line WHERE amount = 50", {"bills", "unbilled"}),
        ("DELETE FROM bill WHERE bill = 'carl.2026-04'", {"billed"}),
        # receipts
        (
            "UPDATE receipt SET seq = 9, number = 'acme-2026-000009' WHERE number = 'acme-2026-000002'",
            {"printed", "receipts"},
        ),
        (
            "UPDATE receipt SET number = 'acme-2026-000009' WHERE number = 'acme-2026-000002'",
            {"printed", "receipts"},
        ),
        ("UPDATE receipt SET amount = amount + 1 WHERE order_id = 'paid'", {"printed", "receipts"}),
        ("DELETE FROM receipt_due", {"receipted"}),
        ("DELETE FROM receipt WHERE number = 'acme-2026-000002'", {"receipted", "receipts", "series"}),
        ("UPDATE receipt_series SET last = last - 1", {"series"}),
        # when they are looked at
        ("UPDATE subscription SET next_try_at = NULL WHERE subscription = 's'", {"next_tries"}),
        ("UPDATE subscription SET past_due_since = start_at WHERE subscription = 's'", {"next_tries"}),
    ],
)
def test_what_was_changed_behind_its_back_is_found(filled: Tampering, change: str, checks: set[str]) -> None:
    with Undone(filled, change, TABLES) as changed:
        assert changed > 0
        result = verify(filled)

    assert found_by(result).keys() == checks
