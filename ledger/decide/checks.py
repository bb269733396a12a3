"""Checks that many commands share. Each answers with a refusal, or None where all is well."""

from __future__ import annotations

from ledger.model import MAX_BALANCE, Account, Rejected, State
from messages.reasons import Reason


def missing(id_: str) -> Rejected:
    return Rejected(Reason.ACCOUNT_NOT_FOUND, f"There is no account {id_}.")


def closed(*accounts: Account) -> Rejected | None:
    for account in accounts:
        if account.state == State.CLOSED:
            return Rejected(Reason.ACCOUNT_CLOSED, f"{account.name} ({account.account}) is closed, for good.")
    return None


def suspended(*accounts: Account) -> Rejected | None:
    for account in accounts:
        if account.state == State.SUSPENDED:
            return Rejected(
                Reason.ACCOUNT_SUSPENDED,
                f"{account.name} ({account.account}) is suspended; ask {contact(account)} to have it resumed.",
            )
    return None


def own_coins(*accounts: Account) -> Rejected | None:
    """Whether each of them has coins of its own: reasons in their order, whichever account they concern."""
    for account in accounts:
        if account.funding == "shared":
            return Rejected(
                Reason.SHARED_BALANCE_ACCOUNT,
                f"{account.name} ({account.account}) has no coins of its own; it draws on its master's.",
            )
    for account in accounts:
        if account.funding == "sponsored":
            return Rejected(
                Reason.SPONSORED_ACCOUNT,
                f"{account.name} ({account.account}) has an allotment, no coins of its own.",
            )
    return None


def too_much(account: Account, amount: int) -> Rejected | None:
    """Whether the account would hold more than can be counted."""
    if account.credit + amount > MAX_BALANCE:
        return Rejected(Reason.AMOUNT_TOO_LARGE, f"{account.name} would hold more than {MAX_BALANCE:,}.")
    return None


def contact(account: Account) -> str:
    """Whom to ask about an account: its parent."""
    return (
        f"{account.contact_name} ({account.contact_email})" if account.contact_email else account.contact_name
    )


def needed(amount: int) -> str:
    """An amount that is needed, in words."""
    return f"{amount:,} {'is' if amount == 1 else 'are'} needed"
