"""Orders of packages and proxies, and cloud phones that run by the minute."""

from __future__ import annotations

from enum import StrEnum, auto

from pydantic import Field

from ..fields import (
    Amount,
    Details,
    DeviceId,
    Factor,
    Id,
    Name,
    OrderName,
    Quantity,
    ShortText,
    Text,
    Time,
)
from .base import Command

BALANCE = "balance"


class OrderKind(StrEnum):
    PACKAGE = auto()
    PROXY = auto()


class Pay(StrEnum):
    NOW = auto()
    LATER = auto()


class PlaceOrder(Command):
    """Orders a package or a proxy: paid at once or refused, or pending until it is paid."""

    order: Id
    account: Id
    kind: OrderKind
    product: Name
    plan: Id | None = None
    price: Amount | None = None
    quantity: Quantity = 1
    pay: Pay = Pay.NOW
    method: Id = Field(BALANCE, description="balance, or a payment method: it pays in and is spent at once")
    payer: ShortText | None = Field(None, description="the person")
    phone: DeviceId | None = None
    details: Details = Field(default={}, description="whatever the product takes; kept, not interpreted")


class PayOrder(Command):
    """Pays a pending order."""

    order: OrderName
    method: Id | None = Field(None, description="default: the order's")
    payer: ShortText | None = Field(None, description="the person")


class CancelOrder(Command):
    """Cancels a pending order."""

    order: OrderName
    note: Text | None = None


class PowerOn(Command):
    """A cloud phone begins to run: opens an order with the session's id."""

    account: Id
    session: Id
    phone: DeviceId
    plan: Id | None = None
    rate: Factor | None = Field(None, description="coins a minute, decimal text")
    at: Time
    payer: ShortText | None = Field(None, description="the person")


class PowerOff(Command):
    """A cloud phone ends: charges every started minute, at least one, beyond available if need be."""

    session: Id
    at: Time
