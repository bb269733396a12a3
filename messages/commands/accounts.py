"""Accounts: who they are, where they stand, what they may do."""

from __future__ import annotations

from enum import StrEnum, auto

from ..fields import AmountOrZero, Email, Id, Name, ShortText, Text, Zone
from .base import Command


class Kind(StrEnum):
    DISTRIBUTOR = auto()
    RESELLER = auto()
    ENTERPRISE = auto()
    AGENT = auto()
    BRANCH = auto()
    CUSTOMER = auto()


class Funding(StrEnum):
    OWN = auto()
    SHARED = auto()
    SPONSORED = auto()


class OpenAccount(Command):
    """Opens an account under a parent."""

    account: Id
    parent: Id
    kind: Kind
    name: Name
    funding: Funding = Funding.OWN
    email: Email | None = None
    boss_email: Email | None = None
    country: ShortText | None = None
    timezone: Zone = "UTC"
    credit_limit: AmountOrZero = 0
    legal_name: ShortText | None = None
    tax_id: ShortText | None = None
    address: Text | None = None


class UpdateAccount(Command):
    """Changes what is given of an account; an empty text clears a field."""

    account: Id
    name: Name | None = None
    funding: Funding | None = None
    email: Email | None = None
    boss_email: Email | None = None
    country: ShortText | None = None
    timezone: Zone | None = None
    legal_name: ShortText | None = None
    tax_id: ShortText | None = None
    address: Text | None = None


class SetCreditLimit(Command):
    """Sets how far the credit of an `own` account may fall below zero."""

    account: Id
    credit_limit: AmountOrZero


class SuspendAccount(Command):
    """No more purchases by the account or on its coins, and no transfers ordered by it."""

    account: Id
    note: Text | None = None


class ResumeAccount(Command):
    """Ends a suspension."""

    account: Id
    note: Text | None = None


class CloseAccount(Command):
    """Closes an account for good and releases its devices."""

    account: Id
    note: Text | None = None
