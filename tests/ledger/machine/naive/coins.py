"""Coins: in, back, between accounts, granted, corrected, refunded, and billed."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from tests.ledger.machine.naive.books import CHARGES, Bill, Books, Posting


class Coins(Books):
    def _PutPaymentMethods(self, data: dict[str, Any], now: datetime, faults: set[str]) -> Any:  # noqa: N802
        return lambda: self.methods.update({data["country"]: data["methods"]})

    def _TopUp(self, data: dict[str, Any], now: datetime, faults: set[str]) -> Any:  # noqa: N802
        id_, method, reference = data["account"], data.get("method", "offline"), None
        if not self._find([id_], faults):
            return None
        self._own([id_], faults)
        self._method(id_, method, faults)
        if data.get("reference"):
            reference = (self.lineage(id_)[-1], method, data["reference"])
            if reference in self.references:
                faults.add("duplicate_reference")

        def change() -> None:
            self.holders[id_].credit += data["amount"]
            self._rebase(id_)
            if reference:
                self.references.add(reference)
            self._post(Posting("recharge", id_, data["amount"], now, (id_,), reference=reference))

        return change

    def _ReverseTopUp(self, data: dict[str, Any], now: datetime, faults: set[str]) -> Any:  # noqa: N802
        if data["transaction"] is None:
            faults.add("transaction_not_found")
            return None
        past = self.postings[data["transaction"]]
        self._find([past.account], faults)
        self._own([past.account], faults)
        if past.type != "recharge" or past.returned:
            faults.add("not_refundable")

        def change() -> None:
            self.holders[past.account].credit -= past.amount
            past.returned = past.amount
            if past.reference:
                self.references.discard(past.reference)
            self._post(Posting("recharge_reversal", past.account, past.amount, now, (past.account,)))

        return change

    def _Transfer(self, data: dict[str, Any], now: datetime, faults: set[str]) -> Any:  # noqa: N802
        source, target, amount = data["from_account"], data["to_account"], data["amount"]
        orderer = data.get("ordered_by", source)
        if not self._find([source, target, orderer], faults):
            return None
        if self.holders[orderer].state == "suspended":
            faults.add("account_suspended")
        if source == target:
            faults.add("same_account")
        if not all(self._is_or_over(orderer, one) for one in (source, target)):
            faults.add("not_in_hierarchy")
        self._own([source, target], faults)
        if self.available(source) < amount:
            faults.add("insufficient_credit")

        def change() -> None:
            self.holders[source].credit -= amount
            if orderer != source:
                self._rebase_silently(source)
            self.holders[target].credit += amount
            self._rebase(target)
            self._post(Posting("transfer_out", source, amount, now, (source, target)))

        return change

    def _AllocateCredit(self, data: dict[str, Any], now: datetime, faults: set[str]) -> Any:  # noqa: N802
        reseller, customer, amount = data["reseller"], data["customer"], data["amount"]
        if not self._find([reseller, customer], faults):
            return None
        if reseller == customer:
            faults.add("same_account")
        if self.holders[customer].parent != reseller:
            faults.add("not_in_hierarchy")
        if self.holders[customer].funding != "sponsored":
            faults.add("not_sponsored")
        if amount < 0 and self.available(customer) < -amount:
            faults.add("reclaim_exceeds_available")

        def change() -> None:
            self.holders[customer].credit += amount
            self._rebase(customer) if amount > 0 else self._rebase_silently(customer)
            self._post(Posting("allocation" if amount > 0 else "reclaim", customer, abs(amount), now, ()))

        return change

    def _Adjust(self, data: dict[str, Any], now: datetime, faults: set[str]) -> Any:  # noqa: N802
        id_, amount = data["account"], data["amount"]
        if not self._find([id_], faults):
            return None
        self._own([id_], faults)
        if amount < 0 and self.available(id_) < -amount:
            faults.add("insufficient_credit")

        def change() -> None:
            self.holders[id_].credit += amount
            self._rebase(id_) if amount > 0 else self._rebase_silently(id_)
            self._post(Posting("adjustment", id_, abs(amount), now, (id_,)))

        return change

    def _Refund(self, data: dict[str, Any], now: datetime, faults: set[str]) -> Any:  # noqa: N802
        index = data.get("transaction")
        if data.get("order"):
            order = self.orders.get(data["order"])
            if order is None:
                faults.add("order_not_found")
                return None
            index = order.transaction
            if index is None:
                self._find([order.account], faults)
                faults.add("not_refundable")
                return None
        if index is None:
            faults.add("transaction_not_found")
            return None
        past = self.postings[index]
        left = past.amount - past.returned
        amount = data.get("amount", left)
        self._find([past.account, *past.coins], faults)
        self._own(list(past.coins), faults)
        if past.type not in CHARGES:
            faults.add("not_refundable")
        elif amount > left or left == 0:
            faults.add("refund_exceeds_charge")

        def change() -> None:
            bill = self.bills[past.bill] if past.bill else None
            customer = self.holders[past.account]
            self.holders[past.coins[0]].credit += amount
            if (
                past.allotment
                and customer.funding == "sponsored"
                and not (bill and bill.status == "confirmed")
            ):
                customer.credit += amount
            past.returned += amount
            if bill and bill.status == "issued":
                bill.refunded += amount
            self._post(Posting("refund", past.account, amount, now, past.coins))

        return change

    # Bills

    def issue(self, id_: str, month: date, now: datetime) -> None:
        """The bill of a month that is over: every charge of the account's allotment that stands on none yet."""
        holder, bill = self.holders[id_], f"{id_}.{month:%Y-%m}"
        end = datetime(
            month.year + month.month // 12, month.month % 12 + 1, 1, tzinfo=ZoneInfo(holder.timezone)
        )
        lines = [
            one
            for one in self.postings
            if one.account == id_ and one.allotment and one.bill is None and one.time < end
        ]
        if holder.funding != "sponsored" or bill in self.bills or not lines:
            return
        for one in lines:
            one.bill = bill
        self.bills[bill] = Bill(id_, sum(one.amount for one in lines), sum(one.returned for one in lines))

    def _ConfirmBill(self, data: dict[str, Any], now: datetime, faults: set[str]) -> Any:  # noqa: N802
        there = self._find([data["confirmed_by"]], faults)
        bill = self.bills.get(data["bill"])
        if bill is None:
            faults.add("bill_not_found")
            return None
        customer = self.holders[bill.account]
        self._find([bill.account], faults)
        if there and customer.parent != data["confirmed_by"]:
            faults.add("not_in_hierarchy")
        if customer.funding != "sponsored":
            faults.add("not_sponsored")
        if bill.status == "confirmed":
            faults.add("bill_already_confirmed")

        def change() -> None:
            amount = bill.charged - bill.refunded
            bill.status = "confirmed"
            if amount:
                customer.credit += amount
                self._rebase(bill.account)
                bill.transaction = self._post(Posting("credit_return", bill.account, amount, now, ()))

        return change
