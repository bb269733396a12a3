from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from ledger.decide.dunning import Refusal, refused
from ledger.errors import NotFound, QueryInvalid
from ledger.periods import Cycle
from ledger.queries.orders import orders
from ledger.queries.statement import statement
from ledger.queries.subscriptions import (
    PaidCycle,
    RefusedAttempt,
    SubscriptionFilter,
    SubscriptionRow,
    subscription,
    subscriptions,
)
from ledger.records import Subscription
from ledger.upkeep import keep_up
from tests import builders as a
from tests.desk import NOW, SOURCE, LedgerDesk

Reader = psycopg.Connection[Any]
APRIL = datetime(2026, 4, 1, 12, tzinfo=UTC)
MAY = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def subscribed(desk: LedgerDesk) -> LedgerDesk:
    """boxes (d1, d2), later (scheduled), pro (canceled), seats (north's, manual), and deleted, which no list shows."""
    desk.do(a.enterprise(), a.branch(), a.top_up("acme", 1_000), a.transfer("acme", "north", 100))
    desk.do(
        a.plan("again", "renewal", price=3, cycle=a.MONTHLY, name="Once more"),
        a.plan("pro", "package", price=10, cycle=a.MONTHLY, name="Pro monthly"),
        a.plan("fast", "proxy", price=20, cycle=a.YEARLY),
        a.onboarding("acme", "d1", "d2"),
        a.subscribe_devices("d1", "d2", id_="boxes"),
        a.subscribe("pro", user="li.na", goods=["seat 1"]),
        a.cancel("pro", at="now"),
        a.subscribe("later", plan="fast", kind="proxy", start_at="2026-06-01T00:00:00Z"),
        a.subscribe("seats", "north", payment_method="manual", goods=["100% seat"]),
        a.subscribe("deleted"),
        a.cancel("deleted"),
        a.delete("deleted"),
    )
    return desk


def ids(reader: Reader, **chosen: Any) -> list[str]:
    return [row.subscription for row in subscriptions(reader, SubscriptionFilter(**chosen)).rows]


def test_subscriptions_are_listed_with_what_the_next_cycle_costs(
    subscribed: LedgerDesk, reader: Reader
) -> None:
    found = {row.subscription: row for row in subscriptions(reader).rows}

    assert list(found) == ["boxes", "later", "pro", "seats"]
    assert found["boxes"] == SubscriptionRow(
        subscription="boxes",
        kind="device",
        plan="again",
        account="acme",
        user=None,
        status="active",
        payment_method="balance",
        cycle=Cycle("month", 1),
        created_at=NOW,
        start_at=NOW,
        next_payment_at=APRIL,
        price=6,
        goods=["d1", "d2"],
    )
    pro, later = found["pro"], found["later"]
    assert (pro.user, pro.status, pro.next_payment_at, pro.price) == ("li.na", "canceled", None, 10)
    assert (later.status, later.start_at, later.cycle, later.price) == (
        "scheduled",
        datetime(2026, 6, 1, tzinfo=UTC),
        Cycle("year", 1),
        20,
    )


def test_a_plan_that_is_put_anew_or_changed_counts_from_the_next_cycle(
    subscribed: LedgerDesk, reader: Reader
) -> None:
    subscribed.do(
        a.plan("again", "renewal", price=5, cycle=a.YEARLY),
        a.plan("dear", "package", price=99, cycle=a.DAILY),
        a.change("seats", plan="dear"),
    )

    found = {row.subscription: row for row in subscriptions(reader).rows}

    assert (found["boxes"].price, found["boxes"].cycle) == (10, Cycle("year", 1))
    assert (found["seats"].plan, found["seats"].price) == ("dear", 99)


def test_devices_that_are_gone_are_not_paid_for(subscribed: LedgerDesk, reader: Reader) -> None:
    # Given d1 released, then onboarded elsewhere
    subscribed.do(a.release("acme", "d1"), a.onboarding("north", "d1"))

    assert subscription(reader, "boxes").price == 3
    # And that is what the next cycle takes
    subscribed.do(a.next_cycle("boxes"))
    assert subscription(reader, "boxes").cycles[-1][3:6] == (3, "again", ["d2"])


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({"accounts": ["north"]}, ["seats"]),
        ({"accounts": ["north", "acme"]}, ["boxes", "later", "pro", "seats"]),
        ({"statuses": ["scheduled", "canceled"]}, ["later", "pro"]),
        ({"payment_methods": ["manual"]}, ["seats"]),
        ({"kinds": ["device", "proxy"]}, ["boxes", "later"]),
        ({"kinds": ["package"], "statuses": ["active"]}, ["seats"]),
        ({"search": "DEVICE"}, ["boxes"]),
        ({"search": "fast"}, ["later"]),
        ({"search": "monthly"}, ["pro", "seats"]),
        ({"search": "d2"}, ["boxes"]),
        ({"search": "SEAT"}, ["pro", "seats"]),
        ({"search": "%"}, ["seats"]),
        ({"search": "deleted"}, []),
    ],
)
def test_subscriptions_are_chosen(
    subscribed: LedgerDesk, reader: Reader, chosen: dict[str, Any], expected: list[str]
) -> None:
    assert ids(reader, **chosen) == expected


def test_what_subscriptions_cannot_be_chosen_by_is_refused(reader: Reader) -> None:
    with pytest.raises(QueryInvalid, match=r"--status.*past_due"):
        ids(reader, statuses=["late"])
    with pytest.raises(QueryInvalid, match=r"--payment-method.*balance, manual"):
        ids(reader, payment_methods=["wechat"])
    with pytest.raises(QueryInvalid, match=r"--kind.*device, package, proxy, phone"):
        ids(reader, kinds=["renewal"])
    with pytest.raises(NotFound, match="nobody"):
        ids(reader, accounts=["nobody"])


def test_pages_of_subscriptions_join_up(subscribed: LedgerDesk, reader: Reader) -> None:
    first = subscriptions(reader, limit=3)
    second = subscriptions(reader, limit=3, after=first.next)

    assert [row.subscription for row in first.rows] == ["boxes", "later", "pro"]
    assert [row.subscription for row in second.rows] == ["seats"]
    assert second.next is None


def test_one_subscription_is_told_with_its_cycles(subscribed: LedgerDesk, reader: Reader) -> None:
    subscribed.later(days=1)
    subscribed.ask(a.next_cycle("boxes"), id="renewal-2", actor="bo")
    subscribed.do(a.cancel("boxes", at="period_end"))

    found = subscription(reader, "boxes")

    assert found[:13] == subscriptions(reader).rows[0]
    assert (found.paid_until, found.cancel_at, found.canceled_at) == (MAY, MAY, None)
    assert (found.next_payment_at, found.status, found.next_try_at) == (None, "active", MAY)
    assert (found.past_due_since, found.refused_for, found.refused) == (None, None, [])
    first, second = found.cycles
    assert second == PaidCycle(
        cycle_no=2,
        begins_at=APRIL,
        ends_at=MAY,
        amount=6,
        plan="again",
        goods=["d1", "d2"],
        paid_at=NOW + timedelta(days=1),
        number=second.number,
        refunded=0,
        command_source=SOURCE,
        command_id="renewal-2",
    )
    assert (first.cycle_no, first.begins_at, first.ends_at) == (1, NOW, APRIL)
    # And the numbers are those of the statement
    numbers = {line.number for line in statement(reader, "acme").rows}
    assert {first.number, second.number} <= numbers


def test_a_cycle_says_what_was_given_back_of_it(subscribed: LedgerDesk, reader: Reader) -> None:
    subscribed.do(a.refund_of_order("pro/1", 4))

    found = subscription(reader, "pro")

    assert [(cycle.amount, cycle.refunded) for cycle in found.cycles] == [(10, 4)]
    assert found.canceled_at == NOW


def test_a_subscription_without_a_paid_cycle_has_none(subscribed: LedgerDesk, reader: Reader) -> None:
    found = subscription(reader, "seats")

    assert (found.cycles, found.paid_until, found.next_payment_at) == ([], None, NOW)


ATTEMPT = """
INSERT INTO renewal_attempt
  (subscription, cycle_no, attempt, tried_at, decided_at, reason, message, account, run, published_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, 1, 1, now())"""


def test_what_is_owed_is_told_with_every_attempt_that_was_refused_or_waits(
    subscribed: LedgerDesk, reader: Reader
) -> None:
    minute, why = timedelta(minutes=1), "insufficient_credit"
    subscribed.do(a.next_cycle("boxes"))
    for cycle_no, attempt, tried_at, decided_at, reason, message in (
        (2, 1, NOW, NOW + minute, None, None),  # paid: a cycle tells of it
        (3, 2, MAY + minute, None, None, None),
        (3, 1, MAY, MAY + minute, why, "6 are needed"),
    ):
        subscribed.all(ATTEMPT, "boxes", cycle_no, attempt, tried_at, decided_at, reason, message)
    subscribed.all(ATTEMPT, "seats", 1, 1, MAY, MAY, why, "of another subscription")
    with subscribed.connection.transaction():
        keep_up(subscribed.connection, Subscription, ["boxes"], refused({"boxes": Refusal(3, why)}), MAY)

    found = subscription(reader, "boxes")

    assert (found.status, found.past_due_since, found.refused_for) == ("past_due", MAY, why)
    assert found.next_try_at == MAY + timedelta(days=1)
    assert found.refused == [
        RefusedAttempt(3, 1, MAY, MAY + minute, why, "6 are needed"),
        RefusedAttempt(3, 2, MAY + minute, None, None, None),
    ]
    assert [cycle.cycle_no for cycle in found.cycles] == [1, 2]


@pytest.mark.parametrize("id_", ["deleted", "none"])
def test_one_that_was_deleted_is_not_found_but_its_payments_stay(
    subscribed: LedgerDesk, reader: Reader, id_: str
) -> None:
    with pytest.raises(NotFound, match=f"no subscription '{id_}'"):
        subscription(reader, id_)

    assert "deleted/1" in [row.order for row in orders(reader).rows]
    assert "deleted/1" in [line.order for line in statement(reader, "acme").rows]
