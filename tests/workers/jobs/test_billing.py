"""The billing cycle: what is due is charged on its day, once, the oldest first, to whoever pays."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from messages.reasons import Reason
from tests import builders as a
from tests.desk import NOW
from tests.workers.jobs.billing_desk import BillingDesk, Tried
from workers.jobs.billing import AT_ONCE

WEEKLY = {"unit": "week", "count": 1}


def day(month: int, of_month: int, hour: int = 12, minute: int = 0, year: int = 2026) -> datetime:
    return datetime(year, month, of_month, hour, minute, tzinfo=UTC)


@pytest.fixture
def acme(billing: BillingDesk) -> BillingDesk:
    """`acme` in Berlin has 1,000 coins; a package costs 10 a month, or 3 a week; it is 1 March, noon."""
    billing.desk.do(
        a.enterprise(timezone="Europe/Berlin"),
        a.top_up("acme", 1_000),
        a.plan("pro", "package", price=10, cycle=a.MONTHLY),
        a.plan("week", "package", price=3, cycle=WEEKLY),
        a.plan("again", "renewal", price=2, cycle=a.MONTHLY),
    )
    return billing


def cycles(billing: BillingDesk, id_: str = "s1") -> list[tuple[Any, ...]]:
    """Number, period, amount and day of payment of every cycle."""
    return billing.desk.all(
        "SELECT cycle_no, begins_at, ends_at, amount, paid_at FROM subscription_cycle "
        "WHERE subscription = %s ORDER BY cycle_no",
        id_,
    )


def amounts(billing: BillingDesk, id_: str = "s1") -> list[int]:
    return [amount for _, _, _, amount, _ in cycles(billing, id_)]


def paid_at(billing: BillingDesk, id_: str = "s1") -> list[datetime]:
    return [when for *_, when in cycles(billing, id_)]


# On its day


def test_from_the_31st_of_january_it_renews_at_the_months_ends_through_both_clock_changes(
    acme: BillingDesk,
) -> None:
    acme.desk.now = day(1, 31, 9)  # ten o'clock in Berlin
    acme.desk.do(a.subscribe())
    acme.until(day(11, 30, 12))
    ends = [
        day(1, 31, 9),
        day(2, 28, 9),
        day(3, 31, 8),  # ten o'clock is two hours ahead of UTC from now on
        day(4, 30, 8),
        day(5, 31, 8),
        day(6, 30, 8),
        day(7, 31, 8),
        day(8, 31, 8),
        day(9, 30, 8),
        day(10, 31, 9),
        day(11, 30, 9),
        day(12, 31, 9),
    ]
    assert cycles(acme) == [
        (number, begins, ends, 10, begins) for number, (begins, ends) in enumerate(pairwise(ends), 1)
    ]
    assert acme.desk.credit("acme") == 1_000 - 11 * 10


def test_a_renewal_is_a_command_of_the_scheduler_with_an_order_a_line_and_an_event(acme: BillingDesk) -> None:
    acme.desk.do(a.subscribe())
    acme.events()
    acme.advance(days=31)
    line = acme.desk.lines()[-1]
    assert (line["account"], line["type"], line["amount"], line["order"]) == ("acme", "renewal", -10, "s1/2")
    assert (line["command_source"], line["command_id"]) == ("coins/scheduler", "renewal:s1:2:1")
    (event,) = acme.events()
    assert event.type == "coins.SubscriptionRenewed.v1"
    assert (event.data.cycle_no, event.data.period.begin, event.data.period.end) == (
        2,
        day(4, 1, 11),
        day(5, 1, 11),
    )
    assert acme.attempts() == [Tried("s1", 2, 1, day(4, 1, 11), None)]


def test_nothing_is_charged_before_its_day(acme: BillingDesk) -> None:
    acme.desk.do(a.subscribe())
    acme.desk.now = day(4, 1, 10, 59)
    assert acme.bill() == "0 paid, 0 refused, 0 begun, owed or ended"
    assert amounts(acme) == [10]
    acme.desk.now = day(4, 1, 11)
    assert acme.bill() == "1 paid, 0 refused, 0 begun, owed or ended"
    assert amounts(acme) == [10, 10]
    assert acme.bill() == "0 paid, 0 refused, 0 begun, owed or ended"


def test_what_is_scheduled_is_charged_when_it_begins(acme: BillingDesk) -> None:
    acme.desk.do(a.subscribe(start_at=day(3, 10).isoformat()))
    acme.until(day(3, 10) - timedelta(minutes=1))
    assert (acme.row().status, amounts(acme)) == ("scheduled", [])
    acme.advance(minutes=1)
    assert (acme.row().status, paid_at(acme)) == ("active", [day(3, 10)])
    assert acme.row().next_payment_at == day(4, 10, 11)


def test_what_was_paid_ahead_begins_on_its_day_and_is_charged_when_that_is_over(acme: BillingDesk) -> None:
    acme.desk.do(a.subscribe(start_at=day(3, 10).isoformat()), a.next_cycle(), a.next_cycle())
    acme.until(day(3, 10))
    assert (acme.row().status, paid_at(acme)) == ("active", [NOW, NOW])
    acme.until(day(5, 10))
    assert paid_at(acme) == [NOW, NOW, day(5, 10, 11)], "noon of the day it began, an hour less in UTC"
    assert acme.row().paid_until == day(6, 10, 11)


def test_what_somebody_has_paid_ahead_is_not_charged_again(acme: BillingDesk) -> None:
    acme.desk.do(a.subscribe(), a.next_cycle())
    acme.until(day(4, 30))
    assert amounts(acme) == [10, 10]
    acme.until(day(5, 2))
    assert amounts(acme) == [10, 10, 10]
    assert [one.cycle_no for one in acme.attempts()] == [3]


# After a pause


def test_after_weeks_without_a_scheduler_every_missed_cycle_is_charged_the_oldest_first(
    acme: BillingDesk,
) -> None:
    acme.desk.do(a.subscribe(plan="week"))
    acme.desk.later(days=30)
    assert acme.bill() == "4 paid, 0 refused, 0 begun, owed or ended"
    assert [number for number, *_ in cycles(acme)] == [1, 2, 3, 4, 5]
    assert acme.attempts() == [Tried("s1", number, 1, acme.desk.now, None) for number in (2, 3, 4, 5)]
    begins = [begin for _, begin, *_ in cycles(acme)]
    assert begins == [day(3, 1), day(3, 8), day(3, 15), day(3, 22), day(3, 29, 11)], "its dates stay"
    assert acme.row().status == "active"


def test_missed_cycles_that_are_not_covered_are_owed_from_the_first_that_is_not(acme: BillingDesk) -> None:
    acme.desk.do(a.subscribe(plan="week"), a.adjustment("acme", -990))  # seven are left
    acme.desk.later(days=30)
    assert acme.bill() == "2 paid, 1 refused, 0 begun, owed or ended"
    assert amounts(acme) == [3, 3, 3]
    found = acme.row()
    assert (found.status, found.past_due_since, found.paid_until) == ("past_due", acme.desk.now, day(3, 22))


def test_coins_that_are_not_enough_for_all_go_to_what_is_due_the_longest(acme: BillingDesk) -> None:
    acme.desk.do(a.subscribe("z"))
    acme.desk.later(hours=1)
    acme.desk.do(a.subscribe("m"))
    acme.desk.later(hours=1)
    acme.desk.do(*(a.subscribe(f"a{n}") for n in range(20)), a.adjustment("acme", -760))  # two are covered
    acme.desk.later(days=40)
    acme.bill()
    paid = {one.subscription for one in acme.attempts() if one.reason is None}
    assert paid == {"z", "m"}


# What it costs, and who pays


def test_devices_that_are_gone_drop_out_and_with_the_last_one_it_ends(acme: BillingDesk) -> None:
    acme.desk.do(a.onboarding("acme", "d1", "d2", "d3"), a.subscribe_devices("d1", "d2", "d3"))
    acme.advance(days=1)
    acme.desk.do(a.release("acme", "d2"))
    acme.until(day(4, 2))
    assert (amounts(acme), acme.row().goods) == ([6, 4], ["d1", "d3"])
    assert acme.desk.devices()["d1"] == ("acme", day(5, 1, 11))
    assert acme.desk.devices()["d2"] == (None, day(4, 1, 11))
    acme.desk.do(a.release("acme", "d1"), a.release("acme", "d3"))
    acme.events()
    acme.until(day(5, 2))
    assert amounts(acme) == [6, 4], "nothing is charged for nothing"
    assert acme.row().status == "canceled"
    (event,) = acme.events()
    assert (event.type, event.data.reason) == (
        "coins.SubscriptionCanceled.v1",
        "no device of it is active any more",
    )


def test_a_plan_without_a_price_is_refused_like_all_else_and_paid_when_it_has_one(acme: BillingDesk) -> None:
    acme.desk.do(a.subscribe(), a.plan("pro", "package", cycle=a.MONTHLY))
    acme.until(day(4, 1))
    assert (acme.row().status, acme.row().refused_for) == ("past_due", Reason.PRICE_REQUIRED)
    acme.desk.do(a.plan("pro", "package", price=12, cycle=a.MONTHLY))
    acme.until(day(4, 3))
    assert (acme.row().status, amounts(acme)) == ("active", [10, 12])


def test_a_suspended_account_is_refused_and_pays_once_it_is_resumed(acme: BillingDesk) -> None:
    acme.desk.do(a.subscribe(), a.suspend())
    acme.until(day(4, 3))
    assert {one.reason for one in acme.attempts()} == {Reason.ACCOUNT_SUSPENDED}
    acme.desk.do(a.resume())
    acme.until(day(4, 5))
    assert (acme.row().status, amounts(acme), acme.row().paid_until) == ("active", [10, 10], day(5, 1, 11))


def test_a_shared_account_renews_on_the_coins_of_its_master(acme: BillingDesk) -> None:
    acme.desk.do(a.department(), a.subscribe(account="dept"))
    acme.until(day(4, 2))
    assert (acme.desk.credit("acme"), acme.desk.credit("dept")) == (980, 0)
    acme.desk.do(a.adjustment("acme", -975))
    acme.until(day(5, 2))
    assert (acme.row().status, acme.row().refused_for) == ("past_due", Reason.MASTER_INSUFFICIENT_CREDIT)
    assert acme.desk.credit("acme") == 5


def test_a_sponsored_account_renews_on_its_allotment_and_its_sponsors_coins(acme: BillingDesk) -> None:
    acme.desk.do(
        a.reseller(),
        a.top_up("shop", 25),
        a.sponsored_customer(),
        a.grant(amount=100),
        a.subscribe(account="carl"),
    )
    acme.until(day(4, 2))
    assert (acme.desk.credit("carl"), acme.desk.credit("shop")) == (80, 5)
    acme.until(day(5, 1))
    assert acme.row().refused_for == Reason.SPONSOR_INSUFFICIENT_CREDIT
    acme.desk.do(a.top_up("shop", 5), a.grant(amount=-75))
    acme.until(day(5, 3))
    assert acme.row().refused_for == Reason.INSUFFICIENT_CREDIT
    assert (acme.desk.credit("carl"), acme.desk.credit("shop")) == (5, 10)


def test_another_plan_counts_from_the_end_of_what_is_paid(acme: BillingDesk) -> None:
    acme.desk.do(a.subscribe(), a.change(plan="week"))
    acme.until(day(4, 16))
    begins = [(begin, amount) for _, begin, _, amount, _ in cycles(acme)]
    assert begins == [(NOW, 10), (day(4, 1, 11), 3), (day(4, 8, 11), 3), (day(4, 15, 11), 3)]


# Many at once


def test_a_run_tells_what_it_paid_and_what_was_refused_item_by_item(acme: BillingDesk) -> None:
    acme.desk.do(a.subscribe("s1"), a.subscribe("s2"), a.adjustment("acme", -970))
    acme.desk.do(a.subscribe("s3", payment_method="manual"))
    acme.desk.later(days=31)
    run = acme.begin()
    assert acme.finish(run) == "1 paid, 1 refused, 1 begun, owed or ended"
    done, refused, total = acme.desk.one("SELECT done, refused, total FROM job_run WHERE id = %s", run.id)
    assert (done, refused, total) == (2, 1, 3)
    assert [(one.subscription, one.reason) for one in acme.attempts()] == [
        ("s1", None),
        ("s2", "insufficient_credit"),
    ]
    (item,) = acme.items(run)
    assert (item.item, item.reason, item.detail) == ("s3", "not_paid", "past_due")


def test_more_than_are_handled_together_are_charged_in_one_run(acme: BillingDesk) -> None:
    count = AT_ONCE + 50
    acme.desk.do(a.top_up("acme", count), a.plan("cheap", "phone", price=1, cycle=a.MONTHLY))
    acme.desk.send(*(a.subscribe(f"p{n}", plan="cheap", kind="phone") for n in range(count)))
    acme.desk.later(days=31)
    assert acme.bill() == f"{count} paid, 0 refused, 0 begun, owed or ended"
    assert acme.desk.credit("acme") == 1_000 - count
    assert len({one.subscription for one in acme.attempts()}) == len(acme.attempts()) == count
