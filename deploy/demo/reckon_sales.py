"""The reckoning of what is sold at a price: devices, orders, subscriptions; and of what is given back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from deploy.demo.books import (
    Account,
    Books,
    Entry,
    No,
    Order,
    Payers,
    Posting,
    Subscription,
    price_of,
    with_own_coins,
)
from deploy.demo.reckon_accounts import may_pay_by
from messages.commands import (
    BALANCE,
    CancelSubscription,
    Command,
    DebitForDeviceOnboarding,
    Pay,
    PayOrder,
    PlaceOrder,
    PutPlan,
    Refund,
    ReleaseDevice,
    Renewal,
    Subscribe,
)
from messages.reasons import Reason


def put_plan(books: Books, command: PutPlan) -> None:
    books.plans[command.plan] = command


def onboard(books: Books, command: DebitForDeviceOnboarding) -> None:
    payers = books.buyer(command.account)
    price = price_of(command.price, books.plan(command.plan, "onboarding"))
    if any(device in books.devices for device in command.devices):
        raise No(Reason.DEVICE_ALREADY_ONBOARDED)
    books.can_pay(payers, price * len(command.devices))
    books.charge("onboarding", payers, price * len(command.devices))
    books.devices.update(dict.fromkeys(command.devices, payers.account))


def renew(books: Books, command: Renewal) -> None:
    payers = books.buyer(command.account)
    if command.subscription is not None:
        return _renew_subscription(books, command.subscription, command.cycle_no, payers)
    devices = command.devices or []
    plan = books.plan(command.plan, "renewal")
    price = price_of(command.price, plan)
    if command.cycle is None and (plan is None or plan.cycle is None):
        raise No(Reason.CYCLE_REQUIRED)
    if any(books.devices.get(device) is not payers.account for device in devices):
        raise No(Reason.DEVICE_NOT_FOUND)
    books.can_pay(payers, price * len(devices))
    books.charge("renewal", payers, price * len(devices))
    return None


def release(books: Books, command: ReleaseDevice) -> None:
    (account,) = books.named(command.account)
    if books.devices.get(command.device) is not account:
        raise No(Reason.DEVICE_NOT_FOUND)
    del books.devices[command.device]


def place_order(books: Books, command: PlaceOrder) -> None:
    payers = books.buyer(command.account)
    if command.method != BALANCE:
        with_own_coins(payers.account)
        may_pay_by(books, payers.account, command.method)
    price = price_of(command.price, books.plan(command.plan, command.kind.value))
    if command.order in books.orders:
        raise No(Reason.ORDER_EXISTS)
    order = Order(payers.account, price * command.quantity, "pending_payment", command.method)
    if command.pay is Pay.NOW:
        _pay(books, command.order, order, payers)
    books.orders[command.order] = order


def pay_order(books: Books, command: PayOrder) -> None:
    order = books.orders.get(command.order)
    if order is None:
        raise No(Reason.ORDER_NOT_FOUND)
    payers = books.buyer(order.account.id)
    if order.status != "pending_payment":
        raise No(Reason.ORDER_NOT_PAYABLE)
    order.method = command.method or order.method
    _pay(books, command.order, order, payers)


def _pay(books: Books, id_: str, order: Order, payers: Payers) -> None:
    """Another method than balance pays in what is spent at once, and needs nothing available."""
    if order.method == BALANCE:
        books.can_pay(payers, order.amount)
    else:
        books.post(order.account, [Entry(order.account, "recharge", order.amount, id_)])
    order.charge = books.charge("order", payers, order.amount, id_)
    order.status = "completed"


def subscribe(books: Books, command: Subscribe) -> None:
    """The day has subscriptions to packages alone, paid by balance, from now on: the first cycle is charged at once."""
    payers = books.buyer(command.account)
    price_of(None, books.plan(command.plan, command.kind.value))
    if command.subscription in books.subscriptions:
        raise No(Reason.SUBSCRIPTION_EXISTS)
    subscription = Subscription(payers.account, command.kind.value, command.plan)
    _pay_cycle(books, command.subscription, subscription, payers, "order")
    books.subscriptions[command.subscription] = subscription


def _renew_subscription(books: Books, id_: str, cycle_no: int | None, payers: Payers) -> None:
    subscription = books.subscriptions.get(id_)
    if subscription is None or subscription.account is not payers.account:
        raise No(Reason.SUBSCRIPTION_NOT_FOUND)
    if subscription.canceled:
        raise No(Reason.SUBSCRIPTION_NOT_ACTIVE)
    due = subscription.paid_cycles + 1
    if (cycle_no or due) != due:
        raise No(Reason.ALREADY_RENEWED if (cycle_no or due) < due else Reason.CYCLE_NOT_DUE)
    _pay_cycle(books, id_, subscription, payers, "renewal")


def _pay_cycle(books: Books, id_: str, subscription: Subscription, payers: Payers, type_: str) -> None:
    """Each cycle of a package is a completed order of its own."""
    price = price_of(None, books.plan(subscription.plan, subscription.kind))
    books.can_pay(payers, price)
    subscription.paid_cycles += 1
    order = f"{id_}/{subscription.paid_cycles}"
    charge = books.charge(type_, payers, price, order)
    books.orders[order] = Order(payers.account, price, "completed", charge=charge)


def cancel_subscription(books: Books, command: CancelSubscription) -> None:
    """Whether at once or with what is paid: nothing more is charged."""
    subscription = books.subscriptions.get(command.subscription)
    if subscription is None:
        raise No(Reason.SUBSCRIPTION_NOT_FOUND)
    if subscription.canceled:
        raise No(Reason.SUBSCRIPTION_NOT_ACTIVE)
    subscription.canceled = True


def refund(books: Books, command: Refund) -> None:
    """Everybody who paid gets it back, in parts if need be, and never more than was charged."""
    charge = _refunded(books, command)
    left = charge.amount - charge.returned
    amount = command.amount if command.amount is not None else left
    if amount == 0 or amount > left:
        raise No(Reason.REFUND_EXCEEDS_CHARGE)
    charge.returned += amount
    paid_by: list[Account] = [entry.account for entry in charge.entries]
    books.post(charge.consumer, [Entry(one, "refund", amount, command.order) for one in paid_by])


def _refunded(books: Books, command: Refund) -> Posting:
    if command.order is None:
        posting = books.postings.get(command.transaction or "")
        if posting is None:
            raise No(Reason.TRANSACTION_NOT_FOUND)
    else:
        if command.order not in books.orders:
            raise No(Reason.ORDER_NOT_FOUND)
        posting = books.orders[command.order].charge
    if posting is None or not posting.is_charge:
        raise No(Reason.NOT_REFUNDABLE)
    return posting


RULES: dict[type[Command], Callable[[Books, Any], None]] = {
    PutPlan: put_plan,
    DebitForDeviceOnboarding: onboard,
    Renewal: renew,
    ReleaseDevice: release,
    PlaceOrder: place_order,
    PayOrder: pay_order,
    Subscribe: subscribe,
    CancelSubscription: cancel_subscription,
    Refund: refund,
}
