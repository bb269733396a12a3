"""Holds that expire and orders that nobody pays: each is ended when its time has come, once, and what it froze is free."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from ledger.decide.due import expire_hold, give_up_order
from ledger.records import Hold, Order
from ledger.upkeep import keep_up
from ledger.verify import verify
from messages.reasons import Reason
from tests import builders as a
from tests.desk import NOW, LedgerDesk
from tests.workers.jobs.clockwork import Clockwork
from workers.jobs import tidying
from workers.jobs.run import RunLost, RunStopped
from workers.jobs.tidying import cancel_unpaid_orders, expire_holds

HOUR, DAY, SECOND = timedelta(hours=1), timedelta(days=1), timedelta(seconds=1)
SOON = NOW + HOUR


@pytest.fixture
def acme(desk: LedgerDesk) -> LedgerDesk:
    """`acme` has 100 coins, and `dept` draws on them; `carl` has an allotment of 80, for which `shop` pays with its 90."""
    desk.do(a.enterprise(), a.department(), a.top_up("acme", 100))
    desk.do(a.reseller(), a.top_up("shop", 90), a.sponsored_customer(), a.grant("carl", 80))
    return desk


def frozen(desk: LedgerDesk) -> dict[str, int]:
    return dict(desk.all("SELECT account, frozen FROM account WHERE frozen <> 0"))


def holds(desk: LedgerDesk) -> dict[str, tuple[str, int, datetime | None]]:
    """Of each hold its state, what is frozen by it, and when it ended."""
    rows = desk.all("SELECT hold, state, remaining, ended_at FROM hold")
    return {hold: tuple(rest) for hold, *rest in rows}


def orders(desk: LedgerDesk) -> dict[str, str]:
    return dict(desk.all("SELECT order_id, status FROM orders"))


# Holds


def test_a_hold_expires_at_its_very_moment_and_what_it_froze_is_free(
    acme: LedgerDesk, clockwork: Clockwork
) -> None:
    acme.do(a.hold("own", "acme", 10, expires_at=SOON), a.hold("others", "dept", 20, expires_at=SOON))
    acme.do(a.hold("both", "carl", 30, expires_at=SOON))
    assert frozen(acme) == {"acme": 30, "carl": 30, "shop": 30}
    clockwork.run(expire_holds, now=SOON - SECOND)
    assert frozen(acme) == {"acme": 30, "carl": 30, "shop": 30}
    run = clockwork.run(expire_holds, now=SOON, as_row=True)
    assert frozen(acme) == {}
    assert holds(acme) == dict.fromkeys(("own", "others", "both"), ("expired", 0, SOON))
    assert [(one.item, one.detail) for one in clockwork.items(run)] == [
        (hold, "expired at 2026-03-01 13:00:00 UTC") for hold in ("both", "others", "own")
    ]
    # All of it can be spent again
    acme.now = SOON
    acme.do(a.order("o1", "dept", price=100), a.order("o2", "carl", price=80))
    assert verify(acme.connection).differences == []


@pytest.mark.parametrize("released", [False, True])
def test_past_its_time_a_hold_is_expired_for_everybody_whether_the_job_was_there_or_not(
    acme: LedgerDesk, clockwork: Clockwork, released: bool
) -> None:
    acme.do(a.hold("h1", "acme", 10, expires_at=SOON), a.hold("h2", "carl", 10, expires_at=SOON))
    acme.now = SOON
    if released:
        clockwork.run(expire_holds)
    assert {acme.refused(ask(id_)) for ask in (a.release_hold, a.capture) for id_ in ("h1", "h2")} == {
        Reason.HOLD_EXPIRED
    }
    assert frozen(acme) == ({} if released else {"acme": 10, "carl": 10, "shop": 10})
    assert acme.refused(a.hold("h1", "acme", 1)) == Reason.HOLD_EXISTS


def test_what_was_captured_stays_charged_and_only_the_rest_is_free(
    acme: LedgerDesk, clockwork: Clockwork
) -> None:
    acme.do(a.hold("h1", "acme", 50, expires_at=SOON), a.capture("h1", 20, final=False))
    clockwork.run(expire_holds, now=SOON)
    assert (acme.credit("acme"), frozen(acme), holds(acme)) == (80, {}, {"h1": ("expired", 0, SOON)})


def test_what_ended_before_or_has_no_end_is_left_as_it_is(acme: LedgerDesk, clockwork: Clockwork) -> None:
    acme.do(
        *(a.hold(id_, "acme", 5, expires_at=SOON) for id_ in ("captured", "released")),
        a.hold("open", "acme", 5),
    )
    acme.do(a.capture("captured"), a.release_hold("released"))
    before = acme.all("SELECT xmin::text, * FROM hold ORDER BY hold")
    assert expire_holds(clockwork.begin(now=SOON + 365 * DAY)) == "0 holds expired"
    assert acme.all("SELECT xmin::text, * FROM hold ORDER BY hold") == before


def test_what_somebody_ends_while_the_job_looks_is_left_as_it_is(acme: LedgerDesk) -> None:
    """Found when it was open, locked when it was not any more."""
    acme.do(
        a.hold("captured", expires_at=SOON),
        a.capture("captured", 1),
        a.order("paid", pay="later"),
        a.pay("paid"),
    )
    before = holds(acme), orders(acme)
    with acme.connection.transaction():
        assert keep_up(acme.connection, Hold, ["captured", "none"], expire_hold, SOON) == []
        assert keep_up(acme.connection, Order, ["paid", "none"], give_up_order, NOW + DAY) == []
    assert (holds(acme), orders(acme)) == before


def test_done_again_it_finds_nothing_to_do(acme: LedgerDesk, clockwork: Clockwork) -> None:
    acme.do(a.hold("h1", "acme", 5, expires_at=SOON), a.order("o1", pay="later"))
    for job in (expire_holds, cancel_unpaid_orders):
        assert clockwork.run(job, now=NOW + 2 * DAY).done == 1
    before = acme.all("SELECT xmin::text, * FROM account ORDER BY id"), holds(acme), orders(acme)
    for job in (expire_holds, cancel_unpaid_orders):
        assert clockwork.run(job, now=NOW + 3 * DAY).done == 0
    assert (acme.all("SELECT xmin::text, * FROM account ORDER BY id"), holds(acme), orders(acme)) == before


def test_of_a_suspended_account_they_expire_as_well(acme: LedgerDesk, clockwork: Clockwork) -> None:
    acme.do(a.hold("h1", "dept", 5, expires_at=SOON), a.suspend("dept"), a.suspend("acme"))
    clockwork.run(expire_holds, now=SOON)
    assert frozen(acme) == {}


def test_many_expire_portion_by_portion_and_the_account_may_be_closed_then(
    acme: LedgerDesk, clockwork: Clockwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tidying, "AT_ONCE", 2)
    acme.do(*(a.hold(f"h{number}", "dept", number, expires_at=SOON) for number in range(1, 6)))
    assert acme.refused(a.closing("dept")) == Reason.ACCOUNT_IN_USE
    assert expire_holds(clockwork.begin(now=SOON)) == "5 holds expired"
    assert frozen(acme) == {}
    acme.do(a.closing("dept"))


def test_told_to_stop_or_overtaken_between_two_portions_the_rest_is_for_the_next(
    acme: LedgerDesk, clockwork: Clockwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tidying, "AT_ONCE", 2)
    acme.do(*(a.hold(f"h{number}", "acme", number, expires_at=SOON) for number in range(1, 8)))
    looks = iter([False])
    with pytest.raises(RunStopped):
        expire_holds(clockwork.begin(now=SOON, stopping=lambda: next(looks, True)))
    assert frozen(acme) == {"acme": 3 + 4 + 5 + 6 + 7}
    acme.all("DELETE FROM job_run")
    others: list[str] = []

    def frozen_after_a_portion() -> bool:
        if frozen(acme) == {"acme": 5 + 6 + 7}:
            others.append(expire_holds(clockwork.overtake(run)))
            acme.do(a.hold("late", "acme", 1, expires_at=SOON))
        return False

    run = clockwork.begin(now=SOON, stopping=frozen_after_a_portion)
    with pytest.raises(RunLost):
        expire_holds(run)
    assert others == ["3 holds expired"]
    assert frozen(acme) == {"acme": 1}
    assert verify(acme.connection).differences == []


def test_a_dry_run_says_what_would_end_and_ends_nothing(acme: LedgerDesk, clockwork: Clockwork) -> None:
    acme.do(a.hold("h1", "acme", 5, expires_at=SOON), a.order("o1", pay="later", price=7))
    assert [one.item for one in clockwork.run(expire_holds, now=SOON, dry_run=True).items] == ["h1"]
    run = clockwork.run(cancel_unpaid_orders, now=NOW + DAY, dry_run=True)
    assert [(one.item, one.detail) for one in run.items] == [
        ("o1", "placed 2026-03-01 12:00 UTC, 7 not paid")
    ]
    assert (frozen(acme), orders(acme)) == ({"acme": 5}, {"o1": "pending_payment"})


# Orders


def test_an_order_that_waited_for_a_day_is_canceled(acme: LedgerDesk, clockwork: Clockwork) -> None:
    acme.do(a.order("waits", pay="later"), a.order("others", "dept", pay="later", kind="proxy"))
    acme.do(
        a.order("paid", pay="later"),
        a.pay("paid"),
        a.order("dropped", pay="later"),
        a.cancel_order("dropped"),
    )
    acme.later(seconds=1)
    acme.do(a.order("younger", pay="later"))
    assert cancel_unpaid_orders(clockwork.begin(now=NOW + DAY - SECOND)) == "0 unpaid orders canceled"
    acme.all("DELETE FROM job_run")
    assert cancel_unpaid_orders(clockwork.begin(now=NOW + DAY)) == "2 unpaid orders canceled"
    assert orders(acme) == {
        "waits": "canceled",
        "others": "canceled",
        "paid": "completed",
        "dropped": "canceled",
        "younger": "pending_payment",
    }
    canceled = acme.all("SELECT order_id, canceled_at, note FROM orders WHERE note IS NOT NULL ORDER BY 1")
    assert canceled == [(id_, NOW + DAY, "not paid within 24 hours") for id_ in ("others", "waits")]
    assert acme.refused(a.pay("waits")) == Reason.ORDER_NOT_PAYABLE
    assert acme.refused(a.cancel_order("waits")) == Reason.ORDER_NOT_CANCELABLE
    assert acme.refused(a.order("waits")) == Reason.ORDER_EXISTS
    acme.do(a.pay("younger"), a.closing("dept"))
    assert verify(acme.connection).differences == []


def test_many_are_canceled_portion_by_portion(
    acme: LedgerDesk, clockwork: Clockwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tidying, "AT_ONCE", 2)
    acme.do(*(a.order(f"o{number}", pay="later") for number in range(5)))
    assert cancel_unpaid_orders(clockwork.begin(now=NOW + DAY)) == "5 unpaid orders canceled"
    assert set(orders(acme).values()) == {"canceled"}
