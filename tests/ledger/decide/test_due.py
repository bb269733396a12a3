"""What becomes of holds and of orders when their time has come."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ledger.book import Origin
from ledger.decide.due import expire_hold, give_up_order
from ledger.records import Hold, Order
from messages.reasons import Reason
from tests.builders import (
    activation,
    cancel_order,
    capture,
    enterprise,
    hold,
    order,
    pay,
    release_hold,
    top_up,
)
from tests.desk import NOW, PureDesk

IN_AN_HOUR = (NOW + timedelta(hours=1)).isoformat()


@pytest.fixture
def desk() -> PureDesk:
    desk = PureDesk()
    desk.do(enterprise(), top_up("acme", 100))
    return desk


def expire(desk: PureDesk, id_: str = "h1") -> bool:
    """Whether it was expired."""
    applied = expire_hold(id_, desk.book, desk.now)
    if applied is not None:
        desk.book.apply(applied, Origin("tests", "expire", None), desk.now)
    return applied is not None


def give_up(desk: PureDesk, id_: str = "o1") -> bool:
    """Whether it was canceled."""
    applied = give_up_order(id_, desk.book, desk.now)
    if applied is not None:
        desk.book.apply(applied, Origin("tests", "give up", None), desk.now)
    return applied is not None


def test_a_hold_expires_at_its_moment_and_what_is_left_of_it_is_free(desk: PureDesk) -> None:
    desk.do(activation(estimate=5), hold(amount=30, expires_at=IN_AN_HOUR), capture(amount=10, final=False))
    assert desk.account("acme")["frozen"] == 25
    desk.later(minutes=59)
    assert not expire(desk)
    desk.later(minutes=1)
    assert expire(desk)
    found: Hold = desk.book.get(Hold, "h1")
    assert (found.state, found.remaining, found.ended_at) == ("expired", 0, desk.now)
    assert (desk.account("acme")["frozen"], desk.credit("acme")) == (5, 90)
    assert not expire(desk)
    assert desk.refused(release_hold()) == Reason.HOLD_EXPIRED


def test_a_hold_without_an_end_one_that_is_over_and_one_that_never_was_do_not_expire(desk: PureDesk) -> None:
    desk.do(
        hold("endless"),
        hold("captured", expires_at=IN_AN_HOUR),
        capture("captured"),
        hold("released", expires_at=IN_AN_HOUR),
        release_hold("released"),
    )
    desk.later(days=1000)
    assert [expire(desk, id_) for id_ in ("endless", "captured", "released", "nothing")] == [False] * 4


def test_an_order_that_waited_a_day_for_its_payment_is_canceled(desk: PureDesk) -> None:
    desk.do(order(pay="later"))
    desk.later(hours=24, seconds=-1)
    assert not give_up(desk)
    desk.later(seconds=1)
    assert give_up(desk)
    found: Order = desk.book.get(Order, "o1")
    assert (found.status, found.canceled_at) == ("canceled", desk.now)
    assert found.note == "not paid within 24 hours"
    assert not give_up(desk)
    assert desk.refused(pay()) == Reason.ORDER_NOT_PAYABLE
    assert desk.credit("acme") == 100


def test_an_order_that_was_paid_or_canceled_in_time_and_one_that_never_was_stay_as_they_are(
    desk: PureDesk,
) -> None:
    desk.do(
        order("paid", pay="later"),
        pay("paid"),
        order("gone", pay="later"),
        cancel_order("gone"),
        order("now"),
    )
    desk.later(days=2)
    assert [give_up(desk, id_) for id_ in ("paid", "gone", "now", "nothing")] == [False] * 4
