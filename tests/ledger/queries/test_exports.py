from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg
import pytest

from ledger.errors import NotFound, QueryInvalid
from ledger.queries.exports import ExportRow, ReadyExport, exports, ready
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
    waiting = dict.fromkeys(("ready_at", "rows", "bytes", "sha256", "path", "why"))
    day = timedelta(days=1)
    assert exports(reader).rows == [
        ExportRow("late", "north", "orders", {}, "xlsx", "requested", NOW + day, **waiting),
        ExportRow("b", "acme", "payment-methods", {}, "csv", "requested", NOW, **waiting),
        ExportRow("a", "acme", "statement", FILTERS, "xlsx", "requested", NOW, **waiting),
    ]


MADE = """
UPDATE export SET state = %s, ready_at = %s, rows = %s, bytes = %s, sha256 = %s, path = %s, why = %s
WHERE export = 'a'"""


def test_an_export_that_is_ready_is_told_with_its_file(asked: LedgerDesk, reader: Reader) -> None:
    made = (NOW + timedelta(minutes=1), 17, 4_096, "ab" * 32, "exports/acme/a.xlsx", None)
    asked.all(MADE, "ready", *made)

    row = exports(reader, accounts=["acme"]).rows[1]

    assert row == ExportRow("a", "acme", "statement", FILTERS, "xlsx", "ready", NOW, *made)
    assert ready(reader, "a") == ReadyExport("exports/acme/a.xlsx", 17, "ab" * 32)


@pytest.mark.parametrize(
    ("state", "why", "said"),
    [
        ("requested", None, "it is requested, try again soon"),
        ("requested", "the disk is full", r"it is requested, try again soon \(the disk is full\)"),
        ("running", None, "it is running, try again soon"),
        ("failed", "nobody is no account", r"it has failed \(nobody is no account\)"),
        ("removed", None, "its file was removed"),
    ],
)
def test_an_export_that_has_no_file_says_how_far_it_is(
    asked: LedgerDesk, reader: Reader, state: str, why: str | None, said: str
) -> None:
    path = "exports/acme/a.xlsx" if state == "removed" else None
    asked.all(MADE, state, NOW, 17, 4_096, "ab" * 32, path, why)

    with pytest.raises(NotFound, match=f"the export a has no file: {said}$"):
        ready(reader, "a")


def test_an_export_that_nobody_asked_for_is_not_found(reader: Reader) -> None:
    with pytest.raises(NotFound, match="no export 'none'; `coins exports` lists"):
        ready(reader, "none")
    with pytest.raises(QueryInvalid, match="ID"):
        ready(reader, "a\x00")


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
