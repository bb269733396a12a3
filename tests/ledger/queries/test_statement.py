from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
import pytest

from ledger.database import connect
from ledger.errors import NotFound, QueryInvalid
from ledger.model import TransactionType
from ledger.queries.categories import CATEGORY_OF
from ledger.queries.statement import Statement, StatementFilter, StatementLine, Total, statement
from tests import builders as a
from tests.desk import NOW, SOURCE, LedgerDesk
from tests.ledger.queries.conftest import Grant

Reader = psycopg.Connection[Any]


def lines(reader: Reader, account: str, **chosen: Any) -> list[StatementLine]:
    return statement(reader, account, StatementFilter(**chosen)).rows


def amounts(reader: Reader, account: str, **chosen: Any) -> list[int]:
    return [line.amount for line in lines(reader, account, **chosen)]


def every_page(reader: Reader, account: str, size: int, **chosen: Any) -> list[StatementLine]:
    found: list[StatementLine] = []
    after: str | None = None
    while True:
        page = statement(reader, account, StatementFilter(**chosen), limit=size, after=after)
        assert len(page.rows) <= size
        found += page.rows
        after = page.next
        if after is None:
            return found


def test_a_line_has_every_field(desk: LedgerDesk, reader: Reader) -> None:
    desk.do(a.enterprise(), a.branch(), a.plan("tracker", price=3))
    given = {"method": "wechat", "reference": "WX-1", "payer": "li.na@acme.example", "note": "first"}
    recharged = desk.ask(a.top_up("acme", 100, **given), id="c-1", actor="fin@acme.example")
    desk.later(seconds=1)
    moved = desk.ask(a.transfer("acme", "north", 40, note="Q1"), id="c-2")
    desk.later(seconds=1)
    charged = desk.ask(a.onboarding("north", "d1", "d2", price=None, plan="tracker"), id="c-3")

    assert lines(reader, "acme") == [
        StatementLine(
            account="acme",
            time=NOW + timedelta(seconds=1),
            number=moved.data.transaction or "",
            type="transfer_out",
            category="System",
            unit="coin",
            item=None,
            devices=[],
            amount=-40,
            balance=60,
            counterparty="north",
            note="Q1",
            order=None,
            method=None,
            reference=None,
            payer=None,
            consumer=None,
            paid_by=None,
            command_source=SOURCE,
            command_id="c-2",
            ordered_by="acme",
            actor=None,
        ),
        StatementLine(
            account="acme",
            time=NOW,
            number=recharged.data.transaction or "",
            type="recharge",
            category="Recharge",
            unit="coin",
            item=None,
            devices=[],
            amount=100,
            balance=100,
            counterparty=None,
            note="first",
            order=None,
            method="wechat",
            reference="WX-1",
            payer="li.na@acme.example",
            consumer=None,
            paid_by=None,
            command_source=SOURCE,
            command_id="c-1",
            ordered_by=None,
            actor="fin@acme.example",
        ),
    ]
    charge = lines(reader, "north")[0]
    assert charge.number == charged.data.transaction
    assert charge[3:10] == ("onboarding", "Expense", "coin", "Plan tracker", ["d1", "d2"], -6, 34)
    assert (charge.consumer, charge.paid_by) == ("north", "north")


def test_what_a_shared_account_used_is_on_its_own_statement_and_on_its_masters(
    desk: LedgerDesk, reader: Reader
) -> None:
    # Given a team that draws on the enterprise, with a charge and a part of it given back
    desk.do(a.enterprise(), a.department("dept"), a.department("team", "dept"), a.top_up())
    charge = desk.do(a.onboarding("team", "x", price=30))
    desk.do(a.refund(charge, 10), a.onboarding("acme", "y", price=1))

    own = lines(reader, "team")
    masters = lines(reader, "acme")

    assert [(line.account, line.type, line.amount, line.balance) for line in own] == [
        ("team", "refund", 10, None),
        ("team", "onboarding", -30, None),
    ]
    assert {(line.consumer, line.paid_by) for line in own} == {("team", "acme")}
    assert [(line.account, line.amount, line.balance, line.consumer) for line in masters] == [
        ("acme", -1, 79, "acme"),
        ("acme", 10, 80, "team"),
        ("acme", -30, 70, "team"),
        ("acme", 100, 100, None),
    ]
    assert {line.paid_by for line in masters[:3]} == {"acme"}
    assert lines(reader, "dept") == []


def test_an_account_that_was_shared_keeps_what_it_used_then(desk: LedgerDesk, reader: Reader) -> None:
    desk.do(a.enterprise(), a.department("dept"), a.top_up())
    desk.do(a.onboarding("dept", "x", price=30), a.funding("dept", "own"), a.transfer("acme", "dept", 5))
    desk.do(a.onboarding("dept", "y", price=2))

    assert [(line.type, line.amount, line.balance, line.paid_by) for line in lines(reader, "dept")] == [
        ("onboarding", -2, 3, "dept"),
        ("transfer_in", 5, 5, None),
        ("onboarding", -30, None, "acme"),
    ]
    assert every_page(reader, "dept", 1) == lines(reader, "dept")


def test_a_sponsored_customer_sees_its_allotment_and_its_sponsor_whom_it_paid_for(
    desk: LedgerDesk, reader: Reader, grant: Grant
) -> None:
    desk.do(a.reseller("shop"), a.sponsored_customer("carl", "shop"), a.top_up("shop", 50))
    grant("carl", 80)
    charge = desk.do(a.onboarding("carl", "x", price=30))
    desk.do(a.refund(charge, 4))

    assert [(line.type, line.unit, line.amount, line.balance) for line in lines(reader, "carl")] == [
        ("refund", "allotment", 4, 54),
        ("onboarding", "allotment", -30, 50),
        ("allocation", "allotment", 80, 80),
    ]
    assert [(line.type, line.unit, line.amount, line.consumer) for line in lines(reader, "shop")] == [
        ("refund", "coin", 4, "carl"),
        ("onboarding", "coin", -30, "carl"),
        ("recharge", "coin", 50, None),
    ]
    # And the customer's subtree holds nothing that its sponsor paid
    assert [line.unit for line in lines(reader, "carl", subtree=True)] == ["allotment"] * 3


def test_a_subtree_shows_each_entry_once_with_totals_by_unit(
    desk: LedgerDesk, reader: Reader, grant: Grant
) -> None:
    desk.do(a.reseller("shop"), a.sponsored_customer("carl", "shop"), a.branch("crew", "shop"))
    desk.do(a.department("dept", "crew"), a.top_up("shop", 100), a.transfer("shop", "crew", 40))
    grant("carl", 80)
    desk.do(a.onboarding("carl", "x", price=30), a.onboarding("dept", "y", price=7))

    found = statement(reader, "shop", StatementFilter(subtree=True))

    assert sorted((line.account, line.unit, line.amount) for line in found.rows) == [
        ("carl", "allotment", -30),
        ("carl", "allotment", 80),
        ("crew", "coin", -7),
        ("crew", "coin", 40),
        ("shop", "coin", -40),
        ("shop", "coin", -30),
        ("shop", "coin", 100),
    ]
    assert found.totals == [Total("allotment", 2, 50), Total("coin", 5, 63)]
    # And of a part of the tree, its own entries and what it used of others' coins
    assert amounts(reader, "crew", subtree=True) == [-7, 40]
    below = statement(reader, "dept", StatementFilter(subtree=True))
    assert [(line.account, line.amount, line.paid_by) for line in below.rows] == [("dept", -7, "crew")]
    assert below.totals == [Total("coin", 1, -7)]
    # And totals are of all pages
    assert statement(reader, "shop", StatementFilter(subtree=True), limit=1).totals == found.totals


def be_busy(desk: LedgerDesk) -> None:
    """One account with something of everything, newest first: 5, -2, 3, -20, 100 (a day between each)."""
    desk.do(a.enterprise(timezone="Asia/Shanghai"), a.branch())
    desk.now = datetime(2026, 3, 1, 15, 30, tzinfo=UTC)  # 23:30 in Shanghai
    desk.ask(a.top_up("acme", 100, reference="WIRE_881", method="bank", note="50% now"), actor="li.na")
    desk.later(days=1)
    desk.do(a.transfer("acme", "north", 20, note="Q1 quota"))
    desk.later(days=1)
    desk.do(a.transfer("north", "acme", 3, ordered_by="acme"))
    desk.later(days=1)
    desk.do(a.plan("gold", name="Gold"), a.onboarding("acme", "dev-7", "dev-8", plan="gold"))
    desk.later(days=1)
    desk.ask(a.adjustment("acme", 5, note="rounded"), actor="bo")


@pytest.fixture(scope="module")
def busy(module_database_url: str) -> Iterator[Reader]:
    """A reader of a busy account; nothing more is posted to it."""
    desk = LedgerDesk(module_database_url)
    be_busy(desk)
    desk.close()
    connection = connect(module_database_url, name="test reader")
    yield connection
    connection.close()


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({}, [5, -2, 3, -20, 100]),
        ({"types": ["transfer"]}, [3, -20]),
        ({"types": ["transfer_in", "adjustment"]}, [5, 3]),
        ({"categories": ["Recharge", "expense"]}, [-2, 100]),
        ({"categories": ["System"], "types": ["adjustment", "recharge"]}, [5]),
        ({"categories": ["Recharge"], "types": ["transfer"]}, []),
        ({"items": ["Gold"]}, [-2]),
        ({"devices": ["dev-8"]}, [-2]),
        ({"devices": ["dev"]}, []),
        ({"orders": ["o-1"]}, []),
        ({"actors": ["bo"]}, [5]),
        ({"actors": ["bo", "li.na"]}, [5, 100]),
        ({"search": "gOLD"}, [-2]),
        ({"search": "DEV-7"}, [-2]),
        ({"search": "wire_"}, [100]),
        ({"search": "0%"}, [100]),
        ({"search": "%"}, [100]),
        ({"search": "quota"}, [-20]),
        ({"search": "Transfer"}, [3, -20]),
        ({"search": "T-2026-"}, [5, -2, 3, -20, 100]),
        ({"search": ""}, [5, -2, 3, -20, 100]),
        ({"search": "nothing like it"}, []),
        ({"since": date(2026, 3, 2)}, [5, -2, 3, -20]),
        ({"until": date(2026, 3, 2)}, [-20, 100]),
        ({"since": date(2026, 3, 2), "until": date(2026, 3, 3)}, [3, -20]),
        ({"since": datetime(2026, 3, 4, 15, 30, tzinfo=UTC)}, [5, -2]),
        ({"until": datetime(2026, 3, 4, 15, 30, tzinfo=UTC)}, [-2, 3, -20, 100]),
        ({"since": date(2027, 1, 1)}, []),
    ],
)
def test_lines_are_chosen(busy: Reader, chosen: dict[str, Any], expected: list[int]) -> None:
    assert amounts(busy, "acme", **chosen) == expected
    # And a subtree is chosen from alike
    of_acme = [line.amount for line in lines(busy, "acme", subtree=True, **chosen) if line.account == "acme"]
    assert of_acme == expected


def test_a_line_is_found_by_its_number(busy: Reader) -> None:
    adjusted = lines(busy, "acme")[0]

    assert lines(busy, "acme", search=adjusted.number.lower()) == [adjusted]


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ({"types": ["transfers"]}, r"--type.*transfers.*transfer, recharge"),
        ({"categories": ["Income"]}, r"--category.*Recharge, System, Expense"),
        ({"since": date(2026, 3, 2), "until": date(2026, 3, 1)}, "--from"),
        ({"search": "a\x00b"}, "--search.*NUL"),
        ({"items": ["\udcff"]}, "--item.*Unicode"),
        ({"devices": ["a\x00"]}, "--device"),
    ],
)
def test_what_cannot_be_chosen_by_is_refused_with_its_flag(
    busy: Reader, chosen: dict[str, Any], said: str
) -> None:
    with pytest.raises(QueryInvalid, match=said):
        lines(busy, "acme", **chosen)


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "T-2026-0000000001",
        "T-2026-9999999999~acme~1",
        "T-2026-0000000001~nobody~1",
        "T-2026-0000000001~acme~-1",
        "T-2026-0000000001~acme~²",
        "T-2026-0000000001~acme~" + "9" * 30,
        "T-2026-0000000001~\x00~1",
    ],
)
def test_a_cursor_that_names_no_line_is_refused(busy: Reader, cursor: str) -> None:
    with pytest.raises(QueryInvalid, match="--after"):
        statement(busy, "acme", after=cursor)


def test_who_does_not_exist_has_no_statement(reader: Reader) -> None:
    for account in ("platform", "nobody"):
        with pytest.raises(NotFound):
            statement(reader, account)


@pytest.mark.parametrize("size", [3, 64])
def test_pages_join_up_whatever_is_chosen(desk: LedgerDesk, reader: Reader, size: int) -> None:
    # Given accounts that take part in many transactions, several of them at the same moment
    desk.do(a.enterprise(), a.branch("north"), a.branch("south"), a.department("dept", "north"))
    desk.do(a.top_up("acme", 1_000), a.transfer("acme", "north", 300), a.transfer("acme", "south", 300))
    dice = random.Random(1)
    for step in range(12):
        desk.send(
            *(
                dice.choice(
                    [
                        a.transfer(*dice.sample(["acme", "north", "south"], 2), 1, ordered_by="acme"),
                        a.onboarding("dept", f"d{step}-{number}"),
                        a.top_up("south", 1),
                    ]
                )
                for number in range(12)
            )
        )
        desk.later(seconds=dice.choice([0, 1, 60]))
    span = {"since": NOW + timedelta(seconds=1), "until": desk.now - timedelta(seconds=60)}

    for account, chosen in [
        ("north", {}),
        ("dept", {}),
        ("acme", {"subtree": True}),
        ("north", {"subtree": True}),
        ("acme", {"subtree": True, "types": ["transfer_in", "onboarding"]}),
        ("acme", {"subtree": True, **span}),
        ("south", span),
    ]:
        whole = statement(reader, account, StatementFilter(**chosen), limit=10_000)
        # Then the pages are the whole, in the order of time
        assert every_page(reader, account, size, **chosen) == whole.rows
        assert whole.rows
        assert [line.time for line in whole.rows] == sorted((line.time for line in whole.rows), reverse=True)
        # And the whole is what was posted
        assert sorted(_key(line) for line in whole.rows) == sorted(_posted(desk, account, chosen))


def _key(line: StatementLine) -> tuple[str, str, int]:
    return line.number, line.paid_by if line.balance is None and line.paid_by else line.account, line.amount


def _posted(desk: LedgerDesk, account: str, chosen: dict[str, Any]) -> list[tuple[str, str, int]]:
    """The same lines, from all entries one by one."""
    subtree = [one for one in desk.accounts() if account in desk.account(one)["path"]]
    scope = subtree if chosen.get("subtree") else [account]
    return [
        (line["number"], line["account"], line["amount"])
        for line in desk.lines()
        if (line["account"] in scope or line["consumer"] in scope)
        and line["type"] in chosen.get("types", [line["type"]])
        and chosen.get("since", line["time"]) <= line["time"] <= chosen.get("until", line["time"])
    ]


def test_lines_that_come_in_meanwhile_do_not_move_the_next_page(desk: LedgerDesk, reader: Reader) -> None:
    be_busy(desk)
    first = statement(reader, "acme", limit=2)
    desk.do(a.top_up("acme", 77))

    assert [line.amount for line in statement(reader, "acme", limit=2, after=first.next).rows] == [3, -20]


def test_a_statement_says_its_zone(desk: LedgerDesk, reader: Reader) -> None:
    desk.do(a.enterprise("north", timezone="Europe/Berlin"))

    found: Statement = statement(reader, "north")

    assert (found.account, found.timezone, found.totals) == ("north", "Europe/Berlin", None)


def test_every_type_has_its_category() -> None:
    assert {type_.value for type_ in TransactionType} <= CATEGORY_OF.keys()
