"""The reckoning of accounts, and of coins that come in, go back, move and are granted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from deploy.demo.books import PLATFORM, Account, Books, Entry, No, with_own_coins
from messages.commands import (
    Adjust,
    AllocateCredit,
    CloseAccount,
    Command,
    Funding,
    Kind,
    OpenAccount,
    PutPaymentMethods,
    ReverseTopUp,
    SetCreditLimit,
    SuspendAccount,
    TopUp,
    Transfer,
    UpdateAccount,
)
from messages.reasons import Reason

MAY_STAND_UNDER: dict[Kind, tuple[str, ...]] = {
    Kind.DISTRIBUTOR: (PLATFORM,),
    Kind.RESELLER: (PLATFORM, "distributor"),
    Kind.ENTERPRISE: (PLATFORM,),
    Kind.AGENT: ("enterprise", "agent", "branch", "reseller", "distributor"),
    Kind.BRANCH: ("enterprise", "agent", "branch", "reseller", "distributor"),
    Kind.CUSTOMER: ("reseller", "distributor", "agent"),
}


def open_account(books: Books, command: OpenAccount) -> None:
    if command.account in books.accounts:
        raise No(Reason.ACCOUNT_EXISTS)
    parent = books.named(command.parent)[0] if command.parent != PLATFORM else None
    if (parent.kind if parent else PLATFORM) not in MAY_STAND_UNDER[command.kind]:
        raise No(Reason.PARENT_NOT_ALLOWED)
    if command.funding is Funding.SHARED and (parent is None or parent.funding is Funding.SPONSORED):
        raise No(Reason.PARENT_NOT_ALLOWED)
    if command.funding is Funding.SPONSORED and (
        parent is None
        or parent.kind not in (Kind.RESELLER, Kind.DISTRIBUTOR)
        or parent.funding is not Funding.OWN
    ):
        raise No(Reason.PARENT_NOT_ALLOWED)
    account = Account(
        command.account,
        command.name,
        command.kind,
        command.funding,
        command.parent,
        command.email,
        command.country,
        limit=command.credit_limit,
    )
    if command.credit_limit:
        with_own_coins(account)
    books.accounts[account.id] = account


def update_account(books: Books, command: UpdateAccount) -> None:
    """The day changes addresses, which nothing is reckoned from."""
    books.named(command.account)


def set_credit_limit(books: Books, command: SetCreditLimit) -> None:
    (account,) = books.named(command.account)
    with_own_coins(account)
    account.limit = command.credit_limit


def suspend_account(books: Books, command: SuspendAccount) -> None:
    (account,) = books.named(command.account)
    account.state = "suspended"


def close_account(books: Books, command: CloseAccount) -> None:
    (account,) = books.named(command.account)
    if account.credit or account.frozen:
        raise No(Reason.BALANCE_NOT_ZERO)
    if any(account in books.above(one) and one.state != "closed" for one in books.accounts.values()):
        raise No(Reason.ACCOUNT_IN_USE)
    account.state = "closed"


def put_payment_methods(books: Books, command: PutPaymentMethods) -> None:
    books.methods[command.country] = command.methods


def may_pay_by(books: Books, account: Account, method: str) -> None:
    """A country that was never put allows every method, and `offline` is always allowed."""
    allowed = books.methods.get(account.country or "")
    if allowed is not None and method not in (*allowed, "offline"):
        raise No(Reason.PAYMENT_METHOD_NOT_AVAILABLE)


def top_up(books: Books, command: TopUp) -> None:
    (account,) = books.named(command.account)
    with_own_coins(account)
    may_pay_by(books, account, command.method)
    reference = (books.top(account), command.method, command.reference) if command.reference else None
    if reference in books.references:
        raise No(Reason.DUPLICATE_REFERENCE)
    if reference is not None:
        books.references.add(reference)
    books.post(account, [Entry(account, "recharge", command.amount, None)], reference=reference)


def reverse_top_up(books: Books, command: ReverseTopUp) -> None:
    posting = books.postings.get(command.transaction)
    if posting is None:
        raise No(Reason.TRANSACTION_NOT_FOUND)
    if posting.entries[0].type != "recharge" or posting.returned:
        raise No(Reason.NOT_REFUNDABLE)
    if posting.reference is not None:
        books.references.remove(posting.reference)
    posting.returned = posting.amount
    books.post(posting.consumer, [Entry(posting.consumer, "recharge_reversal", -posting.amount, None)])


def transfer(books: Books, command: Transfer) -> None:
    source, target, orderer = books.named(command.from_account, command.to_account, command.ordered_by)
    if orderer.state == "suspended":
        raise No(Reason.ACCOUNT_SUSPENDED)
    if source is target:
        raise No(Reason.SAME_ACCOUNT)
    if orderer not in (source, *books.above(source)) or orderer not in (target, *books.above(target)):
        raise No(Reason.NOT_IN_HIERARCHY)
    with_own_coins(source, target)
    books.can_pay(books.payers(source), command.amount)
    out = Entry(source, "transfer_out", -command.amount, None)
    books.post(source, [out, Entry(target, "transfer_in", command.amount, None)])


def allocate_credit(books: Books, command: AllocateCredit) -> None:
    """Grants take nothing from anybody, and may be more than the sponsor has; purchases take."""
    reseller, customer = books.named(command.reseller, command.customer)
    if reseller is customer:
        raise No(Reason.SAME_ACCOUNT)
    if customer.parent != reseller.id:
        raise No(Reason.NOT_IN_HIERARCHY)
    if customer.funding is not Funding.SPONSORED:
        raise No(Reason.NOT_SPONSORED)
    if customer.available + command.amount < 0 and command.amount < 0:
        raise No(Reason.RECLAIM_EXCEEDS_AVAILABLE)
    type_ = "allocation" if command.amount > 0 else "reclaim"
    books.post(customer, [Entry(customer, type_, command.amount, None)])


def adjust(books: Books, command: Adjust) -> None:
    (account,) = books.named(command.account)
    with_own_coins(account)
    if command.amount < 0:
        books.can_pay(books.payers(account), -command.amount)
    books.post(account, [Entry(account, "adjustment", command.amount, None)])


RULES: dict[type[Command], Callable[[Books, Any], None]] = {
    OpenAccount: open_account,
    UpdateAccount: update_account,
    SetCreditLimit: set_credit_limit,
    SuspendAccount: suspend_account,
    CloseAccount: close_account,
    PutPaymentMethods: put_payment_methods,
    TopUp: top_up,
    ReverseTopUp: reverse_top_up,
    Transfer: transfer,
    AllocateCredit: allocate_credit,
    Adjust: adjust,
}
