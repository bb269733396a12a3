from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
import pytest

from ledger.database import connect
from ledger.errors import NotFound, QueryInvalid
from ledger.queries.orders import OrderFilter, OrderReport, OrderRow, order, orders
from tests import builders as a
from tests.desk import NOW, LedgerDesk

Reader = psycopg.Connection[Any]


def ids(reader: Reader, **chosen: Any) -> list[str]:
    return [row.order for row in orders(reader, OrderFilter(**chosen)).rows]


def test_an_order_is_listed_with_what_charged_it_and_what_was_given_back(
    desk: LedgerDesk, reader: Reader
) -> None:
    desk.do(a.enterprise(), a.top_up("acme", 100), a.order("later", product="Basic", pay="later"))
    desk.later(hours=1)
    number = desk.do(a.order("now", kind="proxy", product="Proxy EU", quantity=3, payer="li.na", phone="p-1"))
    desk.do(a.refund_of_order("now", 4), a.refund_of_order("now", 6))

    found = orders(reader)

    assert found.rows == [
        OrderRow(
            order="now",
            number=number,
            kind="proxy",
            product="Proxy EU",
            account="acme",
            status="completed",
            amount=30,
            refunded=10,
            method="balance",
            payer="li.na",
            phone="p-1",
            created_at=NOW + timedelta(hours=1),
            paid_at=NOW + timedelta(hours=1),
        ),
        OrderRow(
            "later",
            None,
            "package",
            "Basic",
            "acme",
            "pending_payment",
            10,
            0,
            "balance",
            None,
            None,
            NOW,
            None,
        ),
    ]
    assert (found.next, found.timezone) == (None, "UTC")


def test_an_order_that_was_paid_later_names_the_charge_not_what_was_paid_in(
    desk: LedgerDesk, reader: Reader
) -> None:
    desk.do(a.enterprise(), a.order(pay="later"))
    desk.later(days=1)
    number = desk.do(a.pay(method="wechat", payer="bo"))

    (row,) = orders(reader).rows

    assert (row.number, row.status, row.method, row.payer) == (number, "completed", "wechat", "bo")
    assert (row.created_at, row.paid_at) == (NOW, NOW + timedelta(days=1))


def be_busy(desk: LedgerDesk) -> None:
    """Newest first: sub/2 and sub/1 (packages by subscription), run (a phone), gone, proxy, first (of another account)."""
    desk.do(a.enterprise(timezone="Asia/Shanghai"), a.branch(), a.top_up("acme", 1_000))
    desk.do(a.transfer("acme", "north", 100), a.plan("pro", "package", price=7, cycle=a.MONTHLY, name="Gold"))
    desk.now = datetime(2026, 3, 5, 15, 30, tzinfo=UTC)  # 23:30 in Shanghai
    desk.do(a.order("first", "north", product="100% pure"))
    desk.later(hours=1)
    desk.do(a.order("proxy", kind="proxy", product="Proxy EU"))
    desk.later(hours=1)
    desk.do(a.order("gone", pay="later"), a.cancel_order("gone", note="changed my mind"))
    desk.later(hours=1)
    desk.do(a.power_on("run", phone="p-9"))
    desk.later(hours=1)
    desk.do(a.subscribe("sub"), a.next_cycle("sub"))


@pytest.fixture(scope="module")
def busy(module_database_url: str) -> Iterator[Reader]:
    desk = LedgerDesk(module_database_url)
    be_busy(desk)
    desk.close()
    connection = connect(module_database_url, name="test reader")
    yield connection
    connection.close()


ALL = ["sub/2", "sub/1", "run", "gone", "proxy", "first"]


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({}, ALL),
        ({"accounts": ["north"]}, ["first"]),
        ({"accounts": ["north", "acme"]}, ALL),
        ({"accounts": ["acme", "acme"]}, ALL[:-1]),
        ({"kinds": ["phone", "proxy"]}, ["run", "proxy"]),
        ({"statuses": ["running"]}, ["run"]),
        ({"statuses": ["canceled", "pending_payment"]}, ["gone"]),
        ({"products": ["Gold", "Pro"]}, ["sub/2", "sub/1", "gone"]),
        ({"phones": ["p-9"]}, ["run"]),
        ({"kinds": ["package"], "statuses": ["completed"], "accounts": ["acme"]}, ["sub/2", "sub/1"]),
        ({"search": "pRO"}, ["gone", "proxy"]),
        ({"search": "0%"}, ["first"]),
        ({"search": "%"}, ["first"]),
        ({"search": "T-2026-"}, ["sub/2", "sub/1", "proxy", "first"]),
        ({"search": "nothing like it"}, []),
        # Of one account dates are days in its zone, which begin at 16:00 UTC
        ({"accounts": ["acme"], "since": date(2026, 3, 6)}, ALL[:-1]),
        ({"accounts": ["acme"], "until": date(2026, 3, 5)}, []),
        # Of all, and of several with zones of their own, they are days in UTC
        ({"until": date(2026, 3, 5)}, ALL),
        ({"accounts": ["acme", "north"], "since": date(2026, 3, 5), "until": date(2026, 3, 5)}, ALL),
        ({"since": date(2026, 3, 6)}, []),
        ({"since": datetime(2026, 3, 5, 18, 30, tzinfo=UTC)}, ["sub/2", "sub/1", "run"]),
        ({"until": datetime(2026, 3, 5, 16, 30, tzinfo=UTC)}, ["proxy", "first"]),
    ],
)
def test_orders_are_chosen(busy: Reader, chosen: dict[str, Any], expected: list[str]) -> None:
    assert ids(busy, **chosen) == expected


def test_an_order_is_found_by_the_number_of_its_charge(busy: Reader) -> None:
    first = orders(busy).rows[-1]

    assert first.number is not None
    assert ids(busy, search=first.number.lower()) == ["first"]
    assert ids(busy, search=first.number[-4:]) == ["first"]
    # And not by the number that it would have had in another year
    assert ids(busy, search=first.number.replace("2026", "2025")) == []


def test_a_list_says_in_which_zone_its_dates_are(busy: Reader) -> None:
    assert orders(busy, OrderFilter(accounts=["acme"])).timezone == "Asia/Shanghai"
    assert orders(busy, OrderFilter(accounts=["acme", "north"])).timezone == "UTC"


@pytest.mark.parametrize("size", [1, 2, 4, 6])
def test_pages_of_orders_join_up(busy: Reader, size: int) -> None:
    found: list[str] = []
    after: str | None = None
    while True:
        page = orders(busy, limit=size, after=after)
        found += [row.order for row in page.rows]
        after = page.next
        if after is None:
            break

    assert found == ALL


def test_orders_that_come_in_meanwhile_do_not_move_the_next_page(desk: LedgerDesk, reader: Reader) -> None:
    be_busy(desk)
    first = orders(reader, limit=2)
    desk.later(hours=1)
    desk.do(a.order("new"))

    assert [row.order for row in orders(reader, limit=2, after=first.next).rows] == ["run", "gone"]


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ({"kinds": ["pack"]}, r"--kind.*package, proxy, phone"),
        ({"statuses": ["paid"]}, r"--status.*pending_payment, running, completed, canceled"),
        ({"since": date(2026, 3, 2), "until": date(2026, 3, 1)}, "--from"),
        ({"products": ["a\x00"]}, "--product"),
        ({"phones": ["\udcff"]}, "--phone"),
        ({"search": "a\x00b"}, "--search"),
    ],
)
def test_what_orders_cannot_be_chosen_by_is_refused(busy: Reader, chosen: dict[str, Any], said: str) -> None:
    with pytest.raises(QueryInvalid, match=said):
        ids(busy, **chosen)


def test_who_does_not_exist_has_no_orders(busy: Reader) -> None:
    with pytest.raises(NotFound, match="nobody"):
        ids(busy, accounts=["nobody"])
    with pytest.raises(QueryInvalid, match="--after"):
        orders(busy, after="none")
    with pytest.raises(QueryInvalid, match="--limit"):
        orders(busy, limit=0)


def test_one_order_is_told_with_its_details(desk: LedgerDesk, reader: Reader) -> None:
    details = {"regions": ["eu", "jp"], "note": "für später", "big": 2**62}
    desk.do(a.enterprise(), a.top_up("acme", 100), a.plan("pro", "package", price=7))
    number = desk.do(a.order("o1", price=None, plan="pro", quantity=2, details=details))

    assert order(reader, "o1", now=desk.now) == OrderReport(
        order="o1",
        number=number,
        kind="package",
        product="Pro",
        account="acme",
        status="completed",
        amount=14,
        refunded=0,
        method="balance",
        payer=None,
        phone=None,
        created_at=NOW,
        paid_at=NOW,
        details=details,
        quantity=2,
        minutes=None,
        rate=None,
        power_up_at=None,
        power_down_at=None,
        running_fee=None,
        receipt=None,
        plan="pro",
        price=7,
        canceled_at=None,
        note=None,
    )


def test_a_canceled_order_says_when_and_why(busy: Reader) -> None:
    found = order(busy, "gone", now=NOW)

    assert (found.status, found.canceled_at, found.note) == (
        "canceled",
        found.created_at,
        "changed my mind",
    )
    assert found.details == {}


def test_a_phone_says_what_it_costs_so_far_and_then_what_it_cost(desk: LedgerDesk, reader: Reader) -> None:
    desk.do(a.enterprise(), a.top_up("acme", 100), a.power_on("run", phone="p-1", rate="0.75", payer="bo"))

    running = order(reader, "run", now=NOW + timedelta(minutes=3, seconds=1))

    assert (running.status, running.amount, running.number, running.paid_at) == ("running", None, None, None)
    assert (running.minutes, running.rate, running.running_fee) == (4, "0.75", 3)
    assert (running.power_up_at, running.power_down_at, running.phone) == (NOW, None, "p-1")
    # A clock that is behind counts the first minute
    assert order(reader, "run", now=NOW - timedelta(hours=1)).running_fee == 1

    number = desk.do(a.power_off("run", at="2026-03-01T12:10:00Z"))
    ended = order(reader, "run", now=NOW + timedelta(days=1))

    assert (ended.status, ended.amount, ended.running_fee, ended.minutes) == ("completed", 8, 8, 10)
    assert (ended.number, ended.power_down_at) == (number, NOW + timedelta(minutes=10))


def test_a_run_that_costs_nothing_is_completed_without_a_number(desk: LedgerDesk, reader: Reader) -> None:
    desk.do(a.enterprise(), a.top_up("acme", 1), a.power_on("run", rate="0"), a.power_off("run"))

    found = order(reader, "run", now=desk.now)

    assert (found.status, found.amount, found.running_fee, found.number) == ("completed", 0, 0, None)


def test_a_cycle_is_an_order_of_its_own(busy: Reader) -> None:
    found = order(busy, "sub/2", now=NOW)

    assert (found.kind, found.product, found.plan, found.amount) == ("package", "Gold", "pro", 7)


def test_an_order_that_does_not_exist_is_not_found(busy: Reader) -> None:
    with pytest.raises(NotFound, match="no order 'sub/3'"):
        order(busy, "sub/3", now=NOW)
    with pytest.raises(QueryInvalid, match="ID"):
        order(busy, "a\x00", now=NOW)
