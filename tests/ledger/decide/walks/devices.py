"""Walks of the commands about devices."""

from __future__ import annotations

from messages.reasons import Reason
from tests.builders import MOST, onboarding, release, renewal, top_up
from tests.ledger.decide.walks.world import Row

ONBOARD: list[Row] = [
    Row(onboarding("none", "x", price=None, plan="none"), Reason.ACCOUNT_NOT_FOUND),
    Row(onboarding("platform", "x", price=None, plan="none"), Reason.ACCOUNT_NOT_FOUND),
    Row(onboarding("gone", "x", price=None, plan="none"), Reason.ACCOUNT_CLOSED),
    Row(onboarding("off", "x", price=None, plan="none"), Reason.ACCOUNT_SUSPENDED),
    Row(onboarding("off-dept", "x", price=None, plan="none"), Reason.ACCOUNT_SUSPENDED),
    Row(
        onboarding("acme", "x", "y", price=None, plan="none"),
        Reason.PLAN_NOT_FOUND,
        (top_up("north", 1), onboarding("north", "x")),
    ),
    Row(onboarding("acme", "x", "y", price=None, plan="unpriced-again"), Reason.PLAN_KIND_MISMATCH),
    Row(onboarding("acme", "x", "y", price=None, plan="unpriced"), Reason.PRICE_REQUIRED),
    Row(onboarding("acme", "x", "y", price=None), Reason.PRICE_REQUIRED),
    Row(onboarding("acme", "x", "y", price=None, plan="dear"), Reason.AMOUNT_TOO_LARGE),
    Row(onboarding("acme", "y", "x", price=MOST // 2), Reason.DEVICE_ALREADY_ONBOARDED),
    Row(onboarding("acme", "y", "z", price=MOST // 2), Reason.INSUFFICIENT_CREDIT),
    Row(onboarding("carl", "y", "z", price=MOST // 2), Reason.INSUFFICIENT_CREDIT),
    Row(onboarding("carla", "y", "z", price=MOST // 2), Reason.INSUFFICIENT_CREDIT),
    Row(onboarding("dept", "y", "z", price=MOST // 2), Reason.MASTER_INSUFFICIENT_CREDIT),
    Row(onboarding("dept", "y", "z", price=MOST // 2), None, (top_up("acme", MOST),)),
]
RENEW: list[Row] = [
    Row(
        renewal("none", "n", price=None, plan="none", cycle=None),
        Reason.ACCOUNT_NOT_FOUND,
        (top_up("north", 1), onboarding("north", "n")),
    ),
    Row(renewal("gone", "n", price=None, plan="none", cycle=None), Reason.ACCOUNT_CLOSED),
    Row(renewal("off", "n", price=None, plan="none", cycle=None), Reason.ACCOUNT_SUSPENDED),
    Row(renewal("acme", "n", "no", price=None, plan="none", cycle=None), Reason.PLAN_NOT_FOUND),
    Row(renewal("acme", "n", "no", price=None, plan="unpriced", cycle=None), Reason.PLAN_KIND_MISMATCH),
    Row(renewal("acme", "n", "no", price=None, plan="unpriced-again", cycle=None), Reason.PRICE_REQUIRED),
    Row(renewal("acme", "n", "no", price=None, cycle=None), Reason.PRICE_REQUIRED),
    Row(renewal("acme", "n", "no", price=MOST, plan="unpriced-again", cycle=None), Reason.CYCLE_REQUIRED),
    Row(renewal("acme", "n", "no", price=MOST, cycle=None), Reason.CYCLE_REQUIRED),
    Row(renewal("acme", "n", "no", price=MOST), Reason.AMOUNT_TOO_LARGE),
    Row(renewal("acme", "n", "no", price=1), Reason.DEVICE_NOT_FOUND),
    Row(renewal("acme", "n", price=1), Reason.DEVICE_NOT_FOUND),
    Row(renewal("north", "n", price=1), Reason.INSUFFICIENT_CREDIT),
    Row(renewal("north", "n", price=1), None, (top_up("north", 1),)),
]
RELEASE: list[Row] = [
    Row(release("none", "n"), Reason.ACCOUNT_NOT_FOUND, (top_up("off", 1), top_up("north", 1))),
    Row(release("gone", "n"), Reason.ACCOUNT_CLOSED, (onboarding("north", "n"),)),
    Row(release("acme", "n"), Reason.DEVICE_NOT_FOUND),
    Row(release("north", "n"), None),
    Row(release("north", "n"), Reason.DEVICE_NOT_FOUND),
]

WALKS = {
    "DebitForDeviceOnboarding": ONBOARD,
    "Renewal of devices": RENEW,
    "ReleaseDevice": RELEASE,
}
