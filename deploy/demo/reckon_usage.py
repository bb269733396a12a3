"""The reckoning of what is paid by use: cloud phones by the minute, resources after use, holds."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from fractions import Fraction
from math import ceil
from typing import Any

from deploy.demo.books import Books, Frozen, No, Order, Run
from messages.commands import (
    ActivatePostpaid,
    CaptureHold,
    Command,
    PlaceHold,
    PowerOff,
    PowerOn,
    ReleaseHold,
    ReportUsage,
    TerminatePostpaid,
)
from messages.reasons import Reason

CAPTURED, RELEASED = Reason.HOLD_ALREADY_CAPTURED, Reason.HOLD_ALREADY_RELEASED


def minutes_started(since: datetime, until: datetime) -> int:
    """At least one."""
    return max(1, ceil((until - since).total_seconds() / 60))


def running_fee(rate: str, minutes: int) -> int:
    """`rate` is coins a minute."""
    return ceil(minutes * Fraction(rate))


def power_on(books: Books, command: PowerOn) -> None:
    payers = books.buyer(command.account)
    plan = books.plan(command.plan, "phone")
    rate = command.rate or (plan.rate if plan else None)
    if rate is None:
        raise No(Reason.PRICE_REQUIRED)
    if command.session in books.orders or command.phone in books.running:
        raise No(Reason.SESSION_EXISTS)
    books.can_pay(payers, 1)
    books.runs[command.session] = Run(payers, command.phone, rate, command.at)
    books.orders[command.session] = Order(payers.account, 0, "running")
    books.running.add(command.phone)


def power_off(books: Books, command: PowerOff) -> None:
    """Used up already: charged in full, whatever is available."""
    run = books.runs.get(command.session)
    if run is None:
        raise No(Reason.SESSION_NOT_FOUND)
    if run.over:
        raise No(Reason.SESSION_CLOSED)
    if command.at < run.since:
        raise No(Reason.INVALID_TIME)
    run.over = True
    books.running.remove(run.phone)
    order = books.orders[command.session]
    order.amount = running_fee(run.rate, minutes_started(run.since, command.at))
    order.status = "completed"
    order.charge = books.charge("running_fee", run.payers, order.amount, command.session)


def activate(books: Books, command: ActivatePostpaid) -> None:
    payers = books.buyer(command.account)
    plan = books.plan(command.plan, "postpaid")
    coefficient = command.coefficient or (plan.coefficient if plan else None) or "1"
    if command.resource in books.resources:
        raise No(Reason.RESOURCE_EXISTS)
    amount = ceil(command.estimate * Fraction(coefficient))
    books.can_pay(payers, amount)
    books.freeze(payers, amount)
    books.resources[command.resource] = Frozen(payers, amount)


def report_usage(books: Books, command: ReportUsage) -> None:
    """Out of the frozen part first; accepted after termination, too."""
    resource = _resource(books, command.resource)
    out_of_it = min(command.amount, resource.left)
    resource.left -= out_of_it
    books.freeze(resource.payers, -out_of_it)
    books.charge("usage", resource.payers, command.amount)


def terminate(books: Books, command: TerminatePostpaid) -> None:
    resource = _resource(books, command.resource)
    if resource.over is not None:
        raise No(resource.over)
    _thaw(books, resource, Reason.RESOURCE_TERMINATED)


def place_hold(books: Books, command: PlaceHold) -> None:
    payers = books.buyer(command.account)
    if command.hold in books.holds:
        raise No(Reason.HOLD_EXISTS)
    books.can_pay(payers, command.amount)
    books.freeze(payers, command.amount)
    books.holds[command.hold] = Frozen(payers, command.amount)


def capture_hold(books: Books, command: CaptureHold) -> None:
    hold = _hold(books, command.hold)
    amount = command.amount if command.amount is not None else hold.left
    if amount > hold.left:
        raise No(Reason.EXCEEDS_HOLD)
    hold.left -= amount
    books.freeze(hold.payers, -amount)
    books.charge("capture", hold.payers, amount)
    if command.final or hold.left == 0:
        _thaw(books, hold, CAPTURED)


def release_hold(books: Books, command: ReleaseHold) -> None:
    _thaw(books, _hold(books, command.hold), RELEASED)


def _resource(books: Books, id_: str) -> Frozen:
    if id_ not in books.resources:
        raise No(Reason.RESOURCE_NOT_FOUND)
    return books.resources[id_]


def _hold(books: Books, id_: str) -> Frozen:
    if id_ not in books.holds:
        raise No(Reason.HOLD_NOT_FOUND)
    hold = books.holds[id_]
    if hold.over is not None:
        raise No(hold.over)
    return hold


def _thaw(books: Books, frozen: Frozen, why: Reason) -> None:
    """It is over, and what is left of it is available again."""
    books.freeze(frozen.payers, -frozen.left)
    frozen.left = 0
    frozen.over = why


RULES: dict[type[Command], Callable[[Books, Any], None]] = {
    PowerOn: power_on,
    PowerOff: power_off,
    ActivatePostpaid: activate,
    ReportUsage: report_usage,
    TerminatePostpaid: terminate,
    PlaceHold: place_hold,
    CaptureHold: capture_hold,
    ReleaseHold: release_hold,
}
