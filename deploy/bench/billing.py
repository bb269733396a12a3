"""billing: subscriptions that are all due, until every one is renewed; and what a command waits for meanwhile.

The subscriptions are of devices, one each. A billing cycle is asked for as the scheduler asks for it, by a clock that is a
month further each time, and the running system does the rest.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from deploy.bench import latency
from deploy.bench.errors import FigureFailed
from deploy.bench.results import Latency, Rate
from deploy.bench.system import Bench, System
from deploy.bench.workload import PRODUCER, RENEWAL_PLAN
from deploy.supervisor import say
from messages import event
from messages.commands import DebitForDeviceOnboarding, Subscribe, SubscriptionKind
from messages.envelope import Event
from workers.jobs import rows

PER_COMMAND = 2  # 100,000 subscriptions where a figure takes 50,000 commands
DEVICES_AT_ONCE = 100
A_MONTH = timedelta(days=32)
LOOK_SECONDS = 0.2
STALLED_SECONDS = 60.0
_RUN = "SELECT state, done, refused, result, error FROM job_run WHERE id = %b"


def billing(bench: Bench) -> Rate:
    """From the moment a worker is asked for it until all are renewed."""
    with _database(bench) as database:
        count = _subscribe(bench, database)
        seconds = _bill(bench, database, count)
        return Rate(count / seconds, "renewals/s")


def latency_billing(bench: Bench) -> Latency:
    """200 commands a second for ten seconds while as many renewals run."""
    with _database(bench) as database:
        count = _subscribe(bench, database)
        began = threading.Event()
        failed: list[FigureFailed] = []

        def run() -> None:
            try:
                _bill(bench, database, count, began)
            except FigureFailed as error:
                failed.append(error)

        billed = threading.Thread(target=run, daemon=True)
        billed.start()
        began.wait(STALLED_SECONDS)
        measured = latency.latency(bench)
        still_running = billed.is_alive()
        billed.join()
        if failed:
            raise failed[0]
        if not still_running:
            raise FigureFailed("all were renewed before the latency was measured; take more --commands")
        return measured


def _database(bench: Bench) -> psycopg.Connection[Any]:
    return psycopg.connect(bench.database_url, autocommit=True, application_name="coins bench")


def _subscribe(bench: Bench, database: psycopg.Connection[Any]) -> int:
    """Devices, and a subscription for each, once a run; how many."""
    system = bench.system()
    count = PER_COMMAND * bench.commands
    (known,) = database.execute("SELECT count(*) FROM subscription").fetchone() or (0,)
    if known >= count:
        return count
    say(f"  {count:,} devices, and a subscription for each")
    for some in (list(_onboarded(system, count)), list(_subscribed(system, count))):
        before, after = system.outcomes.count(), system.outcomes.position()
        system.publisher.send_batch(some)
        system.await_outcomes(before + len(some))
        system.verify([one.id for one in some], after)
    return count


def _onboarded(system: System, count: int) -> Iterator[Event[Any]]:
    for begin in range(0, count, DEVICES_AT_ONCE):
        member = system.workload.members[begin // DEVICES_AT_ONCE % len(system.workload.members)]
        devices = [f"due-{number}" for number in range(begin, min(count, begin + DEVICES_AT_ONCE))]
        command = DebitForDeviceOnboarding(account=member.account, devices=devices, price=1)
        yield event(command, source=PRODUCER, id=f"due-{begin}", partitionkey=member.top)


def _subscribed(system: System, count: int) -> Iterator[Event[Any]]:
    for number in range(count):
        member = system.workload.members[number // DEVICES_AT_ONCE % len(system.workload.members)]
        command = Subscribe(
            subscription=f"due-{number}",
            account=member.account,
            plan=RENEWAL_PLAN,
            kind=SubscriptionKind.DEVICE,
            goods=[f"due-{number}"],
        )
        yield event(command, source=PRODUCER, id=f"subscribe-{number}", partitionkey=member.top)


def _bill(
    bench: Bench, database: psycopg.Connection[Any], count: int, began: threading.Event | None = None
) -> float:
    """Ask for a cycle a month further on; how many seconds until it is done. Raises FigureFailed."""
    (months,) = database.execute("SELECT coalesce(max(paid_cycles), 0) FROM subscription").fetchone() or (0,)
    at = datetime.now(UTC) + int(months) * A_MONTH
    meter = bench.cpu_meter()
    started = time.perf_counter()
    run = rows.ask(database, "billing-cycle", at, "bench")
    done, grew_at = 0, started
    while True:
        row = database.execute(_RUN, (run,)).fetchone()
        assert row is not None
        state, paid, refused, result, error = row
        now = time.perf_counter()
        if state == "done":
            break
        if paid != done:
            done, grew_at = paid, now
            if began is not None:
                began.set()
        if state == "failed" or error or refused or now - grew_at > STALLED_SECONDS:
            raise FigureFailed(f"the billing run is {state} with {done:,} paid: {result or error}")
        time.sleep(LOOK_SECONDS)
    if paid != count:
        raise FigureFailed(f"{count:,} were due, and {paid:,} are paid: {result}")
    each = (f"{part} {spent / count * 1e6:.0f}" for part, spent in meter.spent().items())
    say(f"  {now - started:.2f} s; processor time in µs a renewal: {', '.join(each)}")
    return now - started
