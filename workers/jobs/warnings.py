"""The threshold scan: who has fallen below a threshold is warned, and what coins have come in for is tried again.

It looks at the accounts that were touched since the last time, and at those that pay for running phones, whose use goes on
by the clock. The first time, and once a day to be sure, it looks at all. What was touched is taken in the transaction that
says what came of it: nothing is passed over, and nothing is told twice.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import timedelta
from functools import partial
from typing import Any, NamedTuple

import psycopg

from ledger import touched
from ledger.covered import covered
from ledger.decide.dunning import try_now
from ledger.queries.addressees import Addressee, addressees
from ledger.records import Subscription
from ledger.upkeep import keep_up
from ledger.warnings import Crossing, Scope, changed, settle
from workers.jobs import low_balance_mails
from workers.jobs.marks import mark, marked
from workers.jobs.run import Run

JOB = "threshold-scan"
ALL_AGAIN_AFTER = timedelta(days=1)
TOUCHED_AT_ONCE = 2_000
WARNED_AT_ONCE = 500
# Each may bring along five hundred devices.
TRIED_AT_ONCE = 250


class _Portion(NamedTuple):
    """What was done, up to which touched row, and the row under which the rest is to be found, if any."""

    done: Counter[str]
    last: int
    rest: int | None


def scan(run: Run, *, full: bool = False) -> str:
    """Warn and recover by the run's clock. full: look at every account, not only at those that may have changed."""
    since = marked(run.connection, JOB)
    full = full or since is None or run.now >= since + ALL_AGAIN_AFTER
    done = _look_at_touched(run)
    accounts = changed(run.connection, Scope.ALL if full else Scope.RUNNING, run.now)
    for first in range(0, len(accounts), WARNED_AT_ONCE):
        run.check()
        done += run.transact(partial(_settle, run, accounts=accounts[first : first + WARNED_AT_ONCE]))
    if full:
        run.transact(lambda connection: mark(connection, JOB, run.now))
    if done["mails"]:
        run.follow("mails")
    if done["tried"]:
        run.follow("billing-cycle")
    looked = "every account looked at: " if full else ""
    return f"{looked}{done['warned']:,} warned, {done['recovered']:,} recovered, {done['tried']:,} renewals tried again"


def _look_at_touched(run: Run) -> Counter[str]:
    """Look at what has been touched by now; what is touched meanwhile is for the next time."""
    done: Counter[str] = Counter()
    after, until = 0, touched.last(run.connection)
    while after < until:
        run.check()
        portion = run.transact(partial(_take, run, after=after, until=until))
        if portion is None:
            break
        done += portion.done
        after, until = portion.last, max(until, portion.rest or 0)
    return done


def _take(run: Run, connection: psycopg.Connection[Any], *, after: int, until: int) -> _Portion | None:
    taken = touched.take(connection, after=after, until=until, most=TOUCHED_AT_ONCE)
    if taken is None:
        return None
    done = _settle(run, connection, accounts=taken.accounts)
    found = covered(connection, taken.accounts, run.now, most=TRIED_AT_ONCE)
    for kept in keep_up(connection, Subscription, found.subscriptions, try_now, run.now):
        run.item(f"subscription {kept.key}", detail="covered by now, tried again")
        done["tried"] += 1
    return _Portion(done, taken.last, touched.touch(connection, taken.accounts) if found.more else None)


def _settle(run: Run, connection: psycopg.Connection[Any], *, accounts: list[int]) -> Counter[str]:
    crossings = settle(connection, accounts, run.now)
    if not crossings:
        return Counter()
    setters = {one.custom.set_by for one in crossings if one.custom is not None}
    people = addressees(connection, setters.union(one.account for one in crossings))
    fallen = [one for one in crossings if one.line is not None]
    mails = low_balance_mails.write(connection, fallen, people, run.now, run.settings)
    for account, detail in _told(crossings, people):
        run.item(account, detail=detail)
    return Counter(warned=len(fallen), recovered=len(crossings) - len(fallen), mails=mails)


def _told(crossings: Iterable[Crossing], people: Mapping[int, Addressee]) -> Iterable[tuple[str, str]]:
    """Each account with what is said of it in a line."""
    of: defaultdict[int, list[Crossing]] = defaultdict(list)
    for one in crossings:
        of[one.account].append(one)
    for account, those in of.items():
        below = ", ".join(one.threshold for one in those if one.line is not None)
        above = ", ".join(one.threshold for one in those if one.line is None)
        parts = [f"{words} {names}" for words, names in (("below", below), ("back above", above)) if names]
        yield (
            people[account].account,
            f"{', '.join(parts)}: {those[0].available:,} available, reference {those[0].reference:,}",
        )
