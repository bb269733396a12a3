from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg
import pytest

from ledger.queries.receipts import ReceiptRow, receipts
from ledger.receipts import issue
from tests import builders as a
from tests.desk import NOW, LedgerDesk

Reader = psycopg.Connection[Any]
HOUR = timedelta(hours=1)
MAILED = """
INSERT INTO mail (message_id, recipient, subject, body, receipt, account, state, created_at, next_try_at, sent_at)
VALUES (%s, %s, '', '', %s, 1, %s, %s, %s, %s)"""


def issue_all(desk: LedgerDesk) -> None:
    due = [id_ for (id_,) in desk.all("SELECT transaction FROM receipt_due")]
    with desk.connection.transaction():
        issue(desk.connection, due, desk.now)


@pytest.fixture
def received(desk: LedgerDesk) -> dict[str, str | None]:
    """Two of acme's, of the same moment; an hour later one of north's. Their transactions by number."""
    desk.do(a.enterprise(email="fin@acme.example"), a.branch(), a.reseller())
    first = desk.do(a.top_up("acme", 100))
    second = desk.do(a.order("o1", payer="li.na@pay.example"))
    issue_all(desk)
    desk.later(hours=1)
    third = desk.do(a.top_up("north", 50))
    issue_all(desk)
    return {"acme-2026-000001": first, "acme-2026-000002": second, "acme-2026-000003": third}


def ids(reader: Reader, **chosen: Any) -> list[str]:
    return [row.receipt.removeprefix("acme-2026-00000") for row in receipts(reader, **chosen).rows]


def test_receipts_are_listed_newest_first(received: dict[str, str | None], reader: Reader) -> None:
    numbers = list(received.items())
    assert receipts(reader).rows == [
        ReceiptRow(
            *numbers[2][:1],
            "north",
            "recharge",
            numbers[2][1],
            None,
            50,
            NOW + HOUR,
            ["fin@acme.example"],
            None,
        ),
    ]
