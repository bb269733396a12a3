"""What is paid cycle by cycle: Subscribe, ChangeSubscription, CancelSubscription, DeleteSubscription, Renewal of one."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from ledger.decide.charges import charge, may_purchase, payers_of, plan_for, price_of, short_of, total_of
from ledger.decide.checks import closed, missing
from ledger.decide.devices import cycle_of, no_device
from ledger.decide.orders import COMPLETED
from ledger.decide.rule import Ledger, Rule, Wanted
from ledger.model import (
    Account,
    Announcement,
    Applied,
    Change,
    Decision,
    Rejected,
    Transaction,
    TransactionType,
    WithTransaction,
)
from ledger.periods import Cycle, nth
from ledger.records import Device, Order, Plan, Subscription, SubscriptionCycle
from messages.commands import (
    BALANCE,
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

SCHEDULED, ACTIVE, PAST_DUE, SUSPENDED, CANCELED = "scheduled", "active", "past_due", "suspended", "canceled"
DEVICE = SubscriptionKind.DEVICE.value
# Each charged cycle of these is an order.
_ORDERED = (SubscriptionKind.PACKAGE.value, SubscriptionKind.PROXY.value)


class Terms(NamedTuple):
    """What a cycle costs and how long it lasts, by a plan that can be subscribed to."""

    plan: Plan
    amount: int
    cycle: Cycle


class Period(NamedTuple):
    """A cycle's period, and from where it was counted: cycle `anchor_no` begins at `anchor`."""

    begins_at: datetime
    ends_at: datetime
    anchor: datetime
    anchor_no: int


def _terms(plan_id: str, kind: str, goods: int, ledger: Ledger) -> Terms | Rejected:
    """Of a device subscription the price is for each of its goods; of others, for all."""
    plan = plan_for(plan_id, "renewal" if kind == DEVICE else kind, ledger)
    if plan is None or isinstance(plan, Rejected):
        return plan or Rejected(Reason.PLAN_NOT_FOUND, f"There is no plan {plan_id}.")
    price = price_of(None, plan)
    if isinstance(price, Rejected):
        return price
    cycle = cycle_of(plan)
    if cycle is None:
        return Rejected(
            Reason.CYCLE_REQUIRED, f"{plan.name} ({plan.plan}) has no cycle; one cannot subscribe to it."
        )
    amount = total_of(price, goods if kind == DEVICE else 1)
    return amount if isinstance(amount, Rejected) else Terms(plan, amount, cycle)


def _next_period(subscription: Subscription, cycle: Cycle) -> Period | Rejected:
    """The period of the next cycle. A cycle of another length is counted from the end of what is paid."""
    number = subscription.paid_cycles + 1
    anchor, anchor_no = subscription.anchor, subscription.anchor_no
    if cycle != Cycle(subscription.cycle_unit, subscription.cycle_count):
        anchor, anchor_no = subscription.paid_until or subscription.start_at, number
    try:
        begins = nth(anchor, cycle, number - anchor_no, subscription.zone)
        ends = nth(anchor, cycle, number - anchor_no + 1, subscription.zone)
    except OverflowError as error:
        return _too_long(error)
    return Period(begins, ends, anchor, anchor_no)


def _active(goods: list[str], account: Account, ledger: Ledger) -> list[Device]:
    """Those of the goods that are devices active under the account."""
    devices: list[Device | None] = [ledger.get(Device, id_) for id_ in goods]
    return [device for device in devices if device is not None and device.account == account.id]


def _inactive(goods: list[str], account: Account, ledger: Ledger) -> Rejected | None:
    active = {device.device for device in _active(goods, account, ledger)}
    bad = next((id_ for id_ in goods if id_ not in active), None)
    return no_device(bad, account) if bad is not None else None


def _needs_subscribe(command: Subscribe, wanted: Wanted) -> None:
    wanted.accounts.add(command.account)
    wanted.row(Subscription, command.subscription)
    wanted.row(Plan, command.plan)
    if command.kind is SubscriptionKind.DEVICE:
        wanted.row(Device, *command.goods)


def _subscribe(command: Subscribe, ledger: Ledger, now: datetime) -> Decision:
    account = ledger.account(command.account)
    if account is None:
        return missing(command.account)
    if refused := may_purchase(account, ledger):
        return refused
    terms = _terms(command.plan, command.kind.value, len(command.goods), ledger)
    if isinstance(terms, Rejected):
        return terms
    if command.kind is SubscriptionKind.DEVICE and (refused := _inactive(command.goods, account, ledger)):
        return refused
    start = command.start_at or now
    begun = start <= now
    subscription = Subscription(
        command.subscription,
        account.id,
        command.plan,
        command.kind.value,
        command.goods,
        command.user,
        command.payment_method.value,
        ACTIVE if begun else SCHEDULED,
        now,
        start,
        account.timezone,
        start,
        1,
        terms.cycle.unit,
        terms.cycle.count,
        0,
        None,
        start,
        None,
        None,
        None,
    )
    period = _next_period(subscription, terms.cycle)
    if isinstance(period, Rejected):
        return period
    if ledger.get(Subscription, command.subscription) is not None:
        return Rejected(
            Reason.SUBSCRIPTION_EXISTS, f"There is or was a subscription {command.subscription} already."
        )
    if not begun or command.payment_method is PaymentMethod.MANUAL:
        return Applied((account,), changes=(subscription,))
    return _pay_cycle(subscription, terms, period, account, ledger, now)


def _pay_cycle(
    subscription: Subscription,
    terms: Terms,
    period: Period,
    account: Account,
    ledger: Ledger,
    now: datetime,
    announced: tuple[Announcement, ...] = (),
) -> Decision:
    """The next cycle is charged, and everything moves on with it; or it is refused."""
    moved = _moved(subscription, period, terms.cycle, account, ledger)
    if isinstance(moved, Rejected):
        return moved
    payers = payers_of(account, ledger)
    if refused := short_of(payers, terms.amount):
        return refused
    number = subscription.paid_cycles + 1
    paid = replace(
        subscription,
        status=_status_when_paid(subscription.status, period.ends_at, now),
        anchor=period.anchor,
        anchor_no=period.anchor_no,
        cycle_unit=terms.cycle.unit,
        cycle_count=terms.cycle.count,
        paid_cycles=number,
        paid_until=period.ends_at,
        next_payment_at=period.ends_at,
    )
    changes: list[Change] = [
        paid,
        WithTransaction(
            SubscriptionCycle(
                paid.subscription,
                number,
                period.begins_at,
                period.ends_at,
                terms.plan.plan,
                paid.goods,
                terms.amount,
                now,
            )
        ),
    ]
    changes += moved
    order_id = None
    if paid.kind in _ORDERED:
        order_id = f"{paid.subscription}/{number}"
        changes.append(WithTransaction(_order_of(paid, order_id, terms, now)))
    return Applied(
        (account,),
        Transaction(
            account,
            charge(
                payers,
                terms.amount,
                TransactionType.ORDER if order_id and number == 1 else TransactionType.RENEWAL,
            ),
            item=terms.plan.name,
            devices=paid.goods if paid.kind not in _ORDERED and paid.goods else None,
            order=order_id,
        ),
        tuple(changes),
        announced=announced,
    )


def _status_when_paid(status: str, paid_until: datetime, now: datetime) -> str:
    """Paying revives it: past due where there is still more to be paid for."""
    if paid_until > now:
        return ACTIVE
    return PAST_DUE if status in (PAST_DUE, SUSPENDED) else ACTIVE


def _moved(
    subscription: Subscription, period: Period, cycle: Cycle, account: Account, ledger: Ledger
) -> list[Device] | Rejected:
    """The devices of a device subscription, paid until the end of the period; those that were paid for beyond its
    beginning, a cycle longer."""
    if subscription.kind != DEVICE:
        return []
    moved: list[Device] = []
    for device in _active(subscription.goods, account, ledger):
        until = period.ends_at
        if device.paid_until is not None and device.paid_until > period.begins_at:
            try:
                until = nth(device.paid_until, cycle, 1, subscription.zone)
            except OverflowError as error:
                return _too_long(error)
        moved.append(replace(device, paid_until=until))
    return moved


def _too_long(error: OverflowError) -> Rejected:
    return Rejected(Reason.INVALID_TIME, f"It would be paid for too long: {error}.")


def _order_of(subscription: Subscription, id_: str, terms: Terms, now: datetime) -> Order:
    return Order(
        id_,
        subscription.account,
        subscription.kind,
        terms.plan.name,
        terms.plan.plan,
        terms.amount,
        1,
        terms.amount,
        COMPLETED,
        BALANCE,
        None,
        None,
        None,
        now,
        now,
    )


def needs_renewal(command: Renewal, wanted: Wanted) -> None:
    wanted.row(Subscription, command.subscription)


def renew(command: Renewal, account: Account, ledger: Ledger, now: datetime) -> Decision:
    """The next unpaid cycle of a subscription is paid, which may be ahead of its time."""
    subscription: Subscription | None = ledger.get(Subscription, command.subscription)
    if subscription is None or subscription.account != account.id or subscription.deleted_at is not None:
        return _no_subscription(command.subscription or "", f" of {account.name} ({account.account})")
    goods = subscription.goods
    if subscription.kind == DEVICE:
        goods = [device.device for device in _active(goods, account, ledger)]
    terms = _terms(subscription.plan, subscription.kind, len(goods), ledger)
    if isinstance(terms, Rejected):
        return terms
    period = _next_period(subscription, terms.cycle)
    if isinstance(period, Rejected):
        return period
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
        canceled, said = _canceled(subscription, account, now, "no device of it is active any more")
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
            "period": _told(period.begins_at, period.ends_at),
            "reason": None,
            "next_try": None,
        },
    )
    return _pay_cycle(
        replace(subscription, goods=goods), terms, period, account, ledger, now, announced=(announced,)
    )


def _told(begins_at: datetime | None, ends_at: datetime | None) -> dict[str, str | None]:
    return {
        "from": time_text(begins_at) if begins_at else None,
        "to": time_text(ends_at) if ends_at else None,
    }


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
        return found
    subscription, account = found
    goods = command.goods if command.goods is not None else subscription.goods
    plan = command.plan or subscription.plan
    if command.plan is not None or command.goods is not None:
        terms = _terms(plan, subscription.kind, max(1, len(goods)), ledger)
        if isinstance(terms, Rejected):
            return terms
    if command.goods is not None and subscription.kind == DEVICE:
        if not goods:
            return Rejected(
                Reason.DEVICE_NOT_FOUND,
                f"{subscription.subscription} pays for devices; name at least one, or cancel it.",
            )
        if refused := _inactive(goods, account, ledger):
            return refused
    if refused := _not_charged(subscription):
        return refused
    method = command.payment_method.value if command.payment_method else subscription.payment_method
    return Applied(
        (account,), changes=(replace(subscription, plan=plan, goods=goods, payment_method=method),)
    )


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
        return Applied(
            (account,),
            changes=(replace(subscription, cancel_at=subscription.paid_until, next_payment_at=None),),
        )
    canceled, said = _canceled(subscription, account, now, None)
    return Applied((account,), changes=(canceled,), announced=(said,))


def _canceled(
    subscription: Subscription, account: Account, now: datetime, reason: str | None
) -> tuple[Subscription, Announcement]:
    canceled = replace(subscription, status=CANCELED, canceled_at=now, cancel_at=None, next_payment_at=None)
    data = {
        "subscription": subscription.subscription,
        "cycle_no": subscription.paid_cycles,
        "period": _told(None, subscription.paid_until),
        "reason": reason,
        "next_try": None,
    }
    return canceled, Announcement(EventType.SUBSCRIPTION_CANCELED, account, data)


def _delete(command: DeleteSubscription, ledger: Ledger, now: datetime) -> Decision:
    found = _found(command.subscription, ledger)
    if isinstance(found, Rejected):
        return found
    subscription, account = found
    if subscription.status != CANCELED:
        return Rejected(
            Reason.SUBSCRIPTION_NOT_CANCELED,
            f"{subscription.subscription} is {subscription.status}; cancel it first.",
        )
    return Applied((account,), changes=(replace(subscription, deleted_at=now),))


RULES = {
    Subscribe: Rule(_needs_subscribe, _subscribe),
    ChangeSubscription: Rule(_needs_change, _change),
    CancelSubscription: Rule(_needs_named, _cancel),
    DeleteSubscription: Rule(_needs_named, _delete),
}
