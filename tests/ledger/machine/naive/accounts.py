"""Accounts: opened, changed, suspended, closed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tests.ledger.machine.naive.books import Books, Holder

STANDS_UNDER = {
    "distributor": ["platform"],
    "reseller": ["platform", "distributor"],
    "enterprise": ["platform"],
    "agent": ["enterprise", "agent", "branch", "reseller", "distributor"],
    "branch": ["enterprise", "agent", "branch", "reseller", "distributor"],
    "customer": ["reseller", "distributor", "agent"],
}


class Accounts(Books):
    def _can_be(self, funding: str, parent: str) -> bool:
        if funding == "own":
            return True
        if parent == "platform":
            return False
        if funding == "shared":
            not_shared = [one for one in self.lineage(parent) if self.holders[one].funding != "shared"]
            return bool(not_shared) and self.holders[not_shared[0]].funding == "own"
        above = self.holders[parent]
        return above.kind in ("reseller", "distributor") and above.funding == "own"

    def _can_become(self, id_: str, funding: str) -> bool:
        """Whether the account, and all under it that are not closed, could have been opened so."""
        before = self.holders[id_].funding
        self.holders[id_].funding = funding
        standing = [
            other
            for one, other in self.holders.items()
            if one == id_ or (self._over(id_, one) and other.state != "closed")
        ]
        can = all(self._can_be(other.funding, other.parent) for other in standing)
        self.holders[id_].funding = before
        return can

    def _OpenAccount(self, data: dict[str, Any], now: datetime, faults: set[str]) -> Any:  # noqa: N802
        funding, limit, parent = data.get("funding", "own"), data.get("credit_limit", 0), data["parent"]
        if data["account"] in self.holders or data["account"] == "platform":
            faults.add("account_exists")
        if parent != "platform":
            self._find([parent], faults)
        if parent == "platform" or parent in self.holders:
            kind = "platform" if parent == "platform" else self.holders[parent].kind
            if kind not in STANDS_UNDER[data["kind"]] or not self._can_be(funding, parent):
                faults.add("parent_not_allowed")
        if limit and funding == "shared":
            faults.add("shared_balance_account")
        if limit and funding == "sponsored":
            faults.add("sponsored_account")

        def change() -> None:
            self.holders[data["account"]] = Holder(
                parent,
                data["kind"],
                funding,
                limit,
                country=data.get("country"),
                timezone=data.get("timezone", "UTC"),
            )

        return change

    def _UpdateAccount(self, data: dict[str, Any], now: datetime, faults: set[str]) -> Any:  # noqa: N802
        id_ = data["account"]
        if not self._find([id_], faults):
            return None
        holder = self.holders[id_]
        funding = data.get("funding", holder.funding)
        if funding != holder.funding:
            if not self._can_become(id_, funding):
                faults.add("parent_not_allowed")
            if holder.credit or self.frozen(id_):
                faults.add("balance_not_zero")
            drawing = [one for one, other in self.holders.items() if self.master(one) == id_]
            if self.settled(id_) or any(self.running(one) for one in {id_, *drawing}):
                faults.add("account_in_use")

        def change() -> None:
            holder.country = data.get("country", holder.country) or None
            holder.timezone = data.get("timezone", holder.timezone) or "UTC"
            if funding != holder.funding:
                holder.funding, holder.credit_limit, holder.reference = funding, 0, None

        return change

    def _SetCreditLimit(self, data: dict[str, Any], now: datetime, faults: set[str]) -> Any:  # noqa: N802
        id_ = data["account"]
        if self._find([id_], faults):
            self._own([id_], faults)

        def change() -> None:
            self.holders[id_].credit_limit = data["credit_limit"]
            self._rebase(id_)

        return change

    def _SuspendAccount(self, data: dict[str, Any], now: datetime, faults: set[str]) -> Any:  # noqa: N802
        self._find([data["account"]], faults)
        return lambda: setattr(self.holders[data["account"]], "state", "suspended")

    def _ResumeAccount(self, data: dict[str, Any], now: datetime, faults: set[str]) -> Any:  # noqa: N802
        self._find([data["account"]], faults)
        return lambda: setattr(self.holders[data["account"]], "state", "active")

    def _CloseAccount(self, data: dict[str, Any], now: datetime, faults: set[str]) -> Any:  # noqa: N802
        id_ = data["account"]
        if not self._find([id_], faults):
            return None
        if self.holders[id_].credit or self.frozen(id_):
            faults.add("balance_not_zero")
        children = [one for one in self.holders.values() if one.parent == id_ and one.state != "closed"]
        if children or self.running(id_) or self.settled(id_):
            faults.add("account_in_use")

        def change() -> None:
            self.holders[id_].state = "closed"
            for device in self.devices.values():
                if device.account == id_:
                    device.account = None

        return change
