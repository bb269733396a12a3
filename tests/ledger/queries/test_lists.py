"""The lists: accounts, plans, devices."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg
import pytest

from ledger.errors import NotFound, QueryInvalid
from ledger.periods import Cycle
from ledger.queries.accounts import AccountFilter, AccountRow, accounts
from ledger.queries.devices import DeviceFilter, devices
from ledger.queries.plans import PlanRow, plans
from messages.commands import Cycle as PutCycle
from messages.commands import CycleUnit
from tests import builders as a
from tests.desk import NOW, LedgerDesk

Reader = psycopg.Connection[Any]


@pytest.fixture
def tree(desk: LedgerDesk) -> LedgerDesk:
    """acme ─ north ─ dept (shared) · acme ─ south; and shop beside them."""
    desk.do(
        a.enterprise("acme", name="Acme 100%", email="Boss@acme.example"),
        a.branch("north"),
        a.department("dept", "north"),
        a.branch("south", email="a_b@acme.example"),
        a.reseller("shop"),
        a.top_up("acme", 100),
        a.transfer("acme", "north", 40),
        a.limit("north", 5),
        a.top_up("shop", 7),
        a.suspend("south"),
    )
    return desk


def ids(reader: Reader, **chosen: Any) -> list[str]:
    return [row.account for row in accounts(reader, AccountFilter(**chosen)).rows]


def test_an_account_is_listed_with_the_totals_of_its_subtree(tree: LedgerDesk, reader: Reader) -> None:
    found = {row.account: row for row in accounts(reader).rows}

    assert list(found) == ["acme", "dept", "north", "shop", "south"]
    assert found["acme"] == AccountRow(
        "acme", "Acme 100%", "enterprise", "platform", "own", "active", 60, 0, 0, 60, 100, 0, 4
    )
    assert found["north"][6:] == (40, 5, 0, 45, 40, 0, 2)
    assert found["dept"] == AccountRow(
        "dept", "dept", "branch", "north", "shared", "active", 0, 0, 0, 45, 0, 0, 1
    )


def test_accounts_below_others_are_chosen(tree: LedgerDesk, reader: Reader) -> None:
    assert ids(reader, under=["acme"]) == ["dept", "north", "south"]
    # Also one that is named itself, where it stands below another
    assert ids(reader, under=["north", "acme"]) == ["dept", "north", "south"]
    assert ids(reader, under=["dept"]) == []
    assert ids(reader, under=["platform"]) == ["acme", "dept", "north", "shop", "south"]
    with pytest.raises(NotFound):
        ids(reader, under=["nobody"])


def test_accounts_are_chosen_by_kind_and_state(tree: LedgerDesk, reader: Reader) -> None:
    assert ids(reader, kinds=["reseller", "enterprise"]) == ["acme", "shop"]
    assert ids(reader, states=["suspended"]) == ["south"]
    assert ids(reader, kinds=["branch"], states=["active"]) == ["dept", "north"]
    with pytest.raises(QueryInvalid, match=r"--kind.*'shop'.*reseller"):
        ids(reader, kinds=["shop"])
    with pytest.raises(QueryInvalid, match=r"--state.*active, suspended, closed"):
        ids(reader, states=["open"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("NORTH", ["north"]),
        ("boss@", ["acme"]),
        ("0%", ["acme"]),
        ("%", ["acme"]),
        ("_", ["south"]),
        ("\\", []),
        ("o", ["acme", "north", "shop", "south"]),
    ],
)
def test_accounts_are_searched_by_id_name_and_mail_letter_by_letter(
    tree: LedgerDesk, reader: Reader, text: str, expected: list[str]
) -> None:
    assert ids(reader, search=text) == expected


def test_pages_of_accounts_join_up(tree: LedgerDesk, reader: Reader) -> None:
    first = accounts(reader, limit=2)
    second = accounts(reader, limit=2, after=first.next)
    third = accounts(reader, limit=2, after=second.next)

    assert [row.account for page in (first, second, third) for row in page.rows] == [
        "acme",
        "dept",
        "north",
        "shop",
        "south",
    ]
    assert third.next is None
    with pytest.raises(QueryInvalid, match="--limit"):
        accounts(reader, limit=0)


def test_plans_are_listed_as_they_were_put(desk: LedgerDesk, reader: Reader) -> None:
    desk.do(
        a.plan("gold", "renewal", price=12, cycle=PutCycle(unit=CycleUnit.MONTH, count=3)),
        a.plan("run", "phone", rate="0.5", name="By the minute"),
    )

    assert plans(reader).rows == [
        PlanRow("gold", "Plan gold", "renewal", 12, None, Cycle("month", 3), None),
        PlanRow("run", "By the minute", "phone", None, "0.5", None, None),
    ]
    assert [row.plan for row in plans(reader, kinds=["phone"]).rows] == ["run"]
    assert [row.plan for row in plans(reader, search="MINUTE").rows] == ["run"]
    page = plans(reader, limit=1)
    assert [row.plan for row in plans(reader, after=page.next).rows] == ["run"]
    with pytest.raises(QueryInvalid, match="--kind"):
        plans(reader, kinds=["gold"])


@pytest.fixture
def onboarded(desk: LedgerDesk) -> LedgerDesk:
    """dead has expired, soon does in ten days, late in forty; free has no end; gone was released."""
    desk.do(a.enterprise(), a.branch("north"), a.top_up("acme", 100), a.transfer("acme", "north", 50))
    for device, days in (("dead", 10), ("soon", 20), ("late", 50)):
        cycle = PutCycle(unit=CycleUnit.DAY, count=days)
        desk.do(a.plan(device, cycle=cycle), a.onboarding("acme", device, plan=device))
    desk.do(a.onboarding("north", "free"), a.onboarding("acme", "gone"), a.release("acme", "gone"))
    desk.later(days=10)
    return desk


def chosen(reader: Reader, desk: LedgerDesk, **filter_: Any) -> list[str]:
    return [row.device for row in devices(reader, DeviceFilter(**filter_), now=desk.now).rows]


def test_devices_are_listed_with_what_is_paid_for(onboarded: LedgerDesk, reader: Reader) -> None:
    page = devices(reader, now=onboarded.now)

    assert [row.device for row in page.rows] == ["dead", "free", "late", "soon"]
    assert page.rows[3] == ("soon", "acme", "soon", NOW, NOW + timedelta(days=20), None)
    assert page.rows[1] == ("free", "north", None, NOW, None, None)


def test_devices_are_chosen_by_account_expiry_and_search(onboarded: LedgerDesk, reader: Reader) -> None:
    assert chosen(reader, onboarded, accounts=["north"]) == ["free"]
    assert chosen(reader, onboarded, accounts=["north", "acme"]) == ["dead", "free", "late", "soon"]
    assert chosen(reader, onboarded, expired=True) == ["dead"]
    assert chosen(reader, onboarded, expiring_within=10) == ["soon"]
    assert chosen(reader, onboarded, expiring_within=9) == []
    assert chosen(reader, onboarded, expiring_within=40, expired=True) == ["dead", "late", "soon"]
    assert chosen(reader, onboarded, search="OO") == ["soon"]
    with pytest.raises(NotFound):
        chosen(reader, onboarded, accounts=["nobody"])
    with pytest.raises(QueryInvalid, match="--expiring-within"):
        chosen(reader, onboarded, expiring_within=-1)


def test_a_device_names_the_live_subscription_that_pays_for_it(onboarded: LedgerDesk, reader: Reader) -> None:
    # Given two that pay for soon, the other one due first; one for late, canceled; one for free's former owner
    month, year = a.MONTHLY, a.YEARLY
    onboarded.do(
        a.plan("month", "renewal", price=1, cycle=month), a.plan("year", "renewal", price=1, cycle=year)
    )
    onboarded.do(
        a.subscribe_devices("soon", id_="a-yearly", plan="year"),
        a.subscribe_devices("dead", "soon", id_="b-monthly", plan="month"),
        a.subscribe_devices("late", id_="c-ended", plan="month"),
        a.cancel("c-ended"),
        a.subscribe_devices("free", id_="d-north", account="north", plan="month"),
        a.release("north", "free"),
        a.onboarding("acme", "free"),
        a.plan("pack", "package", price=1, cycle=month),
        a.subscribe("e-pack", plan="pack", goods=["late"]),
    )

    found = {row.device: row.subscription for row in devices(reader, now=onboarded.now).rows}

    assert found == {"dead": "b-monthly", "soon": "b-monthly", "late": None, "free": None}
    # And one that ends with what is paid is live until then, but what goes on comes first
    onboarded.do(a.cancel("b-monthly", at="period_end"))
    found = {row.device: row.subscription for row in devices(reader, now=onboarded.now).rows}
    assert (found["dead"], found["soon"]) == ("b-monthly", "a-yearly")


def test_pages_of_devices_join_up(onboarded: LedgerDesk, reader: Reader) -> None:
    first = devices(reader, now=onboarded.now, limit=3)
    second = devices(reader, now=onboarded.now, limit=3, after=first.next)

    assert [row.device for row in first.rows + second.rows] == ["dead", "free", "late", "soon"]
    assert second.next is None
