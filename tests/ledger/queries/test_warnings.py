from __future__ import annotations

from typing import Any

import psycopg
import pytest

from ledger.errors import NotFound
from ledger.queries.warnings import WarningRow, warnings
from ledger.warnings import settle
from tests import builders as a
from tests.desk import NOW, LedgerDesk

Reader = psycopg.Connection[Any]


@pytest.fixture
def warned(desk: LedgerDesk) -> LedgerDesk:
    """low and mild about north, deep about acme; one more was removed."""
    desk.do(a.enterprise(), a.branch())
    desk.do(
        a.warning("low", "north", "acme", emails=["Fin_1@acme.example", "li.na@acme.example"]),
        a.warning("mild", "north", "north", percent=40),
        a.warning("deep", amount=5),
        a.warning("over", amount=5),
        a.remove_warning("over"),
    )
    return desk


def ids(reader: Reader, **chosen: Any) -> list[str]:
    return [row.warning for row in warnings(reader, **chosen).rows]


def test_warnings_are_listed_as_they_were_set(warned: LedgerDesk, reader: Reader) -> None:
    emails = ["Fin_1@acme.example", "li.na@acme.example"]

    assert warnings(reader).rows == [
        WarningRow("deep", "acme", "acme", 5, None, [], NOW, None),
        WarningRow("low", "north", "acme", 10, None, emails, NOW, None),
        WarningRow("mild", "north", "north", None, 40, [], NOW, None),
    ]


def test_a_warning_that_was_set_anew_is_listed_once(warned: LedgerDesk, reader: Reader) -> None:
    warned.later(days=1)
    warned.do(a.warning("deep", percent=7))

    assert warnings(reader).rows[0] == WarningRow("deep", "acme", "acme", None, 7, [], warned.now, None)


def test_one_that_has_fired_says_since_when(warned: LedgerDesk, reader: Reader) -> None:
    # Given seven of twelve coins, where one warns below ten, and another below forty percent
    warned.do(a.top_up("north", 12), a.onboarding("north", "d1", price=5))
    warned.later(days=1)
    accounts = [key for (key,) in warned.all("SELECT id FROM account WHERE account = 'north'")]
    with warned.connection.transaction():
        assert settle(warned.connection, accounts, warned.now)
    fired = {row.warning: row.fired_at for row in warnings(reader).rows}
    assert fired == {"deep": None, "low": warned.now, "mild": None}


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({"accounts": ["north"]}, ["low", "mild"]),
        ({"accounts": ["north", "acme"]}, ["deep", "low", "mild"]),
        ({"search": "L"}, ["low", "mild"]),
        ({"search": "fin_"}, ["low"]),
        ({"search": "over"}, []),
        ({"accounts": ["acme"], "search": "low"}, []),
    ],
)
def test_warnings_are_chosen(
    warned: LedgerDesk, reader: Reader, chosen: dict[str, Any], expected: list[str]
) -> None:
    assert ids(reader, **chosen) == expected


def test_pages_of_warnings_join_up(warned: LedgerDesk, reader: Reader) -> None:
    first = warnings(reader, limit=2)

    assert [row.warning for row in first.rows] == ["deep", "low"]
    assert ids(reader, after=first.next) == ["mild"]
    with pytest.raises(NotFound, match="nobody"):
        ids(reader, accounts=["nobody"])
