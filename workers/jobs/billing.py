"""The billing cycle: what is due is charged, what is refused is dunned, what has ended is ended (CONTRACT §8).

Due subscriptions are found by index. An attempt is a row before its `Renewal` is published, so that whatever is killed in
between, the same command is published again under the same id. Its outcome is read from the ledger, where it is for ever.
"""

from __future__ import annotations

import time
from collections import defaultdict, deque
from functools import partial
from typing import Any

import psycopg

from ledger.decide.dunning import Refusal, refused, time_has_come
from ledger.records import Subscription
from ledger.upkeep import keep_up
from messages.reasons import Reason
from workers.jobs import attempts, dunning_mails, reminders
from workers.jobs.attempts import Attempt, Due, Outcome
from workers.jobs.flight import Flight
from workers.jobs.forecast import foresee
from workers.jobs.run import Run

# On the edge at a time, shared out over the partitions: enough to keep every worker busy. Others' commands do not wait
# behind them (`workers/ahead.py`).
WAITING = 2_000
# How many are looked for at a time, and how far ahead: what is due together may all belong to one partition.
AT_ONCE, AHEAD = 500, 1_500
POLL_SECONDS = 0.005
LOOK_SECONDS = 1.0
# How long nothing need come from a partition until it is taken for one that nobody reads; for what an earlier run has left
# undecided less, but not before it has been published again.
SILENT_SECONDS, LEFT_OVER_SECONDS = 30.0, attempts.AGAIN_SECONDS + 3.0
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
        self._flight = Flight(run.settings)
        self.paid = self.owed = self.turned = 0
        self._share = max(1, WAITING // run.settings.partitions)
        self._to_publish: defaultdict[int, deque[Due]] = defaultdict(deque)
        self._decided: list[Outcome] = []
        # Partitions from which nothing comes: what is due there waits for a later run, and nobody else waits with it.
        self._silent: set[int] = set()
        self._heard_at: dict[int, float] = {}
        self._looked_at = time.monotonic()
        self._tried_last: set[str] = set()

    @property
    def waiting(self) -> int:
        return len(self._flight)

    def close(self) -> None:
        self._flight.close()

    def turn(self) -> None:
        """Pass over what is due until a pass finds nothing to do: a subscription may have several cycles to catch up."""
        run = self._run
        run.transact(lambda _: None, total=attempts.count_due(run.connection, run.now))
        self._go_on()
        while self._pass():
            pass

    def _go_on(self) -> None:
        """With what was left without an outcome when a run before this one ended."""
        self._flight.follow(attempts.open_ones(self._run.connection))
        self._flight.publish_again(attempts.to_publish_again(self._run.connection))
        self._await_all(LEFT_OVER_SECONDS)

    def _pass(self) -> bool:
        """Whether anything was due that could be done: then there may be more."""
        run, any_due = self._run, False
        for due in attempts.due(run.connection, run.now, limit=AT_ONCE):
            run.check()
            charged, others = attempts.parted(run.connection, due, run.now, self._tried_last)
            turned = self._turn([one.subscription for one in others if not self._may_yet_be_paid(one)])
            queued = self._queue(charged)
            any_due = any_due or bool(queued) or bool(turned)
            self._publish(but=AHEAD)
        self._publish(but=0)
        # What has just been charged may have another cycle due.
        self._await_all(SILENT_SECONDS)
        return any_due

    def _may_yet_be_paid(self, one: Due) -> bool:
        """Whether it would be given up while its last try waits where nobody reads."""
        return one.is_given_up(self._run.now) and self._flight.partition(one) in self._silent

    def _queue(self, charged: list[Due]) -> int:
        """How many of them are to be published: not those of which nobody would hear."""
        heeded = [one for one in charged if self._flight.partition(one) not in self._silent]
        for one in heeded:
            self._to_publish[self._flight.partition(one)].append(one)
        return len(heeded)

    def _publish(self, *, but: int) -> None:
        """Publish what is queued but for so many, as outcomes make room for it; of silent partitions it is dropped."""
        while True:
            for partition in self._silent:
                self._to_publish.pop(partition, None)
            if sum(map(len, self._to_publish.values())) <= but:
                return
            if chosen := self._chosen():
                self._flight.publish(self._run.transact(partial(self._attempt, charged=chosen)))
            else:
                self._settle_or_listen(SILENT_SECONDS)

    def _chosen(self) -> list[Due]:
        """Of each partition what there is room for, if it is not too little to be worth a transaction."""
        waiting = self._flight.waiting()
        chosen: list[Due] = []
        for partition, queue in self._to_publish.items():
            room = self._share - waiting.get(partition, 0)
            if room >= min(len(queue), AT_ONCE // 2, max(1, self._share // 2)):
                chosen += [queue.popleft() for _ in range(min(room, len(queue)))]
        return chosen

    def _attempt(self, connection: psycopg.Connection[Any], *, charged: list[Due]) -> list[Attempt]:
        self._tried_last |= {one.subscription for one in charged if one.is_given_up(self._run.now)}
        return attempts.make(connection, charged, run=self._run.id or 0, now=self._run.now)

    def _turn(self, subscriptions: list[str]) -> int:
        """What happens on its day without a charge."""
        count = sum(self._run.each(subscriptions, self._take_turns, str))
        self.turned += count
        return count

    def _take_turns(self, connection: psycopg.Connection[Any], subscriptions: list[str]) -> int:
        kept = keep_up(connection, Subscription, subscriptions, time_has_come, self._run.now)
        dunning_mails.write(connection, kept, self._run.now, self._run.settings)
        for one in kept:
            (changed,) = one.applied.changes
            assert isinstance(changed, Subscription)
            self._run.item(changed.subscription, reason=changed.refused_for, detail=changed.status)
        return len(kept)

    def _await_all(self, silent_seconds: float) -> None:
        self._flight.arrived()
        while self._is_waiting() or self._decided:
            self._settle_or_listen(silent_seconds)

    def _is_waiting(self) -> bool:
        """Whether there is an outcome to wait for."""
        return bool(self._flight.waiting().keys() - self._silent)

    def _settle_or_listen(self, silent_seconds: float) -> None:
        """Write down what has been decided; but first publish what it made room for, so that nobody waits for work."""
        decided, self._decided = self._decided, []
        if decided:
            self._settle(decided)
        else:
            self._listen(silent_seconds)

    def _listen(self, silent_seconds: float) -> None:
        """Hear what has been decided since; wait a little where nothing has."""
        decided = self._flight.landed(self._run.connection)
        now = time.monotonic()
        if not decided and now - self._looked_at > LOOK_SECONDS:
            self._looked_at = now
            decided = self._flight.look_at_all(self._run.connection)
            self._flight.publish_again(attempts.to_publish_again(self._run.connection))
        heard = {self._flight.partition(one.attempt) for one in decided}
        waiting = self._flight.waiting()
        self._heard_at = {
            partition: now if partition in heard else self._heard_at.get(partition, now)
            for partition in waiting
        }
        self._silent -= heard
        self._silent |= {partition for partition, at in self._heard_at.items() if now - at > silent_seconds}
        self._decided += decided
        if not decided:
            self._run.check()
            time.sleep(POLL_SECONDS)

    def _settle(self, decided: list[Outcome]) -> None:
        """Write down what has been decided: paid, or owed from now on."""
        refused_ones = [one for one in decided if one.reason and one.reason not in _SETTLED_OTHERWISE]
        others = [one for one in decided if not one.reason or one.reason in _SETTLED_OTHERWISE]
        if others:
            # Were it lost with the server, it would be read from the ledger again.
            self.paid += self._run.transact(partial(self._settle_paid, decided=others), durable=False)
        owed = self._run.each(refused_ones, self._owe, lambda one: one.attempt.command_id)
        self.owed += sum(owed)

    def _settle_paid(self, connection: psycopg.Connection[Any], *, decided: list[Outcome]) -> int:
        attempts.settle(connection, decided)
        paid = sum(not one.reason for one in decided)
        self._run.tally(done=paid)
        return paid

    def _owe(self, connection: psycopg.Connection[Any], decided: list[Outcome]) -> int:
        attempts.settle(connection, decided)
        refusals = {
            one.attempt.subscription: Refusal(one.attempt.cycle_no, one.reason or "") for one in decided
        }
        kept = keep_up(connection, Subscription, refusals, refused(refusals), self._run.now)
        dunning_mails.write(connection, kept, self._run.now, self._run.settings)
        self._run.tally(refused=len(decided))
        return len(decided)
