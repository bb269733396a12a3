"""What a subscription does on its day without being charged, and what follows when it could not be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ledger.book import Origin
from ledger.decide.dunning import Refusal, refused, time_has_come, try_now
from ledger.model import Announcement, Applied
from ledger.records import Subscription
from messages.events import EventType
from tests.builders import (
    MONTHLY,
    adjustment,
    cancel,
    change,
    delete,
    enterprise,
    next_cycle,
    plan,
    subscribe,
    top_up,
)
from tests.desk import NOW, PureDesk

APRIL = datetime(2026, 4, 1, 12, tzinfo=UTC)  # when the second cycle of what began at NOW is to be paid
MAY = datetime(2026, 5, 1, 12, tzinfo=UTC)
MAY_31 = "2026-05-31T10:00:00Z"
PAST_DUE, SUSPENDED, CANCELED = (
    EventType.SUBSCRIPTION_PAST_DUE,
    EventType.SUBSCRIPTION_SUSPENDED,
    EventType.SUBSCRIPTION_CANCELED,
)


@pytest.fixture
def desk() -> PureDesk:
    desk = PureDesk()
    desk.do(enterprise(), top_up("acme", 1000), plan("pro", "package", price=10, cycle=MONTHLY))
    return desk


@pytest.fixture
def owing(desk: PureDesk) -> PureDesk:
    """`s1` was refused when its second cycle was to be paid, on 1 April."""
    desk.do(subscribe())
    desk.now = APRIL
    refuse(desk)
    return desk


def row(desk: PureDesk) -> Subscription:
    found: Subscription = desk.book.get(Subscription, "s1")
    return found


def turn(desk: PureDesk) -> Announcement | None:
    """What happens on its day, by the desk's clock; what is announced of it."""
    return done(desk, time_has_come("s1", desk.book, desk.now))


def refuse(desk: PureDesk, cycle_no: int = 2, reason: str = "insufficient_credit") -> Announcement | None:
    rule = refused({"s1": Refusal(cycle_no, reason)})
    return done(desk, rule("s1", desk.book, desk.now))


def done(desk: PureDesk, applied: Applied | None) -> Announcement | None:
    if applied is None:
        return None
    assert applied.transaction is None
    desk.book.apply(applied, Origin("tests", "turn", None), desk.now)
    return applied.announced[0] if applied.announced else None


def left_alone(desk: PureDesk) -> bool:
    return time_has_come("s1", desk.book, desk.now) is None


def after(**by: int) -> datetime:
    """So long after the first refusal."""
    return APRIL + timedelta(**by)


# Refused


def test_refused_again_and_again_it_is_past_due_suspended_and_canceled_by_the_calendar(
    desk: PureDesk,
) -> None:
    desk.do(subscribe())
    seen = []
    for days in (0, 1, 3, 7):
        desk.now = after(days=days)
        assert left_alone(desk), "what is to be charged is charged by a command"
        said = refuse(desk)
        found = row(desk)
        seen.append(
            (days, found.status, found.next_try_at, said and said.type, said and said.data["next_try"])
        )
        assert (found.past_due_since, found.refused_for) == (APRIL, "insufficient_credit")
    assert seen == [
        (0, "past_due", after(days=1), PAST_DUE, "2026-04-02T12:00:00Z"),
        (1, "past_due", after(days=3), PAST_DUE, "2026-04-04T12:00:00Z"),
        (3, "past_due", after(days=7), PAST_DUE, "2026-04-08T12:00:00Z"),
        (7, "suspended", after(days=30), SUSPENDED, None),
    ]
    desk.now = after(days=30, seconds=-1)
    assert left_alone(desk)
    desk.now = after(days=30)
    said = turn(desk)
    assert said is not None
    assert (said.type, said.data["reason"]) == (CANCELED, "insufficient_credit")
    found = row(desk)
    assert (found.status, found.canceled_at, found.next_try_at, found.next_payment_at) == (
        "canceled",
        after(days=30),
        None,
        None,
    )


def test_what_is_announced_names_the_cycle_that_is_owed_and_its_period(owing: PureDesk) -> None:
    owing.now = after(days=1)
    said = refuse(owing, reason="account_suspended")
    assert said is not None
    assert said.account.account == "acme"
    assert said.data == {
        "subscription": "s1",
        "cycle_no": 2,
        "period": {"from": "2026-04-01T12:00:00Z", "to": "2026-05-01T12:00:00Z"},
        "reason": "account_suspended",
        "next_try": "2026-04-04T12:00:00Z",
    }


@pytest.mark.parametrize(
    ("tried_at", "status", "next_try"),
    [
        (timedelta(hours=1), "past_due", timedelta(days=1)),
        (timedelta(days=1, hours=5), "past_due", timedelta(days=3)),
        (timedelta(days=4), "past_due", timedelta(days=7)),
        (timedelta(days=7, seconds=-1), "past_due", timedelta(days=7)),
        (timedelta(days=9), "suspended", timedelta(days=30)),
    ],
)
def test_tried_late_or_early_it_keeps_the_calendar_of_the_first_refusal(
    owing: PureDesk, tried_at: timedelta, status: str, next_try: timedelta
) -> None:
    owing.now = APRIL + tried_at
    refuse(owing)
    assert (row(owing).status, row(owing).next_try_at) == (status, APRIL + next_try)


def test_what_is_suspended_stays_so_when_it_is_refused_again_and_nobody_is_told_twice(
    owing: PureDesk,
) -> None:
    owing.now = after(days=7)
    assert refuse(owing) is not None
    owing.now = after(days=12)
    assert refuse(owing, reason="account_suspended") is None
    found = row(owing)
    assert (found.status, found.refused_for, found.next_try_at) == (
        "suspended",
        "account_suspended",
        after(days=30),
    )


@pytest.mark.parametrize("suspended", [False, True])
def test_paying_revives_it_and_its_dates_stay(owing: PureDesk, suspended: bool) -> None:
    owing.now = after(days=7 if suspended else 3)
    refuse(owing)
    assert row(owing).status == ("suspended" if suspended else "past_due")
    owing.do(next_cycle())
    found = row(owing)
    assert (found.status, found.past_due_since, found.refused_for) == ("active", None, None)
    assert found.paid_until == found.next_payment_at == found.next_try_at == MAY


def test_a_refusal_that_was_overtaken_by_a_payment_means_nothing(owing: PureDesk) -> None:
    owing.do(next_cycle())
    assert refuse(owing, cycle_no=2) is None
    assert row(owing).status == "active"
    assert refuse(owing, cycle_no=3) is not None


@pytest.mark.parametrize("at", ["now", "period_end"])
def test_a_refusal_that_was_overtaken_by_a_cancellation_means_nothing(desk: PureDesk, at: str) -> None:
    desk.do(subscribe(), cancel(at=at))
    before = row(desk)
    assert refuse(desk) is None
    assert row(desk) == before


def test_a_cycle_that_is_owed_anew_has_a_calendar_of_its_own(owing: PureDesk) -> None:
    owing.now = MAY + timedelta(days=1)
    owing.do(next_cycle())
    assert (row(owing).status, row(owing).past_due_since) == ("past_due", None), "May is still to be paid"
    said = refuse(owing, cycle_no=3)
    assert said is not None
    assert (said.type, said.data["cycle_no"]) == (PAST_DUE, 3)
    assert row(owing).past_due_since == owing.now
    assert row(owing).next_try_at == owing.now + timedelta(days=1)


# Paid by hand


def test_what_is_paid_by_hand_is_past_due_on_its_day_suspended_after_seven_canceled_after_thirty(
    desk: PureDesk,
) -> None:
    desk.do(subscribe(payment_method="manual"), next_cycle())
    desk.now = APRIL - timedelta(seconds=1)
    assert left_alone(desk)
    seen = []
    for days in (0, 7, 30):
        desk.now = after(days=days)
        said = turn(desk)
        assert said is not None
        assert (said.data["reason"], said.data["next_try"]) == ("not_paid", None), (
            "nobody tries it but people"
        )
        seen.append((said.type, row(desk).status, row(desk).next_try_at))
        desk.later(hours=1)
        assert left_alone(desk)
    assert seen == [
        (PAST_DUE, "past_due", after(days=7)),
        (SUSPENDED, "suspended", after(days=30)),
        (CANCELED, "canceled", None),
    ]


def test_a_new_method_is_tried_at_once_with_what_is_owed(owing: PureDesk) -> None:
    owing.do(change(payment_method="manual"))
    assert row(owing).next_try_at == APRIL
    said = turn(owing)
    assert said is not None
    assert (row(owing).status, row(owing).next_try_at, row(owing).past_due_since) == (
        "past_due",
        after(days=7),
        APRIL,
    )
    owing.now = after(days=7)
    turn(owing)
    assert row(owing).status == "suspended"
    owing.do(change(payment_method="balance"))
    assert row(owing).next_try_at == APRIL
    assert left_alone(owing), "it is to be charged"


# Begun, ended


def test_what_was_paid_ahead_begins_on_its_day(desk: PureDesk) -> None:
    desk.do(subscribe(start_at=MAY_31), next_cycle())
    start = datetime(2026, 5, 31, 10, tzinfo=UTC)
    assert (row(desk).status, row(desk).next_try_at) == ("scheduled", start)
    desk.now = start - timedelta(seconds=1)
    assert left_alone(desk)
    desk.now = start
    assert turn(desk) is None
    assert (row(desk).status, row(desk).next_try_at) == ("active", datetime(2026, 6, 30, 10, tzinfo=UTC))


def test_what_begins_unpaid_is_charged_or_owed(desk: PureDesk) -> None:
    desk.do(subscribe(start_at=MAY_31))
    desk.now = datetime(2026, 5, 31, 10, tzinfo=UTC)
    assert left_alone(desk)
    desk.do(change(payment_method="manual"))
    said = turn(desk)
    assert said is not None
    assert (said.type, said.data["cycle_no"]) == (PAST_DUE, 1)


def test_a_cancellation_is_carried_out_at_the_end_of_what_is_paid(desk: PureDesk) -> None:
    desk.do(subscribe(), cancel(at="period_end"))
    desk.now = APRIL - timedelta(seconds=1)
    assert left_alone(desk)
    desk.now = APRIL
    said = turn(desk)
    assert said is not None
    assert (said.type, said.data["cycle_no"], said.data["reason"]) == (CANCELED, 1, None)
    assert said.data["period"] == {"from": "2026-03-01T12:00:00Z", "to": "2026-04-01T12:00:00Z"}
    assert (row(desk).status, row(desk).canceled_at) == ("canceled", APRIL)


def test_what_was_paid_ahead_and_canceled_begins_all_the_same_and_then_ends(desk: PureDesk) -> None:
    start, end = datetime(2026, 5, 31, 10, tzinfo=UTC), datetime(2026, 6, 30, 10, tzinfo=UTC)
    desk.do(subscribe(start_at=MAY_31), next_cycle(), cancel(at="period_end"))
    desk.now = start
    turn(desk)
    assert (row(desk).status, row(desk).next_try_at, row(desk).cancel_at) == ("active", end, end)
    desk.now = end
    turn(desk)
    assert row(desk).status == "canceled"


def test_what_has_ended_or_is_not_there_is_left_alone(desk: PureDesk) -> None:
    assert left_alone(desk)
    assert refuse(desk) is None
    desk.do(subscribe(), cancel(), delete())
    desk.now = APRIL
    assert left_alone(desk)
    assert refuse(desk) is None
    assert try_now("s1", desk.book, desk.now) is None


# Covered by now


def test_what_is_owed_and_covered_is_tried_before_its_day_and_keeps_its_calendar(owing: PureDesk) -> None:
    owing.now = after(hours=6)
    done(owing, try_now("s1", owing.book, owing.now))
    assert (row(owing).next_try_at, row(owing).past_due_since) == (owing.now, APRIL)
    assert try_now("s1", owing.book, owing.now) is None, "it is about to be tried"
    refuse(owing)
    assert row(owing).next_try_at == after(days=1)
    owing.now = after(days=20)
    refuse(owing)
    assert row(owing).status == "suspended"
    done(owing, try_now("s1", owing.book, owing.now))
    assert row(owing).next_try_at == owing.now


def test_what_is_not_owed_is_not_tried(desk: PureDesk) -> None:
    desk.do(adjustment("acme", -100), subscribe())
    assert try_now("s1", desk.book, NOW) is None
