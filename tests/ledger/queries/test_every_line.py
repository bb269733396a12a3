"""A statement to its end, and what there was before and after it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
import pytest

from ledger.database import connect
from ledger.errors import NotFound, QueryInvalid
from ledger.queries.balance import credits_by_unit
from ledger.queries.named import account_named
from ledger.queries.reading import snapshot
from ledger.queries.statement import StatementFilter, StatementLine, every_line, statement
from tests import builders as a
from tests.desk import NOW, LedgerDesk

Reader = psycopg.Connection[Any]


def read(reader: Reader, account: str, **chosen: Any) -> list[StatementLine]:
    with snapshot(reader):
        return list(every_line(reader, account, StatementFilter(**chosen)))


@pytest.fixture
def busy(desk: LedgerDesk) -> LedgerDesk:
    """shop ─ carl (sponsored) · shop ─ crew ─ dept (shared); something is posted on each of ten days."""
    desk.do(a.reseller("shop"), a.sponsored_customer("carl", "shop"))
    desk.do(a.branch("crew", "shop"), a.department("dept", "crew"))
    desk.do(a.top_up("shop", 1_000), a.transfer("shop", "crew", 400), a.grant("carl", 300))
    for day in range(10):
        desk.send(
            a.onboarding("dept", f"a{day}", price=2),
            a.onboarding("carl", f"b{day}", price=3),
            a.transfer("crew", "shop", 5, ordered_by="shop"),
        )
        desk.later(days=1)
    return desk


@pytest.mark.parametrize(
    "chosen",
    [
        {},
        {"types": ["transfer"]},
        {"search": "a3"},
        {"since": date(2026, 3, 3), "until": date(2026, 3, 5)},
        {"since": datetime(2026, 3, 5, 12, tzinfo=UTC)},
    ],
)
@pytest.mark.parametrize("subtree", [False, True])
@pytest.mark.parametrize("account", ["shop", "crew", "dept", "carl"])
def test_every_line_is_what_all_pages_together_have(
    busy: LedgerDesk, reader: Reader, account: str, subtree: bool, chosen: dict[str, Any]
) -> None:
    whole = statement(reader, account, StatementFilter(subtree=subtree, **chosen), limit=1_000)

    assert whole.next is None
    assert read(reader, account, subtree=subtree, **chosen) == whole.rows


def test_lines_are_those_of_the_snapshot(busy: LedgerDesk, reader: Reader) -> None:
    with snapshot(reader):
        lines = every_line(reader, "shop")
        first = next(lines)
        busy.do(a.top_up("shop", 1, reference="later"))
        rest = list(lines)

    assert first.type != "recharge"
    assert len(read(reader, "shop")) == 1 + len(rest) + 1


def test_what_cannot_be_chosen_is_refused(busy: LedgerDesk, reader: Reader) -> None:
    with pytest.raises(NotFound):
        read(reader, "nobody")
    with pytest.raises(QueryInvalid, match="--type"):
        read(reader, "shop", types=["gift"])
    # And the connection can be used after it
    assert read(reader, "carl", types=["allocation"])


def credits_(
    url: str, account: str, *, subtree: bool = False, before: datetime | None = None
) -> dict[str, int]:
    connection = connect(url, name="test reader")
    try:
        return credits_by_unit(connection, account_named(connection, account), subtree=subtree, before=before)
    finally:
        connection.close()


def test_credit_is_told_by_unit_for_an_account_or_all_below_it(busy: LedgerDesk, database_url: str) -> None:
    assert credits_(database_url, "shop") == {"coin": busy.credit("shop")}
    assert credits_(database_url, "carl") == {"allotment": busy.credit("carl")}
    assert credits_(database_url, "dept", subtree=True) == {}
    assert credits_(database_url, "shop", subtree=True) == {
        "coin": busy.credit("shop") + busy.credit("crew"),
        "allotment": busy.credit("carl"),
    }


@pytest.mark.parametrize("days", [0, 1, 5, 30])
def test_credit_before_a_moment_is_the_sum_of_what_was_posted_until_then(
    busy: LedgerDesk, database_url: str, reader: Reader, days: int
) -> None:
    moment = NOW + timedelta(days=days)
    expected: dict[str, int] = {}
    for line in read(reader, "shop", subtree=True):
        if line.time < moment:
            expected[line.unit] = expected.get(line.unit, 0) + line.amount

    assert credits_(database_url, "shop", subtree=True, before=moment) == expected


def test_an_account_that_changed_its_funding_has_the_unit_of_its_last_entry(
    desk: LedgerDesk, database_url: str
) -> None:
    desk.do(a.reseller("shop"), a.top_up("shop", 100), a.sponsored_customer("carl", "shop"))
    desk.do(
        a.grant("carl", 20), a.grant("carl", -20), a.funding("carl", "own"), a.transfer("shop", "carl", 7)
    )

    assert credits_(database_url, "carl") == {"coin": 7}
