from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from ledger.errors import NotFound, QueryInvalid
from ledger.queries.orders import order
from ledger.queries.receipts import ReceiptRow, content_of, receipt_of, receipts
from ledger.receipts import issue
from tests import builders as a
from tests.desk import NOW, LedgerDesk

Reader = psycopg.Connection[Any]
HOUR = timedelta(hours=1)
MAILED = """
INSERT INTO mail (message_id, recipient, subject, body, receipt, account, created_at, next_try_at, state, sent_at)
VALUES (%s, '', '', '', 'acme-2026-000001', 1, now(), now(), %s, %s)"""


def issue_all(desk: LedgerDesk) -> None:
    due = [id_ for (id_,) in desk.all("SELECT transaction FROM receipt_due")]
    with desk.connection.transaction():
        issue(desk.connection, due, desk.now)


@pytest.fixture
def received(desk: LedgerDesk) -> list[str]:
    """The transactions of three receipts: two of acme's, of the same moment; an hour later one of north's."""
    desk.do(a.enterprise(email="fin@acme.example"), a.branch())
    numbers = [desk.do(a.top_up("acme", 100)), desk.do(a.order("o1", payer="li.na@pay.example"))]
    issue_all(desk)
    desk.later(hours=1)
    numbers.append(desk.do(a.top_up("north", 50)))
    issue_all(desk)
    return [number for number in numbers if number is not None]


def ids(reader: Reader, **chosen: Any) -> list[int]:
    """Their places in the series."""
    return [int(row.receipt.removeprefix("acme-2026-")) for row in receipts(reader, **chosen).rows]


def test_receipts_are_listed_newest_first(received: list[str], reader: Reader) -> None:
    mine, li_na = ["fin@acme.example"], ["li.na@pay.example"]
    assert receipts(reader).rows == [
        ReceiptRow("acme-2026-000003", "north", "recharge", received[2], None, 50, NOW + HOUR, mine, None),
        ReceiptRow("acme-2026-000002", "acme", "order", received[1], "o1", 10, NOW, li_na, None),
        ReceiptRow("acme-2026-000001", "acme", "recharge", received[0], None, 100, NOW, mine, None),
    ]


def test_a_receipt_says_when_the_last_of_its_mails_was_sent(
    received: list[str], desk: LedgerDesk, reader: Reader
) -> None:
    for id_, state, sent_at in (
        ("a", "sent", NOW),
        ("b", "sent", NOW + HOUR),
        ("c", "waiting", None),
        ("d", "given up", None),
    ):
        desk.all(MAILED, id_, state, sent_at)
    assert [row.mailed_at for row in receipts(reader).rows] == [None, None, NOW + HOUR]


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({"accounts": ["acme"]}, [2, 1]),
        ({"accounts": ["acme", "north"]}, [3, 2, 1]),
        ({"within": "acme"}, [3, 2, 1]),
        ({"within": "north"}, [3]),
        ({"within": "north", "accounts": ["acme"]}, []),
        ({"search": "2026-000002"}, [2]),
        ({"search": "O1"}, [2]),
        ({"search": "FIN@"}, [3, 1]),
        ({"search": "%"}, []),
    ],
)
def test_receipts_are_chosen(
    received: list[str], reader: Reader, chosen: dict[str, Any], expected: list[int]
) -> None:
    assert ids(reader, **chosen) == expected


@pytest.mark.parametrize("size", [1, 2])
def test_pages_of_receipts_join_up(received: list[str], reader: Reader, size: int) -> None:
    first = receipts(reader, limit=size)
    assert [row.receipt for row in first.rows] == ["acme-2026-000003", "acme-2026-000002"][:size]
    assert ids(reader, after=first.next) == [2, 1][size - 1 :]
    assert receipts(reader, limit=3).next is None


def test_what_receipts_cannot_be_chosen_by_is_refused(received: list[str], reader: Reader) -> None:
    with pytest.raises(QueryInvalid, match="--after: there is no receipt 'none'"):
        receipts(reader, after="none")
    with pytest.raises(QueryInvalid, match="--limit"):
        receipts(reader, limit=0)
    for chosen in ({"accounts": ["nobody"]}, {"within": "nobody"}):
        with pytest.raises(NotFound, match="nobody"):
            ids(reader, **chosen)


def test_a_receipt_is_found_by_its_order_its_transaction_or_its_own_number(
    received: list[str], reader: Reader
) -> None:
    assert receipt_of(reader, "o1") == "acme-2026-000002"
    for place, number in enumerate(received, 1):
        assert receipt_of(reader, number) == f"acme-2026-00000{place}"
        assert receipt_of(reader, number.lower()) == f"acme-2026-00000{place}"
    assert receipt_of(reader, "acme-2026-000003") == "acme-2026-000003"
    assert order(reader, "o1", now=NOW).receipt == "acme-2026-000002"


def test_what_is_called_as_something_else_is_an_order_first(
    received: list[str], desk: LedgerDesk, reader: Reader
) -> None:
    desk.do(a.order(received[0]), a.order("acme-2026-000001"))
    issue_all(desk)
    assert receipt_of(reader, received[0]) == "acme-2026-000004"
    assert receipt_of(reader, "acme-2026-000001") == "acme-2026-000005"


@pytest.mark.parametrize("id_", ["o2", "T-2026-0000000099", "acme-2026-000099", ""])
def test_what_has_no_receipt_is_not_found(received: list[str], reader: Reader, id_: str) -> None:
    with pytest.raises(NotFound, match=f"no receipt of '{id_}'.*`coins receipts` lists"):
        receipt_of(reader, id_)


def test_the_number_that_a_transaction_would_have_in_another_year_is_nobodys(
    received: list[str], reader: Reader
) -> None:
    with pytest.raises(NotFound, match="no receipt"):
        receipt_of(reader, received[0].replace("2026", "2025"))


def test_a_receipt_that_is_due_is_said_to_come(received: list[str], desk: LedgerDesk, reader: Reader) -> None:
    number = desk.do(a.order("o2"))
    assert number is not None
    for id_ in ("o2", number):
        with pytest.raises(NotFound, match=f"the receipt of {id_} is due and not made yet"):
            receipt_of(reader, id_)
    assert order(reader, "o2", now=NOW).receipt is None


def test_what_cannot_be_an_id_is_refused(reader: Reader) -> None:
    with pytest.raises(QueryInvalid, match="ID"):
        receipt_of(reader, "a\x00")


def test_the_content_of_a_receipt_is_had_by_its_number(received: list[str], reader: Reader) -> None:
    assert json.loads(content_of(reader, "acme-2026-000002"))["order"] == "o1"
    with pytest.raises(NotFound, match="no receipt 'acme-2026-000009'"):
        content_of(reader, "acme-2026-000009")
