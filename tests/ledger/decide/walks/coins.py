"""Walks of the commands that move coins."""

from __future__ import annotations

from messages.reasons import Reason
from tests.builders import adjustment, grant, top_up, transfer
from tests.ledger.decide.walks.world import Row

TOP_UP: list[Row] = [
    Row(top_up("none", reference="W1"), Reason.ACCOUNT_NOT_FOUND, (top_up("acme", reference="W1"),)),
    Row(top_up("platform", reference="W1"), Reason.ACCOUNT_NOT_FOUND),
    Row(top_up("gone", reference="W1"), Reason.ACCOUNT_CLOSED),
    Row(top_up("dept", reference="W1"), Reason.SHARED_BALANCE_ACCOUNT),
    Row(top_up("carl", reference="W1"), Reason.SPONSORED_ACCOUNT),
    Row(
        top_up("acme", reference="W1", method="card"),
        Reason.PAYMENT_METHOD_NOT_AVAILABLE,
        (top_up("north", reference="W1", method="card"), top_up("north", reference="W1", method="paypal")),
    ),
    Row(top_up("acme", reference="W1", method="paypal"), Reason.DUPLICATE_REFERENCE),
    Row(top_up("off", reference="W1"), Reason.DUPLICATE_REFERENCE),
    Row(top_up("off", reference="W2", method="card"), None),
]
TRANSFER: list[Row] = [
    Row(transfer("none", "gone", 1, ordered_by="off"), Reason.ACCOUNT_NOT_FOUND),
    Row(transfer("gone", "gone", 1, ordered_by="none"), Reason.ACCOUNT_NOT_FOUND),
    Row(transfer("gone", "gone", 1, ordered_by="platform"), Reason.ACCOUNT_NOT_FOUND),
    Row(transfer("gone", "gone", 1, ordered_by="off"), Reason.ACCOUNT_CLOSED),
    Row(transfer("dept", "dept", 1, ordered_by="gone"), Reason.ACCOUNT_CLOSED),
    Row(transfer("dept", "dept", 1, ordered_by="off"), Reason.ACCOUNT_SUSPENDED),
    Row(transfer("dept", "dept", 1, ordered_by="shop"), Reason.SAME_ACCOUNT),
    Row(transfer("dept", "north", 1, ordered_by="shop"), Reason.NOT_IN_HIERARCHY),
    Row(transfer("carl", "dept", 1), Reason.NOT_IN_HIERARCHY),
    Row(transfer("west", "north", 1), Reason.NOT_IN_HIERARCHY),
    Row(transfer("dept", "north", 1, ordered_by="acme"), Reason.SHARED_BALANCE_ACCOUNT),
    Row(transfer("north", "dept", 1, ordered_by="acme"), Reason.SHARED_BALANCE_ACCOUNT),
    Row(transfer("shop", "carl", 1), Reason.SPONSORED_ACCOUNT),
    Row(transfer("acme", "north", 1), Reason.INSUFFICIENT_CREDIT),
    Row(transfer("acme", "north", 1), None, (top_up("acme", 1),)),
]
ALLOCATE: list[Row] = [
    Row(grant("gone", -1, "none"), Reason.ACCOUNT_NOT_FOUND),
    Row(grant("none", -1, "gone"), Reason.ACCOUNT_NOT_FOUND),
    Row(grant("carl", -1, "platform"), Reason.ACCOUNT_NOT_FOUND),
    Row(grant("gone", -1, "gone"), Reason.ACCOUNT_CLOSED),
    Row(grant("carl", -1, "gone"), Reason.ACCOUNT_CLOSED),
    Row(grant("gone", -1, "shop"), Reason.ACCOUNT_CLOSED),
    Row(grant("shop", -1, "shop"), Reason.SAME_ACCOUNT),
    Row(grant("carl", -1, "carl"), Reason.SAME_ACCOUNT),
    Row(grant("dept", -1, "shop"), Reason.NOT_IN_HIERARCHY),
    Row(grant("carla", -1, "dist"), Reason.NOT_IN_HIERARCHY),
    Row(grant("shop", -1, "carl"), Reason.NOT_IN_HIERARCHY),
    Row(grant("corner", -1, "dist"), Reason.NOT_SPONSORED),
    Row(grant("dept", -1, "acme"), Reason.NOT_SPONSORED),
    Row(grant("carl", -1, "shop"), Reason.RECLAIM_EXCEEDS_AVAILABLE),
    Row(grant("carl", 1, "shop"), None),
    Row(grant("otto", 1, "off-shop"), None),
    Row(grant("carl", -2, "shop"), Reason.RECLAIM_EXCEEDS_AVAILABLE),
    Row(grant("carl", -1, "shop"), None),
]
ADJUST: list[Row] = [
    Row(adjustment("none", -1), Reason.ACCOUNT_NOT_FOUND),
    Row(adjustment("gone", -1), Reason.ACCOUNT_CLOSED),
    Row(adjustment("dept", -1), Reason.SHARED_BALANCE_ACCOUNT),
    Row(adjustment("carl", -1), Reason.SPONSORED_ACCOUNT),
    Row(adjustment("off", -1), Reason.INSUFFICIENT_CREDIT),
    Row(adjustment("off", 1), None),
]

WALKS = {
    "TopUp": TOP_UP,
    "Transfer": TRANSFER,
    "AllocateCredit": ALLOCATE,
    "Adjust": ADJUST,
}
