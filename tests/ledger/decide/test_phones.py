"""Cloud phones: what a run costs, who pays for it, and what holds a phone, a session and an account."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ledger.model import Announcement
from ledger.records import Order, Phone, Session
from messages.commands import Kind
from messages.events import EventType
from messages.reasons import Reason
from tests.builders import (
    adjustment,
    branch,
    closing,
    department,
    enterprise,
    funding,
    limit,
    opened,
    order,
    pay,
    plan,
    power_off,
    power_on,
    refund_of_order,
    suspend,
    top_up,
)
from tests.desk import PureDesk
from tests.ledger.decide.looking import announced

NOON = "2026-03-01T12:00:00Z"


@pytest.fixture
def desk() -> PureDesk:
    desk = PureDesk()
    desk.do(
        enterprise(), branch("north"), department("dept", "north"), top_up("acme", 100), top_up("north", 100)
    )
    return desk


@pytest.mark.parametrize(
    ("at", "minutes"),
    [
        ("2026-03-01T12:00:00Z", 1),
        ("2026-03-01T12:00:00.000001Z", 1),
        ("2026-03-01T12:01:00Z", 1),
        ("2026-03-01T12:01:00.000001Z", 2),
        ("2026-03-01T12:59:59Z", 60),
        ("2026-03-01T14:00:00+01:00", 60),
        ("2026-03-02T12:00:01Z", 1441),
    ],
)
def test_every_started_minute_counts_and_at_least_one(desk: PureDesk, at: str, minutes: int) -> None:
    desk.do(power_on(at=NOON), power_off(at=at))
    assert desk.book.get(Session, "run").minutes == minutes
    assert desk.credit("acme") == 100 - minutes


@pytest.mark.parametrize(
    ("rate", "fee"),
    [("0", 0), ("0.000001", 1), ("0.1", 1), ("0.100001", 2), ("1.1", 11), ("3", 30), ("1000000", 10_000_000)],
)
def test_the_fee_is_rounded_up_once_at_the_end(desk: PureDesk, rate: str, fee: int) -> None:
    desk.do(power_on(rate=rate), power_off())
    assert desk.credit("acme") == 100 - fee
    assert desk.book.get(Order, "run").amount == fee


def test_the_rate_given_goes_before_the_plans(desk: PureDesk) -> None:
    desk.do(plan("mobile", "phone", rate="2"))
    desk.do(
        power_on("a", phone="p1", rate=None, plan="mobile"),
        power_on("b", phone="p2", rate="3", plan="mobile"),
    )
    desk.do(plan("mobile", "phone", rate="9"), power_off("a"), power_off("b"))
    assert desk.credit("acme") == 50


def test_a_run_is_an_order(desk: PureDesk) -> None:
    desk.do(plan("mobile", "phone", rate="1"), power_on(rate=None, plan="mobile", payer="li"))
    found = desk.book.get(Order, "run")
    assert (found.kind, found.status, found.amount, found.phone) == ("phone", "running", None, "p1")
    assert desk.refused(pay("run")) == Reason.ORDER_NOT_PAYABLE
    number = desk.do(power_off())
    assert desk.book.get(Order, "run").status == "completed"
    line = desk.lines()[-1]
    assert (line["number"], line["type"], line["order"], line["devices"], line["payer"], line["item"]) == (
        number,
        "running_fee",
        "run",
        ["p1"],
        "li",
        "Plan mobile",
    )


def test_a_run_for_nothing_ends_without_a_transaction(desk: PureDesk) -> None:
    desk.do(power_on(rate="0"))
    assert desk.do(power_off()) is None
    assert desk.book.get(Order, "run").status == "completed"
    assert desk.refused(refund_of_order("run")) == Reason.NOT_REFUNDABLE


def test_one_session_at_a_time_runs_on_a_phone_wherever_it_is(desk: PureDesk) -> None:
    desk.do(power_on("a"))
    assert desk.refused(power_on("b")) == Reason.SESSION_EXISTS
    assert desk.refused(power_on("b", "north")) == Reason.SESSION_EXISTS
    desk.do(power_on("b", phone="p2"), power_off("a"), power_on("c", "north"))
    assert [desk.book.get(Phone, one).session for one in ("p1", "p2")] == ["c", "b"]


def test_a_session_is_one_for_ever(desk: PureDesk) -> None:
    desk.do(power_on(), power_off())
    assert desk.refused(power_on()) == Reason.SESSION_EXISTS
    assert desk.refused(power_off()) == Reason.SESSION_CLOSED
    assert desk.refused(order("run")) == Reason.ORDER_EXISTS


def test_a_run_cannot_end_before_it_began(desk: PureDesk) -> None:
    desk.do(power_on(at=NOON))
    assert desk.refused(power_off(at="2026-03-01T11:59:59.999999Z")) == Reason.INVALID_TIME
    assert desk.book.get(Session, "run").power_up_at == datetime(2026, 3, 1, 12, tzinfo=UTC)
    desk.do(power_off(at=NOON))


@pytest.mark.parametrize(("credit", "reason"), [(0, Reason.INSUFFICIENT_CREDIT), (1, None)])
def test_to_begin_something_must_be_available(desk: PureDesk, credit: int, reason: Reason | None) -> None:
    desk.do(adjustment("acme", credit - 100))
    assert desk.refused(power_on(rate="1000000")) == reason
    assert desk.refused(power_on("other", phone="p2", rate="0")) == reason


def test_running_costs_are_taken_in_full_and_beyond_the_limit(desk: PureDesk) -> None:
    desk.do(limit("acme", 5), power_on(rate="11"))
    desk.do(suspend())
    assert announced(desk, power_off()) == [
        Announcement(
            EventType.CREDIT_EXHAUSTED, desk.book.account("acme"), {"available": -5, "consumer": "acme"}
        )
    ]
    desk.do(power_off())
    assert desk.credit("acme") == -10


def test_what_stays_within_available_exhausts_nobody(desk: PureDesk) -> None:
    desk.do(power_on(rate="10"))
    assert announced(desk, power_off()) == []


def test_who_was_exhausted_before_is_not_told_again(desk: PureDesk) -> None:
    desk.do(power_on("a", rate="11"), power_on("b", phone="p2"), power_off("a"))
    assert announced(desk, power_off("b")) == []


def test_of_a_shared_account_the_master_pays_and_is_exhausted(desk: PureDesk) -> None:
    desk.do(power_on("run", "dept", rate="11"))
    (told,) = announced(desk, power_off())
    assert (told.account.account, told.data) == ("north", {"available": -10, "consumer": "dept"})
    said = desk.ask(power_off())
    assert [(one.account, one.credit, one.available) for one in said.data.accounts] == [("dept", 0, None)]
    assert (desk.credit("north"), desk.lines()[-1]["consumer"]) == (-10, "dept")


def test_who_pays_is_settled_at_power_up(desk: PureDesk) -> None:
    # Given a phone of a department two levels below the master whose coins it runs on
    desk.do(department("team", "dept"), power_on("run", "team"))
    # When the level between gets coins of its own
    desk.do(funding("dept", "own"))
    assert desk.account("team")["draws_from"] == "dept"
    # Then who paid for it when it began still does
    desk.do(power_off())
    assert desk.credit("north") == 90


def test_a_running_phone_holds_the_account_and_its_master_as_they_are(desk: PureDesk) -> None:
    desk.do(power_on("run", "dept"), adjustment("north", -100))
    assert desk.refused(funding("dept", "own")) == Reason.ACCOUNT_IN_USE
    assert desk.refused(funding("north", "shared")) == Reason.ACCOUNT_IN_USE
    assert desk.refused(closing("dept")) == Reason.ACCOUNT_IN_USE
    desk.do(power_off(), adjustment("north", 10), funding("north", "shared"), closing("dept"))


def test_a_running_fee_is_refunded_like_any_charge(desk: PureDesk) -> None:
    desk.do(opened("agent", "acme", Kind.AGENT), top_up("agent", 10), power_on("run", "agent"), power_off())
    desk.do(refund_of_order("run", 3), refund_of_order("run"))
    assert desk.credit("agent") == 10
    assert desk.refused(refund_of_order("run", 1)) == Reason.REFUND_EXCEEDS_CHARGE
