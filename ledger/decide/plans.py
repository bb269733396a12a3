"""Plans: what things cost and for how long they are paid: PutPlan."""

from __future__ import annotations

from datetime import datetime

from ledger.decide.rule import Ledger, Rule, Wanted
from ledger.model import Applied, Decision
from ledger.records import Plan
from messages.commands import PutPlan


def _needs_put(command: PutPlan, wanted: Wanted) -> None:
    wanted.rows[Plan].add(command.plan)


def _put(command: PutPlan, ledger: Ledger, now: datetime) -> Decision:
    cycle = command.cycle
    return Applied(
        changes=(
            Plan(
                command.plan,
                command.name,
                command.kind.value,
                command.price,
                command.rate,
                cycle.unit.value if cycle else None,
                cycle.count if cycle else None,
                command.coefficient,
            ),
        )
    )


RULES = {PutPlan: Rule(_needs_put, _put)}
