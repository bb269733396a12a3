"""What the billing cycle would do: the same decisions, on what is due, and rolled back."""

from __future__ import annotations

from functools import partial
from typing import Any

import psycopg

from ledger.book import Book
from ledger.decide.dunning import time_has_come
from ledger.foresight import foresee as decided
from ledger.model import Rejected
from ledger.records import Subscription
from ledger.upkeep import keep_up
from messages.commands import Renewal
from workers.jobs import attempts
from workers.jobs.attempts import Due
from workers.jobs.run import Run

AT_ONCE = 1_000


def foresee(run: Run) -> str:
    """Every cycle that would be paid or refused, and everything that would begin, be owed or end.

    Coins are counted down as far as subscriptions are looked at together: a thousand at a time, in the order they are due.
    """
    for due in attempts.due(run.connection, run.now, limit=AT_ONCE):
        run.transact(partial(_foresee, run, due=due))
    return f"{run.done:,} would be done, {run.refused:,} would be refused"


def _foresee(run: Run, connection: psycopg.Connection[Any], *, due: list[Due]) -> None:
    charged, others = attempts.parted(connection, due, run.now, set())
    turned = [one.subscription for one in others]
    for kept in keep_up(connection, Subscription, turned, time_has_come, run.now):
        (changed,) = kept.applied.changes
        assert isinstance(changed, Subscription)
        run.item(changed.subscription, reason=changed.refused_for, detail=f"would be {changed.status}")
    renewals = [
        Renewal(account=one.account, subscription=one.subscription, cycle_no=one.cycle_no) for one in charged
    ]

    def following(paid: list[Renewal], book: Book) -> list[Renewal]:
        """What has another cycle due, in the order in which the cycle would find it with its next pass."""
        found = []
        for command in paid:
            one: Subscription = book.get(Subscription, command.subscription)
            if one.next_try_at is not None and one.next_try_at <= run.now:
                again = command.model_copy(update={"cycle_no": one.paid_cycles + 1})
                found.append((one.next_try_at, one.subscription, again))
        return [again for _, _, again in sorted(found, key=lambda due: due[:2])]

    last_tries = {one.subscription for one in charged if one.is_given_up(run.now)}
    for command, decision in decided(connection, renewals, run.now, following):
        item = f"{command.subscription} cycle {command.cycle_no}"
        if isinstance(decision, Rejected):
            then = " Then it would be canceled." if command.subscription in last_tries else ""
            run.item(item, "refused", decision.reason, f"{decision.message}{then}")
        else:
            amount = -sum(
                leg.amount
                for leg in (decision.transaction.legs if decision.transaction else ())
                if leg.amount < 0 and leg.unit == "coin"
            )
            run.item(item, detail=f"{amount:,} from {command.account}" if amount else decision.message)
