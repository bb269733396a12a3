"""Named examples: commands with everything filled in, so that a test names only what it is about."""

from __future__ import annotations

from typing import Any

from messages.commands import (
    ActivatePostpaid,
    Adjust,
    AllocateCredit,
    CancelOrder,
    CancelSubscription,
    CaptureHold,
    ChangeSubscription,
    CloseAccount,
    ConfirmBill,
    Cycle,
    CycleUnit,
    DebitForDeviceOnboarding,
    DeleteSubscription,
    Funding,
    Kind,
    OpenAccount,
    PayOrder,
    PlaceHold,
    PlaceOrder,
    PlanKind,
    PowerOff,
    PowerOn,
    PutPaymentMethods,
    PutPlan,
    Refund,
    ReleaseDevice,
    ReleaseHold,
    RemoveWarning,
    Renewal,
    ReportUsage,
    RequestExport,
    ResumeAccount,
    ReverseTopUp,
    SetCreditLimit,
    SetNotifications,
    SetWarning,
    Subscribe,
    SuspendAccount,
    TerminatePostpaid,
    TopUp,
    Transfer,
    UpdateAccount,
)

DAILY = Cycle(unit=CycleUnit.DAY, count=1)
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


def refund_of_order(order: str = "o1", amount: int | None = None, **given: Any) -> Refund:
    return Refund(order=order, amount=amount, **given)


def methods(country: str, *allowed: str) -> PutPaymentMethods:
    return PutPaymentMethods(country=country, methods=list(allowed))


def grant(customer: str = "carl", amount: int = 100, reseller: str = "shop", **given: Any) -> AllocateCredit:
    """Allotment from the parent; with a negative amount it is reclaimed."""
    return AllocateCredit(reseller=reseller, customer=customer, amount=amount, **given)


def order(id_: str = "o1", account: str = "acme", price: int | None = 10, **given: Any) -> PlaceOrder:
    """A package, paid at once by balance unless told otherwise."""
    return PlaceOrder.model_validate(
        {"order": id_, "account": account, "price": price, "kind": "package", "product": "Pro", **given}
    )


def pay(id_: str = "o1", **given: Any) -> PayOrder:
    return PayOrder(order=id_, **given)


def cancel_order(id_: str = "o1", **given: Any) -> CancelOrder:
    return CancelOrder(order=id_, **given)


def power_on(session: str = "run", account: str = "acme", phone: str = "p1", **given: Any) -> PowerOn:
    """One coin a minute, from noon on 1 March 2026."""
    given.setdefault("at", "2026-03-01T12:00:00Z")
    return PowerOn(account=account, session=session, phone=phone, rate=given.pop("rate", "1"), **given)


def power_off(session: str = "run", at: str = "2026-03-01T12:10:00Z") -> PowerOff:
    """After ten minutes."""
    return PowerOff.model_validate({"session": session, "at": at})


def hold(id_: str = "h1", account: str = "acme", amount: int = 10, **given: Any) -> PlaceHold:
    return PlaceHold(hold=id_, account=account, amount=amount, **given)


def capture(id_: str = "h1", amount: int | None = None, **given: Any) -> CaptureHold:
    return CaptureHold(hold=id_, amount=amount, **given)


def release_hold(id_: str = "h1") -> ReleaseHold:
    return ReleaseHold(hold=id_)


def activation(
    resource: str = "r1", account: str = "acme", estimate: int = 10, **given: Any
) -> ActivatePostpaid:
    return ActivatePostpaid(account=account, resource=resource, estimate=estimate, **given)


def usage(resource: str = "r1", amount: int = 1, **given: Any) -> ReportUsage:
    return ReportUsage(resource=resource, amount=amount, **given)


def termination(resource: str = "r1") -> TerminatePostpaid:
    return TerminatePostpaid(resource=resource)


def subscribe(id_: str = "s1", account: str = "acme", plan: str = "pro", **given: Any) -> Subscribe:
    """To a package, paid by balance, from now on unless told otherwise."""
    return Subscribe.model_validate(
        {"subscription": id_, "account": account, "plan": plan, "kind": "package", **given}
    )


def subscribe_devices(*devices: str, id_: str = "s1", plan: str = "again", **given: Any) -> Subscribe:
    return subscribe(id_, plan=plan, kind="device", goods=list(devices), **given)


def next_cycle(id_: str = "s1", account: str = "acme", cycle_no: int | None = None) -> Renewal:
    """The renewal of a subscription: the next unpaid cycle, or one by its number."""
    return Renewal(account=account, subscription=id_, cycle_no=cycle_no)


def change(id_: str = "s1", **given: Any) -> ChangeSubscription:
    return ChangeSubscription(subscription=id_, **given)


def cancel(id_: str = "s1", at: str = "now") -> CancelSubscription:
    return CancelSubscription.model_validate({"subscription": id_, "at": at})


def delete(id_: str = "s1") -> DeleteSubscription:
    return DeleteSubscription(subscription=id_)


def confirmation(bill: str = "carl.2026-02", confirmed_by: str = "shop") -> ConfirmBill:
    return ConfirmBill(bill=bill, confirmed_by=confirmed_by)


def warning(id_: str = "w1", account: str = "acme", set_by: str = "acme", **given: Any) -> SetWarning:
    """Below ten coins, unless told otherwise."""
    return SetWarning(
        warning=id_,
        account=account,
        set_by=set_by,
        **(given if "percent" in given else {"amount": 10, **given}),
    )


def remove_warning(id_: str = "w1", set_by: str = "acme") -> RemoveWarning:
    return RemoveWarning(warning=id_, set_by=set_by)


def notifications(account: str = "acme", *, enabled: bool = False) -> SetNotifications:
    return SetNotifications(account=account, enabled=enabled)


def export(id_: str = "e1", account: str = "acme", report: str = "statement", **given: Any) -> RequestExport:
    return RequestExport.model_validate({"export": id_, "account": account, "report": report, **given})
