"""Where the walks go: a small world in which every fault can be found, and the rows of a walk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

from ledger.records import Device
from messages.commands import Command
from messages.reasons import Reason
from tests.builders import (
    MONTHLY,
    MOST,
    YEARLY,
    branch,
    closing,
    department,
    distributor,
    enterprise,
    methods,
    plan,
    reseller,
    sponsored_customer,
    suspend,
)
from tests.desk import PureDesk

FULL = 9 * 10**18
FAR = datetime(8999, 6, 1, tzinfo=UTC)
Before = Command | Callable[[PureDesk], Any]


class Row(NamedTuple):
    """A command, for which reason it is refused (None: applied), and what is done before it."""

    command: Any
    reason: Reason | None
    after: tuple[Before, ...] = ()


def world() -> PureDesk:
    """An enterprise with all sorts of branches, resellers of two levels with customers, plans, no coins.

    `acme` may pay by paypal only; `off` and `off-shop` are suspended, `gone` is closed.
    """
    desk = PureDesk()
    desk.do(
        enterprise("acme", country="DE"),
        methods("DE", "paypal"),
        branch("north", "acme"),
        branch("west", "north"),
        department("dept", "acme"),
        branch("off", "acme"),
        department("off-dept", "off"),
        suspend("off"),
        branch("gone", "acme"),
        closing("gone"),
        reseller("shop"),
        sponsored_customer("carl", "shop"),
        reseller("off-shop"),
        sponsored_customer("otto", "off-shop"),
        suspend("off-shop"),
        distributor("dist"),
        reseller("corner", "dist"),
        sponsored_customer("carla", "corner"),
        plan("tracker", price=10, cycle=YEARLY),
        plan("dear", price=MOST),
        plan("unpriced"),
        plan("again", "renewal", price=4, cycle=YEARLY),
        plan("dear-again", "renewal", price=MOST, cycle=YEARLY),
        plan("unpriced-again", "renewal"),
        plan("endless-again", "renewal", price=4),
        plan("pro", "package", price=10, cycle=MONTHLY),
        plan("unpriced-pro", "package", cycle=MONTHLY),
        plan("unrated", "phone", price=10),
        plan("video", "postpaid", coefficient="1.25"),
    )
    return desk


def follow(rows: list[Row]) -> None:
    """Ask every row in a new world, and look for its reason."""
    desk = world()
    for number, row in enumerate(rows, 1):
        for step in row.after:
            if isinstance(step, Command):
                desk.do(step)
            else:
                step(desk)
        said = desk.ask(row.command)
        assert said.data.reason == row.reason, f"row {number}: {row.command!r}: {said.data.message}"


def reasons_until_applied(rows: list[Row]) -> list[Reason]:
    """The reasons of a walk up to the first row that is applied; what follows is of another kind."""
    first = next(number for number, row in enumerate(rows) if row.reason is None)
    return [row.reason for row in rows[:first] if row.reason]


def at_the_edge(account: str, credit: int) -> Callable[[PureDesk], None]:
    """The account has that much, near the last that can be counted."""

    def put(desk: PureDesk) -> None:
        found = desk.book.account(account)
        assert found is not None
        found.credit = credit

    return put


def paid_until_far(*devices: str) -> Callable[[PureDesk], None]:
    """The devices are paid until almost the last year that can be counted."""

    def put(desk: PureDesk) -> None:
        for device in devices:
            desk.book.put(Device, device, replace(desk.book.get(Device, device), paid_until=FAR))

    return put


def then(**by: float) -> Callable[[PureDesk], None]:
    """So much later."""
    return lambda desk: desk.later(**by)
