"""Custom warnings, and exports that are asked for."""

from __future__ import annotations

from enum import StrEnum, auto
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from ..fields import Amount, Email, Flag, Id, Integer
from ..reports import Report, checked_filters
from .base import Command


class SetWarning(Command):
    """Warns when available falls below an amount, or below a percentage of the reference."""

    warning: Id
    account: Id
    set_by: Id = Field(description="the account itself or an ancestor of it")
    amount: Amount | None = Field(None, description="coins; this or percent")
    percent: Annotated[Integer, Field(ge=1, le=1_000)] | None = Field(
        None, description="of the reference; this or amount"
    )
    emails: Annotated[list[Email], Field(max_length=20)] = Field(
        default=[], description="default: the e-mail of set_by"
    )

    @model_validator(mode="after")
    def _amount_or_percent(self) -> Self:
        if (self.amount is None) == (self.percent is None):
            raise ValueError("give either amount or percent, one of them")
        if not all(self.emails):
            raise ValueError("emails must not be empty texts")
        return self


class RemoveWarning(Command):
    """Removes a custom warning."""

    warning: Id
    set_by: Id = Field(description="whoever set it, or an ancestor")


class SetNotifications(Command):
    """Says whether mails about warnings go to an account."""

    account: Id
    enabled: Flag


class ExportFormat(StrEnum):
    XLSX = auto()
    CSV = auto()


class RequestExport(Command):
    """Asks for a list as a file; a job builds it."""

    export: Id
    account: Id
    report: Report
    filters: dict[str, Any] = Field(default={}, description="named like the flags of the list")
    format: ExportFormat = ExportFormat.XLSX

    @model_validator(mode="after")
    def _filters_of_the_report(self) -> Self:
        checked_filters(self.report, self.filters)
        return self
