"""Walks of the commands about holds and postpaid resources."""

from __future__ import annotations

from typing import Any

from messages.commands import Kind
from messages.reasons import Reason
from tests.builders import (
    MOST,
    activation,
    adjustment,
    capture,
    closing,
    funding,
    grant,
    hold,
    opened,
    release_hold,
    resume,
    suspend,
    termination,
    top_up,
    usage,
)
from tests.ledger.decide.walks.world import FULL, Row, at_the_edge, then

PAST = "2026-03-01T12:00:00Z"
SOON = "2026-03-01T13:00:00Z"
PLACE: list[Row] = [
    Row(
        hold("taken", "none", expires_at=PAST),
        Reason.ACCOUNT_NOT_FOUND,
        (top_up("north", 1), hold("taken", "north", 1)),
    ),
    Row(hold("taken", "platform", expires_at=PAST), Reason.ACCOUNT_NOT_FOUND),
    Row(hold("taken", "gone", expires_at=PAST), Reason.ACCOUNT_CLOSED),
    Row(hold("taken", "off", expires_at=PAST), Reason.ACCOUNT_SUSPENDED),
    Row(hold("taken", "off-dept", expires_at=PAST), Reason.ACCOUNT_SUSPENDED),
    Row(hold("taken", "otto", expires_at=PAST), Reason.ACCOUNT_SUSPENDED),
    Row(hold("taken", expires_at=PAST), Reason.INVALID_TIME),
    Row(hold("taken", expires_at="2026-03-01T12:00:00.000001Z"), Reason.HOLD_EXISTS),
    Row(hold("new"), Reason.INSUFFICIENT_CREDIT),
    Row(hold("new", "carl"), Reason.INSUFFICIENT_CREDIT),
    Row(hold("new", "carl"), Reason.SPONSOR_INSUFFICIENT_CREDIT, (grant("carl", 10), top_up("shop", 9))),
    Row(hold("new", "dept"), Reason.MASTER_INSUFFICIENT_CREDIT, (top_up("acme", 9),)),
    Row(hold("new", "dept", 9), None),
]


def _ended(id_: str, account: str, end: Any) -> tuple[Any, ...]:
    return top_up(account, 10), hold(id_, account, expires_at=SOON), end


CAPTURE: list[Row] = [
    Row(
        capture("wests", 11),
        Reason.ACCOUNT_CLOSED,
        (*_ended("wests", "west", capture("wests")), closing("west"), then(minutes=1)),
    ),
    Row(
        capture("captured", 11), Reason.HOLD_ALREADY_CAPTURED, _ended("captured", "acme", capture("captured"))
    ),
    Row(
        capture("released", 11),
        Reason.HOLD_ALREADY_RELEASED,
        _ended("released", "acme", release_hold("released")),
    ),
    Row(capture("old", 11), Reason.HOLD_EXPIRED, (*_ended("old", "acme", then(minutes=59)),)),
    Row(capture("live", 11), Reason.EXCEEDS_HOLD, (hold("live"),)),
    Row(capture("live", 10, final=False), None, (suspend("acme"),)),
    Row(capture("live", 1), Reason.HOLD_ALREADY_CAPTURED),
    Row(capture("captured", 11), Reason.HOLD_ALREADY_CAPTURED),
    Row(capture("released", 11), Reason.HOLD_ALREADY_RELEASED),
    Row(capture("none", 11), Reason.HOLD_NOT_FOUND),
]
RELEASE: list[Row] = [
    Row(
        release_hold("wests"),
        Reason.ACCOUNT_CLOSED,
        (top_up("west", 10), hold("wests", "west"), capture("wests"), closing("west")),
    ),
    Row(
        release_hold("captured"),
        Reason.HOLD_ALREADY_CAPTURED,
        _ended("captured", "acme", capture("captured")),
    ),
    Row(
        release_hold("released"),
        Reason.HOLD_ALREADY_RELEASED,
        _ended("released", "acme", release_hold("released")),
    ),
    Row(release_hold("old"), Reason.HOLD_EXPIRED, (*_ended("old", "acme", then(hours=1)),)),
    Row(release_hold("live"), None, (hold("live"), suspend("acme"))),
    Row(release_hold("captured"), Reason.HOLD_ALREADY_CAPTURED),
    Row(release_hold("none"), Reason.HOLD_NOT_FOUND),
]
ACTIVATE: list[Row] = [
    Row(
        activation("taken", "none", MOST, plan="none", coefficient="2"),
        Reason.ACCOUNT_NOT_FOUND,
        (top_up("north", 1), activation("taken", "north", 1)),
    ),
    Row(activation("taken", "platform", MOST, plan="none", coefficient="2"), Reason.ACCOUNT_NOT_FOUND),
    Row(activation("taken", "gone", MOST, plan="none", coefficient="2"), Reason.ACCOUNT_CLOSED),
    Row(activation("taken", "off", MOST, plan="none", coefficient="2"), Reason.ACCOUNT_SUSPENDED),
    Row(activation("taken", "off-dept", MOST, plan="none", coefficient="2"), Reason.ACCOUNT_SUSPENDED),
    Row(activation("taken", "otto", MOST, plan="none", coefficient="2"), Reason.ACCOUNT_SUSPENDED),
    Row(activation("taken", "acme", MOST, plan="none", coefficient="2"), Reason.PLAN_NOT_FOUND),
    Row(activation("taken", "acme", MOST, plan="pro", coefficient="2"), Reason.PLAN_KIND_MISMATCH),
    Row(activation("taken", "acme", MOST, coefficient="1.000001"), Reason.AMOUNT_TOO_LARGE),
    Row(activation("taken", "acme", MOST, plan="video"), Reason.AMOUNT_TOO_LARGE),
    Row(activation("taken", "acme", MOST), Reason.RESOURCE_EXISTS),
    Row(activation("new"), Reason.INSUFFICIENT_CREDIT),
    Row(activation("new", "carl"), Reason.INSUFFICIENT_CREDIT),
    Row(activation("new", "carl"), Reason.SPONSOR_INSUFFICIENT_CREDIT, (grant("carl", 10),)),
    Row(activation("new", "dept"), Reason.MASTER_INSUFFICIENT_CREDIT, (top_up("acme", 9),)),
    Row(activation("new", "dept", 9), None),
]


USE: list[Row] = [
    Row(
        usage("wests"),
        Reason.ACCOUNT_CLOSED,
        (
            top_up("west", 1),
            activation("wests", "west", 1),
            usage("wests"),
            termination("wests"),
            closing("west"),
        ),
    ),
    Row(
        usage("norths"),
        Reason.SHARED_BALANCE_ACCOUNT,
        (
            top_up("north", 1),
            activation("norths", "north", 1),
            termination("norths"),
            adjustment("north", -1),
            funding("north", "shared"),
        ),
    ),
    Row(
        usage("coras"),
        Reason.SPONSORED_ACCOUNT,
        (
            opened("cora", "shop", Kind.CUSTOMER),
            top_up("cora", 1),
            activation("coras", "cora", 1),
            termination("coras"),
            adjustment("cora", -1),
            funding("cora", "sponsored"),
        ),
    ),
    Row(
        usage("ours", 2),
        Reason.AMOUNT_TOO_LARGE,
        (top_up("acme", 10), activation("ours"), at_the_edge("acme", 1 - FULL)),
    ),
    Row(usage("ours", 1), None, (suspend("acme"),)),
    Row(usage("none"), Reason.RESOURCE_NOT_FOUND),
]
TERMINATE: list[Row] = [
    Row(
        termination("wests"),
        Reason.ACCOUNT_CLOSED,
        (
            top_up("west", 1),
            activation("wests", "west", 1),
            termination("wests"),
            adjustment("west", -1),
            closing("west"),
        ),
    ),
    Row(
        termination("ended"),
        Reason.RESOURCE_TERMINATED,
        (top_up("acme", 10), activation("ended"), termination("ended")),
    ),
    Row(termination("live"), None, (activation("live"), suspend("acme"))),
    Row(termination("live"), Reason.RESOURCE_TERMINATED, (resume("acme"),)),
    Row(termination("none"), Reason.RESOURCE_NOT_FOUND),
]
WALKS = {
    "PlaceHold": PLACE,
    "CaptureHold": CAPTURE,
    "ReleaseHold": RELEASE,
    "ActivatePostpaid": ACTIVATE,
    "ReportUsage": USE,
    "TerminatePostpaid": TERMINATE,
}
