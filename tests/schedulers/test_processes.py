"""`coins scheduler` and `coins worker jobs` as processes: runs come by themselves, and survive whoever was to do them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from dramatiq.message import Message
from pydantic import SecretStr

from ledger.database import connect
from schedulers.ringing import ACTOR, QUEUE, ring
from tests import builders as a
from tests.desk import LedgerDesk
from tests.system.site import JOBS, SCHEDULER, WORKER, Program, Site, until
from workers.broker import CoinsBroker
from workers.jobs import rows
from workers.settings import Settings

pytestmark = pytest.mark.system
LEASE_IS_OVER = "UPDATE job_run SET lease_until = '-infinity' WHERE id = %s"


def done(site: Site, job: str) -> int:
    count: int = site.value("SELECT count(*) FROM job_run WHERE job = %s AND state = 'done'", job)
    return count


def scheduling(site: Site) -> int | None:
    """The number of the process that leads."""
    owner = site.value("SELECT owner FROM lease WHERE name = 'scheduler' AND lease_until > clock_timestamp()")
    return int(re.findall(r":(\d+):", owner)[0]) if owner else None


def owe(site: Site) -> None:
    """A subscription with a cycle that is due by the wall's clock."""
    now = datetime.now(UTC)
    desk = LedgerDesk(site.database_url, now=now)
    desk.do(
        a.enterprise(),
        a.top_up("acme", 100),
        a.plan("pro", "package", price=10, cycle=a.MONTHLY),
        a.subscribe(start_at=(now - timedelta(days=40)).isoformat()),
    )
    desk.close()


def billing_under_way(site: Site) -> int:
    """The number of a billing run that waits for an outcome: nobody decides commands yet."""
    owe(site)
    with connect(site.database_url, name="test") as connection:
        id_ = rows.ask(connection, "billing-cycle", datetime.now(UTC), "tests")
    until(lambda: site.value("SELECT count(*) FROM renewal_attempt WHERE run = %s", id_) == 1, 20, site.logs)
    assert site.value("SELECT state FROM job_run WHERE id = %s", id_) == "running"
    return id_


def paid_once(site: Site, id_: int) -> None:
    """The run comes to its end, and the cycle was charged once."""
    until(lambda: site.value("SELECT state FROM job_run WHERE id = %s", id_) == "done", 40, site.logs)
    assert site.rows("SELECT reason FROM renewal_attempt") == [(None,)]
    assert site.value("SELECT count(*) FROM subscription_cycle WHERE cycle_no = 2") == 1
    assert site.value("SELECT credit FROM account WHERE account = 'acme'") == 80


def test_runs_come_and_are_done_by_themselves_and_a_stand_by_takes_over_when_the_leader_is_killed(
    site: Site,
) -> None:
    first, second, _ = site.start_all(SCHEDULER, SCHEDULER, JOBS)
    until(lambda: done(site, "threshold-scan") > 0, 20, site.logs)
    leader, other = (first, second) if scheduling(site) == first.pid else (second, first)
    assert scheduling(site) == leader.pid
    leader.kill()
    until(lambda: scheduling(site) == other.pid, 10, site.logs)
    before = done(site, "threshold-scan")
    until(lambda: done(site, "threshold-scan") > before, 20, site.logs)
    assert site.value("SELECT count(*) FROM job_run WHERE state = 'failed' OR tries > 1") == 0


def test_a_run_whose_worker_is_killed_in_the_middle_is_finished_by_another(site: Site) -> None:
    _, worker = site.start_all(SCHEDULER, JOBS)
    id_ = billing_under_way(site)
    worker.kill()
    # The fifteen seconds of its lease need not pass here.
    site.rows(LEASE_IS_OVER, id_)
    site.start_all(JOBS, WORKER)
    paid_once(site, id_)
    assert site.value("SELECT tries FROM job_run WHERE id = %s", id_) == 2


def test_a_worker_keeps_the_lease_of_its_run_and_hands_it_over_when_it_is_told_to_leave(site: Site) -> None:
    _, worker = site.start_all(SCHEDULER, JOBS)
    id_ = billing_under_way(site)
    lease = "SELECT lease_until FROM job_run WHERE id = %s"
    before = site.value(lease, id_)
    until(lambda: site.value(lease, id_) > before, 10, site.logs)
    assert worker.leave() == 0
    assert site.rows("SELECT state, tries, owner FROM job_run WHERE id = %s", id_) == [("waiting", 0, None)]
    site.start_all(JOBS, WORKER)
    paid_once(site, id_)
    assert site.rows("SELECT tries, epoch FROM job_run WHERE id = %s", id_) == [(1, 2)]


# Knocking


def test_a_run_is_knocked_for_once_and_again_only_after_a_while(site: Site, tmp_path: Path) -> None:
    settings = Settings(
        database_url=SecretStr(site.database_url), redis_url=SecretStr(site.edge_url), data_dir=tmp_path
    )
    broker = CoinsBroker(settings, owner="tests")
    broker.declare_queue(QUEUE)
    with connect(site.database_url, name="test") as connection:
        first = rows.ask(connection, "billing-cycle", datetime.now(UTC), "tests")
        assert (ring(connection, broker), ring(connection, broker)) == (1, 0)
        second = rows.ask(connection, "mails", datetime.now(UTC), "tests")
        assert ring(connection, broker) == 1
        connection.execute(
            "UPDATE job_run SET rung_at = rung_at - interval '6 seconds' WHERE id = %s", (first,)
        )
        assert ring(connection, broker) == 1
    assert knocked(site) == [first, second, first]
    broker.close()


def knocked(site: Site) -> list[int]:
    """For which runs workers were knocked at, in that order."""
    with site.edge() as client:
        ids = client.lrange(f"coins:jobs:{QUEUE}", 0, -1)
        raw = [client.hget(f"coins:jobs:{QUEUE}.msgs", id_) for id_ in ids]  # type: ignore[union-attr]
    messages = [Message.decode(one) for one in raw]
    assert all(one.actor_name == ACTOR for one in messages)
    return [one.args[0] for one in messages]


def test_a_message_that_comes_twice_or_for_nothing_changes_nothing(site: Site, tmp_path: Path) -> None:
    worker: Program = site.start(*JOBS)
    settings = Settings(
        database_url=SecretStr(site.database_url), redis_url=SecretStr(site.edge_url), data_dir=tmp_path
    )
    broker = CoinsBroker(settings, owner="tests")
    broker.declare_queue(QUEUE)
    with connect(site.database_url, name="test") as connection:
        id_ = rows.ask(connection, "hold-expiry", datetime.now(UTC), "tests")
    for number in (10**9, id_, id_, id_):
        broker.enqueue(Message(queue_name=QUEUE, actor_name=ACTOR, args=(number,), kwargs={}, options={}))
    broker.close()
    until(lambda: done(site, "hold-expiry") == 1, 20, site.logs)
    until(lambda: knocked(site) == [], 20, site.logs)
    assert worker.leave() == 0
    assert site.rows("SELECT state, epoch, tries FROM job_run WHERE id = %s", id_) == [("done", 1, 1)]
