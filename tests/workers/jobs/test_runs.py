"""Runs of jobs as rows: asked for once, one of a job at a time, knocked for until somebody does them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ledger.database import connect_for_jobs
from tests.system.site import until
from tests.workers.jobs.run_rows import AT, MINUTE, Connection, Runs, sweep, swept
from workers.jobs import rows
from workers.jobs.rows import Taken
from workers.jobs.run import RunLost

# Asked for


def test_the_schedule_asks_for_the_same_run_once_for_ever(runs: Runs) -> None:
    first = rows.ask_scheduled(runs.connection, "sweep", AT)
    assert first is not None
    assert rows.ask_scheduled(runs.connection, "sweep", AT) is None
    runs.perform(first, lambda _: "done")
    assert rows.ask_scheduled(runs.connection, "sweep", AT) is None
    assert rows.ask_scheduled(runs.connection, "sweep", AT + MINUTE) is not None


def test_while_one_waits_the_schedule_asks_for_no_other_of_that_job(runs: Runs) -> None:
    first = rows.ask_scheduled(runs.connection, "sweep", AT)
    assert first is not None
    assert rows.ask_scheduled(runs.connection, "sweep", AT + MINUTE) is None
    assert rows.ask_scheduled(runs.connection, "count", AT) is not None
    assert runs.take(first) is not None
    assert rows.ask_scheduled(runs.connection, "sweep", AT + MINUTE) is not None, (
        "it runs, and waits no longer"
    )


def test_two_schedulers_that_ask_at_once_make_one_run(runs: Runs) -> None:
    @contextmanager
    def session() -> Iterator[Connection]:
        with connect_for_jobs(runs.settings.database, name="test") as connection:
            yield connection

    asked: list[int | None] = []
    together = threading.Barrier(4)

    def ask() -> None:
        with session() as connection:
            for minute in range(20):
                together.wait(20)
                asked.append(rows.ask_scheduled(connection, "sweep", AT + minute * MINUTE))
                together.wait(20)
                connection.execute("UPDATE job_run SET state = 'done'")

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)
    assert len([one for one in asked if one is not None]) == 20
    assert runs.execute("SELECT count(*) FROM job_run") == [(20,)]


def test_people_may_ask_for_the_same_moment_again(runs: Runs) -> None:
    assert runs.ask() != runs.ask()


# Taken


def test_one_that_waits_is_taken_by_one_alone(runs: Runs) -> None:
    id_ = runs.ask()
    assert runs.take(id_) == Taken(id_, "sweep", AT, 1, 1)
    assert runs.take(id_, "another") is None
    assert runs.state(id_) == "running"


def test_of_one_job_one_run_at_a_time(runs: Runs) -> None:
    first, second, other = runs.ask(), runs.ask(), runs.ask("count")
    taken = runs.take(first)
    assert taken is not None
    assert runs.take(second) is None
    assert runs.take(other) is not None
    rows.done(runs.connection, taken, "done")
    assert runs.take(second) is not None


def test_of_two_who_want_two_runs_of_a_job_at_the_same_moment_one_gets_one(runs: Runs) -> None:
    first, second = runs.ask(), runs.ask()
    answers: list[Taken | None] = []

    def want() -> None:
        with connect_for_jobs(runs.settings.database, name="test") as connection:
            answers.append(rows.take(connection, second, "another"))

    waiting = threading.Thread(target=want)
    with connect_for_jobs(runs.settings.database, name="test") as connection:
        with connection.transaction():
            assert rows.take(connection, first, "one") is not None
            waiting.start()
            until(lambda: answers or runs.execute("SELECT 1 FROM pg_locks WHERE NOT granted"), 20)
        waiting.join(20)
    assert answers == [None]


def test_a_run_whose_owner_is_gone_is_taken_over_under_a_higher_epoch(runs: Runs) -> None:
    id_ = runs.ask()
    runs.take(id_)
    runs.lease_runs_out(id_)
    assert runs.take(id_, "another") == Taken(id_, "sweep", AT, 2, 2)


def test_what_failed_is_not_taken_before_its_pause_is_over_nor_after_it_has_ended(runs: Runs) -> None:
    id_ = runs.ask()
    taken = runs.take(id_)
    assert taken is not None
    rows.again(runs.connection, taken, ValueError("no"), outage=False)
    assert runs.take(id_) is None
    runs.pause_is_over(id_)
    taken = runs.take(id_)
    assert taken is not None
    rows.done(runs.connection, taken, "done")
    assert runs.take(id_) is None
    assert runs.take(10**9) is None


def test_an_owner_that_was_frozen_loses_its_run_when_another_of_the_job_begins(runs: Runs) -> None:
    frozen = runs.taken(owner="frozen")
    assert frozen.id is not None
    waiting = runs.ask()
    runs.lease_runs_out(frozen.id)
    assert runs.take(waiting, "another") is not None
    rows.beat(runs.connection, "frozen", [frozen.id])
    with pytest.raises(RunLost):
        frozen.transact(lambda connection: sweep(connection, ["x"]))
    assert swept(runs) == []
    assert runs.state(frozen.id) == "waiting"
    assert runs.take(frozen.id) is None, "its turn comes after the other"
    rows.done(runs.connection, Taken(waiting, "sweep", AT, 1, 1), "done")
    assert runs.take(frozen.id) is not None


def test_while_an_owner_is_in_the_middle_of_a_transaction_nobody_else_begins(runs: Runs) -> None:
    slow = runs.taken(owner="slow")
    assert slow.id is not None
    waiting = runs.ask()
    runs.lease_runs_out(slow.id)

    def work(connection: Connection) -> None:
        with connect_for_jobs(runs.settings.database, name="test") as other:
            assert rows.take(other, waiting, "another") is None
        sweep(connection, ["x"])

    slow.transact(work)
    assert swept(runs) == ["x"]
    assert runs.take(waiting) is None, "its lease holds again"


def test_whoever_beats_keeps_what_it_runs_and_nothing_else(runs: Runs) -> None:
    mine, others = runs.taken("sweep", "me"), runs.taken("count", "somebody")
    waiting = runs.ask("wait")
    ids = [run.id for run in (mine, others) if run.id is not None]
    for id_ in ids:
        runs.execute(
            "UPDATE job_run SET lease_until = clock_timestamp() + interval '1 second' WHERE id = %s", id_
        )
    rows.beat(runs.connection, "me", [*ids, waiting])
    left = dict(
        runs.execute("SELECT id, lease_until > clock_timestamp() + interval '10 seconds' FROM job_run")
    )
    assert left == {mine.id: True, others.id: False, waiting: False}


def test_a_worker_is_knocked_at_for_what_nobody_works_on_and_not_all_the_time(runs: Runs) -> None:
    new, running, gone, paused, over = (runs.ask(job) for job in ("a", "b", "c", "d", "e"))
    for id_ in (running, gone, paused, over):
        assert runs.take(id_) is not None
    runs.lease_runs_out(gone)
    rows.again(runs.connection, Taken(paused, "d", AT, 1, 1), ValueError("no"), outage=False)
    rows.done(runs.connection, Taken(over, "e", AT, 1, 1), "done")
    assert rows.to_ring(runs.connection) == [new, gone]
    assert rows.to_ring(runs.connection) == []
    runs.execute("UPDATE job_run SET rung_at = rung_at - interval '6 seconds'")
    assert rows.to_ring(runs.connection) == [new, gone]
    runs.pause_is_over(paused)
    assert rows.to_ring(runs.connection) == [paused]
