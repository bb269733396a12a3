"""What is paid cycle by cycle: Subscribe, ChangeSubscription, CancelSubscription, DeleteSubscription, Renewal of one."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from ledger.decide.charges import may_purchase
from ledger.decide.checks import closed, missing
from ledger.decide.cycles import (
    ACTIVE,
    CANCELED,
    DEVICE,
    PAST_DUE,
    SCHEDULED,
    SUSPENDED,
    active_goods,
    canceled_with,
    due_cycle,
    kind_of_plan,
    not_active,
    pay_cycle,
    terms_of,
    told,
)
from ledger.decide.methods import needs_method
from ledger.decide.rule import Ledger, Rule, Wanted
from ledger.model import (
    Account,
    Announcement,
    Applied,
    Decision,
    Rejected,
)
from ledger.records import Device, Plan, Subscription
from messages.commands import (
    CancelAt,
    CancelSubscription,
    ChangeSubscription,
    DeleteSubscription,
    PaymentMethod,
    Renewal,
    Subscribe,
    SubscriptionKind,
)
from messages.events import EventType
from messages.fields import time_text
from messages.reasons import Reason


def _needs_subscribe(command: Subscribe, wanted: Wanted) -> None:
    wanted.accounts.add(command.account)
    wanted.row(Subscription, command.subscription)
    wanted.row(Plan, command.plan)
    if command.kind is SubscriptionKind.DEVICE:
        wanted.row(Device, *command.goods)
    # As for any new order, should somebody ask to pay that of the first cycle.
    needs_method("", command.account, wanted)


def _subscribe(command: Subscribe, ledger: Ledger, now: datetime) -> Decision:
    account = ledger.account(command.account)
    if account is None:
        return missing(command.account)
    if refused := may_purchase(account, ledger):
        return refused
    terms = terms_of(command.plan, command.kind.value, len(command.goods), ledger)
    if isinstance(terms, Rejected):
        return terms
    if command.kind is SubscriptionKind.DEVICE and (refused := not_active(command.goods, account, ledger)):
        return refused
    start = command.start_at or now
    begun = start <= now
    subscription = Subscription(
        subscription=command.subscription,
        account=account.id,
        plan=command.plan,
        kind=command.kind.value,
        goods=command.goods,
        used_by=command.user,
        payment_method=command.payment_method.value,
        status=ACTIVE if begun else SCHEDULED,
        created_at=now,
        start_at=start,
        zone=account.timezone,
        anchor=start,
        anchor_no=1,
        cycle_unit=terms.cycle.unit,
        cycle_count=terms.cycle.count,
        paid_cycles=0,
        paid_until=None,
        next_payment_at=start,
        cancel_at=None,
        canceled_at=None,
        deleted_at=None,
        next_try_at=start,
    )
    due = due_cycle(subscription, terms, account, ledger)
    if isinstance(due, Rejected):
        return due
    if ledger.get(Subscription, command.subscription) is not None:
        return Rejected(
            Reason.SUBSCRIPTION_EXISTS, f"There is or was a subscription {command.subscription} already."
        )
    if not begun or command.payment_method is PaymentMethod.MANUAL:
        return Applied((account,), changes=(subscription,))
    return pay_cycle(subscription, due, account, ledger, now)


def needs_renewal(command: Renewal, wanted: Wanted) -> None:
    wanted.row(Subscription, command.subscription)
    needs_method("", command.account, wanted)


def renew(command: Renewal, account: Account, ledger: Ledger, now: datetime) -> Decision:
    """The next unpaid cycle of a subscription is paid, which may be ahead of its time."""
    subscription: Subscription | None = ledger.get(Subscription, command.subscription)
    if subscription is None or subscription.account != account.id or subscription.deleted_at is not None:
        return _no_subscription(command.subscription or "", f" of {account.name} ({account.account})")
    goods = subscription.goods
    if subscription.kind == DEVICE:
        goods = [device.device for device in active_goods(goods, account, ledger)]
    terms = terms_of(subscription.plan, subscription.kind, len(goods), ledger)
    if isinstance(terms, Rejected):
        return terms
    # Made anew only where goods have dropped out: of a hundred thousand renewals it would be a tenth of the work.
    charged = subscription if goods == subscription.goods else replace(subscription, goods=goods)
    due = due_cycle(charged, terms, account, ledger)
    if isinstance(due, Rejected):
        return due
    if refused := _not_charged(subscription):
        return refused
    number = subscription.paid_cycles + 1
    asked = command.cycle_no if command.cycle_no is not None else number
    if asked < number:
        return Rejected(
            Reason.ALREADY_RENEWED,
            f"Cycle {asked} of {subscription.subscription} is paid; the next is {number}.",
        )
    if asked > number:
        return Rejected(
            Reason.CYCLE_NOT_DUE, f"Cycle {number} of {subscription.subscription} comes before {asked}."
        )
    if subscription.kind == DEVICE and not goods:
        canceled, said = canceled_with(subscription, account, now, "no device of it is active any more")
        return Applied(
            (account,),
            changes=(replace(canceled, goods=[]),),
            announced=(said,),
            message=f"No device of {subscription.subscription} is active any more: it is canceled, nothing was charged.",
        )
    announced = Announcement(
        EventType.SUBSCRIPTION_RENEWED,
        account,
        {
            "subscription": subscription.subscription,
            "cycle_no": number,
            "period": told(due.period.begins_at, due.period.ends_at),
            "reason": None,
            "next_try": None,
        },
    )
    return pay_cycle(charged, due, account, ledger, now, announced=(announced,))


def _not_charged(subscription: Subscription) -> Rejected | None:
    """Whether it is canceled, or will be with what is paid."""
    if subscription.status == CANCELED:
        return Rejected(Reason.SUBSCRIPTION_NOT_ACTIVE, f"{subscription.subscription} is canceled.")
    if subscription.cancel_at is not None:
        return Rejected(
            Reason.SUBSCRIPTION_NOT_ACTIVE,
            f"{subscription.subscription} ends at {time_text(subscription.cancel_at.replace(microsecond=0))}; "
            "nothing more is charged.",
        )
    return None


def _no_subscription(id_: str, whose: str = "") -> Rejected:
    return Rejected(Reason.SUBSCRIPTION_NOT_FOUND, f"There is no subscription {id_}{whose}.")


def _found(id_: str, ledger: Ledger) -> tuple[Subscription, Account] | Rejected:
    """A subscription that is not deleted, and whose it is."""
    subscription: Subscription | None = ledger.get(Subscription, id_)
    if subscription is None or subscription.deleted_at is not None:
        return _no_subscription(id_)
    account = ledger.by_key(subscription.account)
    return closed(account) or (subscription, account)


def _needs_change(command: ChangeSubscription, wanted: Wanted) -> None:
    wanted.row(Subscription, command.subscription)
    if command.plan:
        wanted.row(Plan, command.plan)
    # Goods of another kind than device are looked for as devices, and not looked at.
    wanted.row(Device, *(command.goods or ()))


def _change(command: ChangeSubscription, ledger: Ledger, now: datetime) -> Decision:
    found = _found(command.subscription, ledger)
    if isinstance(found, Rejected):
        return _no_such_plan(command.plan, found, ledger)
    subscription, account = found
    goods = command.goods if command.goods is not None else subscription.goods
    plan = command.plan or subscription.plan
    if command.plan is not None or command.goods is not None:
        terms = terms_of(plan, subscription.kind, max(1, len(goods)), ledger)
        if isinstance(terms, Rejected):
            return terms
    if command.goods is not None and subscription.kind == DEVICE:
        if not goods:
            return Rejected(
                Reason.DEVICE_NOT_FOUND,
                f"{subscription.subscription} pays for devices; name at least one, or cancel it.",
            )
        if refused := not_active(goods, account, ledger):
            return refused
    if refused := _not_charged(subscription):
        return refused
    method = command.payment_method.value if command.payment_method else subscription.payment_method
    changed = replace(subscription, plan=plan, goods=goods, payment_method=method)
    if method != subscription.payment_method and subscription.status in (PAST_DUE, SUSPENDED):
        # What is owed is tried at once by the new method, or left to be paid by hand.
        changed = replace(changed, next_try_at=subscription.next_payment_at)
    return Applied((account,), changes=(changed,))


def _no_such_plan(plan: str | None, otherwise: Rejected, ledger: Ledger) -> Rejected:
    """A plan that one cannot subscribe to comes before a subscription that is not there; not so a closed account."""
    if plan is None or otherwise.reason != Reason.SUBSCRIPTION_NOT_FOUND:
        return otherwise
    known: Plan | None = ledger.get(Plan, plan)
    terms = terms_of(plan, kind_of_plan(known) if known else DEVICE, 1, ledger)
    return terms if isinstance(terms, Rejected) else otherwise


def _needs_named(command: CancelSubscription | DeleteSubscription, wanted: Wanted) -> None:
    wanted.row(Subscription, command.subscription)


def _cancel(command: CancelSubscription, ledger: Ledger, now: datetime) -> Decision:
    found = _found(command.subscription, ledger)
    if isinstance(found, Rejected):
        return found
    subscription, account = found
    at_once = command.at is CancelAt.NOW
    if subscription.status == CANCELED or (subscription.cancel_at is not None and not at_once):
        return _not_charged(subscription) or _no_subscription(command.subscription)
    if not at_once and subscription.paid_until is not None and subscription.paid_until > now:
        # What is paid ahead begins first.
        scheduled = subscription.status == SCHEDULED
        return Applied(
            (account,),
            changes=(
                replace(
                    subscription,
                    cancel_at=subscription.paid_until,
                    next_payment_at=None,
                    next_try_at=subscription.start_at if scheduled else subscription.paid_until,
                ),
            ),
        )
    canceled, said = canceled_with(subscription, account, now, None)
    return Applied((account,), changes=(canceled,), announced=(said,))


def _delete(command: DeleteSubscription, ledger: Ledger, now: datetime) -> Decision:
    found = _found(command.subscription, ledger)
    if isinstance(found, Rejected):
        return found
    subscription, account = found
    if subscription.status != CANCELED:
        first = (
            f"ends at {time_text(subscription.cancel_at.replace(microsecond=0))}; delete it then, or cancel it now"
            if subscription.cancel_at
            else f"is {subscription.status}; cancel it"
        )
        return Rejected(Reason.SUBSCRIPTION_NOT_CANCELED, f"{subscription.subscription} {first} first.")
    return Applied((account,), changes=(replace(subscription, deleted_at=now),))


RULES = {
    Subscribe: Rule(_needs_subscribe, _subscribe),
    ChangeSubscription: Rule(_needs_change, _change),
    CancelSubscription: Rule(_needs_named, _cancel),
    DeleteSubscription: Rule(_needs_named, _delete),
}
