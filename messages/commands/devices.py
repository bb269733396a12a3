"""Plans, and devices that are onboarded, renewed and released."""

from __future__ import annotations

from enum import StrEnum, auto
from typing import Self

from pydantic import Field, model_validator

from ..fields import Amount, CycleNumber, DeviceId, Devices, Factor, Id, Name, Text
from .base import Command, Cycle


class PlanKind(StrEnum):
    ONBOARDING = auto()
    RENEWAL = auto()
    PACKAGE = auto()
    PROXY = auto()
    PHONE = auto()
    POSTPAID = auto()


class PutPlan(Command):
    """Creates or replaces a plan."""

    plan: Id
    name: Name
    kind: PlanKind
    price: Amount | None = None
    rate: Factor | None = Field(None, description="coins a minute, decimal text")
    cycle: Cycle | None = None
    coefficient: Factor | None = Field(None, description="factor on the estimate, decimal text")


class DebitForDeviceOnboarding(Command):
    """Takes price × devices, and the devices become active under the account: all or nothing."""

    account: Id
    devices: Devices
    plan: Id | None = None
    price: Amount | None = None
    note: Text | None = None


class Renewal(Command):
    """Pays for one more cycle of devices, or of a subscription."""

    account: Id
    devices: Devices | None = Field(None, description="this or subscription")
    subscription: Id | None = Field(None, description="with nothing but cycle_no; this or devices")
    plan: Id | None = None
    price: Amount | None = None
    cycle: Cycle | None = None
    cycle_no: CycleNumber | None = None

    @model_validator(mode="after")
    def _devices_or_subscription(self) -> Self:
        if (self.devices is None) == (self.subscription is None):
            raise ValueError("give either devices or subscription, one of them")
        if self.subscription is not None and (self.plan or self.price or self.cycle):
            raise ValueError("with subscription give nothing but cycle_no")
        if self.devices is not None and self.cycle_no is not None:
            raise ValueError("cycle_no goes with subscription only")
        return self


class ReleaseDevice(Command):
    """The device may be onboarded again, anywhere; nothing is refunded."""

    account: Id
    device: DeviceId
