from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
import pytest

from ledger.errors import NotFound, QueryInvalid
from ledger.queries.bills import BillFilter, BillLine, BillRow, bill, bills
from tests import builders as a
from tests.desk import NOW, LedgerDesk
from tests.ledger.queries.conftest import Bill

Reader = psycopg.Connection[Any]


@pytest.fixture
def sold(desk: LedgerDesk) -> LedgerDesk:
    """carl and dora under shop, with an allotment each."""
    desk.do(a.reseller(), a.top_up("shop", 1_000))
    for customer in ("carl", "dora"):
        desk.do(a.sponsored_customer(customer, timezone="Asia/Shanghai"), a.grant(customer, 300))
    return desk


def ids(reader: Reader, **chosen: Any) -> list[str]:
    return [row.bill for row in bills(reader, BillFilter(**chosen)).rows]


def test_a_bill_is_told_with_its_lines(sold: LedgerDesk, reader: Reader, bill_of: Bill) -> None:
    onboarded = sold.do(a.plan(price=10), a.onboarding("carl", "d1", "d2", price=None, plan="tracker"))
    sold.later(hours=1)
    used = sold.do(a.hold("h1", "carl", 30), a.capture("h1", 25, item="a day of rendering"))
    sold.do(a.refund(used, 5))
    sold.later(days=31)
    bill_of("carl", "2026-03")
    sold.do(a.refund(used, 1))

    issued = bill(reader, "carl.2026-03")

    assert issued[:9] == ("carl.2026-03", "carl", "2026-03", 45, 6, 39, "issued", None, None)
    assert issued[:9] == bills(reader).rows[0]
    # The month begins at midnight in the zone of the account
    assert (issued.begins_at, issued.ends_at) == (
        datetime(2026, 2, 28, 16, tzinfo=UTC),
        datetime(2026, 3, 31, 16, tzinfo=UTC),
    )
    assert (issued.issued_at, issued.number) == (sold.now, None)
    assert issued.lines == [
        BillLine(onboarded or "", NOW, "onboarding", "Plan tracker", ["d1", "d2"], 20, 0),
        BillLine(used or "", NOW + timedelta(hours=1), "capture", "a day of rendering", [], 25, 6),
    ]


def test_a_confirmed_bill_says_by_whom_and_keeps_what_it_returned(
    sold: LedgerDesk, reader: Reader, bill_of: Bill
) -> None:
    charge = sold.do(a.onboarding("carl", price=20))
    sold.later(days=31)
    number = sold.do(a.confirmation(bill_of("carl", "2026-03")))
    # Given a refund after that, which returns the sponsor's coins alone
    sold.do(a.refund(charge, 4))

    confirmed = bill(reader, "carl.2026-03")

    assert confirmed[3:9] == (20, 0, 20, "confirmed", "shop", sold.now)
    assert confirmed.number == number
    assert [line.refunded for line in confirmed.lines] == [4]


ALL = ["carl.2026-05", "dora.2026-05", "carl.2026-04", "dora.2026-04", "carl.2026-03", "dora.2026-03"]


@pytest.fixture
def several(sold: LedgerDesk, bill_of: Bill) -> LedgerDesk:
    """Bills of March, April and May, charged in the middle of each; carl's of March is confirmed."""
    for month in (3, 4, 5):
        sold.now = datetime(2026, month, 15, tzinfo=UTC)
        sold.do(*(a.onboarding(customer, f"{customer}-{month}") for customer in ("carl", "dora")))
        sold.now = datetime(2026, month + 1, 2, tzinfo=UTC)
        for customer in ("dora", "carl"):
            bill_of(customer, f"2026-{month:02}")
    sold.do(a.confirmation("carl.2026-03"))
    return sold


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({}, ALL),
        ({"accounts": ["dora"]}, ["dora.2026-05", "dora.2026-04", "dora.2026-03"]),
        ({"accounts": ["dora", "carl"]}, ALL),
        ({"statuses": ["confirmed"]}, ["carl.2026-03"]),
        ({"statuses": ["confirmed", "issued"]}, ALL),
        ({"since": date(2026, 5, 1)}, ALL[:2]),
        ({"since": date(2026, 4, 30)}, ALL[:4]),
        ({"until": date(2026, 3, 31)}, ALL[4:]),
        ({"since": date(2026, 4, 1), "until": date(2026, 4, 30)}, ALL[2:4]),
        ({"since": date(2026, 6, 1)}, []),
        # A moment lies in a month of the account's zone, where May begins at 16:00 UTC
        ({"until": datetime(2026, 4, 30, 15, 59, tzinfo=UTC)}, ALL[2:]),
        ({"until": datetime(2026, 4, 30, 16, tzinfo=UTC)}, ALL),
        ({"since": datetime(2026, 4, 30, 15, 59, tzinfo=UTC)}, ALL[:4]),
        ({"since": datetime(2026, 4, 30, 16, tzinfo=UTC)}, ALL[:2]),
        ({"search": "CARL.2026"}, ["carl.2026-05", "carl.2026-04", "carl.2026-03"]),
        ({"search": "04"}, ["carl.2026-04", "dora.2026-04"]),
        ({"search": "%"}, []),
    ],
)
def test_bills_are_chosen(
    several: LedgerDesk, reader: Reader, chosen: dict[str, Any], expected: list[str]
) -> None:
    assert ids(reader, **chosen) == expected


def test_a_bill_is_listed_with_what_is_left_of_it(several: LedgerDesk, reader: Reader) -> None:
    (row,) = bills(reader, BillFilter(statuses=["confirmed"])).rows

    assert row == BillRow("carl.2026-03", "carl", "2026-03", 1, 0, 1, "confirmed", "shop", several.now)
    assert bills(reader, BillFilter(accounts=["carl"])).timezone == "Asia/Shanghai"
    assert bills(reader).timezone == "UTC"


@pytest.mark.parametrize("size", [1, 2, 5])
def test_pages_of_bills_join_up(several: LedgerDesk, reader: Reader, size: int) -> None:
    found: list[str] = []
    after: str | None = None
    while True:
        page = bills(reader, limit=size, after=after)
        found += [row.bill for row in page.rows]
        after = page.next
        if after is None:
            break

    assert found == ALL


def test_what_bills_cannot_be_chosen_by_is_refused(reader: Reader) -> None:
    with pytest.raises(QueryInvalid, match=r"--status.*issued, confirmed"):
        ids(reader, statuses=["paid"])
    with pytest.raises(QueryInvalid, match="--from"):
        ids(reader, since=date(2026, 2, 2), until=date(2026, 2, 1))
    with pytest.raises(QueryInvalid, match="--after"):
        bills(reader, after="none")
    with pytest.raises(NotFound, match="nobody"):
        ids(reader, accounts=["nobody"])
    with pytest.raises(NotFound, match=r"no bill 'carl.2020-01'"):
        bill(reader, "carl.2020-01")
