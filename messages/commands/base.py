"""What commands are made of: the root of all of them, and the parts that several share."""

from __future__ import annotations

from enum import StrEnum, auto
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from ..fields import Currency, DecimalText, Integer


class CycleUnit(StrEnum):
    DAY = auto()
    WEEK = auto()
    MONTH = auto()
    YEAR = auto()


class Part(BaseModel):
    """What commands are made of: unknown fields are an error, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Command(Part):
    """The root of all commands."""


class Cycle(Part):
    """How long a period lasts: `count` (1–120) days, weeks, months or years."""

    unit: CycleUnit
    count: Annotated[Integer, Field(ge=1, le=120)]


class Money(Part):
    """What was paid outside, in a currency (ISO 4217); the amount is decimal text."""

    currency: Currency
    amount: DecimalText
