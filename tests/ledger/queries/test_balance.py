from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import psycopg
import pytest

from ledger.errors import NotFound
from ledger.queries.balance import Balance, balance
from tests import builders as a
from tests.desk import NOW, LedgerDesk
from tests.ledger.queries.conftest import Grant

Reader = psycopg.Connection[Any]


def test_available_is_credit_and_limit(desk: LedgerDesk, reader: Reader) -> None:
    desk.do(a.enterprise(), a.limit("acme", 50), a.top_up("acme", 100))

    assert balance(reader, "acme") == Balance("acme", "own", None, None, 100, 50, 0, 150, 150)


def test_what_a_purchase_could_take_is_never_below_zero(desk: LedgerDesk, reader: Reader) -> None:
    # Given an account whose limit was lowered below what it owes
    desk.do(a.enterprise(), a.limit("acme", 50), a.onboarding("acme", price=40), a.limit("acme", 10))

    found = balance(reader, "acme")

    assert (found.available, found.spendable) == (-30, 0)


def test_a_shared_account_has_what_its_master_has(desk: LedgerDesk, reader: Reader) -> None:
    # Given a department's team, both drawing on the enterprise
    desk.do(a.enterprise(), a.department("dept"), a.department("team", "dept"))
    desk.do(a.limit("acme", 5), a.top_up("acme", 100))

    assert balance(reader, "team") == Balance("team", "shared", "acme", None, 0, 0, 0, 105, 105)


def test_a_sponsored_customer_can_spend_what_it_and_its_sponsor_have(
    desk: LedgerDesk, reader: Reader, grant: Grant
) -> None:
    desk.do(a.reseller("shop"), a.sponsored_customer("carl", "shop"), a.top_up("shop", 50))
    grant("carl", 80)

    assert balance(reader, "carl") == Balance("carl", "sponsored", None, "shop", 80, 0, 0, 80, 50)


@pytest.mark.parametrize("account", ["platform", "nobody", "x" * 65, "no such\x00id", "\udcff", ""])
def test_who_does_not_exist_has_no_balance(reader: Reader, account: str) -> None:
    with pytest.raises(NotFound):
        balance(reader, account)


def test_the_credit_as_of_then_comes_from_the_entries(desk: LedgerDesk, reader: Reader) -> None:
    # Given three recharges, a day between them
    desk.do(a.enterprise(), a.limit("acme", 7))
    for _ in range(3):
        desk.do(a.top_up("acme", 10))
        desk.later(days=1)

    # Then at each moment the credit is that of the latest entry up to it, that moment included
    assert balance(reader, "acme", NOW).credit == 10
    assert balance(reader, "acme", datetime(2026, 3, 2, 11, 59, 59, 999999, tzinfo=UTC)).credit == 10
    assert balance(reader, "acme", datetime(2026, 3, 2, 12, tzinfo=UTC)).credit == 20
    assert balance(reader, "acme", datetime(2026, 4, 1, tzinfo=UTC)).credit == 30
    # And before the first it is 0
    assert balance(reader, "acme", datetime(2026, 3, 1, tzinfo=UTC)).credit == 0
    # And what was not kept is not guessed
    assert balance(reader, "acme", NOW)[5:] == (None, None, None, None)


def test_a_date_is_its_end_in_the_zone_of_the_account(desk: LedgerDesk, reader: Reader) -> None:
    # Given recharges at 23:30 and at 00:30 of the next day, in Shanghai
    desk.do(a.enterprise(timezone="Asia/Shanghai"))
    for hour in (15, 16):
        desk.now = datetime(2026, 3, 5, hour, 30, tzinfo=UTC)
        desk.do(a.top_up("acme", 10))

    assert balance(reader, "acme", date(2026, 3, 5)).credit == 10
    assert balance(reader, "acme", date(2026, 3, 6)).credit == 20


def test_the_credit_as_of_then_is_found_among_many_entries(desk: LedgerDesk, reader: Reader) -> None:
    # Given more entries than are looked through one by one, three of them at each moment
    desk.do(a.enterprise())
    for _ in range(150):
        desk.send(*(a.top_up("acme", 1) for _ in range(3)))
        desk.later(minutes=1)

    for minute in range(0, 150, 7):
        at = NOW.replace(hour=12 + minute // 60, minute=minute % 60)
        assert balance(reader, "acme", at).credit == 3 * (minute + 1)
