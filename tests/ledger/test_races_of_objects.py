"""Several writers at once that name the same hold, order, phone, resource or subscription: one of them is first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from messages.reasons import Reason
from tests.builders import (
    MONTHLY,
    activation,
    branch,
    cancel,
    cancel_order,
    capture,
    change,
    confirmation,
    delete,
    department,
    enterprise,
    export,
    funding,
    grant,
    hold,
    next_cycle,
    onboarding,
    order,
    pay,
    plan,
    power_off,
    power_on,
    refund_of_order,
    release,
    release_hold,
    reseller,
    sponsored_customer,
    subscribe,
    subscribe_devices,
    termination,
    top_up,
    transfer,
    usage,
    warning,
)
from tests.desk import LedgerDesk
from tests.ledger.test_races import reasons, uncommitted, while_open

Open = Callable[..., LedgerDesk]
Desks = tuple[LedgerDesk, LedgerDesk]


@pytest.fixture
def desks(open_desk: Open) -> Desks:
    first, second = open_desk(), open_desk()
    first.do(
        enterprise(),
        branch("north"),
        department("dept", "north"),
        top_up("acme", 100),
        top_up("north", 100),
        plan("pro", "package", price=10, cycle=MONTHLY),
        plan("again", "renewal", price=4, cycle=MONTHLY),
    )
    return first, second


def figures(desk: LedgerDesk, account: str) -> tuple[int, int, int, int]:
    """Credit, frozen, and how much is running: its own, and what was settled on it."""
    found = desk.account(account)
    return found["credit"], found["frozen"], found["running"], found["settled"]


# Two that want the same id for something new, on coins of different accounts

NEW: dict[str, tuple[Callable[[str], Any], Reason, tuple[int, int, int, int]]] = {
    "hold": (lambda account: hold("x", account, 60), Reason.HOLD_EXISTS, (100, 60, 0, 1)),
    "order": (lambda account: order("x", account, 60), Reason.ORDER_EXISTS, (40, 0, 0, 0)),
    "order by card": (
        lambda account: order("x", account, 60, method="card"),
        Reason.ORDER_EXISTS,
        (100, 0, 0, 0),
    ),
    "order for later": (
        lambda account: order("x", account, 60, pay="later"),
        Reason.ORDER_EXISTS,
        (100, 0, 1, 0),
    ),
    "session": (lambda account: power_on("x", account, account), Reason.SESSION_EXISTS, (100, 0, 0, 1)),
    "phone": (lambda account: power_on(account, account, "x"), Reason.SESSION_EXISTS, (100, 0, 0, 1)),
    "resource": (lambda account: activation("x", account, 60), Reason.RESOURCE_EXISTS, (100, 60, 0, 1)),
    "subscription": (lambda account: subscribe("x", account), Reason.SUBSCRIPTION_EXISTS, (90, 0, 1, 0)),
}


@pytest.mark.parametrize("what", NEW)
def test_a_new_id_is_taken_once(desks: Desks, what: str) -> None:
    first, second = desks
    asked, reason, figures_then = NEW[what]
    said = while_open(first, [asked("acme")], second, [asked("north")])
    assert reasons(said) == [reason]
    assert (figures(first, "acme"), figures(first, "north")) == (figures_then, (100, 0, 0, 0))


def test_a_session_and_an_order_do_not_both_get_an_id(desks: Desks) -> None:
    first, second = desks
    said = while_open(first, [order("x", "acme")], second, [power_on("x", "north")])
    assert reasons(said) == [Reason.SESSION_EXISTS]
    said = while_open(first, [power_on("y", "acme", "p2")], second, [order("y", "north")])
    assert reasons(said) == [Reason.ORDER_EXISTS]
    assert figures(first, "north") == (100, 0, 0, 0)


def test_a_new_warning_is_whoevers_came_first_and_so_is_an_export(desks: Desks) -> None:
    first, second = desks
    first.do(enterprise("beta"))
    said = while_open(first, [warning("x", "acme", "acme")], second, [warning("x", "beta", "beta")])
    assert reasons(said) == [Reason.NOT_IN_HIERARCHY]
    said = while_open(first, [export("x", "acme")], second, [export("x", "beta")])
    assert reasons(said) == [Reason.EXPORT_EXISTS]


# Two that name the same object by its id alone


AFTER: dict[str, tuple[list[Any], Any, Any, Reason | None, tuple[int, int, int, int]]] = {
    "two captures": (
        [hold("h", "dept", 60)],
        capture("h"),
        capture("h"),
        Reason.HOLD_ALREADY_CAPTURED,
        (40, 0, 0, 0),
    ),
    "a capture and a release": (
        [hold("h", "dept", 60)],
        capture("h", 10),
        release_hold("h"),
        Reason.HOLD_ALREADY_CAPTURED,
        (90, 0, 0, 0),
    ),
    "a release and a capture": (
        [hold("h", "dept", 60)],
        release_hold("h"),
        capture("h"),
        Reason.HOLD_ALREADY_RELEASED,
        (100, 0, 0, 0),
    ),
    "two captures in part": (
        [hold("h", "dept", 60)],
        capture("h", 40, final=False),
        capture("h", 40, final=False),
        Reason.EXCEEDS_HOLD,
        (60, 20, 0, 1),
    ),
    "two payments": (
        [order("o", "dept", pay="later")],
        pay("o"),
        pay("o"),
        Reason.ORDER_NOT_PAYABLE,
        (90, 0, 0, 0),
    ),
    "a payment and a cancellation": (
        [order("o", "dept", pay="later")],
        pay("o"),
        cancel_order("o"),
        Reason.ORDER_NOT_CANCELABLE,
        (90, 0, 0, 0),
    ),
    "a cancellation and a payment": (
        [order("o", "dept", pay="later")],
        cancel_order("o"),
        pay("o"),
        Reason.ORDER_NOT_PAYABLE,
        (100, 0, 0, 0),
    ),
    "a payment and a refund": (
        [order("o", "dept", pay="later")],
        pay("o"),
        refund_of_order("o", 4),
        None,
        (94, 0, 0, 0),
    ),
    "two refunds": (
        [order("o", "dept")],
        refund_of_order("o", 6),
        refund_of_order("o", 6),
        Reason.REFUND_EXCEEDS_CHARGE,
        (96, 0, 0, 0),
    ),
    "two power-offs": (
        [power_on("run", "dept")],
        power_off("run"),
        power_off("run"),
        Reason.SESSION_CLOSED,
        (90, 0, 0, 0),
    ),
    "two reports of use": ([activation("r", "dept", 60)], usage("r", 50), usage("r", 50), None, (0, 0, 0, 1)),
    "a termination and a report": (
        [activation("r", "dept", 60)],
        termination("r"),
        usage("r", 50),
        None,
        (50, 0, 0, 0),
    ),
    "two terminations": (
        [activation("r", "dept", 60)],
        termination("r"),
        termination("r"),
        Reason.RESOURCE_TERMINATED,
        (100, 0, 0, 0),
    ),
}


@pytest.mark.parametrize("what", AFTER)
def test_what_one_does_to_an_object_the_other_finds_done(desks: Desks, what: str) -> None:
    first, second = desks
    before, one, other, reason, figures_then = AFTER[what]
    first.do(*before)
    said = while_open(first, [one], second, [other])
    assert reasons(said) == [reason]
    assert figures(first, "north") == figures_then
    assert figures(first, "dept")[:2] == (0, 0)


def test_a_cycle_is_paid_once(desks: Desks) -> None:
    first, second = desks
    first.do(subscribe())
    said = while_open(
        first, [next_cycle(cycle_no=2)], second, [next_cycle(cycle_no=2), next_cycle(cycle_no=3)]
    )
    assert reasons(said) == [Reason.ALREADY_RENEWED, None]
    assert first.credit("acme") == 70


@pytest.mark.parametrize("at", ["now", "period_end"])
def test_what_was_canceled_meanwhile_is_not_charged(desks: Desks, at: str) -> None:
    first, second = desks
    first.do(subscribe())
    said = while_open(first, [cancel(at=at)], second, [next_cycle()])
    assert reasons(said) == [Reason.SUBSCRIPTION_NOT_ACTIVE]
    assert first.credit("acme") == 90


def test_goods_that_were_changed_meanwhile_are_those_that_are_paid_for(desks: Desks) -> None:
    first, second = desks
    first.do(onboarding("acme", "a", "b"), subscribe_devices("a"))
    said = while_open(first, [change(goods=["b"])], second, [next_cycle()])
    assert reasons(said) == [None]
    assert first.devices()["b"][1] is not None
    assert first.devices()["a"][1] < first.devices()["b"][1]  # type: ignore[operator]


def test_a_device_that_was_released_meanwhile_is_not_paid_for(desks: Desks) -> None:
    first, second = desks
    first.do(onboarding("acme", "a", "b"), subscribe_devices("a", "b"))
    said = while_open(first, [release("acme", "a")], second, [next_cycle()])
    assert reasons(said) == [None]
    assert first.credit("acme") == 100 - 2 - 8 - 4


def test_a_phone_that_went_off_meanwhile_can_go_on_elsewhere(desks: Desks) -> None:
    first, second = desks
    first.do(power_on("a", "acme"))
    said = while_open(first, [power_off("a")], second, [power_on("b", "north")])
    assert reasons(said) == [None]
    assert first.one("SELECT session FROM phone") == ("b",)


# What holds accounts as they are


def test_a_hold_that_was_placed_meanwhile_keeps_the_master(desks: Desks) -> None:
    first, second = desks
    first.do(transfer("north", "acme", 40, ordered_by="acme"))
    said = while_open(first, [hold("h", "dept", 60), capture("h", 60)], second, [funding("north", "shared")])
    assert reasons(said) == [None]
    first.do(top_up("acme", 100))
    said = while_open(
        first, [power_on("run", "dept")], second, [funding("dept", "own"), funding("north", "own")]
    )
    assert reasons(said) == [Reason.ACCOUNT_IN_USE, None]
    assert first.account("acme")["settled"] == 1


def test_a_hold_is_frozen_at_the_master_that_was_changed_to_meanwhile(desks: Desks) -> None:
    first, second = desks
    first.do(transfer("north", "acme", 100, ordered_by="acme"))
    said = while_open(first, [funding("north", "shared")], second, [hold("h", "dept", 150)])
    assert reasons(said) == [None]
    assert (figures(first, "acme"), figures(first, "north")) == ((200, 150, 0, 1), (0, 0, 0, 0))


# Something is named while another is about to create it


def test_what_is_not_committed_is_not_there(desks: Desks) -> None:
    first, second = desks
    with uncommitted(first, hold("h", "acme"), order("o", "acme", pay="later"), subscribe("s", "acme")):
        asked = (release_hold("h"), pay("o"), delete("s"), power_off("none"))
        assert reasons(second.send(*asked)) == [
            Reason.HOLD_NOT_FOUND,
            Reason.ORDER_NOT_FOUND,
            Reason.SUBSCRIPTION_NOT_FOUND,
            Reason.SESSION_NOT_FOUND,
        ]
    assert reasons(second.send(release_hold("h"), pay("o"), cancel("s"))) == [None] * 3


@pytest.mark.parametrize("owner", ["acme", "north", "dept"])
def test_what_was_created_while_one_waited_is_found(desks: Desks, owner: str) -> None:
    first, second = desks
    # Given somebody who is about to create things, and holds the lock of `acme`
    made = [top_up("acme", 1), hold("h", owner), order("o", owner, pay="later"), activation("r", owner)]
    # When another waits for that lock and names them
    asked = [top_up("acme", 1), capture("h"), pay("o"), usage("r", 3), termination("r"), refund_of_order("o")]
    said = while_open(first, made, second, asked)
    # Then they are there, whoever's they are
    assert reasons(said) == [None] * 6
    payer = "north" if owner == "dept" else owner
    assert figures(first, payer) == (87 + 2 * (payer == "acme"), 0, 0, 0)


# Bills


@pytest.fixture
def billed(desks: Desks) -> Desks:
    """`carl` has ordered for thirty, and is billed for it."""
    first, second = desks
    first.do(reseller("shop"), sponsored_customer("carl"), top_up("shop", 100), grant("carl", 50))
    first.do(order("o", "carl", 30))
    (account,) = first.one("SELECT id FROM account WHERE account = 'carl'")
    (transaction,) = first.one("SELECT transaction FROM orders WHERE order_id = 'o'")
    first.all("INSERT INTO bill_line VALUES (%s, 'carl.2026-02', 30)", transaction)
    first.all(
        "INSERT INTO bill (bill, account, period, begins_at, ends_at, charged, refunded, status, issued_at) "
        "VALUES ('carl.2026-02', %s, '2026-02', '2026-02-01Z', '2026-03-01Z', 30, 0, 'issued', '2026-03-01Z')",
        account,
    )
    return first, second


def test_a_bill_is_confirmed_once(billed: Desks) -> None:
    first, second = billed
    said = while_open(first, [confirmation()], second, [confirmation()])
    assert reasons(said) == [Reason.BILL_ALREADY_CONFIRMED]
    assert (first.credit("carl"), first.credit("shop")) == (50, 70)


def test_what_is_refunded_while_it_is_confirmed_returns_once(billed: Desks) -> None:
    first, second = billed
    said = while_open(first, [confirmation()], second, [refund_of_order("o", 10)])
    assert reasons(said) == [None]
    assert (first.credit("carl"), first.credit("shop")) == (50, 80)


def test_what_is_confirmed_while_it_is_refunded_returns_once(billed: Desks) -> None:
    first, second = billed
    said = while_open(first, [refund_of_order("o", 10)], second, [confirmation(), refund_of_order("o")])
    assert reasons(said) == [None, None]
    assert (first.credit("carl"), first.credit("shop")) == (50, 100)
    assert first.one("SELECT charged, refunded, status FROM bill") == (30, 10, "confirmed")
