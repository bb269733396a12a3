"""Resources that are paid for after use: ActivatePostpaid, ReportUsage, TerminatePostpaid."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from ledger.decide.charges import (
    beyond_counting,
    charge,
    exhausted,
    may_purchase,
    payers_of,
    plan_for,
    settled_payers,
    short_of,
)
from ledger.decide.checks import closed, missing, own_coins
from ledger.decide.rule import Ledger, Rule, Wanted
from ledger.fees import times
from ledger.model import MAX_BALANCE, Applied, Decision, Rejected, Transaction, TransactionType
from ledger.records import Plan, Resource
from messages.commands import ActivatePostpaid, ReportUsage, TerminatePostpaid
from messages.fields import MAX_AMOUNT
from messages.reasons import Reason

ACTIVE, TERMINATED = "active", "terminated"


def _needs_activate(command: ActivatePostpaid, wanted: Wanted) -> None:
    wanted.accounts.add(command.account)
    wanted.row(Resource, command.resource)
    if command.plan:
        wanted.row(Plan, command.plan)


def _activate(command: ActivatePostpaid, ledger: Ledger, now: datetime) -> Decision:
    account = ledger.account(command.account)
    if account is None:
        return missing(command.account)
    if refused := may_purchase(account, ledger):
        return refused
    plan = plan_for(command.plan, "postpaid", ledger)
    if isinstance(plan, Rejected):
        return plan
    coefficient = command.coefficient or (plan.coefficient if plan else None) or "1"
    amount = times(command.estimate, coefficient)
    if amount > MAX_AMOUNT:
        return Rejected(
            Reason.AMOUNT_TOO_LARGE, f"{command.estimate:,} × {coefficient} is more than {MAX_AMOUNT:,}."
        )
    if ledger.get(Resource, command.resource) is not None:
        return Rejected(Reason.RESOURCE_EXISTS, f"There is a resource {command.resource} already.")
    payers = payers_of(account, ledger)
    if refused := short_of(payers, amount):
        return refused
    return Applied(
        (account,),
        changes=(
            Resource(
                resource=command.resource,
                account=account.id,
                payer=payers.payer.id,
                sponsor=payers.sponsor.id if payers.sponsor else None,
                plan=command.plan,
                estimate=command.estimate,
                coefficient=coefficient,
                frozen=amount,
                remaining=amount,
                used=0,
                state=ACTIVE,
                activated_at=now,
                terminated_at=None,
            ),
        ),
    )


def _needs_named(command: ReportUsage | TerminatePostpaid, wanted: Wanted) -> None:
    wanted.row(Resource, command.resource)


def _report(command: ReportUsage, ledger: Ledger, now: datetime) -> Decision:
    resource: Resource | None = ledger.get(Resource, command.resource)
    if resource is None:
        return _no_resource(command.resource)
    payers = settled_payers(resource, ledger)
    # After its termination everything may have changed but who pays.
    if refused := closed(payers.account, payers.coins) or own_coins(payers.coins):
        return refused
    if refused := beyond_counting(payers, command.amount):
        return refused
    used = resource.used + command.amount
    if used > MAX_BALANCE:
        return Rejected(
            Reason.AMOUNT_TOO_LARGE, f"{resource.resource} would have used more than {MAX_BALANCE:,}."
        )
    freed = min(command.amount, resource.remaining)
    return Applied(
        (payers.account,),
        Transaction(
            payers.account,
            charge(payers, command.amount, TransactionType.USAGE),
            item=command.item or resource.resource,
        ),
        (replace(resource, remaining=resource.remaining - freed, used=used),),
        announced=exhausted(payers, command.amount, freed),
    )


def _terminate(command: TerminatePostpaid, ledger: Ledger, now: datetime) -> Decision:
    resource: Resource | None = ledger.get(Resource, command.resource)
    if resource is None:
        return _no_resource(command.resource)
    account = ledger.by_key(resource.account)
    if refused := closed(account):
        return refused
    if resource.state == TERMINATED:
        return Rejected(Reason.RESOURCE_TERMINATED, f"{resource.resource} has been terminated already.")
    return Applied((account,), changes=(replace(resource, remaining=0, state=TERMINATED, terminated_at=now),))


def _no_resource(id_: str) -> Rejected:
    return Rejected(Reason.RESOURCE_NOT_FOUND, f"There is no resource {id_}.")


RULES = {
    ActivatePostpaid: Rule(_needs_activate, _activate),
    ReportUsage: Rule(_needs_named, _report),
    TerminatePostpaid: Rule(_needs_named, _terminate),
}
