"""What follows when a renewal is not paid: by the calendar, in events, in mails; and how it is revived."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests import builders as a
from tests.workers.jobs.billing_desk import BillingDesk
from workers.jobs import billing

APRIL = datetime(2026, 4, 1, 12, tzinfo=UTC)
MAY = datetime(2026, 5, 1, 12, tzinfo=UTC)
SHORT = "insufficient_credit"


@pytest.fixture
def acme(billing: BillingDesk) -> BillingDesk:
    """`acme` has five coins left, and a package `s1` of ten a month; its second cycle is due on 1 April, noon."""
    billing.desk.do(
        a.enterprise(name="Acme Ltd", email="acme@acme.example"),
        a.top_up("acme", 15),
        a.plan("pro", "package", name="Package Pro", price=10, cycle=a.MONTHLY),
        a.plan("week", "package", price=1, cycle={"unit": "week", "count": 1}),
        a.subscribe(),
    )
    billing.bill()
    billing.events()
    return billing


def after(**by: float) -> datetime:
    """So long after the first refusal."""
    return APRIL + timedelta(**by)


def told(billing: BillingDesk) -> list[tuple[Any, ...]]:
    return [
        (
            one.type.removeprefix("coins.Subscription").removesuffix(".v1"),
            one.data.cycle_no,
            one.data.next_try,
        )
        for one in billing.events()
    ]


def mailed(billing: BillingDesk) -> list[str]:
    return [one.subject for one in billing.mails()]


def tries(billing: BillingDesk) -> list[tuple[Any, ...]]:
    return [(one.cycle_no, one.attempt, one.tried_at, one.reason) for one in billing.attempts()]


def test_refused_it_is_tried_after_one_three_and_seven_days_and_canceled_after_thirty(
    acme: BillingDesk,
) -> None:
    acme.until(after(days=30) - timedelta(minutes=1))
    assert tries(acme) == [
        (2, 1, APRIL, SHORT),
        (2, 2, after(days=1), SHORT),
        (2, 3, after(days=3), SHORT),
        (2, 4, after(days=7), SHORT),
    ]
    assert told(acme) == [
        ("PastDue", 2, after(days=1)),
        ("PastDue", 2, after(days=3)),
        ("PastDue", 2, after(days=7)),
        ("Suspended", 2, None),
    ]
    found = acme.row()
    assert (found.status, found.next_payment_at) == ("suspended", APRIL)
    acme.advance(minutes=1)
    assert told(acme) == [("Canceled", 1, None)]
    found = acme.row()
    assert (found.status, found.canceled_at, found.refused_for) == ("canceled", after(days=30), SHORT)
    acme.desk.do(a.top_up("acme", 1_000))
    acme.advance(days=60)
    assert len(acme.attempts()) == 4, "it is over"
    assert acme.desk.credit("acme") == 1_005


def test_each_failure_and_the_suspension_are_mailed_with_what_is_to_be_done(acme: BillingDesk) -> None:
    acme.until(APRIL)
    (failed,) = acme.mails()
    assert (failed.recipient, failed.subject) == ("acme@acme.example", "Renewal failed: s1, 10 coins")
    text = " ".join(failed.body.split())
    for words in (
        "Acme Ltd (account acme)",
        "s1 (Package Pro)",
        "Cycle: 2",
        "Reason: insufficient credit",
        "It is tried again on 2026-04-02 12:00 (UTC)",
    ):
        assert words in text
    acme.until(after(days=6))
    assert mailed(acme) == ["Renewal failed: s1, 10 coins"] * 2
    acme.until(after(days=7))
    (suspended,) = acme.mails()
    assert suspended.subject == "Subscription suspended: s1"
    assert "it is canceled on 2026-05-01 12:00 (UTC)" in " ".join(suspended.body.split())
    acme.until(after(days=31))
    assert mailed(acme) == []


def test_who_has_no_address_is_not_mailed_and_its_nearest_ancestor_is(acme: BillingDesk) -> None:
    acme.desk.do(
        a.branch(),
        a.transfer("acme", "north", 1),
        a.subscribe("s2", "north", plan="week"),
        a.enterprise("solo"),
        a.top_up("solo", 1),
        a.subscribe("s3", "solo", plan="week"),
    )
    acme.advance(days=7)
    assert [(one.recipient, one.subject) for one in acme.mails()] == [
        ("acme@acme.example", "Renewal failed: s2, 1 coin")
    ]
    assert acme.row("s3").status == "past_due"


@pytest.mark.parametrize(
    ("paid", "was"),
    [(timedelta(hours=5), "past_due"), (timedelta(days=4), "past_due"), (timedelta(days=20), "suspended")],
)
def test_paid_by_hand_it_is_revived_and_its_dates_stay(acme: BillingDesk, paid: timedelta, was: str) -> None:
    acme.until(APRIL + paid)
    assert acme.row().status == was
    acme.desk.do(a.top_up("acme", 100), a.next_cycle())
    found = acme.row()
    assert (found.status, found.past_due_since, found.refused_for) == ("active", None, None)
    assert found.next_try_at == found.next_payment_at == MAY
    count = len(acme.attempts())
    acme.until(MAY)
    assert tries(acme)[count:] == [(3, 1, MAY, None)]
    assert (acme.row().status, acme.desk.credit("acme")) == ("active", 85)


def test_the_next_try_pays_what_is_covered_by_then(acme: BillingDesk) -> None:
    acme.until(after(days=1))
    acme.desk.do(a.top_up("acme", 5))
    acme.until(after(days=2))
    assert acme.row().status == "past_due", "its next try is on the third day"
    acme.until(after(days=3))
    assert (acme.row().status, acme.row().paid_until, acme.desk.credit("acme")) == ("active", MAY, 0)
    acme.until(MAY)
    assert tries(acme)[-1] == (3, 1, MAY, SHORT), "a calendar of its own"
    assert acme.row().past_due_since == MAY


def test_a_scheduler_that_was_away_goes_on_in_the_calendar_where_it_stands_by_then(acme: BillingDesk) -> None:
    acme.until(APRIL)
    acme.desk.now = after(days=9)
    acme.bill()
    assert tries(acme)[1:] == [(2, 2, after(days=9), SHORT)]
    assert (acme.row().status, acme.row().next_try_at) == ("suspended", after(days=30))


@pytest.mark.parametrize(("amount", "status", "credit"), [(25, "active", 10), (4, "canceled", 9)])
def test_what_came_in_while_nobody_scheduled_is_tried_before_it_is_given_up(
    acme: BillingDesk, amount: int, status: str, credit: int
) -> None:
    # Given coins that came in before the thirtieth day, and a scheduler that comes back after it
    acme.until(after(days=29))
    acme.desk.now = after(days=29, hours=20)
    acme.desk.do(a.top_up("acme", amount))
    count = len(acme.attempts())
    acme.desk.now = after(days=30, hours=3)
    # Then a dry run foresees what the run does
    (foreseen,) = acme.foreseen()[:1]
    assert (foreseen.detail == "would be canceled") == (status == "canceled")
    acme.bill()
    assert (acme.row().status, acme.desk.credit("acme")) == (status, credit)
    # (The thirtieth day is the first of May: where one cycle is paid, the next is.)
    paid = [(2, count + 1, acme.desk.now, None), (3, 1, acme.desk.now, None)]
    assert tries(acme)[-2:] == paid if status == "active" else tries(acme)[-1][1] == count


def test_it_is_tried_only_once_before_it_is_given_up(acme: BillingDesk) -> None:
    # Given one that looks covered, and is refused all the same
    acme.until(after(days=29))
    acme.desk.do(a.top_up("acme", 5))
    acme.desk.now = after(days=30, hours=3)
    acme.edge.before = lambda: acme.desk.do(a.adjustment("acme", -1))
    count = len(acme.attempts())
    acme.bill()
    assert tries(acme)[count:] == [(2, count + 1, after(days=30, hours=3), SHORT)]
    assert acme.row().status == "canceled"


def test_what_waits_for_its_last_try_where_nobody_reads_is_not_given_up(
    acme: BillingDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given coins that came in before the thirtieth day, and nobody who decides when it is over
    monkeypatch.setattr(billing, "SILENT_SECONDS", 0.3)
    monkeypatch.setattr(billing, "LEFT_OVER_SECONDS", 0.3)
    acme.until(after(days=29))
    acme.desk.do(a.top_up("acme", 25), a.subscribe("s2", plan="week", payment_method="manual"))
    acme.desk.now = after(days=30, hours=3)
    # When runs find something to do, and it again, then it waits
    with acme.edge.held():
        for _ in range(2):
            acme.bill()
            assert acme.row().status == "suspended"
    assert acme.row("s2").status == "past_due"
    # And it is paid when somebody decides
    monkeypatch.setattr(billing, "LEFT_OVER_SECONDS", 60.0)
    acme.bill()
    assert (acme.row().status, acme.row().paid_cycles) == ("active", 3)


def test_revived_late_it_catches_up_and_owes_only_what_is_not_covered(acme: BillingDesk) -> None:
    acme.desk.do(a.subscribe("s2", plan="week"))
    acme.desk.do(a.adjustment("acme", -4))
    acme.until(datetime(2026, 3, 8, 12, tzinfo=UTC))
    assert acme.row("s2").status == "past_due"
    acme.until(datetime(2026, 3, 25, 12, tzinfo=UTC))
    acme.desk.do(a.top_up("acme", 2), a.next_cycle("s2"))
    assert acme.row("s2").status == "past_due", "two more weeks are to be paid"
    acme.bill()
    found = acme.row("s2")
    assert (found.status, found.paid_cycles, found.past_due_since) == ("past_due", 3, acme.desk.now)
    assert found.next_try_at == acme.desk.now + timedelta(days=1)


def test_what_is_paid_by_hand_is_never_charged_and_past_due_on_its_day(acme: BillingDesk) -> None:
    acme.desk.do(a.top_up("acme", 1_000), a.cancel(), a.subscribe("s2", payment_method="manual"))
    acme.desk.do(a.next_cycle("s2"))
    acme.events()
    acme.until(APRIL - timedelta(minutes=1))
    assert (acme.row("s2").status, told(acme)) == ("active", [])
    acme.until(APRIL)
    assert (acme.row("s2").status, told(acme)) == ("past_due", [("PastDue", 2, None)])
    (mail,) = [one for one in acme.mails() if one.subject.startswith("Payment due")]
    assert mail.subject == "Payment due: s2, 10 coins"
    assert "it is suspended on 2026-04-08 12:00 (UTC)" in " ".join(mail.body.split())
    acme.until(after(days=7))
    assert told(acme) == [("Suspended", 2, None)]
    assert mailed(acme) == ["Subscription suspended: s2"]
    acme.desk.do(a.next_cycle("s2"))
    assert acme.row("s2").status == "active"
    acme.events()
    acme.until(MAY + timedelta(days=30))
    assert told(acme) == [("PastDue", 3, None), ("Suspended", 3, None), ("Canceled", 2, None)]
    assert acme.attempts() == []
    assert acme.desk.credit("acme") == 985


def test_a_mail_says_since_when_it_is_due_however_late_somebody_looked(acme: BillingDesk) -> None:
    acme.desk.do(a.top_up("acme", 1_000), a.subscribe("s2", payment_method="manual"), a.next_cycle("s2"))
    acme.mails()
    acme.desk.now = after(days=9)
    acme.bill()
    (mail,) = [one for one in acme.mails() if one.subject.startswith("Payment due: s2")]
    assert "2026-04-01 12:00 (UTC)" in " ".join(mail.body.split())


def test_one_that_nobody_has_ever_paid_is_owed_from_its_beginning(acme: BillingDesk) -> None:
    acme.desk.do(a.subscribe("s2", payment_method="manual"))
    acme.bill()
    assert told(acme) == [("PastDue", 1, None)]
    acme.advance(days=30)
    assert acme.row("s2").status == "canceled"


def test_a_cancellation_to_the_periods_end_is_carried_out_then_and_nothing_is_charged(
    acme: BillingDesk,
) -> None:
    acme.desk.do(a.top_up("acme", 100), a.cancel(at="period_end"))
    acme.until(APRIL - timedelta(minutes=1))
    assert acme.row().status == "active"
    acme.until(APRIL)
    assert (acme.row().status, acme.row().canceled_at) == ("canceled", APRIL)
    assert told(acme) == [("Canceled", 1, None)]
    assert (acme.attempts(), acme.desk.credit("acme")) == ([], 105)


def test_a_method_changed_while_suspended_is_tried_at_once(acme: BillingDesk) -> None:
    acme.desk.do(a.change(payment_method="manual"), a.top_up("acme", 100))
    acme.until(after(days=10))
    assert (acme.row().status, acme.attempts()) == ("suspended", [])
    acme.desk.do(a.change(payment_method="balance"))
    acme.bill()
    assert (acme.row().status, acme.row().next_payment_at) == ("active", MAY)


# A mail before a renewal


def test_a_renewal_is_announced_by_mail_seven_days_before_once(acme: BillingDesk) -> None:
    acme.until(APRIL - timedelta(days=7))
    assert mailed(acme) == []
    acme.advance(minutes=1)
    (mail,) = acme.mails()
    assert mail.subject == "Renewal on 2026-04-01: s1, 10 coins: not covered"
    assert mail.recipient == "acme@acme.example"
    acme.bill()
    acme.desk.do(a.top_up("acme", 100))
    acme.advance(days=3)
    assert mailed(acme) == []
    acme.until(APRIL)
    acme.until(MAY - timedelta(days=6))
    assert mailed(acme) == ["Renewal on 2026-05-01: s1, 10 coins"]


def test_after_a_pause_only_what_is_still_to_come_is_announced(acme: BillingDesk) -> None:
    acme.desk.do(a.top_up("acme", 100))
    acme.desk.now = MAY - timedelta(days=2)
    acme.bill()
    assert mailed(acme) == ["Renewal on 2026-05-01: s1, 10 coins"]


def test_what_is_renewed_every_week_is_not_announced_but_its_beginning_is(acme: BillingDesk) -> None:
    start = acme.desk.now + timedelta(days=10)
    acme.desk.do(
        a.top_up("acme", 100),
        a.cancel(),
        a.subscribe("s2", plan="week"),
        a.subscribe("s3", plan="week", start_at=start.isoformat()),
    )
    for _ in range(25):
        acme.advance(days=1)
    assert mailed(acme) == ["Renewal on 2026-03-11: s3, 1 coin"]
    assert acme.row("s2").paid_cycles == 4


def test_what_is_paid_by_hand_or_ends_is_announced_as_that_or_not_at_all(acme: BillingDesk) -> None:
    acme.desk.do(a.top_up("acme", 100), a.change(payment_method="manual"))
    acme.desk.do(a.subscribe("s2"), a.cancel("s2", at="period_end"))
    acme.until(APRIL - timedelta(days=6))
    (mail,) = acme.mails()
    assert mail.subject == "Renewal on 2026-04-01: s1, 10 coins"
    assert "Please pay it by then" in " ".join(mail.body.split())
