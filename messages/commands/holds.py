"""Holds, and resources that are paid for after use."""

from __future__ import annotations

from pydantic import Field

from ..fields import Amount, Factor, Flag, Id, ShortText, Time
from .base import Command


class PlaceHold(Command):
    """Freezes an amount."""

    hold: Id
    account: Id
    amount: Amount
    expires_at: Time | None = None
    purpose: ShortText | None = None


class CaptureHold(Command):
    """Charges from what a hold has frozen."""

    hold: Id
    amount: Amount | None = Field(None, description="default: all that is left")
    final: Flag = Field(True, description="whether it ends the hold and releases the rest")
    item: ShortText | None = None


class ReleaseHold(Command):
    """Ends a hold; what is left of it is available again."""

    hold: Id


class ActivatePostpaid(Command):
    """A resource may be used: freezes estimate × coefficient, rounded up."""

    account: Id
    resource: Id
    plan: Id | None = None
    estimate: Amount
    coefficient: Factor | None = Field(
        None, description="the freezing coefficient, decimal text; default: the plan's, else 1"
    )


class ReportUsage(Command):
    """Charges what was used of a resource, out of the frozen part first, beyond available if need be."""

    resource: Id
    amount: Amount
    item: ShortText | None = None


class TerminatePostpaid(Command):
    """A resource is given up; what is still frozen for it is available again."""

    resource: Id
