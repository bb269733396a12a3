"""Custom warnings, where mails go, and exports: SetWarning, RemoveWarning, SetNotifications, RequestExport."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import orjson

from ledger.decide.checks import closed, missing
from ledger.decide.rule import Ledger, Rule, Wanted
from ledger.model import Account, AccountChanged, Applied, Decision, Rejected
from ledger.records import CustomWarning, Export
from messages.commands import RemoveWarning, RequestExport, SetNotifications, SetWarning
from messages.reasons import Reason


def _needs_set(command: SetWarning, wanted: Wanted) -> None:
    wanted.accounts.update((command.account, command.set_by))
    wanted.row(CustomWarning, command.warning)


def _set(command: SetWarning, ledger: Ledger, now: datetime) -> Decision:
    account = ledger.account(command.account)
    set_by = ledger.account(command.set_by)
    if account is None or set_by is None:
        return missing(command.account if account is None else command.set_by)
    if refused := closed(account, set_by):
        return refused
    if not _is_or_stands_over(set_by, account):
        return Rejected(
            Reason.NOT_IN_HIERARCHY,
            f"Warnings about {account.name} are set by itself or by whom it stands under, not by {set_by.name}.",
        )
    earlier = live_warning(command.warning, ledger)
    if earlier is not None and (refused := _of_another(earlier, set_by, ledger)):
        return refused
    return Applied(
        (account,) if account is set_by else (account, set_by),
        changes=(
            CustomWarning(
                command.warning,
                account.id,
                set_by.id,
                command.amount,
                command.percent,
                command.emails,
                now,
                None,
            ),
        ),
    )


def _is_or_stands_over(upper: Account, lower: Account) -> bool:
    return upper is lower or upper.stands_over(lower)


def live_warning(id_: str, ledger: Ledger) -> CustomWarning | None:
    """The warning, if it has not been removed."""
    warning: CustomWarning | None = ledger.get(CustomWarning, id_)
    return warning if warning is not None and warning.removed_at is None else None


def _of_another(warning: CustomWarning, set_by: Account, ledger: Ledger) -> Rejected | None:
    setter = ledger.by_key(warning.set_by)
    if _is_or_stands_over(set_by, setter):
        return None
    return Rejected(
        Reason.NOT_IN_HIERARCHY,
        f"{warning.warning} was set by another account; only it or whom it stands under may replace or remove it.",
    )


def _needs_remove(command: RemoveWarning, wanted: Wanted) -> None:
    wanted.accounts.add(command.set_by)
    wanted.row(CustomWarning, command.warning)


def _remove(command: RemoveWarning, ledger: Ledger, now: datetime) -> Decision:
    set_by = ledger.account(command.set_by)
    if set_by is None:
        return missing(command.set_by)
    if refused := closed(set_by):
        return refused
    warning = live_warning(command.warning, ledger)
    if warning is None:
        return Rejected(Reason.WARNING_NOT_FOUND, f"There is no warning {command.warning}.")
    if refused := _of_another(warning, set_by, ledger):
        return refused
    return Applied((set_by,), changes=(replace(warning, removed_at=now),))


def _needs_notifications(command: SetNotifications, wanted: Wanted) -> None:
    wanted.accounts.add(command.account)


def _notifications(command: SetNotifications, ledger: Ledger, now: datetime) -> Decision:
    account = ledger.account(command.account)
    if account is None:
        return missing(command.account)
    if refused := closed(account):
        return refused
    return Applied((account,), changes=(AccountChanged(account, {"notifications": command.enabled}),))


def _needs_export(command: RequestExport, wanted: Wanted) -> None:
    wanted.accounts.add(command.account)
    wanted.row(Export, command.export)


def _export(command: RequestExport, ledger: Ledger, now: datetime) -> Decision:
    account = ledger.account(command.account)
    if account is None:
        return missing(command.account)
    if ledger.get(Export, command.export) is not None:
        return Rejected(Reason.EXPORT_EXISTS, f"There is an export {command.export} already.")
    return Applied(
        (account,),
        changes=(
            Export(
                command.export,
                account.id,
                command.report.value,
                orjson.dumps(command.filters).decode(),
                command.format.value,
                "requested",
                now,
            ),
        ),
    )


RULES = {
    SetWarning: Rule(_needs_set, _set),
    RemoveWarning: Rule(_needs_remove, _remove),
    SetNotifications: Rule(_needs_notifications, _notifications),
    RequestExport: Rule(_needs_export, _export),
}
