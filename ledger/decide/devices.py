"""Devices are onboarded, renewed and released: DebitForDeviceOnboarding, ReleaseDevice, and Renewal of devices."""

from __future__ import annotations

from datetime import datetime

from ledger.decide.charges import charge, may_purchase, payers_of, plan_for, price_of, short_of, total_of
from ledger.decide.checks import closed, missing
from ledger.decide.rule import Ledger, Rule, Wanted
from ledger.model import Account, Applied, Decision, Rejected, Transaction, TransactionType
from ledger.periods import Cycle, nth
from ledger.records import Device, Plan
from messages.commands import DebitForDeviceOnboarding, ReleaseDevice, Renewal
from messages.reasons import Reason


def _needs_onboarding(command: DebitForDeviceOnboarding, wanted: Wanted) -> None:
    wanted.accounts.add(command.account)
    wanted.rows[Device].update(command.devices)
    if command.plan:
        wanted.rows[Plan].add(command.plan)


def _onboard(command: DebitForDeviceOnboarding, ledger: Ledger, now: datetime) -> Decision:
    account = ledger.account(command.account)
    if account is None:
        return missing(command.account)
    if refused := may_purchase(account, ledger):
        return refused
    plan = plan_for(command.plan, "onboarding", ledger)
    if isinstance(plan, Rejected):
        return plan
    price = price_of(command.price, plan)
    if isinstance(price, Rejected):
        return price
    total = total_of(price, len(command.devices))
    if isinstance(total, Rejected):
        return total
    for id_ in command.devices:
        device: Device | None = ledger.get(Device, id_)
        if device is not None and device.account is not None:
            return Rejected(Reason.DEVICE_ALREADY_ONBOARDED, f"{id_} is onboarded already; release it first.")
    paid_until = _moved_on(now, cycle_of(plan), account) if plan and plan.cycle_unit else None
    if isinstance(paid_until, Rejected):
        return paid_until
    payers = payers_of(account, ledger)
    if refused := short_of(payers, total):
        return refused
    return Applied(
        (account,),
        Transaction(
            account,
            charge(payers, total, TransactionType.ONBOARDING),
            item=plan.name if plan else None,
            devices=command.devices,
            note=command.note,
        ),
        tuple(Device(id_, account.id, command.plan, now, paid_until) for id_ in command.devices),
    )


def needs_renewal(command: Renewal, wanted: Wanted) -> None:
    wanted.row(Device, *(command.devices or ()))
    if command.plan:
        wanted.rows[Plan].add(command.plan)


def renew(devices: list[str], command: Renewal, account: Account, ledger: Ledger, now: datetime) -> Decision:
    """One more cycle of devices. Whether the account may buy has been checked."""
    plan = plan_for(command.plan, "renewal", ledger)
    if isinstance(plan, Rejected):
        return plan
    price = price_of(command.price, plan)
    if isinstance(price, Rejected):
        return price
    cycle = Cycle(command.cycle.unit.value, command.cycle.count) if command.cycle else cycle_of(plan)
    if cycle is None:
        return Rejected(
            Reason.CYCLE_REQUIRED,
            "Neither the command nor a plan says for how long; give a cycle, or a plan that has one.",
        )
    total = total_of(price, len(devices))
    if isinstance(total, Rejected):
        return total
    active: list[Device] = []
    for id_ in devices:
        device: Device | None = ledger.get(Device, id_)
        if device is None or device.account != account.id:
            return no_device(id_, account)
        active.append(device)
    renewed: list[Device] = []
    for device in active:
        until = _moved_on(max(now, device.paid_until or now), cycle, account)
        if isinstance(until, Rejected):
            return until
        renewed.append(Device(device.device, account.id, device.plan, device.onboarded_at, until))
    payers = payers_of(account, ledger)
    if refused := short_of(payers, total):
        return refused
    return Applied(
        (account,),
        Transaction(
            account,
            charge(payers, total, TransactionType.RENEWAL),
            item=plan.name if plan else None,
            devices=devices,
        ),
        tuple(renewed),
    )


def cycle_of(plan: Plan | None) -> Cycle | None:
    """The plan's cycle, where it has one."""
    return Cycle(plan.cycle_unit, plan.cycle_count) if plan and plan.cycle_unit and plan.cycle_count else None


def _moved_on(moment: datetime, cycle: Cycle | None, account: Account) -> datetime | Rejected | None:
    if cycle is None:
        return None
    try:
        return nth(moment, cycle, 1, account.timezone)
    except OverflowError as error:
        return too_long(error)


def too_long(error: OverflowError) -> Rejected:
    """What is paid for beyond the years that can be counted."""
    return Rejected(Reason.INVALID_TIME, f"It would be paid for too long: {error}.")


def no_device(id_: str, account: Account) -> Rejected:
    """A device that is not active there."""
    return Rejected(Reason.DEVICE_NOT_FOUND, f"{id_} is not active under {account.name} ({account.account}).")


def _needs_release(command: ReleaseDevice, wanted: Wanted) -> None:
    wanted.accounts.add(command.account)
    wanted.rows[Device].add(command.device)


def _release(command: ReleaseDevice, ledger: Ledger, now: datetime) -> Decision:
    account = ledger.account(command.account)
    if account is None:
        return missing(command.account)
    if refused := closed(account):
        return refused
    device: Device | None = ledger.get(Device, command.device)
    if device is None or device.account != account.id:
        return no_device(command.device, account)
    return Applied(
        (account,),
        changes=(Device(device.device, None, device.plan, device.onboarded_at, device.paid_until),),
    )


RULES = {
    DebitForDeviceOnboarding: Rule(_needs_onboarding, _onboard),
    ReleaseDevice: Rule(_needs_release, _release),
}
