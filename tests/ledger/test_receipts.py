"""Receipts: one for each recharge and each paid order, numbered without gaps, with what is printed kept as it was then."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import psycopg
import pytest

from ledger.receipts import Issued, issue
from ledger.verify import verify
from messages.events import FURTHER_EVENTS
from tests import builders as a
from tests.desk import NOW, LedgerDesk

EMAILS = {"email": "fin@acme.example", "boss_email": "boss@acme.example"}


def due(desk: LedgerDesk) -> list[int]:
    return [id_ for (id_,) in desk.all("SELECT transaction FROM receipt_due ORDER BY transaction")]


def issued(desk: LedgerDesk, *transactions: int) -> list[Issued]:
    """The receipts of those transactions; without any, of all for which one is due."""
    chosen = transactions or due(desk)
    with desk.connection.transaction():
        return issue(desk.connection, chosen, desk.now)


def numbers(desk: LedgerDesk, *transactions: int) -> list[str]:
    return [one.number for one in issued(desk, *transactions)]


def content(desk: LedgerDesk, number: str) -> dict[str, Any]:
    """What is printed on a receipt."""
    text: str = desk.one("SELECT content FROM receipt WHERE number = %s", number)[0]
    fields: dict[str, Any] = orjson.loads(text)
    return fields


@pytest.fixture
def acme(desk: LedgerDesk) -> LedgerDesk:
    """`acme` has 1,000 coins and `north` below it 100; no receipt is due."""
    desk.do(a.enterprise(name="Acme Ltd", **EMAILS), a.branch(name="North"))
    desk.do(a.top_up("acme", 1_000), a.transfer("acme", "north", 100))
    assert numbers(desk) == ["acme-2026-000001"]
    return desk


# Which there are


def test_every_recharge_and_every_paid_order_has_one(desk: LedgerDesk) -> None:
    desk.do(a.reseller(), a.sponsored_customer(), a.department("dept", "shop"), a.grant("carl", 500))
    desk.do(
        a.plan("pro", "package", price=7, cycle=a.MONTHLY), a.plan("far", "proxy", price=9, cycle=a.YEARLY)
    )
    desk.do(a.order("by-card-later", "shop", price=4, pay="later"))
    expected = [
        ("recharge", None, 1_000, "shop", desk.do(a.top_up("shop", 1_000))),
        ("order", "now", 20, "shop", desk.do(a.order("now", "shop", quantity=2))),
        ("order", "by-card", 10, "shop", desk.do(a.order("by-card", "shop", method="card"))),
        ("order", "by-card-later", 4, "shop", desk.do(a.pay("by-card-later", method="card"))),
        ("order", "on-allotment", 10, "carl", desk.do(a.order("on-allotment", "carl", kind="proxy"))),
        ("order", "on-others", 10, "dept", desk.do(a.order("on-others", "dept"))),
        ("order", "s1/1", 7, "shop", desk.do(a.subscribe("s1", "shop"))),
        ("order", "s1/2", 7, "shop", desk.do(a.next_cycle("s1", "shop"))),
        ("order", "s2/1", 9, "dept", desk.do(a.subscribe("s2", "dept", plan="far", kind="proxy"))),
    ]
    of_transactions = {
        one.data.transaction: (one.data.order, one.data.amount, one.data.account)
        for one in told(desk, issued(desk))
    }
    assert of_transactions == {number: (order, amount, of) for _, order, amount, of, number in expected}
    kinds = desk.all("SELECT kind, order_id, amount FROM receipt ORDER BY transaction")
    assert kinds == [one[:3] for one in expected]
    assert verify(desk.connection).differences == []


def test_nothing_else_has_one(acme: LedgerDesk) -> None:
    acme.do(a.adjustment("acme", 5), a.onboarding("acme", "d1"), a.limit(), a.order("waits", pay="later"))
    acme.do(a.plan("again", "renewal", price=3, cycle=a.MONTHLY), a.subscribe_devices("d1"))
    acme.do(a.plan("line", "phone", price=3, cycle=a.MONTHLY), a.subscribe("s2", plan="line", kind="phone"))
    acme.do(a.power_on(), a.power_off(), a.hold(), a.capture(), a.activation(), a.usage())
    acme.do(a.refund(acme.do(a.onboarding("acme", "d2"))))
    assert acme.refused(a.order("dear", price=10_000)) is not None
    assert due(acme) == []


def test_what_was_reversed_or_refunded_meanwhile_has_its_receipt_all_the_same(acme: LedgerDesk) -> None:
    acme.do(a.reversal(acme.do(a.top_up("acme", 7))), a.order("o1"), a.refund_of_order("o1"))
    assert [(one.amount, one.number) for one in issued(acme)] == [
        (7, "acme-2026-000002"),
        (10, "acme-2026-000003"),
    ]


def test_what_was_issued_is_not_issued_again(acme: LedgerDesk) -> None:
    acme.do(a.top_up("acme", 7))
    (transaction,) = due(acme)
    assert numbers(acme, transaction, transaction) == ["acme-2026-000002"]
    assert numbers(acme, transaction) == []
    assert due(acme) == []


# Their numbers


def test_each_top_account_counts_on_its_own_and_for_everybody_below_it(acme: LedgerDesk) -> None:
    acme.do(a.reseller(), a.branch("south", "north"))
    for account in ("shop", "north", "acme", "shop", "south"):
        acme.do(a.top_up(account))
    assert numbers(acme) == [
        "shop-2026-000001",
        "acme-2026-000002",
        "acme-2026-000003",
        "shop-2026-000002",
        "acme-2026-000004",
    ]


def test_a_year_begins_at_new_year_in_the_zone_of_the_top_account(desk: LedgerDesk) -> None:
    """Posted then, whenever the receipt is made, and wherever the account itself is."""
    desk.do(
        a.enterprise("east", timezone="Asia/Shanghai"),
        a.branch("office", "east", timezone="America/New_York"),
    )
    desk.do(a.enterprise("west"), a.branch("outpost", "west", timezone="Asia/Shanghai"))
    for moment in (
        datetime(2026, 12, 31, 15, 59, 59, 999_999, tzinfo=UTC),
        datetime(2026, 12, 31, 16, tzinfo=UTC),
        datetime(2026, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(2027, 1, 1, tzinfo=UTC),
    ):
        desk.now = moment
        desk.do(a.top_up("office", 1), a.top_up("outpost", 1))
    desk.now = datetime(2027, 6, 1, tzinfo=UTC)
    assert numbers(desk) == [
        "east-2026-000001",
        "west-2026-000001",
        "east-2027-000001",
        "west-2026-000002",
        "east-2027-000002",
        "west-2026-000003",
        "east-2027-000003",
        "west-2027-000001",
    ]
    assert verify(desk.connection).differences == []


def test_what_is_taken_back_leaves_no_gap(acme: LedgerDesk) -> None:
    acme.do(*(a.top_up("acme", 1) for _ in range(4)))
    first, *rest = due(acme)
    assert numbers(acme, first) == ["acme-2026-000002"]
    for some in (rest[:2], rest):
        with acme.connection.transaction() as transaction:
            assert len(issue(acme.connection, some, acme.now)) == len(some)
            raise psycopg.Rollback(transaction)
    assert due(acme) == rest
    assert numbers(acme) == ["acme-2026-000003", "acme-2026-000004", "acme-2026-000005"]
    assert acme.one("SELECT last FROM receipt_series") == (5,)
    assert verify(acme.connection).differences == []


def test_past_six_digits_numbers_grow(acme: LedgerDesk) -> None:
    acme.all("UPDATE receipt_series SET last = 999999")
    acme.do(a.top_up("acme", 1))
    assert numbers(acme) == ["acme-2026-1000000"]


# What is printed


def test_a_receipt_says_everything_that_is_known_of_the_payment(acme: LedgerDesk) -> None:
    acme.do(a.enterprise("east", name="East", timezone="Asia/Shanghai", legal_name="East GmbH"))
    acme.later(hours=1)
    number = acme.do(
        a.top_up(
            "east",
            500,
            method="wire",
            reference="W-1",
            payer="Li Na",
            paid={"currency": "EUR", "amount": "49.95"},
            note="für Q1",
        )
    )
    acme.later(hours=1)
    issued(acme)
    assert content(acme, "east-2026-000001") == {
        "number": "east-2026-000001",
        "kind": "recharge",
        "issued_at": "2026-03-01T14:00:00+00:00",
        "posted_at": "2026-03-01T13:00:00+00:00",
        "zone": "Asia/Shanghai",
        "top_account": "east",
        "top_account_name": "East",
        "account": "east",
        "account_name": "East",
        "transaction": number,
        "amount": 500,
        "legal_name": "East GmbH",
        "tax_id": None,
        "address": None,
        "paid_currency": "EUR",
        "paid_amount": "49.95",
        "method": "wire",
        "reference": "W-1",
        "item": None,
        "quantity": 1,
        "unit_price": None,
        "order": None,
        "payer": "Li Na",
        "note": "für Q1",
    }


def test_a_receipt_of_an_order_says_what_was_bought(acme: LedgerDesk) -> None:
    acme.do(a.order("o1", "north", product="Proxy EU", quantity=3, price=4, method="wechat", payer="bo"))
    issued(acme)
    printed = content(acme, "acme-2026-000002")
    assert {
        name: printed[name]
        for name in ("kind", "account", "account_name", "top_account_name", "order", "item", "quantity")
    } == {
        "kind": "order",
        "account": "north",
        "account_name": "North",
        "top_account_name": "Acme Ltd",
        "order": "o1",
        "item": "Proxy EU",
        "quantity": 3,
    }
    assert (printed["unit_price"], printed["amount"], printed["method"], printed["payer"]) == (
        4,
        12,
        "wechat",
        "bo",
    )


def test_what_is_printed_stays_as_it_was_when_it_was_issued(acme: LedgerDesk) -> None:
    acme.do(a.order("o1", "north"))
    issued(acme)
    before = acme.one("SELECT content, emails FROM receipt WHERE order_id = 'o1'")
    acme.do(
        a.UpdateAccount(
            account="acme",
            name="New Ltd",
            legal_name="New",
            tax_id="1",
            address="Else",
            timezone="Asia/Tokyo",
        ),
        a.UpdateAccount(
            account="north", name="South", email="new@acme.example", boss_email="new@acme.example"
        ),
        a.refund_of_order("o1"),
    )
    assert acme.one("SELECT content, emails FROM receipt WHERE order_id = 'o1'") == before
    for statement in ("UPDATE receipt SET content = '{}'", "DELETE FROM receipt"):
        with pytest.raises(psycopg.errors.IntegrityConstraintViolation), acme.connection.transaction():
            acme.connection.execute(statement.encode())


@pytest.mark.parametrize(
    ("top", "middle", "own", "expected"),
    [
        ({"legal_name": "Top"}, {"legal_name": "Middle"}, {"legal_name": "Own"}, ("Own", None, None)),
        ({"legal_name": "Top"}, {"legal_name": "Middle"}, {}, ("Middle", None, None)),
        ({"legal_name": "Top", "tax_id": "T", "address": "A"}, {}, {}, ("Top", "T", "A")),
        # All three are those of one account, never of two that are nobody
        ({"legal_name": "Top", "address": "A"}, {"tax_id": "M"}, {}, (None, "M", None)),
        ({}, {}, {}, (None, None, None)),
    ],
)
def test_who_is_named_is_the_account_or_the_nearest_above_it_that_has_a_name(
    desk: LedgerDesk,
    top: dict[str, str],
    middle: dict[str, str],
    own: dict[str, str],
    expected: tuple[str | None, ...],
) -> None:
    desk.do(a.enterprise("top", **top), a.branch("middle", "top", **middle), a.branch("own", "middle", **own))
    desk.do(a.top_up("own"))
    printed = content(desk, numbers(desk)[0])
    assert (printed["legal_name"], printed["tax_id"], printed["address"]) == expected


# To whom it goes


@pytest.mark.parametrize(
    ("own", "payer", "expected"),
    [
        ({}, None, ["fin@acme.example", "boss@acme.example"]),
        ({"email": "n@acme.example"}, None, ["n@acme.example", "boss@acme.example"]),
        ({"boss_email": "n-boss@acme.example"}, None, ["fin@acme.example", "n-boss@acme.example"]),
        ({"email": "n@acme.example"}, "li.na@pay.example", ["li.na@pay.example", "boss@acme.example"]),
        # A name is no address, nor is a name with one, nor are two
        ({}, "Li Na", ["fin@acme.example", "boss@acme.example"]),
        ({}, "Li Na <li.na@pay.example>", ["fin@acme.example", "boss@acme.example"]),
        ({}, "a@pay.example,b@pay.example", ["fin@acme.example", "boss@acme.example"]),
        # Each address once, however it is written
        ({}, "Boss@Acme.example", ["Boss@Acme.example"]),
        ({"email": "boss@acme.example"}, None, ["boss@acme.example"]),
    ],
)
def test_it_goes_to_the_payer_and_to_the_boss_or_whoever_is_above(
    acme: LedgerDesk, own: dict[str, str], payer: str | None, expected: list[str]
) -> None:
    acme.do(
        a.branch("south", "north", **own), a.top_up("south", payer=payer), a.order("o1", "south", payer=payer)
    )
    assert [one.emails for one in issued(acme)] == [expected, expected]
    assert acme.all("SELECT emails FROM receipt WHERE seq > 1") == [(expected,), (expected,)]


def test_where_nobody_above_has_an_address_it_goes_to_nobody(desk: LedgerDesk) -> None:
    desk.do(a.enterprise(), a.top_up())
    assert [one.emails for one in issued(desk)] == [[]]


# What is told


def told(desk: LedgerDesk, receipts: list[Issued]) -> list[Any]:
    """The events of those receipts."""
    ((events,),) = desk.all("DELETE FROM outbox RETURNING events")
    lines = [line.split(b" ", 2) for line in events.split(b"\n")]
    said = [FURTHER_EVENTS.validate_json(raw) for _, _, raw in lines]
    for (route, type_, _), one in zip(lines, said, strict=True):
        assert (route, type_) == (f"event.{one.data.top_account}.{one.type}".encode(), one.type.encode())
    assert [one.data.receipt for one in said] == [one.number for one in receipts]
    assert len({one.id for one in said}) == len(said)
    return said


def test_each_receipt_is_announced(acme: LedgerDesk) -> None:
    acme.all("DELETE FROM outbox")
    number = acme.do(a.order("o1", "north"))
    (event,) = told(acme, issued(acme))
    assert event.type == "coins.ReceiptIssued.v1"
    assert event.time == NOW
    assert event.data.model_dump() == {
        "account": "north",
        "top_account": "acme",
        "receipt": "acme-2026-000002",
        "transaction": number,
        "order": "o1",
        "amount": 10,
    }
