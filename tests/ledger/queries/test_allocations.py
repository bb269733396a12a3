from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
import pytest

from ledger.errors import NotFound, QueryInvalid
from ledger.queries.allocations import AllocationFilter, AllocationRow, allocations
from tests import builders as a
from tests.desk import NOW, LedgerDesk
from tests.ledger.queries.conftest import Bill

Reader = psycopg.Connection[Any]


@pytest.fixture
def granted(desk: LedgerDesk) -> LedgerDesk:
    """Newest first: 70 to carl, 5 to dora, -20 from carl, 100 to carl, a day between each; charges lie between them."""
    desk.do(a.distributor(), a.reseller(timezone="Asia/Shanghai"), a.reseller("second", "dist"))
    desk.do(a.sponsored_customer("carl", timezone="Europe/Berlin"), a.sponsored_customer("dora", "second"))
    desk.do(a.top_up("shop", 1_000), a.top_up("dist", 1_000))
    desk.now = datetime(2026, 3, 1, 23, 30, tzinfo=UTC)
    desk.ask(a.grant("carl", 100, note="50% of Q1"), id="g-1", actor="li.na")
    desk.do(a.onboarding("carl", "d1", "d2", price=10))
    desk.later(days=1)
    desk.do(a.grant("carl", -20, note="too much"))
    desk.later(days=1)
    desk.do(a.grant("dora", 5, reseller="second"))
    desk.later(days=1)
    desk.do(a.renewal("carl", "d1"), a.grant("carl", 70))
    return desk


def amounts(reader: Reader, **chosen: Any) -> list[int]:
    return [row.amount for row in allocations(reader, AllocationFilter(**chosen)).rows]


def test_grants_and_reclaims_are_listed_newest_first(granted: LedgerDesk, reader: Reader) -> None:
    found = allocations(reader)

    assert [row.amount for row in found.rows] == [70, 5, -20, 100]
    assert found.rows[-1] == AllocationRow(
        time=datetime(2026, 3, 1, 23, 30, tzinfo=UTC),
        number=found.rows[-1].number,
        reseller="shop",
        customer="carl",
        type="allocation",
        amount=100,
        balance=100,
        note="50% of Q1",
        actor="li.na",
    )
    assert found.rows[2][2:] == ("shop", "carl", "reclaim", -20, 60, "too much", None)
    assert found.rows[1][2:6] == ("second", "dora", "allocation", 5)
    assert (found.next, found.timezone) == (None, "UTC")


def test_what_a_bill_returned_is_among_them(granted: LedgerDesk, reader: Reader, bill_of: Bill) -> None:
    # Given 21 charged in March, and billed
    granted.later(days=30)
    granted.do(a.confirmation(bill_of("carl", "2026-03")))

    row = allocations(reader).rows[0]

    assert row[2:] == ("shop", "carl", "credit_return", 21, 150, None, None)


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({"resellers": ["shop"]}, [70, -20, 100]),
        ({"resellers": ["shop", "second"]}, [70, 5, -20, 100]),
        ({"resellers": ["dist"]}, []),
        ({"customers": ["dora"]}, [5]),
        ({"customers": ["dora", "carl"]}, [70, 5, -20, 100]),
        ({"resellers": ["second"], "customers": ["carl"]}, []),
        ({"search": "0%"}, [100]),
        ({"search": "TOO"}, [-20]),
        ({"search": "T-2026"}, [70, 5, -20, 100]),
        ({"search": "nothing like it"}, []),
        # In UTC; in the customer's zone, where 23:30 UTC is the next day; in the reseller's, the same
        ({"until": date(2026, 3, 1)}, [100]),
        ({"customers": ["carl"], "until": date(2026, 3, 1)}, []),
        ({"customers": ["carl"], "since": date(2026, 3, 2), "until": date(2026, 3, 2)}, [100]),
        ({"resellers": ["shop"], "since": date(2026, 3, 2), "until": date(2026, 3, 3)}, [-20, 100]),
        ({"since": date(2026, 3, 2), "until": date(2026, 3, 3)}, [5, -20]),
        ({"since": datetime(2026, 3, 3, 23, 30, tzinfo=UTC)}, [70, 5]),
        ({"since": date(2027, 1, 1)}, []),
    ],
)
def test_allocations_are_chosen(
    granted: LedgerDesk, reader: Reader, chosen: dict[str, Any], expected: list[int]
) -> None:
    assert amounts(reader, **chosen) == expected


def test_an_allocation_is_found_by_its_number(granted: LedgerDesk, reader: Reader) -> None:
    number = allocations(reader).rows[2].number

    assert amounts(reader, search=number) == [-20]


def test_dates_are_taken_in_the_zone_of_the_customer_then_of_the_reseller(
    granted: LedgerDesk, reader: Reader
) -> None:
    def zone(**chosen: Any) -> str:
        return allocations(reader, AllocationFilter(**chosen)).timezone

    assert zone(customers=["carl"], resellers=["shop"]) == "Europe/Berlin"
    assert zone(resellers=["shop"]) == "Asia/Shanghai"
    assert zone(customers=["carl", "dora"], resellers=["shop"]) == "UTC"


def test_who_changed_its_name_or_funding_or_is_closed_keeps_what_it_was_granted(
    granted: LedgerDesk, reader: Reader
) -> None:
    # Given dora renamed, emptied and with coins of its own; then closed
    granted.do(a.grant("dora", -5, reseller="second"), a.funding("dora", "own"), a.closing("dora"))

    assert amounts(reader, customers=["dora"]) == [-5, 5]
    assert amounts(reader, resellers=["second"]) == [-5, 5]


@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("chosen", [{}, {"customers": ["carl"]}, {"search": "T-2026"}])
def test_pages_of_allocations_join_up(
    granted: LedgerDesk, reader: Reader, size: int, chosen: dict[str, Any]
) -> None:
    # Given several at the same moment, too
    granted.send(*(a.grant("carl", amount) for amount in (1, 2, 3)))
    found: list[AllocationRow] = []
    after: str | None = None
    while True:
        page = allocations(reader, AllocationFilter(**chosen), limit=size, after=after)
        found += page.rows
        after = page.next
        if after is None:
            break

    assert found == allocations(reader, AllocationFilter(**chosen)).rows
    assert [row.amount for row in found[:4]] == [3, 2, 1, 70]


def test_allocations_among_many_charges_are_found(desk: LedgerDesk, reader: Reader) -> None:
    # Given a customer with more entries than are looked through one by one
    desk.do(a.reseller(), a.sponsored_customer(), a.top_up("shop", 10_000))
    for day in range(6):
        desk.do(a.grant("carl", 100 + day))
        desk.send(*(a.onboarding("carl", f"d{day}-{number}") for number in range(40)))
        desk.later(days=1)

    chosen = {"since": NOW + timedelta(days=1), "until": NOW + timedelta(days=4)}

    assert amounts(reader, **chosen) == [104, 103, 102, 101]
    first = allocations(reader, AllocationFilter(**chosen), limit=2)
    rest = allocations(reader, AllocationFilter(**chosen), after=first.next)
    assert [row.amount for row in rest.rows] == [102, 101]


def test_what_allocations_cannot_be_chosen_by_is_refused(granted: LedgerDesk, reader: Reader) -> None:
    charge = granted.do(a.renewal("carl", "d1"))
    for cursor in ("x", "", charge, "T-2026-9999999999"):
        with pytest.raises(QueryInvalid, match="--after"):
            allocations(reader, after=cursor)
    with pytest.raises(QueryInvalid, match="--from"):
        amounts(reader, since=date(2026, 3, 2), until=date(2026, 3, 1))
    with pytest.raises(QueryInvalid, match="--limit"):
        allocations(reader, limit=0)
    for chosen in ({"resellers": ["nobody"]}, {"customers": ["nobody"]}):
        with pytest.raises(NotFound, match="nobody"):
            amounts(reader, **chosen)
