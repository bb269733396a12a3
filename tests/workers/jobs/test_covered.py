"""The threshold scan tries again what coins have come in for."""

from __future__ import annotations

import pytest

from tests import builders as a
from tests.desk import LedgerDesk
from tests.workers.jobs.clockwork import Clockwork
from tests.workers.jobs.owing import owe, spend, tried
from workers.jobs import warnings
from workers.jobs.warnings import scan


@pytest.fixture
def acme(desk: LedgerDesk, clockwork: Clockwork) -> LedgerDesk:
    """`acme` has 100 coins, and the first scan, which looks at all, is over."""
    desk.do(a.enterprise(name="Acme Ltd", email="acme@acme.example", timezone="Asia/Shanghai"), a.top_up())
    clockwork.run(scan)
    return desk


def test_an_inflow_tries_again_what_it_covers_the_longest_due_first(
    acme: LedgerDesk, clockwork: Clockwork
) -> None:
    owe(acme, "s1", price=60, since_days=1)
    owe(acme, "s2", price=60, since_days=3)
    owe(acme, "s3", price=40, since_days=2)
    owe(acme, "s4", price=10)
    spend(acme, "o1", 100)
    assert tried(acme, clockwork) == []
    acme.do(a.top_up(amount=59))
    assert tried(acme, clockwork) == ["s3", "s4"]
    assert clockwork.asked_for() == {"billing-cycle", "mails"}


def test_what_is_tried_already_has_its_coins_set_apart(acme: LedgerDesk, clockwork: Clockwork) -> None:
    owe(acme, "s1", price=60)
    assert tried(acme, clockwork) == ["s1"]
    acme.later(seconds=10)
    owe(acme, "s2", price=60)
    owe(acme, "s3", price=40)
    acme.do(a.top_up(amount=1))
    assert tried(acme, clockwork) == ["s3"]


def test_more_than_fit_a_transaction_are_tried_all_the_same(
    acme: LedgerDesk, clockwork: Clockwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warnings, "TRIED_AT_ONCE", 2)
    for number in range(7):
        owe(acme, f"s{number}", price=20)
    assert tried(acme, clockwork) == ["s0", "s1", "s2", "s3", "s4"]
    assert clockwork.run(scan, dry_run=True).items == []


@pytest.mark.parametrize("reason", ["plan_not_found", "account_closed", "not_paid"])
def test_what_coins_cannot_put_right_waits_for_its_day(
    acme: LedgerDesk, clockwork: Clockwork, reason: str
) -> None:
    owe(acme, reason=reason)
    acme.do(a.top_up())
    assert tried(acme, clockwork) == []


def test_what_is_paid_by_hand_is_not_tried(acme: LedgerDesk, clockwork: Clockwork) -> None:
    owe(acme)
    acme.all("UPDATE subscription SET payment_method = 'manual'")
    assert tried(acme, clockwork) == []


def test_the_end_of_a_suspension_tries_again(acme: LedgerDesk, clockwork: Clockwork) -> None:
    acme.do(a.suspend())
    acme.do(a.resume())
    owe(acme, reason="account_suspended")
    acme.do(a.suspend())
    assert tried(acme, clockwork) == []
    acme.do(a.resume())
    assert tried(acme, clockwork) == ["s1"]


def test_of_devices_those_that_are_still_there_are_counted(acme: LedgerDesk, clockwork: Clockwork) -> None:
    acme.do(a.onboarding("acme", "d1", "d2", "d3", price=1))
    owe(acme, price=40, kind="device", goods=("d1", "d2", "d3"))
    assert tried(acme, clockwork) == []
    acme.do(a.release("acme", "d2"), a.top_up(amount=1))
    assert tried(acme, clockwork) == ["s1"]


def test_an_inflow_of_the_master_tries_what_draws_on_it(acme: LedgerDesk, clockwork: Clockwork) -> None:
    acme.do(a.department(), a.branch())
    owe(acme, "s1", "dept", price=120, reason="master_insufficient_credit")
    owe(acme, "s2", "north", price=10)
    assert tried(acme, clockwork) == []
    acme.do(a.top_up(amount=19))
    assert tried(acme, clockwork) == []
    acme.do(a.top_up(amount=1))
    assert tried(acme, clockwork) == ["s1"]


def test_a_sponsored_account_needs_its_allotment_and_the_coins(
    desk: LedgerDesk, clockwork: Clockwork
) -> None:
    desk.do(a.reseller(), a.sponsored_customer(), a.sponsored_customer("cora"), a.top_up("shop", 30))
    desk.do(a.grant("carl", 100), a.grant("cora", 40))
    owe(desk, "s1", "carl", price=50, reason="sponsor_insufficient_credit")
    owe(desk, "s2", "cora", price=50)
    assert tried(desk, clockwork) == []
    desk.do(a.top_up("shop", 20))
    assert tried(desk, clockwork) == ["s1"]
    desk.later(seconds=10)
    desk.do(a.grant("cora", 10), a.top_up("shop", 49))
    assert tried(desk, clockwork) == []
    desk.later(seconds=10)
    desk.do(a.top_up("shop", 1))
    assert tried(desk, clockwork) == ["s2"]
