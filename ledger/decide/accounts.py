"""Accounts: OpenAccount, UpdateAccount, SetCreditLimit, SuspendAccount, ResumeAccount, CloseAccount."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ledger.decide.checks import closed, missing, own_coins
from ledger.decide.rule import Ledger, Rule, Wanted
from ledger.decide.tree import may_stand_under, resettled, source_of
from ledger.model import (
    PLATFORM,
    Account,
    AccountChanged,
    AccountOpened,
    Applied,
    Decision,
    DevicesReleased,
    Rejected,
    State,
)
from ledger.records import PaymentMethods
from messages.commands import (
    CloseAccount,
    OpenAccount,
    ResumeAccount,
    SetCreditLimit,
    SuspendAccount,
    UpdateAccount,
)
from messages.reasons import Reason


def _needs_open(command: OpenAccount, wanted: Wanted) -> None:
    wanted.accounts.update((command.account, command.parent))
    wanted.new_accounts += 1
    if command.country:
        wanted.row(PaymentMethods, command.country)
    if command.funding != "own":
        wanted.lineages.add(command.parent)


def _open(command: OpenAccount, ledger: Ledger, now: datetime) -> Decision:
    if command.account == PLATFORM or ledger.account(command.account) is not None:
        return Rejected(Reason.ACCOUNT_EXISTS, f"There is an account {command.account} already.")
    parent = ledger.parent(command.parent)
    if parent is None:
        return missing(command.parent)
    if refused := closed(parent):
        return refused
    if not may_stand_under(command.kind, parent):
        return _not_under(f"A {command.kind}", parent)
    key = ledger.next_account_key()
    source = source_of(key, command.funding, parent)
    if source is None:
        return _not_under(f"An account with {command.funding} funding", parent)
    account = Account(
        id=key,
        account=command.account,
        parent=parent.id,
        path=[*parent.path, key],
        kind=command.kind.value,
        name=command.name,
        funding=command.funding.value,
        state=State.ACTIVE.value,
        credit=0,
        credit_limit=command.credit_limit,
        frozen=0,
        reference=None,
        version=0,
        posted_at=None,
        running=0,
        settled=0,
        notifications=True,
        draws_from=source.draws_from,
        sponsor=source.sponsor,
        email=command.email or None,
        boss_email=command.boss_email or None,
        country=command.country or None,
        timezone=command.timezone or "UTC",
        legal_name=command.legal_name or None,
        tax_id=command.tax_id or None,
        address=command.address or None,
        contact_name=parent.name,
        contact_email=parent.email,
    )
    if command.credit_limit and (refused := own_coins(account)):
        return refused
    return Applied((account,), changes=(AccountOpened(account),))


def _not_under(what: str, parent: Account) -> Rejected:
    return Rejected(
        Reason.PARENT_NOT_ALLOWED,
        f"{what} may not stand under {parent.name} ({parent.account}: {parent.kind}, {parent.funding}).",
    )


def _needs_update(command: UpdateAccount, wanted: Wanted) -> None:
    wanted.accounts.add(command.account)
    if command.country:  # for what is paid by the account in the same batch
        wanted.row(PaymentMethods, command.country)
    if command.funding is not None:
        wanted.subtrees.add(command.account)
        wanted.lineages.add(command.account)


_TEXTS = ("name", "email", "boss_email", "country", "timezone", "legal_name", "tax_id", "address")


def _update(command: UpdateAccount, ledger: Ledger, now: datetime) -> Decision:
    account = ledger.account(command.account)
    if account is None:
        return missing(command.account)
    if refused := closed(account):
        return refused
    fields: dict[str, Any] = {
        name: value or None for name in _TEXTS if (value := getattr(command, name)) is not None
    }
    if "timezone" in fields:
        fields["timezone"] = fields["timezone"] or "UTC"
    resettlements: tuple[AccountChanged, ...] = ()
    if command.funding is not None and command.funding != account.funding:
        changed = _change_funding(account, command.funding.value, ledger)
        if isinstance(changed, Rejected):
            return changed
        resettlements = changed
    return Applied((account,), changes=(AccountChanged(account, fields), *resettlements))


def _change_funding(account: Account, funding: str, ledger: Ledger) -> tuple[AccountChanged, ...] | Rejected:
    parent = ledger.by_key(account.parent)
    source = source_of(account.id, funding, parent)
    descendants = ledger.descendants(account)
    sources = resettled(account, source, funding, descendants) if source else None
    if source is None or sources is None:
        return Rejected(
            Reason.PARENT_NOT_ALLOWED,
            f"{account.name} cannot be {funding} where it stands: its parent or its subordinates do not allow it.",
        )
    if account.credit or account.frozen:
        return _not_empty(account)
    on_its_coins = [one for one in descendants if one.draws_from == account.id and one.running]
    if account.running or account.settled or on_its_coins:
        return _in_use(account, *on_its_coins)
    return (
        AccountChanged(
            account,
            {
                "funding": funding,
                "draws_from": source.draws_from,
                "sponsor": source.sponsor,
                "credit_limit": 0,
                "reference": None,
            },
        ),
        *(
            AccountChanged(one, {"draws_from": sources[one.id].draws_from})
            for one in descendants
            if sources[one.id].draws_from != one.draws_from
        ),
    )


def _not_empty(account: Account) -> Rejected:
    return Rejected(
        Reason.BALANCE_NOT_ZERO,
        f"{account.name} has a credit of {account.credit:,} and {account.frozen:,} frozen; both must be 0.",
    )


def _in_use(*accounts: Account) -> Rejected:
    found = next(one for one in accounts if one.running or one.settled)
    return Rejected(
        Reason.ACCOUNT_IN_USE,
        f"{found.name} ({found.account}) has something running: a session, resource, hold, pending order or subscription "
        "of its own or on its coins; end it first.",
    )


def _needs_account(command: SetCreditLimit | SuspendAccount | ResumeAccount, wanted: Wanted) -> None:
    wanted.accounts.add(command.account)


def _set_credit_limit(command: SetCreditLimit, ledger: Ledger, now: datetime) -> Decision:
    account = ledger.account(command.account)
    if account is None:
        return missing(command.account)
    if refused := closed(account) or own_coins(account):
        return refused
    limit = command.credit_limit
    reference = account.credit + limit - account.frozen
    return Applied(
        (account,), changes=(AccountChanged(account, {"credit_limit": limit, "reference": reference}),)
    )


def _suspend(command: SuspendAccount, ledger: Ledger, now: datetime) -> Decision:
    return _set_state(command.account, State.SUSPENDED, ledger)


def _resume(command: ResumeAccount, ledger: Ledger, now: datetime) -> Decision:
    return _set_state(command.account, State.ACTIVE, ledger)


def _set_state(id_: str, state: State, ledger: Ledger) -> Decision:
    account = ledger.account(id_)
    if account is None:
        return missing(id_)
    if refused := closed(account):
        return refused
    return Applied((account,), changes=(AccountChanged(account, {"state": state.value}),))


def _needs_close(command: CloseAccount, wanted: Wanted) -> None:
    wanted.accounts.add(command.account)
    wanted.subtrees.add(command.account)


def _close(command: CloseAccount, ledger: Ledger, now: datetime) -> Decision:
    account = ledger.account(command.account)
    if account is None:
        return missing(command.account)
    if refused := closed(account):
        return refused
    if account.credit or account.frozen:
        return _not_empty(account)
    if account.running or account.settled:
        return _in_use(account)
    for child in ledger.descendants(account):
        if child.parent == account.id and child.state != State.CLOSED:
            return Rejected(
                Reason.ACCOUNT_IN_USE,
                f"{child.name} ({child.account}) stands under {account.name} and is not closed.",
            )
    return Applied(
        (account,), changes=(AccountChanged(account, {"state": State.CLOSED.value}), DevicesReleased(account))
    )


RULES = {
    OpenAccount: Rule(_needs_open, _open),
    UpdateAccount: Rule(_needs_update, _update),
    SetCreditLimit: Rule(_needs_account, _set_credit_limit),
    SuspendAccount: Rule(_needs_account, _suspend),
    ResumeAccount: Rule(_needs_account, _resume),
    CloseAccount: Rule(_needs_close, _close),
}
