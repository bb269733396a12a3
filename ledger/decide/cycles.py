"""The cycles of a subscription: what the next one costs and how long it lasts, and what is done when it is paid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from ledger.decide.charges import charge, payers_of, plan_for, price_of, short_of, total_of
from ledger.decide.devices import cycle_of, no_device, too_long
from ledger.decide.orders import COMPLETED
from ledger.decide.rule import Ledger
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
from ledger.records import Device, Order, Plan, ReceiptDue, Subscription, SubscriptionCycle
from messages.commands import BALANCE, SubscriptionKind
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


class Due(NamedTuple):
    """A cycle that can be charged: its terms, its period, and the devices that are paid for longer by it."""

    terms: Terms
    period: Period
    devices: list[Device]


def terms_of(plan_id: str, kind: str, goods: int, ledger: Ledger) -> Terms | Rejected:
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
        begins, ends = _period(anchor, cycle, number - anchor_no, subscription.zone)
        while begins == ends:  # a day that a zone has skipped: there is nothing to be paid for
            anchor_no -= 1
            begins, ends = _period(anchor, cycle, number - anchor_no, subscription.zone)
    except OverflowError as error:
        return too_long(error)
    return Period(begins, ends, anchor, anchor_no)


def kind_of_plan(plan: Plan) -> str:
    """The kind of subscription that a plan is for."""
    return DEVICE if plan.kind == "renewal" else plan.kind


def last_period(subscription: Subscription) -> tuple[datetime | None, datetime | None]:
    """The period that was paid last; nothing where none was."""
    if subscription.paid_until is None:
        return None, None
    cycle = Cycle(subscription.cycle_unit, subscription.cycle_count)
    n = subscription.paid_cycles - subscription.anchor_no
    return nth(subscription.anchor, cycle, n, subscription.zone), subscription.paid_until


def coming_period(subscription: Subscription) -> tuple[datetime | None, datetime | None]:
    """The period of the next cycle as it stands; nothing beyond the years that can be counted."""
    period = _next_period(subscription, Cycle(subscription.cycle_unit, subscription.cycle_count))
    return (None, None) if isinstance(period, Rejected) else (period.begins_at, period.ends_at)


def coming_payments(
    subscription: Subscription, cycle: Cycle, until: datetime
) -> Iterator[tuple[int, datetime]]:
    """Which cycles are to be paid when, up to that moment, each in its turn, by a plan of that cycle."""
    period = _next_period(subscription, cycle)
    if isinstance(period, Rejected):
        return
    number, at = subscription.paid_cycles + 1, period.begins_at
    n = number - period.anchor_no
    while at <= until:
        yield number, at
        begun = at
        while at == begun:  # a day that a zone has skipped is no cycle
            n += 1
            at = nth(period.anchor, cycle, n, subscription.zone)
        number += 1


def _period(anchor: datetime, cycle: Cycle, n: int, zone: str) -> tuple[datetime, datetime]:
    return nth(anchor, cycle, n, zone), nth(anchor, cycle, n + 1, zone)


def due_cycle(subscription: Subscription, terms: Terms, account: Account, ledger: Ledger) -> Due | Rejected:
    """The subscription's next cycle, if it does not lie too far ahead."""
    period = _next_period(subscription, terms.cycle)
    if isinstance(period, Rejected):
        return period
    devices = _moved(subscription, period, terms.cycle, account, ledger)
    return devices if isinstance(devices, Rejected) else Due(terms, period, devices)


def active_goods(goods: list[str], account: Account, ledger: Ledger) -> list[Device]:
    """Those of the goods that are devices active under the account."""
    devices: list[Device | None] = [ledger.get(Device, id_) for id_ in goods]
    return [device for device in devices if device is not None and device.account == account.id]


def not_active(goods: list[str], account: Account, ledger: Ledger) -> Rejected | None:
    """The first of the goods that is no device active under the account, as a refusal."""
    active = {device.device for device in active_goods(goods, account, ledger)}
    bad = next((id_ for id_ in goods if id_ not in active), None)
    return no_device(bad, account) if bad is not None else None


def pay_cycle(
    subscription: Subscription,
    due: Due,
    account: Account,
    ledger: Ledger,
    now: datetime,
    announced: tuple[Announcement, ...] = (),
) -> Decision:
    """The next cycle is charged, and everything moves on with it; or it is refused."""
    terms, period, devices = due
    payers = payers_of(account, ledger)
    if refused := short_of(payers, terms.amount):
        return refused
    number = subscription.paid_cycles + 1
    paid = replace(
        subscription,
        status=_status_when_paid(subscription, period.ends_at, now),
        anchor=period.anchor,
        anchor_no=period.anchor_no,
        cycle_unit=terms.cycle.unit,
        cycle_count=terms.cycle.count,
        paid_cycles=number,
        paid_until=period.ends_at,
        next_payment_at=period.ends_at,
        next_try_at=subscription.start_at if subscription.start_at > now else period.ends_at,
        past_due_since=None,
        refused_for=None,
    )
    changes: list[Change] = [
        paid,
        WithTransaction(_cycle_of(paid, number, due, now)),
    ]
    changes += devices
    order_id = None
    if paid.kind in _ORDERED:
        order_id = f"{paid.subscription}/{number}"
        changes.append(WithTransaction(_order_of(paid, order_id, terms, now)))
        changes.append(WithTransaction(ReceiptDue(paid.account, order_id)))
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


def _status_when_paid(subscription: Subscription, paid_until: datetime, now: datetime) -> str:
    """Paying revives it: past due where there is still more to be paid for. Paid ahead of its start it waits for that."""
    if subscription.start_at > now:
        return SCHEDULED
    if paid_until > now:
        return ACTIVE
    return PAST_DUE if subscription.status in (PAST_DUE, SUSPENDED) else ACTIVE


def _moved(
    subscription: Subscription, period: Period, cycle: Cycle, account: Account, ledger: Ledger
) -> list[Device] | Rejected:
    """The devices of a device subscription, paid until the end of the period; those that were paid for beyond its
    beginning, a cycle longer."""
    if subscription.kind != DEVICE:
        return []
    moved: list[Device] = []
    for device in active_goods(subscription.goods, account, ledger):
        until = period.ends_at
        if device.paid_until is not None and device.paid_until > period.begins_at:
            try:
                until = nth(device.paid_until, cycle, 1, subscription.zone)
            except OverflowError as error:
                return too_long(error)
        moved.append(Device(device.device, device.account, device.plan, device.onboarded_at, until))
    return moved


def _cycle_of(paid: Subscription, number: int, due: Due, now: datetime) -> SubscriptionCycle:
    return SubscriptionCycle(
        subscription=paid.subscription,
        cycle_no=number,
        begins_at=due.period.begins_at,
        ends_at=due.period.ends_at,
        plan=due.terms.plan.plan,
        goods=paid.goods,
        amount=due.terms.amount,
        paid_at=now,
    )


def _order_of(subscription: Subscription, id_: str, terms: Terms, now: datetime) -> Order:
    return Order(
        order_id=id_,
        account=subscription.account,
        kind=subscription.kind,
        product=terms.plan.name,
        plan=terms.plan.plan,
        price=terms.amount,
        quantity=1,
        amount=terms.amount,
        status=COMPLETED,
        method=BALANCE,
        payer=None,
        phone=None,
        details=None,
        created_at=now,
        paid_at=now,
    )


def canceled_with(
    subscription: Subscription, account: Account, now: datetime, reason: str | None
) -> tuple[Subscription, Announcement]:
    """The subscription as it is when it has ended, and the word of it."""
    canceled = replace(
        subscription, status=CANCELED, canceled_at=now, cancel_at=None, next_payment_at=None, next_try_at=None
    )
    data = {
        "subscription": subscription.subscription,
        "cycle_no": subscription.paid_cycles,
        "period": told(*last_period(subscription)),
        "reason": reason,
        "next_try": None,
    }
    return canceled, Announcement(EventType.SUBSCRIPTION_CANCELED, account, data)


def told(begins_at: datetime | None, ends_at: datetime | None) -> dict[str, str | None]:
    """A period as events tell it."""
    return {
        "from": time_text(begins_at) if begins_at else None,
        "to": time_text(ends_at) if ends_at else None,
    }
