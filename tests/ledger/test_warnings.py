"""Thresholds: what is below which line, by figures alone. (`tests/workers/jobs/test_warnings.py`: who is told, and when.)"""

from __future__ import annotations

from itertools import count

import pytest

from ledger.warnings import Crossing, Scope, changed, settle
from tests import builders as a
from tests.desk import LedgerDesk

_orders = count(1)


def spend(desk: LedgerDesk, amount: int, account: str = "acme") -> None:
    desk.do(a.order(f"spent-{next(_orders)}", account, price=amount))


def crossings(desk: LedgerDesk, *accounts: str) -> list[Crossing]:
    keys = dict(desk.all("SELECT account, id FROM account"))
    found = settle(desk.connection, [keys[one] for one in accounts or ("acme",)], desk.now)
    desk.connection.commit()
    return found


def fallen(desk: LedgerDesk, *accounts: str) -> list[str]:
    return [one.threshold for one in crossings(desk, *accounts) if one.line is not None]


def back(desk: LedgerDesk, *accounts: str) -> list[str]:
    return sorted(one.threshold for one in crossings(desk, *accounts) if one.line is None)


def found(desk: LedgerDesk, scope: Scope) -> list[str]:
    """The accounts that would be settled, of those in scope."""
    names = dict(desk.all("SELECT id, account FROM account"))
    keys = changed(desk.connection, scope, desk.now)
    desk.connection.commit()
    return sorted(names[key] for key in keys)


@pytest.mark.parametrize(
    ("reference", "left", "below"),
    [
        (100, 25, []),
        (100, 24, ["25 %"]),
        (100, 10, ["25 %"]),
        (100, 9, ["10 %", "25 %"]),
        (100, 1, ["10 %", "25 %"]),
        (100, 0, ["0", "10 %", "25 %"]),
        (1, 0, ["0", "10 %", "25 %"]),
        (10, 1, ["25 %"]),
        (7, 2, []),
        (7, 1, ["25 %"]),
        (10**15, 25 * 10**13, []),
        (10**15, 25 * 10**13 - 1, ["25 %"]),
    ],
)
def test_a_preset_lies_at_a_part_of_the_reference(
    desk: LedgerDesk, reference: int, left: int, below: list[str]
) -> None:
    desk.do(a.enterprise(), a.top_up(amount=reference))
    if reference > left:
        spend(desk, reference - left)
    assert fallen(desk) == below
    assert found(desk, Scope.ALL) == []


@pytest.mark.parametrize(("credit", "below"), [(-19, []), (-20, ["0"]), (-21, ["0", "10 %", "25 %"])])
def test_of_a_reference_that_is_not_positive_no_part_is_below_nothing(
    desk: LedgerDesk, credit: int, below: list[str]
) -> None:
    """Given a reference of -10, the percentages lie at 0."""
    desk.do(a.enterprise(), a.limit("acme", 100), a.top_up(amount=1), a.activation(estimate=1))
    desk.do(a.usage(amount=1 - credit), a.limit("acme", 20))
    desk.all("UPDATE account SET reference = -10 WHERE account = 'acme'")
    assert fallen(desk) == below


def test_the_largest_balances_are_compared_exactly(desk: LedgerDesk) -> None:
    desk.do(a.enterprise(), a.top_up(amount=1))
    largest = 9 * 10**18
    desk.all("UPDATE account SET reference = %s, credit = %s WHERE account = 'acme'", largest, largest // 4)
    assert fallen(desk) == []
    desk.all("UPDATE account SET credit = credit - 1 WHERE account = 'acme'")
    assert fallen(desk) == ["25 %"]
    desk.all("UPDATE account SET credit = %s WHERE account = 'acme'", -largest)
    assert fallen(desk) == ["0", "10 %"]


def test_limit_and_holds_count_as_they_do_for_purchases(desk: LedgerDesk) -> None:
    desk.do(a.enterprise(), a.top_up(amount=100), a.limit("acme", 100))
    desk.do(a.hold("h1", amount=150))
    assert fallen(desk) == []
    desk.do(a.hold("h2", amount=1))
    assert fallen(desk) == ["25 %"]
    desk.do(a.release_hold("h2"))
    assert back(desk) == ["25 %"]


def test_what_has_fired_fires_again_only_after_it_was_back_above(desk: LedgerDesk) -> None:
    desk.do(a.enterprise(), a.top_up())
    spend(desk, 80)
    assert fallen(desk) == ["25 %"]
    spend(desk, 5)
    assert crossings(desk) == []
    spend(desk, 10)
    assert fallen(desk) == ["10 %"]
    desk.do(a.top_up(amount=1_000))
    assert back(desk) == ["10 %", "25 %"]
    spend(desk, 910)
    assert fallen(desk) == ["10 %", "25 %"]


def test_a_crossing_says_what_there_is_and_of_what(desk: LedgerDesk) -> None:
    desk.do(a.enterprise(), a.top_up(amount=10))
    spend(desk, 8)
    (one,) = crossings(desk)
    assert (one.threshold, one.line, one.available, one.reference, one.custom) == ("25 %", 250, 2, 10, None)
    desk.do(a.top_up(amount=10))
    (one,) = crossings(desk)
    assert (one.threshold, one.line, one.available, one.reference) == ("25 %", None, 12, 12)


def test_what_a_running_phone_has_used_is_gone(desk: LedgerDesk) -> None:
    """A started minute counts in full, and the first one at once."""
    desk.do(a.enterprise(), a.top_up(), a.power_on(rate="7.5"))
    desk.later(minutes=9)
    assert crossings(desk) == []
    assert found(desk, Scope.RUNNING) == []
    desk.later(seconds=61)  # the eleventh minute: 82.5 are 83
    assert found(desk, Scope.RUNNING) == ["acme"]
    (one,) = crossings(desk)
    assert (one.threshold, one.available) == ("25 %", 17)
    desk.do(a.power_off(at="2026-03-01T12:10:01Z"))
    assert desk.credit("acme") == 17
    assert crossings(desk) == []


def test_a_phone_that_has_just_begun_has_used_a_minute(desk: LedgerDesk) -> None:
    desk.do(a.enterprise(), a.top_up(), a.power_on(rate="75.000001"))
    assert fallen(desk) == ["25 %"]


def test_a_phone_is_used_up_at_its_master_or_at_both_who_pay(desk: LedgerDesk) -> None:
    desk.do(
        a.enterprise(),
        a.department(),
        a.top_up(),
        a.reseller(),
        a.sponsored_customer(),
        a.top_up("shop"),
        a.grant(),
    )
    desk.do(a.power_on("s1", "dept", "p1", rate="8"), a.power_on("s2", "carl", "p2", rate="8"))
    desk.later(minutes=10)
    assert found(desk, Scope.RUNNING) == ["acme", "carl", "shop"]
    assert [(one.available, one.threshold) for one in crossings(desk, "acme", "carl", "shop", "dept")] == [
        (20, "25 %")
    ] * 3


def test_an_account_without_an_inflow_fires_nothing(desk: LedgerDesk) -> None:
    desk.do(a.enterprise(), a.department(), a.warning("w1", amount=10), a.warning("w2", "dept", "acme"))
    assert crossings(desk, "acme", "dept") == []
    assert found(desk, Scope.ALL) == []


def test_a_suspended_account_warns_and_a_closed_one_does_not(desk: LedgerDesk) -> None:
    desk.do(a.enterprise(), a.top_up(), a.enterprise("beta"), a.top_up("beta"))
    spend(desk, 80)
    spend(desk, 100, "beta")
    desk.do(a.suspend())
    assert fallen(desk, "acme", "beta") == ["25 %", "0", "10 %", "25 %"]
    desk.do(a.closing("beta"))
    assert crossings(desk, "acme", "beta") == []
    assert {account for (account,) in desk.all("SELECT account FROM warned")} == {desk.account("acme")["id"]}


def test_a_custom_warning_lies_at_an_amount_or_at_any_part(desk: LedgerDesk) -> None:
    desk.do(a.enterprise(), a.top_up(), a.warning("few", amount=50), a.warning("part", percent=150))
    assert fallen(desk) == ["custom:part"]
    spend(desk, 50)
    assert fallen(desk) == []
    spend(desk, 1)
    (one,) = crossings(desk)
    assert (one.threshold, one.line) == ("custom:few", 5_000)
    assert one.custom is not None
    assert (one.custom.amount, one.custom.percent, one.custom.emails) == (50, None, [])


def test_of_a_fall_across_several_the_lowest_comes_first(desk: LedgerDesk) -> None:
    desk.do(a.enterprise(), a.top_up(), a.warning("w9", amount=9), a.warning("w99", amount=99))
    spend(desk, 100)
    assert fallen(desk) == ["0", "custom:w9", "10 %", "25 %", "custom:w99"]


def test_a_warning_that_is_set_anew_has_not_fired(desk: LedgerDesk) -> None:
    desk.do(a.enterprise(), a.top_up(), a.warning(amount=200))
    assert fallen(desk) == ["custom:w1"]
    desk.later(seconds=1)
    desk.do(a.warning(amount=300))
    assert fallen(desk) == ["custom:w1"]
    assert crossings(desk) == []
    desk.later(seconds=1)
    desk.do(a.warning(amount=50))
    assert back(desk) == ["custom:w1"]


def test_a_warning_that_was_removed_is_forgotten_without_a_word(desk: LedgerDesk) -> None:
    desk.do(a.enterprise(), a.top_up(), a.warning(amount=200))
    assert fallen(desk) == ["custom:w1"]
    desk.do(a.remove_warning())
    assert crossings(desk) == []
    assert desk.all("SELECT * FROM warned") == []
    desk.do(a.warning(amount=200))
    assert fallen(desk) == ["custom:w1"]


def test_all_accounts_are_looked_at_where_that_is_asked_for(desk: LedgerDesk) -> None:
    desk.do(a.enterprise(), a.top_up(), a.enterprise("beta"), a.top_up("beta"), a.enterprise("none"))
    spend(desk, 80, "beta")
    assert found(desk, Scope.ALL) == ["beta"]
    assert found(desk, Scope.RUNNING) == []
    crossings(desk, "beta")
    desk.do(a.top_up("beta"), a.warning(amount=101))
    assert found(desk, Scope.ALL) == ["acme", "beta"]
