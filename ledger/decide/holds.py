"""Amounts that are frozen, then charged or set free: PlaceHold, CaptureHold, ReleaseHold."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from ledger.decide.charges import charge, may_purchase, payers_of, settled_payers, short_of
from ledger.decide.checks import closed, missing
from ledger.decide.rule import Ledger, Rule, Wanted
from ledger.model import Applied, Decision, Rejected, Transaction, TransactionType
from ledger.records import Hold
from messages.commands import CaptureHold, PlaceHold, ReleaseHold
from messages.fields import time_text
from messages.reasons import Reason


def _needs_place(command: PlaceHold, wanted: Wanted) -> None:
    wanted.accounts.add(command.account)
    wanted.row(Hold, command.hold)


def _place(command: PlaceHold, ledger: Ledger, now: datetime) -> Decision:
    account = ledger.account(command.account)
    if account is None:
        return missing(command.account)
    if refused := may_purchase(account, ledger):
        return refused
    if command.expires_at is not None and command.expires_at <= now:
        return Rejected(
            Reason.INVALID_TIME,
            f"A hold must end in the future; {time_text(command.expires_at)} is past, it is {time_text(now)}.",
        )
    if ledger.get(Hold, command.hold) is not None:
        return Rejected(Reason.HOLD_EXISTS, f"There is a hold {command.hold} already.")
    payers = payers_of(account, ledger)
    if refused := short_of(payers, command.amount):
        return refused
    return Applied(
        (account,),
        changes=(
            Hold(
                hold=command.hold,
                account=account.id,
                payer=payers.payer.id,
                sponsor=payers.sponsor.id if payers.sponsor else None,
                amount=command.amount,
                remaining=command.amount,
                state="open",
                purpose=command.purpose,
                placed_at=now,
                expires_at=command.expires_at,
                ended_at=None,
            ),
        ),
    )


def _needs_named(command: CaptureHold | ReleaseHold, wanted: Wanted) -> None:
    wanted.row(Hold, command.hold)


def _capture(command: CaptureHold, ledger: Ledger, now: datetime) -> Decision:
    hold = _open_hold(command.hold, ledger, now)
    if isinstance(hold, Rejected):
        return hold
    amount = command.amount if command.amount is not None else hold.remaining
    if amount > hold.remaining:
        return Rejected(
            Reason.EXCEEDS_HOLD,
            f"{hold.hold} holds {hold.remaining:,} of {hold.amount:,}; {amount:,} is more.",
        )
    payers = settled_payers(hold, ledger)
    ends = command.final or amount == hold.remaining
    return Applied(
        (payers.account,),
        Transaction(
            payers.account, charge(payers, amount, TransactionType.CAPTURE), item=command.item or hold.purpose
        ),
        (
            replace(hold, remaining=0, state="captured", ended_at=now)
            if ends
            else replace(hold, remaining=hold.remaining - amount),
        ),
    )


def _release(command: ReleaseHold, ledger: Ledger, now: datetime) -> Decision:
    hold = _open_hold(command.hold, ledger, now)
    if isinstance(hold, Rejected):
        return hold
    return Applied(
        (ledger.by_key(hold.account),),
        changes=(replace(hold, remaining=0, state="released", ended_at=now),),
    )


def _open_hold(id_: str, ledger: Ledger, now: datetime) -> Hold | Rejected:
    hold: Hold | None = ledger.get(Hold, id_)
    if hold is None:
        return Rejected(Reason.HOLD_NOT_FOUND, f"There is no hold {id_}.")
    if refused := closed(ledger.by_key(hold.account)):
        return refused
    match hold.state:
        case "captured":
            return Rejected(Reason.HOLD_ALREADY_CAPTURED, f"{id_} has been captured.")
        case "released":
            return Rejected(Reason.HOLD_ALREADY_RELEASED, f"{id_} has been released.")
    if hold.expires_at is not None and hold.expires_at <= now:
        return Rejected(Reason.HOLD_EXPIRED, f"{id_} expired at {time_text(hold.expires_at)}.")
    return hold


RULES = {
    PlaceHold: Rule(_needs_place, _place),
    CaptureHold: Rule(_needs_named, _capture),
    ReleaseHold: Rule(_needs_named, _release),
}
