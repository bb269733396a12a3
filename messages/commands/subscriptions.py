"""Subscriptions: what is paid cycle by cycle."""

from __future__ import annotations

from enum import StrEnum, auto
from typing import Self

from pydantic import Field, model_validator

from ..fields import DEVICE, Goods, Id, ShortText, Time
from .base import Command


class SubscriptionKind(StrEnum):
    DEVICE = auto()
    PACKAGE = auto()
    PROXY = auto()
    PHONE = auto()


class PaymentMethod(StrEnum):
    BALANCE = auto()
    MANUAL = auto()


class CancelAt(StrEnum):
    PERIOD_END = auto()
    NOW = auto()


class Subscribe(Command):
    """Begins a subscription; paid by balance and not in the future, its first cycle is charged at once or it is refused."""

    subscription: Id
    account: Id
    plan: Id
    kind: SubscriptionKind
    goods: Goods = Field(default=[], description="what it is for; of a device subscription its devices")
    user: ShortText | None = None
    payment_method: PaymentMethod = PaymentMethod.BALANCE
    start_at: Time | None = None

    @model_validator(mode="after")
    def _device_goods(self) -> Self:
        if self.kind is SubscriptionKind.DEVICE:
            if not self.goods:
                raise ValueError("a device subscription needs goods: the devices that it pays for")
            if bad := next((one for one in self.goods if not DEVICE.fullmatch(one)), None):
                raise ValueError(
                    f"goods: {bad!r} is no device: 1 to 64 printable ASCII characters, no spaces"
                )
        return self


class ChangeSubscription(Command):
    """Changes what is given of a subscription, from its next cycle on."""

    subscription: Id
    plan: Id | None = None
    payment_method: PaymentMethod | None = None
    goods: Goods | None = None


class CancelSubscription(Command):
    """Ends a subscription, now or with what is paid; nothing more is charged."""

    subscription: Id
    at: CancelAt = CancelAt.PERIOD_END


class DeleteSubscription(Command):
    """Takes a canceled subscription off the lists; its history stays, its id stays taken."""

    subscription: Id
