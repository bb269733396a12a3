from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg
import pytest

from ledger.errors import NotFound, QueryInvalid
from ledger.queries.balance import balance
from ledger.queries.holds import HoldRow, holds
from tests import builders as a
from tests.desk import NOW, LedgerDesk

Reader = psycopg.Connection[Any]


@pytest.fixture
def frozen(desk: LedgerDesk) -> LedgerDesk:
    """Of acme's coins: h1 (10, by itself, ends after an hour), r1 (a render farm of its department, 15), h0 (captured in
    part); of carl's allotment and shop's coins: h2 (7), r2 (used up); some have ended.
    """
    desk.do(a.enterprise(timezone="Asia/Shanghai"), a.department(), a.top_up("acme", 100))
    desk.do(a.reseller(), a.sponsored_customer(), a.top_up("shop", 100), a.grant("carl", 80))
    desk.do(a.plan("farm", "postpaid", name="Render farm", coefficient="1.5"))
    desk.do(a.hold("h0", amount=5), a.capture("h0", 2, final=False))
    desk.later(minutes=1)
    desk.do(a.activation("r1", "dept", 10, plan="farm"))
    desk.later(minutes=1)
    desk.do(a.hold("h1", purpose="50% deposit", expires_at="2026-03-01T13:00:00Z"))
    desk.do(a.hold("h2", "carl", 7), a.activation("r2", "carl", 4), a.usage("r2", 9))
    desk.do(a.hold("gone"), a.release_hold("gone"), a.hold("taken"), a.capture("taken"))
    desk.do(a.activation("ended"), a.termination("ended"))
    return desk


def shown(reader: Reader, account: str, **given: Any) -> list[str]:
    return [row.hold or row.resource or "" for row in holds(reader, account, now=NOW, **given).rows]


def test_what_is_frozen_is_listed_with_how_to_get_it_back(frozen: LedgerDesk, reader: Reader) -> None:
    found = holds(reader, "acme", now=NOW)

    assert found.rows == [
        HoldRow(
            hold="h1",
            resource=None,
            account="acme",
            purpose="50% deposit",
            coefficient=None,
            frozen=10,
            remaining=10,
            since=NOW + timedelta(minutes=2),
            expires_at=NOW + timedelta(hours=1),
            release="coins do ReleaseHold hold=h1",
        ),
        HoldRow(
            hold=None,
            resource="r1",
            account="dept",
            purpose="Render farm",
            coefficient="1.5",
            frozen=15,
            remaining=15,
            since=NOW + timedelta(minutes=1),
            expires_at=None,
            release="coins do TerminatePostpaid resource=r1",
        ),
        HoldRow("h0", None, "acme", None, None, 5, 3, NOW, None, "coins do ReleaseHold hold=h0"),
    ]
    assert (found.account, found.timezone, found.next) == ("acme", "Asia/Shanghai", None)


def test_a_hold_past_its_expiry_is_released_by_itself(frozen: LedgerDesk, reader: Reader) -> None:
    at_its_end = holds(reader, "acme", now=NOW + timedelta(hours=1)).rows[0]
    before = holds(reader, "acme", now=NOW + timedelta(minutes=59)).rows[0]

    assert "past its expiry" in at_its_end.release
    assert before.release == "coins do ReleaseHold hold=h1"
    # And so says the ledger
    frozen.now = NOW + timedelta(hours=1)
    assert frozen.refused(a.release_hold("h1")) == "hold_expired"


@pytest.mark.parametrize("account", ["acme", "carl", "shop"])
def test_what_remains_is_what_the_account_has_frozen(
    frozen: LedgerDesk, reader: Reader, account: str
) -> None:
    found = holds(reader, account, now=NOW)

    assert found.remaining == sum(row.remaining for row in found.rows) == balance(reader, account).frozen
    assert found.remaining > 0
    # Of all pages, on each of them
    assert holds(reader, account, now=NOW, limit=1).remaining == found.remaining


def test_a_shared_account_sees_its_own_part_of_what_its_master_has_frozen(
    frozen: LedgerDesk, reader: Reader
) -> None:
    found = holds(reader, "dept", now=NOW)

    assert [row.resource for row in found.rows] == ["r1"]
    assert found.remaining == 15


def test_a_sponsor_sees_what_its_customers_have_frozen(frozen: LedgerDesk, reader: Reader) -> None:
    assert shown(reader, "shop") == shown(reader, "carl") == ["r2", "h2"]
    assert {row.account for row in holds(reader, "shop", now=NOW).rows} == {"carl"}
    # What was used up is still there, with nothing left
    assert [(row.frozen, row.remaining) for row in holds(reader, "shop", now=NOW).rows] == [(4, 0), (7, 7)]


@pytest.mark.parametrize(
    ("search", "expected"),
    [("RENDER", ["r1"]), ("H0", ["h0"]), ("0%", ["h1"]), ("_", []), ("nothing", [])],
)
def test_holds_are_searched_by_id_and_purpose(
    frozen: LedgerDesk, reader: Reader, search: str, expected: list[str]
) -> None:
    assert shown(reader, "acme", search=search) == expected


def test_the_sum_is_of_what_was_searched_for(frozen: LedgerDesk, reader: Reader) -> None:
    assert holds(reader, "acme", now=NOW, search="h1").remaining == 10
    assert holds(reader, "acme", now=NOW, search="nothing").remaining == 0


def test_pages_of_holds_join_up_even_when_one_is_released(frozen: LedgerDesk, reader: Reader) -> None:
    first = holds(reader, "acme", now=NOW, limit=1)
    second = holds(reader, "acme", now=NOW, limit=1, after=first.next)
    # Given the holds that ended a page are released meanwhile
    frozen.do(a.release_hold("h1"), a.termination("r1"))

    assert (first.next, second.next) == ("hold/h1", "resource/r1")
    assert [row.resource for row in second.rows] == ["r1"]
    assert shown(reader, "acme", after=first.next) == ["h0"]
    assert shown(reader, "acme", after=second.next) == ["h0"]


def test_a_hold_and_a_resource_may_go_by_the_same_id(desk: LedgerDesk, reader: Reader) -> None:
    desk.do(a.enterprise(), a.top_up(), a.hold("x"), a.activation("x"), a.hold("y"))
    found: list[tuple[str | None, str | None]] = []
    after: str | None = None
    while True:
        page = holds(reader, "acme", now=NOW, limit=1, after=after)
        found += [(row.hold, row.resource) for row in page.rows]
        after = page.next
        if after is None:
            break

    assert sorted(found, key=str) == sorted([("x", None), (None, "x"), ("y", None)], key=str)


def test_what_holds_cannot_be_listed_by_is_refused(frozen: LedgerDesk, reader: Reader) -> None:
    with pytest.raises(NotFound, match="nobody"):
        holds(reader, "nobody", now=NOW)
    for cursor in ("", "h1", "hold/none", "account/acme", "hold/\x00"):
        with pytest.raises(QueryInvalid, match="--after"):
            holds(reader, "acme", now=NOW, after=cursor)
    with pytest.raises(QueryInvalid, match="--limit"):
        holds(reader, "acme", now=NOW, limit=0)
