from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg
import pytest

from ledger.errors import NotFound, QueryInvalid
from ledger.queries.exports import ExportRow, exports
from tests import builders as a
from tests.desk import NOW, LedgerDesk

Reader = psycopg.Connection[Any]
FILTERS = {"type": ["transfer"], "from": "2026-02-01", "subtree": True, "search": "für Q1"}


@pytest.fixture
def asked(desk: LedgerDesk) -> LedgerDesk:
    """Newest first: late (of north), b and a (of acme, at the same moment)."""
    desk.do(a.enterprise(), a.branch())
    desk.do(a.export("a", filters=FILTERS), a.export("b", report="payment-methods", format="csv"))
    desk.later(days=1)
    desk.do(a.export("late", "north", report="orders"))
    return desk


def ids(reader: Reader, **chosen: Any) -> list[str]:
    return [row.export for row in exports(reader, **chosen).rows]


def test_exports_are_listed_newest_first(asked: LedgerDesk, reader: Reader) -> None:
    assert exports(reader).rows == [
        ExportRow("late", "north", "orders", {}, "xlsx", "requested", NOW + timedelta(days=1)),
        ExportRow("b", "acme", "payment-methods", {}, "csv", "requested", NOW),
        ExportRow("a", "acme", "statement", FILTERS, "xlsx", "requested", NOW),
    ]


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({"accounts": ["acme"]}, ["b", "a"]),
        ({"accounts": ["acme", "north"]}, ["late", "b", "a"]),
        ({"search": "LATE"}, ["late"]),
        ({"search": "methods"}, ["b"]),
        ({"accounts": ["north"], "search": "methods"}, []),
    ],
)
def test_exports_are_chosen(
    asked: LedgerDesk, reader: Reader, chosen: dict[str, Any], expected: list[str]
) -> None:
    assert ids(reader, **chosen) == expected


def test_pages_of_exports_join_up(asked: LedgerDesk, reader: Reader) -> None:
    first = exports(reader, limit=2)

    assert [row.export for row in first.rows] == ["late", "b"]
    assert ids(reader, after=first.next) == ["a"]
    with pytest.raises(QueryInvalid, match="--after"):
        exports(reader, after="none")
    with pytest.raises(NotFound, match="nobody"):
        ids(reader, accounts=["nobody"])
