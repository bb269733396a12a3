"""The billing cycle: what is due is charged, what is refused is dunned, what has ended is ended (CONTRACT §8).

Due subscriptions are found by index. An attempt is a row before its `Renewal` is published, so that whatever is killed in
between, the same command is published again under the same id. Its outcome is read from the ledger, where it is for ever.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import psycopg

from ledger.decide.dunning import Refusal, refused, time_has_come
from ledger.records import Subscription
from ledger.upkeep import SOURCE, keep_up
from messages.commands import Renewal
from messages.envelope import Event
from messages.publisher import Publisher, event
from messages.reasons import Reason
from workers.jobs import attempts, dunning_mails, reminders
from workers.jobs.attempts import Attempt, Decided, Due
from workers.jobs.forecast import foresee
from workers.jobs.run import Run

PRODUCER = "coins"
# Enough to keep a worker busy, few enough that a command of somebody else's is not kept waiting behind them.
A_MESSAGE = 100
WAITING = 500
AT_ONCE = 250
POLL_SECONDS = 0.01
STALLED_SECONDS = 30.0
# Somebody has paid it, or ended it, in between: nothing is owed.
_SETTLED_OTHERWISE = frozenset(
    {Reason.ALREADY_RENEWED, Reason.SUBSCRIPTION_NOT_ACTIVE, Reason.SUBSCRIPTION_NOT_FOUND}
)


def bill(run: Run) -> str:
    """Charge what is due by the run's clock, oldest first, until nothing more is due or waits for its outcome."""
    if run.dry_run:
        return foresee(run)
    cycle = _Cycle(run)
    try:
        cycle.turn()
    finally:
        cycle.close()
    reminded = reminders.remind(run)
    parts = [f"{cycle.paid:,} paid", f"{cycle.owed:,} refused", f"{cycle.turned:,} begun, owed or ended"]
    if reminded:
        parts.append(f"{reminded:,} reminded")
    if cycle.waiting:
        parts.append(f"{cycle.waiting:,} wait for their outcome")
    return ", ".join(parts)


class _Cycle:
    """One turn of the cycle: what it publishes, and what it waits for."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._publisher = Publisher(
            run.settings.edge, producer=PRODUCER, partitions=run.settings.partitions, timeout_seconds=30.0
        )
        self.waiting = 0
        self.paid = self.owed = self.turned = 0
        self._stalled = False

    def close(self) -> None:
        self._publisher.close()

    def turn(self) -> None:
        """Pass over what is due until a pass finds nothing to do: a subscription may have several cycles to catch up."""
        run = self._run
        self._publish(attempts.to_publish_again(run.connection))
        self.waiting = attempts.count_waiting(run.connection)
        run.transact(lambda _: None, total=attempts.count_due(run.connection, run.now))
        while self._pass() and not self._stalled:
            pass

    def _pass(self) -> bool:
        """Whether anything was due."""
        run, after, any_due = self._run, None, False
        self._stalled = False
        while due := attempts.due(run.connection, run.now, after=after, limit=AT_ONCE):
            run.check()
            last = due[-1]
            after = (last.next_try_at, last.subscription)
            charged = [one for one in due if one.is_charged(run.now)]
            turned = self._turn([one.subscription for one in due if not one.is_charged(run.now)])
            any_due = any_due or bool(charged) or bool(turned)
            if not self._await(WAITING - len(charged)):
                self._stalled = True
                return any_due
            if charged:
                made = run.transact(partial(self._attempt, charged=charged))
                self._publish(made)
                self.waiting += len(made)
        # What has just been charged may have another cycle due.
        self._stalled = not self._await(0)
        return any_due

    def _attempt(self, connection: psycopg.Connection[Any], charged: list[Due]) -> list[Attempt]:
        return attempts.make(connection, charged, run=self._run.id or 0, now=self._run.now)

    def _publish(self, made: list[Attempt]) -> None:
        self._publisher.send_batch(map(_renewal, made), size=A_MESSAGE)

    def _turn(self, subscriptions: list[str]) -> int:
        """What happens on its day without a charge."""
        if not subscriptions:
            return 0

        def work(connection: psycopg.Connection[Any]) -> int:
            kept = keep_up(connection, Subscription, subscriptions, time_has_come, self._run.now)
            dunning_mails.write(connection, kept, self._run.now, self._run.settings)
            for one in kept:
                (changed,) = one.applied.changes
                assert isinstance(changed, Subscription)
                self._run.item(changed.subscription, reason=changed.refused_for, detail=changed.status)
            return len(kept)

        count = self._run.transact(work)
        self.turned += count
        return count

    def _await(self, most: int) -> bool:
        """Wait until at most so many are without an outcome. False where none has come for a long time."""
        heard_at = again_at = time.monotonic()
        while True:
            settled = self._settle() if self.waiting else 0
            if self.waiting <= max(0, most):
                return True
            now = time.monotonic()
            if settled:
                heard_at = now
                continue
            if now - heard_at > STALLED_SECONDS:
                return False
            if now - again_at > attempts.AGAIN_SECONDS:
                self._publish(attempts.to_publish_again(self._run.connection))
                self.waiting, again_at = attempts.count_waiting(self._run.connection), now
            self._run.check()
            time.sleep(POLL_SECONDS)

    def _settle(self) -> int:
        """What has been decided meanwhile: paid, or owed from now on."""

        def work(connection: psycopg.Connection[Any]) -> tuple[int, int, int]:
            decided = attempts.decided(connection)
            owed = [one for one in decided if one.reason and one.reason not in _SETTLED_OTHERWISE]
            self._owe(connection, owed)
            paid = sum(not one.reason for one in decided)
            self._run.tally(done=paid, refused=len(owed))
            return paid, len(owed), len(decided)

        if not attempts.any_decided(self._run.connection):
            return 0
        paid, owed, count = self._run.transact(work)
        self.paid, self.owed = self.paid + paid, self.owed + owed
        self.waiting = max(0, self.waiting - count)
        return count

    def _owe(self, connection: psycopg.Connection[Any], owed: list[Decided]) -> None:
        refusals = {one.subscription: Refusal(one.cycle_no, one.reason or "") for one in owed}
        kept = keep_up(connection, Subscription, refusals, refused(refusals), self._run.now)
        dunning_mails.write(connection, kept, self._run.now, self._run.settings)


def _renewal(attempt: Attempt) -> Event[Any]:
    return event(
        Renewal(account=attempt.account, subscription=attempt.subscription, cycle_no=attempt.cycle_no),
        source=SOURCE,
        id=attempt.command_id,
        partitionkey=attempt.top_account,
    )
