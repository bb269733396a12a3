"""Named examples: commands with everything filled in, so that a test names only what it is about."""

from __future__ import annotations

from typing import Any

from messages.commands import (
    Adjust,
    CloseAccount,
    Cycle,
    CycleUnit,
    DebitForDeviceOnboarding,
    Funding,
    Kind,
    OpenAccount,
    PlanKind,
    PutPlan,
    Refund,
    ReleaseDevice,
    Renewal,
    ResumeAccount,
    ReverseTopUp,
    SetCreditLimit,
    SuspendAccount,
    TopUp,
    Transfer,
    UpdateAccount,
)

MONTHLY = Cycle(unit=CycleUnit.MONTH, count=1)
YEARLY = Cycle(unit=CycleUnit.YEAR, count=1)
LONGEST = Cycle(unit=CycleUnit.YEAR, count=120)
MOST = 10**15


def opened(
    account: str, parent: str, kind: Kind, funding: Funding = Funding.OWN, **given: Any
) -> OpenAccount:
    return OpenAccount(
        account=account, parent=parent, kind=kind, name=given.pop("name", account), funding=funding, **given
    )


def enterprise(account: str = "acme", **given: Any) -> OpenAccount:
    """A top account with coins of its own."""
    return opened(account, "platform", Kind.ENTERPRISE, **given)


def branch(account: str = "north", parent: str = "acme", **given: Any) -> OpenAccount:
    """A part of an enterprise with coins of its own."""
    return opened(account, parent, Kind.BRANCH, **given)


def department(account: str = "dept", parent: str = "acme", **given: Any) -> OpenAccount:
    """A part of an enterprise that draws on its master."""
    return opened(account, parent, Kind.BRANCH, Funding.SHARED, **given)


def distributor(account: str = "dist", **given: Any) -> OpenAccount:
    return opened(account, "platform", Kind.DISTRIBUTOR, **given)


def reseller(account: str = "shop", parent: str = "platform", **given: Any) -> OpenAccount:
    return opened(account, parent, Kind.RESELLER, **given)


def sponsored_customer(account: str = "carl", parent: str = "shop", **given: Any) -> OpenAccount:
    """A customer with an allotment, for which its reseller pays too."""
    return opened(account, parent, Kind.CUSTOMER, Funding.SPONSORED, **given)


def top_up(account: str = "acme", amount: int = 100, **given: Any) -> TopUp:
    return TopUp(account=account, amount=amount, **given)


def reversal(transaction: str | None) -> ReverseTopUp:
    assert transaction is not None
    return ReverseTopUp(transaction=transaction)


def transfer(
    from_account: str = "acme", to_account: str = "north", amount: int = 10, **given: Any
) -> Transfer:
    return Transfer(from_account=from_account, to_account=to_account, amount=amount, **given)


def adjustment(account: str = "acme", amount: int = 1, **given: Any) -> Adjust:
    return Adjust(account=account, amount=amount, note=given.pop("note", "put right"), **given)


def limit(account: str = "acme", credit_limit: int = 50) -> SetCreditLimit:
    return SetCreditLimit(account=account, credit_limit=credit_limit)


def suspend(account: str = "acme") -> SuspendAccount:
    return SuspendAccount(account=account)


def resume(account: str = "acme") -> ResumeAccount:
    return ResumeAccount(account=account)


def closing(account: str = "acme") -> CloseAccount:
    return CloseAccount(account=account)


def funding(account: str, to: str) -> UpdateAccount:
    return UpdateAccount(account=account, funding=Funding(to))


def onboarding(account: str = "acme", *devices: str, price: int | None = 1, **given: Any) -> Any:
    return DebitForDeviceOnboarding(account=account, devices=list(devices or ("d1",)), price=price, **given)


def renewal(account: str = "acme", *devices: str, price: int | None = 1, **given: Any) -> Renewal:
    return Renewal(
        account=account,
        devices=list(devices or ("d1",)),
        price=price,
        cycle=given.pop("cycle", MONTHLY),
        **given,
    )


def release(account: str = "acme", device: str = "d1") -> ReleaseDevice:
    return ReleaseDevice(account=account, device=device)


def refund(transaction: str | None, amount: int | None = None) -> Refund:
    assert transaction is not None
    return Refund(transaction=transaction, amount=amount)


def plan(id_: str = "tracker", kind: str = "onboarding", **given: Any) -> PutPlan:
    return PutPlan(plan=id_, name=given.pop("name", f"Plan {id_}"), kind=PlanKind(kind), **given)
