"""Walks of the commands about accounts."""

from __future__ import annotations

from messages.commands import Funding, Kind
from messages.reasons import Reason
from tests.builders import (
    adjustment,
    cancel,
    cancel_order,
    capture,
    closing,
    funding,
    hold,
    limit,
    opened,
    order,
    resume,
    subscribe,
    suspend,
    top_up,
    transfer,
)
from tests.ledger.decide.walks.world import Row

OPEN: list[Row] = [
    Row(opened("acme", "none", Kind.RESELLER, Funding.SHARED, credit_limit=5), Reason.ACCOUNT_EXISTS),
    Row(opened("platform", "none", Kind.RESELLER, Funding.SHARED), Reason.ACCOUNT_EXISTS),
    Row(opened("new", "none", Kind.RESELLER, Funding.SHARED, credit_limit=5), Reason.ACCOUNT_NOT_FOUND),
    Row(opened("new", "gone", Kind.RESELLER, Funding.SHARED, credit_limit=5), Reason.ACCOUNT_CLOSED),
    Row(opened("new", "acme", Kind.RESELLER, Funding.SHARED, credit_limit=5), Reason.PARENT_NOT_ALLOWED),
    Row(opened("new", "acme", Kind.BRANCH, Funding.SPONSORED, credit_limit=5), Reason.PARENT_NOT_ALLOWED),
    Row(opened("new", "acme", Kind.BRANCH, Funding.SHARED, credit_limit=5), Reason.SHARED_BALANCE_ACCOUNT),
    Row(opened("new", "shop", Kind.CUSTOMER, Funding.SPONSORED, credit_limit=5), Reason.SPONSORED_ACCOUNT),
    Row(opened("new", "shop", Kind.CUSTOMER, Funding.OWN, credit_limit=5), None),
]
UPDATE: list[Row] = [
    Row(funding("none", "shared"), Reason.ACCOUNT_NOT_FOUND),
    Row(funding("platform", "shared"), Reason.ACCOUNT_NOT_FOUND),
    Row(funding("gone", "sponsored"), Reason.ACCOUNT_CLOSED),
    Row(funding("acme", "shared"), Reason.PARENT_NOT_ALLOWED, (top_up("acme", 5),)),
    Row(funding("north", "sponsored"), Reason.PARENT_NOT_ALLOWED, (transfer("acme", "north", 5),)),
    Row(funding("north", "shared"), Reason.BALANCE_NOT_ZERO),
    Row(
        funding("north", "shared"),
        Reason.ACCOUNT_IN_USE,
        (order("later", "north", pay="later"), transfer("north", "acme", 5, ordered_by="acme")),
    ),
    Row(funding("north", "shared"), None, (cancel_order("later"),)),
]
LIMIT: list[Row] = [
    Row(limit("none"), Reason.ACCOUNT_NOT_FOUND),
    Row(limit("platform"), Reason.ACCOUNT_NOT_FOUND),
    Row(limit("gone"), Reason.ACCOUNT_CLOSED),
    Row(limit("dept"), Reason.SHARED_BALANCE_ACCOUNT),
    Row(limit("carl"), Reason.SPONSORED_ACCOUNT),
    Row(limit("off"), None),
]
SUSPEND: list[Row] = [
    Row(suspend("none"), Reason.ACCOUNT_NOT_FOUND),
    Row(suspend("platform"), Reason.ACCOUNT_NOT_FOUND),
    Row(suspend("gone"), Reason.ACCOUNT_CLOSED),
    Row(suspend("off"), None),
]
RESUME: list[Row] = [
    Row(resume("none"), Reason.ACCOUNT_NOT_FOUND),
    Row(resume("gone"), Reason.ACCOUNT_CLOSED),
    Row(resume("acme"), None),
]
CLOSE: list[Row] = [
    Row(closing("none"), Reason.ACCOUNT_NOT_FOUND),
    Row(closing("platform"), Reason.ACCOUNT_NOT_FOUND),
    Row(closing("gone"), Reason.ACCOUNT_CLOSED),
    Row(closing("north"), Reason.BALANCE_NOT_ZERO, (top_up("north", 5),)),
    Row(closing("north"), Reason.BALANCE_NOT_ZERO, (hold("h", "north", 5), adjustment("north", 5))),
    Row(closing("north"), Reason.BALANCE_NOT_ZERO, (adjustment("north", -5),)),
    Row(
        closing("north"),
        Reason.ACCOUNT_IN_USE,
        (capture("h"), subscribe("s", "north", start_at="2090-01-01T00:00:00Z")),
    ),
    Row(closing("north"), Reason.ACCOUNT_IN_USE, (cancel("s"),)),
    Row(closing("north"), None, (closing("west"),)),
]

WALKS = {
    "OpenAccount": OPEN,
    "UpdateAccount": UPDATE,
    "SetCreditLimit": LIMIT,
    "SuspendAccount": SUSPEND,
    "ResumeAccount": RESUME,
    "CloseAccount": CLOSE,
}
