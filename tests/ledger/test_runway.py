"""The runway: which cycles are to be paid when, and until when the balance lasts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ledger.errors import NotFound
from ledger.runway import Runway, doubtful, runway
from messages.commands import Cycle, CycleUnit
from tests import builders as a
from tests.desk import NOW, LedgerDesk


@pytest.fixture
def acme(desk: LedgerDesk) -> LedgerDesk:
    """With 100 coins, in Berlin; plans by the day and by the month, 10 coins each."""
    desk.do(
        a.enterprise(timezone="Europe/Berlin"),
        a.top_up(),
        a.plan("pro", "package", price=10, cycle=a.MONTHLY),
        a.plan("day", "package", price=10, cycle=a.DAILY),
        a.plan("again", "renewal", price=10, cycle=a.MONTHLY),
    )
    return desk


def ahead(desk: LedgerDesk, account: str = "acme", days: int = 30) -> Runway:
    found = runway(desk.connection, account, desk.now, days)
    payers = doubtful(desk.connection, desk.now, found.until)
    desk.connection.commit()
    payer = desk.account(found.draws_from or account)["id"]
    assert found.covered_until is None or payer in payers, "whom the quick look passes over must be covered"
    return found


def moments(found: Runway) -> list[str]:
    return [f"{due.at:%m-%dT%H:%M}" for due in found.due]


def test_a_monthly_cycle_is_due_once_in_thirty_days(acme: LedgerDesk) -> None:
    acme.do(a.subscribe("s1"))
    assert ahead(acme, days=30).due == []
    found = ahead(acme, days=31)
    (due,) = found.due
    # Noon in winter is 13:00 in Berlin, which in summer is 11:00.
    assert (due.at, due.subscription, due.cycle_no) == (datetime(2026, 4, 1, 11, tzinfo=UTC), "s1", 2)
    assert (due.account, due.amount, due.left) == ("acme", 10, 80)
    assert (found.available, found.total, found.covered_until, found.missing) == (90, 10, None, 0)
    assert (found.account, found.draws_from, found.days) == ("acme", None, 31)


def test_a_short_cycle_is_due_again_and_again_at_the_same_wall_time(acme: LedgerDesk) -> None:
    acme.now = datetime(2026, 3, 26, 23, tzinfo=UTC)
    acme.do(a.subscribe("s1", plan="day"))
    found = ahead(acme, days=4)
    assert moments(found) == ["03-27T23:00", "03-28T23:00", "03-29T22:00", "03-30T22:00"]
    assert [due.left for due in found.due] == [80, 70, 60, 50]


def test_a_wall_time_that_does_not_exist_moves_on_for_that_day_only(acme: LedgerDesk) -> None:
    acme.now = datetime(2026, 3, 27, 1, 30, tzinfo=UTC)
    acme.do(a.subscribe("s1", plan="day"))
    assert moments(ahead(acme, days=4)) == ["03-28T01:30", "03-29T01:00", "03-30T00:30", "03-31T00:30"]


def test_months_are_counted_from_the_anchor(acme: LedgerDesk) -> None:
    acme.now = datetime(2026, 1, 31, 12, tzinfo=UTC)
    acme.do(a.subscribe("s1"))
    assert moments(ahead(acme, days=90)) == ["02-28T12:00", "03-31T11:00", "04-30T11:00"]


def test_what_is_owed_is_due_now_and_all_of_it(acme: LedgerDesk) -> None:
    acme.do(a.subscribe("s1", plan="day"))
    acme.later(days=3, hours=1)
    found = ahead(acme, days=1)
    assert [due.cycle_no for due in found.due] == [2, 3, 4, 5]
    assert [due.at for due in found.due[:3]] == [acme.now] * 3
    assert found.total == 40


def test_a_balance_lasts_until_the_first_that_it_does_not_cover(acme: LedgerDesk) -> None:
    acme.do(a.subscribe("s1", plan="day"))
    found = ahead(acme, days=10)
    assert (found.available, found.total, found.missing) == (90, 100, 10)
    assert found.covered_until == NOW + timedelta(days=10)
    assert found.due[-1].left == -10
    assert ahead(acme, days=9).covered_until is None
    acme.do(a.limit("acme", 10))
    assert ahead(acme, days=10).missing == 0


def test_what_running_phones_have_used_is_gone(acme: LedgerDesk) -> None:
    acme.do(a.subscribe("s1", plan="day"), a.power_on(rate="1"))
    acme.later(minutes=30)
    found = ahead(acme, days=7)
    assert (found.available, found.total, found.missing) == (60, 70, 10)


def test_prices_and_cycles_are_those_of_the_plan_as_it_is_now(acme: LedgerDesk) -> None:
    acme.do(a.subscribe("s1", plan="day"))
    weekly = a.plan("day", "package", price=33, cycle=Cycle(unit=CycleUnit.WEEK, count=1))
    acme.do(weekly)
    found = ahead(acme, days=20)
    assert [(due.amount, f"{due.at:%m-%d}") for due in found.due] == [
        (33, "03-02"),
        (33, "03-09"),
        (33, "03-16"),
    ]


def test_of_devices_those_that_are_still_active_count(acme: LedgerDesk) -> None:
    acme.do(a.onboarding("acme", "d1", "d2", "d3"), a.subscribe_devices("d1", "d2", "d3"))
    acme.do(a.release("acme", "d2"))
    assert [due.amount for due in ahead(acme, days=31).due] == [20]
    acme.do(a.release("acme", "d1"), a.release("acme", "d3"))
    assert ahead(acme, days=31).due == []


def test_what_is_not_charged_by_itself_is_left_out(acme: LedgerDesk) -> None:
    acme.do(*(a.subscribe(f"s{number}", plan="day") for number in range(4)))
    acme.do(a.cancel("s1"), a.cancel("s2", "period_end"), a.change("s3", payment_method="manual"))
    assert [due.subscription for due in ahead(acme, days=1).due] == ["s0"]


def test_one_that_begins_later_is_due_then(acme: LedgerDesk) -> None:
    acme.do(a.subscribe("s1", start_at="2026-03-10T00:00:00Z"))
    assert moments(ahead(acme)) == ["03-10T00:00"]


def test_a_shared_account_looks_at_its_master(acme: LedgerDesk) -> None:
    acme.do(a.department(), a.subscribe("s1", "dept", "day"), a.subscribe("s2", "acme", "day"))
    found = ahead(acme, "dept", days=2)
    assert (found.account, found.draws_from, found.available) == ("dept", "acme", 80)
    assert [(due.subscription, due.account, due.left) for due in found.due] == [
        ("s1", "dept", 70),
        ("s2", "acme", 60),
        ("s1", "dept", 50),
        ("s2", "acme", 40),
    ]


def test_what_a_sponsored_account_pays_is_due_at_both(acme: LedgerDesk) -> None:
    acme.do(a.reseller(), a.sponsored_customer(), a.top_up("shop", 30), a.grant("carl", 100))
    acme.do(a.subscribe("s1", "carl", "day"))
    allotment, sponsor = ahead(acme, "carl", days=3), ahead(acme, "shop", days=3)
    assert (allotment.available, allotment.total, allotment.missing) == (90, 30, 0)
    assert (sponsor.available, sponsor.total, sponsor.missing) == (20, 30, 10)
    assert [due.account for due in sponsor.due] == ["carl"] * 3


def test_an_account_that_is_not_there_is_not_found(acme: LedgerDesk) -> None:
    with pytest.raises(NotFound):
        ahead(acme, "nobody")
