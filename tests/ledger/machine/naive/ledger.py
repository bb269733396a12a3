"""A ledger as one would write it down on an afternoon: dicts, loops, the rules as the contract words them, one by one.

It knows nothing of how the product decides. For every command it collects *all* faults, and names the first in the order
of precedence.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tests.ledger.machine.naive.accounts import Accounts
from tests.ledger.machine.naive.coins import Coins
from tests.ledger.machine.naive.holds import Holds
from tests.ledger.machine.naive.notices import Notices
from tests.ledger.machine.naive.orders import Orders
from tests.ledger.machine.naive.subscriptions import Subscriptions

PRECEDENCE = [
    "account_exists",
    "account_not_found",
    "account_closed",
    "account_suspended",
    "parent_not_allowed",
    "same_account",
    "not_in_hierarchy",
    "shared_balance_account",
    "sponsored_account",
    "not_sponsored",
    "balance_not_zero",
    "account_in_use",
    "payment_method_not_available",
    "duplicate_reference",
    "plan_not_found",
    "plan_kind_mismatch",
    "price_required",
    "cycle_required",
    "amount_too_large",
    "device_already_onboarded",
    "device_not_found",
    "order_exists",
    "order_not_found",
    "order_not_payable",
    "order_not_cancelable",
    "session_exists",
    "session_not_found",
    "session_closed",
    "invalid_time",
    "hold_exists",
    "hold_not_found",
    "hold_already_captured",
    "hold_already_released",
    "hold_expired",
    "exceeds_hold",
    "resource_exists",
    "resource_not_found",
    "resource_terminated",
    "subscription_exists",
    "subscription_not_found",
    "subscription_not_active",
    "subscription_not_canceled",
    "already_renewed",
    "cycle_not_due",
    "bill_not_found",
    "bill_already_confirmed",
    "transaction_not_found",
    "not_refundable",
    "refund_exceeds_charge",
    "warning_not_found",
    "export_exists",
    "reclaim_exceeds_available",
    "insufficient_credit",
    "sponsor_insufficient_credit",
    "master_insufficient_credit",
]
# Consumption, reversals, and what changes the limit itself.
MAY_FALL_BELOW = ("PowerOff", "ReportUsage", "ReverseTopUp", "SetCreditLimit", "UpdateAccount")


class NaiveLedger(Accounts, Coins, Subscriptions, Orders, Holds, Notices):
    def decide(self, name: str, data: dict[str, Any], now: datetime) -> str | None:
        """Apply the command, or say why it is refused. `transaction` is an index of postings, None for none."""
        faults: set[str] = set()
        change = getattr(self, f"_{name}")(data, now, faults)
        if faults:
            return min(faults, key=PRECEDENCE.index)
        before = self.figures()
        change()
        if name not in MAY_FALL_BELOW:
            for id_, (_, _, _, available) in self.figures().items():
                least = min(0, before[id_][3] or 0) if id_ in before else 0
                assert (available or 0) >= least, f"{id_} has fallen below its limit"
        return None
