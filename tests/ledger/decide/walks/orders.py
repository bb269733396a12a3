"""Walks of the commands about orders and cloud phones."""

from __future__ import annotations

from messages.reasons import Reason
from tests.builders import (
    MOST,
    adjustment,
    cancel_order,
    closing,
    grant,
    order,
    pay,
    power_off,
    power_on,
    resume,
    suspend,
    top_up,
)
from tests.ledger.decide.walks.world import FULL, Row, at_the_edge

FAULTY = {"method": "card", "plan": "none", "price": None, "quantity": 2}
PLACE: list[Row] = [
    Row(
        order("taken", "none", **FAULTY),
        Reason.ACCOUNT_NOT_FOUND,
        (top_up("north", 1), order("taken", "north", 1)),
    ),
    Row(order("taken", "platform", **FAULTY), Reason.ACCOUNT_NOT_FOUND),
    Row(order("taken", "gone", **FAULTY), Reason.ACCOUNT_CLOSED),
    Row(order("taken", "off", **FAULTY), Reason.ACCOUNT_SUSPENDED),
    Row(order("taken", "off-dept", **FAULTY), Reason.ACCOUNT_SUSPENDED),
    Row(order("taken", "otto", **FAULTY), Reason.ACCOUNT_SUSPENDED),
    Row(order("taken", "dept", **FAULTY), Reason.SHARED_BALANCE_ACCOUNT),
    Row(order("taken", "carl", **FAULTY), Reason.SPONSORED_ACCOUNT),
    Row(order("taken", **FAULTY), Reason.PAYMENT_METHOD_NOT_AVAILABLE),
    Row(order("taken", **FAULTY, pay="later"), Reason.PAYMENT_METHOD_NOT_AVAILABLE),
    Row(order("taken", **{**FAULTY, "method": "paypal"}), Reason.PLAN_NOT_FOUND),
    Row(order("taken", price=None, plan="again"), Reason.PLAN_KIND_MISMATCH),
    Row(order("taken", price=None, plan="pro", kind="proxy"), Reason.PLAN_KIND_MISMATCH),
    Row(order("taken", price=None, plan="unpriced-pro"), Reason.PRICE_REQUIRED),
    Row(order("taken", price=None), Reason.PRICE_REQUIRED),
    Row(order("taken", price=MOST, plan="unpriced-pro", quantity=2), Reason.AMOUNT_TOO_LARGE),
    Row(order("taken", price=MOST), Reason.ORDER_EXISTS),
    Row(order("taken", price=MOST, pay="later"), Reason.ORDER_EXISTS),
    Row(order("new"), Reason.INSUFFICIENT_CREDIT),
    Row(order("new", "carl"), Reason.INSUFFICIENT_CREDIT),
    Row(order("new", "carl"), Reason.SPONSOR_INSUFFICIENT_CREDIT, (grant("carl", 10), top_up("shop", 9))),
    Row(order("new", "dept"), Reason.MASTER_INSUFFICIENT_CREDIT, (top_up("acme", 9),)),
    Row(order("new", "dept", 9), None),
    Row(order("newer", "acme", MOST, method="paypal"), None),
]
PAY: list[Row] = [
    Row(
        pay("wests", method="card"),
        Reason.ACCOUNT_CLOSED,
        (top_up("west", 1), order("wests", "west", 1), closing("west")),
    ),
    Row(
        pay("offs", method="card"),
        Reason.ACCOUNT_SUSPENDED,
        (resume("off"), order("offs", "off", pay="later"), cancel_order("offs"), suspend("off")),
    ),
    Row(
        pay("ottos", method="card"),
        Reason.ACCOUNT_SUSPENDED,
        (resume("off-shop"), order("ottos", "otto", pay="later"), suspend("off-shop")),
    ),
    Row(
        pay("depts", method="card"),
        Reason.SHARED_BALANCE_ACCOUNT,
        (order("depts", "dept", pay="later"), cancel_order("depts")),
    ),
    Row(
        pay("carls", method="card"),
        Reason.SPONSORED_ACCOUNT,
        (order("carls", "carl", pay="later"), cancel_order("carls")),
    ),
    Row(
        pay("ours", method="card"),
        Reason.PAYMENT_METHOD_NOT_AVAILABLE,
        (order("ours", price=MOST, pay="later", method="paypal"), cancel_order("ours")),
    ),
    Row(pay("ours"), Reason.ORDER_NOT_PAYABLE),
    Row(pay("ours", method="balance"), Reason.ORDER_NOT_PAYABLE),
    Row(pay("mine"), Reason.INSUFFICIENT_CREDIT, (order("mine", pay="later"),)),
    Row(pay("his"), Reason.INSUFFICIENT_CREDIT, (order("his", "carl", pay="later"),)),
    Row(pay("his"), Reason.SPONSOR_INSUFFICIENT_CREDIT, (grant("carl", 10),)),
    Row(pay("theirs"), Reason.MASTER_INSUFFICIENT_CREDIT, (order("theirs", "dept", pay="later"),)),
    Row(pay("theirs"), None, (top_up("acme", 10),)),
    Row(pay("theirs"), Reason.ORDER_NOT_PAYABLE),
    Row(pay("mine", method="paypal"), None),
    Row(pay("none", method="card"), Reason.ORDER_NOT_FOUND),
    Row(pay("none/1"), Reason.ORDER_NOT_FOUND),
]
CANCEL: list[Row] = [
    Row(
        cancel_order("wests"),
        Reason.ACCOUNT_CLOSED,
        (top_up("west", 1), order("wests", "west", 1), closing("west")),
    ),
    Row(cancel_order("paid"), Reason.ORDER_NOT_CANCELABLE, (top_up("acme", 1), order("paid", price=1))),
    Row(cancel_order("offs"), None, (resume("off"), order("offs", "off", pay="later"), suspend("off"))),
    Row(cancel_order("offs"), Reason.ORDER_NOT_CANCELABLE),
    Row(cancel_order("run"), Reason.ORDER_NOT_CANCELABLE, (top_up("acme", 1), power_on("run"))),
    Row(cancel_order("none"), Reason.ORDER_NOT_FOUND),
]
ON: list[Row] = [
    Row(
        power_on("taken", "none", "p1", rate=None, plan="none"),
        Reason.ACCOUNT_NOT_FOUND,
        (top_up("north", 3), order("taken", "north", 1), power_on("run", "north", "p1")),
    ),
    Row(power_on("taken", "platform", "p1", rate=None, plan="none"), Reason.ACCOUNT_NOT_FOUND),
    Row(power_on("taken", "gone", "p1", rate=None, plan="none"), Reason.ACCOUNT_CLOSED),
    Row(power_on("taken", "off", "p1", rate=None, plan="none"), Reason.ACCOUNT_SUSPENDED),
    Row(power_on("taken", "off-dept", "p1", rate=None, plan="none"), Reason.ACCOUNT_SUSPENDED),
    Row(power_on("taken", "otto", "p1", rate=None, plan="none"), Reason.ACCOUNT_SUSPENDED),
    Row(power_on("taken", "acme", "p1", rate=None, plan="none"), Reason.PLAN_NOT_FOUND),
    Row(power_on("taken", "acme", "p1", rate=None, plan="video"), Reason.PLAN_KIND_MISMATCH),
    Row(power_on("taken", "acme", "p1", rate=None, plan="unrated"), Reason.PRICE_REQUIRED),
    Row(power_on("taken", "acme", "p1", rate=None), Reason.PRICE_REQUIRED),
    Row(power_on("taken", "acme", "p1", plan="unrated"), Reason.SESSION_EXISTS),
    Row(power_on("run", "acme", "p2"), Reason.SESSION_EXISTS),
    Row(power_on("new", "acme", "p1"), Reason.SESSION_EXISTS),
    Row(power_on("new", "acme", "p2"), Reason.INSUFFICIENT_CREDIT),
    Row(power_on("new", "carl", "p2"), Reason.INSUFFICIENT_CREDIT),
    Row(power_on("new", "carl", "p2"), Reason.SPONSOR_INSUFFICIENT_CREDIT, (grant("carl", 1),)),
    Row(power_on("new", "dept", "p2"), Reason.MASTER_INSUFFICIENT_CREDIT),
    Row(power_on("new", "dept", "p2", rate="1000000"), None, (top_up("acme", 1),)),
]
EARLY = "2026-03-01T11:59:59Z"
OFF: list[Row] = [
    Row(
        power_off("wests", EARLY),
        Reason.ACCOUNT_CLOSED,
        (
            top_up("west", 1),
            power_on("wests", "west", "p1"),
            power_off("wests", "2026-03-01T12:00:00Z"),
            closing("west"),
        ),
    ),
    Row(
        power_off("past", EARLY),
        Reason.AMOUNT_TOO_LARGE,
        (top_up("acme", 100), power_on("past"), power_off("past"), at_the_edge("acme", -FULL)),
    ),
    Row(power_off("past", EARLY), Reason.SESSION_CLOSED, (at_the_edge("acme", 90),)),
    Row(power_off("run", EARLY), Reason.INVALID_TIME, (power_on("run"),)),
    Row(power_off("run"), None, (adjustment("acme", -90), suspend("acme"))),
    Row(power_off("run"), Reason.SESSION_CLOSED),
    Row(power_off("none", EARLY), Reason.SESSION_NOT_FOUND),
]
WALKS = {
    "PlaceOrder": PLACE,
    "PayOrder": PAY,
    "CancelOrder": CANCEL,
    "PowerOn": ON,
    "PowerOff": OFF,
}
