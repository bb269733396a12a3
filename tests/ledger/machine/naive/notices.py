"""Custom warnings, where mails go, exports."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tests.ledger.machine.naive.books import Books, CustomWarning, Export


class Notices(Books):
    def _may_replace(self, warning: str, set_by: str, faults: set[str]) -> bool:
        """Whether there is such a warning; then it must be of the account or of one under it."""
        found = self.warnings.get(warning)
        if found is None or found.removed_at:
            return False
        if set_by in self.holders and not self._is_or_over(set_by, found.set_by):
            faults.add("not_in_hierarchy")
        return True

    def _SetWarning(self, data: dict[str, Any], now: datetime, faults: set[str]) -> Any:  # noqa: N802
        if not self._find([data["account"], data["set_by"]], faults):
            return None
        if not self._is_or_over(data["set_by"], data["account"]):
            faults.add("not_in_hierarchy")
        self._may_replace(data["warning"], data["set_by"], faults)
        warning = CustomWarning(data["account"], data["set_by"], data.get("amount"), data.get("percent"))
        return lambda: self.warnings.update({data["warning"]: warning})

    def _RemoveWarning(self, data: dict[str, Any], now: datetime, faults: set[str]) -> Any:  # noqa: N802
        self._find([data["set_by"]], faults)
        if not self._may_replace(data["warning"], data["set_by"], faults):
            faults.add("warning_not_found")
        return lambda: setattr(self.warnings[data["warning"]], "removed_at", now)

    def _SetNotifications(self, data: dict[str, Any], now: datetime, faults: set[str]) -> Any:  # noqa: N802
        self._find([data["account"]], faults)
        return lambda: setattr(self.holders[data["account"]], "notifications", data["enabled"])

    def _RequestExport(self, data: dict[str, Any], now: datetime, faults: set[str]) -> Any:  # noqa: N802
        if data["account"] not in self.holders:
            faults.add("account_not_found")
        if data["export"] in self.exports:
            faults.add("export_exists")
        export = Export(data["account"], data["report"], data.get("format", "xlsx"))
        return lambda: self.exports.update({data["export"]: export})
