"""Runs of jobs: asked for once, one of a job at a time, fenced, tried again, given up; item by item."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

from ledger.database import connect_for_jobs
from ledger.errors import BatchRaced, DatabaseUnavailable
from messages.errors import EdgeUnavailable
from workers.jobs import rows
from workers.jobs.performing import Job, perform
from workers.jobs.rows import TRIES, Taken
from workers.jobs.run import RACES, Item, Run, RunFailed, RunLost, RunStopped
from workers.settings import Settings

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
Connection = psycopg.Connection[Any]


class Runs:
    """The rows of runs, and a hand on the database's clock: a lease that runs out, a pause that is over."""

    def __init__(self, url: str, directory: Path) -> None:
        self.settings = Settings(database_url=SecretStr(url), data_dir=directory)
        self.connection = connect_for_jobs(url, name="test")

    def ask(self, job: str = "sweep", at: datetime = AT) -> int:
        return rows.ask(self.connection, job, at, "tests")

    def take(self, id_: int, owner: str = "one") -> Taken | None:
        return rows.take(self.connection, id_, owner)

    def taken(self, job: str = "sweep", owner: str = "one", **given: Any) -> Run:
        """A run that was taken, on a session of its owner's own."""
        taken = self.take(self.ask(job), owner)
        assert taken is not None
        return self.run(taken, **given)

    def run(self, taken: Taken, connection: Connection | None = None, **given: Any) -> Run:
        return Run(
            taken.job,
            taken.at,
            self.settings,
            connection or self.connection,
            id=taken.id,
            epoch=taken.epoch,
            **given,
        )

    def lease_runs_out(self, id_: int) -> None:
        self.execute(
            "UPDATE job_run SET lease_until = clock_timestamp() - interval '1 second' WHERE id = %s", id_
        )

    def pause_is_over(self, id_: int) -> None:
        self.execute("UPDATE job_run SET not_before = '-infinity' WHERE id = %s", id_)

    def pause_seconds(self, id_: int) -> int:
        return round(self.column(id_, "extract(epoch FROM not_before - clock_timestamp())::float8"))

    def state(self, id_: int) -> str:
        return str(self.column(id_, "state"))

    def column(self, id_: int, name: str) -> Any:
        ((value,),) = self.execute(f"SELECT {name} FROM job_run WHERE id = %s", id_)
        return value

    def items(self, id_: int) -> list[tuple[Any, ...]]:
        return self.execute("SELECT item, outcome, reason FROM job_item WHERE run = %s ORDER BY item", id_)

    def execute(self, statement: str, *values: Any) -> list[Any]:
        cursor = self.connection.execute(statement.encode(), values)
        return cursor.fetchall() if cursor.description else []

    def perform(self, id_: int, job: Job, **given: Any) -> bool:
        return perform(id_, {"sweep": job}, self.settings, owner="worker", **given)


@pytest.fixture
def runs(database_url: str, tmp_path: Path) -> Iterator[Runs]:
    made = Runs(database_url, tmp_path)
    made.execute("CREATE TABLE IF NOT EXISTS swept (thing text PRIMARY KEY)")
    yield made
    made.execute("DROP TABLE swept")
    made.connection.close()


def swept(runs: Runs) -> list[str]:
    return [thing for (thing,) in runs.execute("SELECT thing FROM swept ORDER BY 1")]


def sweep(connection: Connection, things: list[str]) -> None:
    for thing in things:
        connection.execute("INSERT INTO swept VALUES (%b)", (thing,))


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


def test_of_many_who_want_many_runs_of_a_job_at_once_one_gets_one(runs: Runs) -> None:
    ids = [runs.ask() for _ in range(4)]
    got: list[Taken] = []
    together = threading.Barrier(4)

    def want(id_: int) -> None:
        with connect_for_jobs(runs.settings.database, name="test") as connection:
            together.wait(20)
            got.extend(filter(None, [rows.take(connection, id_, f"owner {id_}")]))

    threads = [threading.Thread(target=want, args=(id_,)) for id_ in ids]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)
    assert len(got) == 1


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
    rows.beat(runs.connection, "frozen")
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
    for run in (mine, others):
        assert run.id is not None
        runs.execute(
            "UPDATE job_run SET lease_until = clock_timestamp() + interval '1 second' WHERE id = %s", run.id
        )
    rows.beat(runs.connection, "me")
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


# Transactions of a run


def test_what_is_done_what_is_told_of_it_and_the_lease_are_committed_together(runs: Runs) -> None:
    run = runs.taken()
    assert run.id is not None

    def work(connection: Connection) -> int:
        sweep(connection, ["a", "b"])
        run.item("a")
        run.item("b", "refused", "too_small", "three millimetres")
        run.tally(done=5, refused=1)
        return 2

    runs.execute("UPDATE job_run SET lease_until = clock_timestamp()")
    assert run.transact(work, total=9) == 2
    assert runs.items(run.id) == [("a", "done", None), ("b", "refused", "too_small")]
    assert runs.execute("SELECT done, refused, total, lease_until > clock_timestamp() FROM job_run") == [
        (6, 2, 9, True)
    ]
    assert (run.done, run.refused) == (6, 2)


def test_what_raises_leaves_nothing_behind_and_nothing_told(runs: Runs) -> None:
    run = runs.taken()
    assert run.id is not None

    def work(connection: Connection) -> None:
        sweep(connection, ["a"])
        run.item("a")
        raise ValueError("broken off")

    with pytest.raises(ValueError, match="broken off"):
        run.transact(work)
    run.transact(lambda _: run.item("b"))
    assert (swept(runs), runs.items(run.id), run.done) == ([], [("b", "done", None)], 1)


def test_whoever_was_overtaken_commits_nothing(runs: Runs) -> None:
    run = runs.taken()
    assert run.id is not None
    runs.lease_runs_out(run.id)
    assert runs.take(run.id, "another") is not None
    with pytest.raises(RunLost):
        run.transact(lambda connection: sweep(connection, ["x"]))
    with pytest.raises(RunLost):
        run.progress("half of it")
    assert swept(runs) == []
    assert runs.column(run.id, "result") is None


@pytest.mark.parametrize(
    "error", [BatchRaced, psycopg.errors.UniqueViolation, psycopg.errors.DeadlockDetected]
)
def test_where_somebody_was_faster_it_is_done_again_and_told_once(runs: Runs, error: type[Exception]) -> None:
    run, tries = runs.taken(), iter(range(10))
    assert run.id is not None

    def work(connection: Connection) -> None:
        sweep(connection, ["a"])
        run.item("a")
        run.tally(done=1)
        if next(tries) < 3:
            raise error("somebody was faster")

    run.transact(work)
    assert (swept(runs), runs.items(run.id), run.done) == (["a"], [("a", "done", None)], 2)


def test_a_race_that_never_ends_is_none(runs: Runs) -> None:
    run, tries = runs.taken(), []

    def work(_: Connection) -> None:
        tries.append(1)
        raise BatchRaced("again")

    with pytest.raises(BatchRaced):
        run.transact(work)
    assert len(tries) == RACES


def test_one_that_cannot_be_done_fails_alone(runs: Runs) -> None:
    run = runs.taken()
    assert run.id is not None
    things = [*"abcdefg"]

    def work(connection: Connection, some: list[str]) -> int:
        sweep(connection, some)
        for thing in some:
            run.item(thing)
        if "c" in some:
            raise ValueError("\x00 c \ud800 is stuck")
        return len(some)

    assert sum(run.each(things, work, str)) == 6
    assert swept(runs) == [*"abdefg"]
    assert runs.items(run.id) == [
        (thing, *(("failed", "ValueError") if thing == "c" else ("done", None))) for thing in things
    ]
    assert runs.execute("SELECT detail FROM job_item WHERE item = 'c'") == [("\\x00 c \\ud800 is stuck",)]
    assert (runs.column(run.id, "done"), runs.column(run.id, "refused")) == (6, 1)
    assert run.each([], work, str) == []


def test_what_the_database_refuses_of_one_is_that_ones_fault_too(runs: Runs) -> None:
    run = runs.taken()
    assert run.id is not None
    assert run.each(["a", "b\x00", "c"], sweep, repr) == [None, None]
    assert swept(runs) == ["a", "c"]
    assert runs.items(run.id) == [("'b\\x00'", "failed", "CharacterNotInRepertoire")]


@pytest.mark.parametrize("error", [EdgeUnavailable, DatabaseUnavailable, psycopg.OperationalError, RunLost])
def test_an_outage_is_nobodys_fault(runs: Runs, error: type[Exception]) -> None:
    run = runs.taken()
    assert run.id is not None
    seen: list[list[str]] = []

    def work(_: Connection, some: list[str]) -> None:
        seen.append(some)
        raise error("away")

    with pytest.raises(error):
        run.each(["a", "b"], work, str)
    assert seen == [["a", "b"]]
    assert runs.items(run.id) == []


def test_told_twice_the_last_word_counts(runs: Runs) -> None:
    run = runs.taken()
    assert run.id is not None

    def work(_: Connection) -> None:
        run.item("a", "refused", "early")
        run.item("a")

    run.transact(work)
    run.transact(lambda _: run.item("a", "failed", "late"))
    assert runs.items(run.id) == [("a", "failed", "late")]


def test_a_dry_run_tells_everything_and_does_nothing(runs: Runs) -> None:
    run = Run("sweep", AT, runs.settings, runs.connection, dry_run=True)

    def work(connection: Connection) -> list[str]:
        sweep(connection, ["a"])
        run.item("a")
        run.item("b", "refused", "too_small")
        return swept(runs)

    assert run.transact(work) == ["a"], "within, everything is tried"
    run.follow("count")
    run.progress("half of it")
    assert swept(runs) == []
    assert run.items == [Item("a", "done"), Item("b", "refused", "too_small")]
    assert (run.done, run.refused) == (1, 1)
    assert runs.execute("SELECT count(*) FROM job_run") == [(0,)]


def test_how_far_it_is_and_what_is_to_follow_stands_in_the_rows(runs: Runs) -> None:
    said: list[str] = []
    run = runs.taken(say=said.append)
    assert run.id is not None
    run.progress("half of it")
    assert (runs.column(run.id, "result"), said) == ("half of it", ["half of it"])
    run.follow("count")
    run.follow("count")
    assert runs.execute("SELECT job, at, asked_by, state FROM job_run WHERE job = 'count'") == [
        ("count", AT, "sweep", "waiting")
    ]


# Performed from its row to its end


def test_a_run_is_performed_and_its_end_written_down(runs: Runs) -> None:
    id_ = runs.ask()

    def job(run: Run) -> str:
        assert (run.job, run.now, run.id, run.epoch) == ("sweep", AT, id_, 1)
        run.transact(lambda connection: sweep(connection, ["a"]))
        return "1 swept"

    assert runs.perform(id_, job)
    ((state, result, tries, error, finished),) = runs.execute(
        "SELECT state, result, tries, error, finished_at IS NOT NULL FROM job_run"
    )
    assert (state, result, tries, error, finished) == ("done", "1 swept", 1, None, True)
    assert swept(runs) == ["a"]
    assert not runs.perform(id_, job), "a doubled message finds it done"
    assert swept(runs) == ["a"]


def test_what_raises_is_tried_five_times_ever_later_and_is_a_dead_letter_then(runs: Runs) -> None:
    id_ = runs.ask()
    pauses = []

    def job(_: Run) -> str:
        raise ValueError("\x00 stuck \ud800")

    for _ in range(TRIES - 1):
        assert not runs.perform(id_, job)
        assert runs.state(id_) == "waiting"
        pauses.append(runs.pause_seconds(id_))
        assert not runs.perform(id_, job), "not before its pause is over"
        runs.pause_is_over(id_)
    assert pauses == [2, 4, 8, 16]
    assert runs.execute("SELECT count(*) FROM dead_letter") == [(0,)]
    assert not runs.perform(id_, job)
    assert (runs.state(id_), runs.column(id_, "tries")) == ("failed", TRIES)
    assert "ValueError: \\x00 stuck \\ud800" in runs.column(id_, "error")
    ((reason, stream, raw, state),) = runs.execute(
        "SELECT g.reason, d.stream, d.raw, d.state FROM dead_letter d JOIN dead_letter_group g ON g.id = d.group_id"
    )
    assert (reason, stream, state) == ("gave up", "job:sweep", "waiting")
    assert json.loads(raw) == {"job": "sweep", "at": "2026-03-01T12:00:00+00:00", "run": id_}
    assert not runs.perform(id_, job)
    assert rows.to_ring(runs.connection) == []


def test_what_succeeds_in_the_end_has_no_error_left(runs: Runs) -> None:
    id_ = runs.ask()
    fails = iter([True, True, False])

    def job(_: Run) -> str:
        if next(fails):
            raise ValueError("not yet")
        return "done"

    for expected in (False, False, True):
        assert runs.perform(id_, job) is expected
        runs.pause_is_over(id_)
    assert (runs.state(id_), runs.column(id_, "tries"), runs.column(id_, "error")) == ("done", 3, None)


def test_what_can_only_find_the_same_again_has_failed_at_once(runs: Runs) -> None:
    id_ = runs.ask()

    def job(_: Run) -> str:
        raise RunFailed("two differences")

    assert not runs.perform(id_, job)
    assert (runs.state(id_), runs.column(id_, "result")) == ("failed", "RunFailed: two differences")
    assert runs.execute("SELECT count(*) FROM dead_letter") == [(1,)]


def away(_: Run) -> str:
    raise EdgeUnavailable("the edge is away")


def lose_the_session(run: Run) -> str:
    run.connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    return "never"


@pytest.mark.parametrize("outage", [away, lose_the_session])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_outage_is_waited_out_and_is_no_try(runs: Runs, outage: Callable[[Run], str]) -> None:
    id_ = runs.ask()
    for _ in range(TRIES + 2):
        assert not runs.perform(id_, outage)
        assert (runs.state(id_), runs.column(id_, "tries")) == ("waiting", 0)
        assert runs.pause_seconds(id_) == 2
        runs.pause_is_over(id_)
    assert runs.perform(id_, lambda _: "done")
    assert runs.execute("SELECT count(*) FROM dead_letter") == [(0,)]


def test_told_to_stop_it_waits_for_another_who_goes_on_at_once(runs: Runs) -> None:
    id_ = runs.ask()

    def job(run: Run) -> str:
        for thing in "abc":
            run.check()
            if thing not in swept(runs):
                run.transact(lambda connection, thing=thing: sweep(connection, [thing]))
        return "all"

    asked = iter([False, False, True])
    assert not runs.perform(id_, job, stopping=lambda: next(asked))
    assert (swept(runs), runs.state(id_), runs.column(id_, "tries")) == (["a", "b"], "waiting", 0)
    assert runs.column(id_, "owner") is None
    assert runs.perform(id_, job)
    assert swept(runs) == ["a", "b", "c"]


def test_a_run_that_was_taken_away_meanwhile_is_not_ours_to_end(runs: Runs) -> None:
    id_ = runs.ask()
    ends: list[Callable[[Run], str]] = []

    def done(_: Run) -> str:
        return "mine"

    def raised(_: Run) -> str:
        raise ValueError("mine")

    def stopped(_: Run) -> str:
        raise RunStopped("mine")

    def noticed(run: Run) -> str:
        run.transact(lambda _: None)
        return "mine"

    ends += [done, raised, stopped, noticed]
    for number, end in enumerate(ends):

        def job(run: Run, end: Callable[[Run], str] = end, owner: str = f"another {number}") -> str:
            runs.lease_runs_out(id_)
            assert runs.take(id_, owner) is not None
            return end(run)

        assert not runs.perform(id_, job)
        assert (runs.state(id_), runs.column(id_, "owner")) == ("running", f"another {number}")
        assert (runs.column(id_, "result"), runs.column(id_, "error")) == (None, None)
        runs.lease_runs_out(id_)


def test_a_job_that_nobody_knows_any_more_is_given_up_like_any_other(runs: Runs) -> None:
    id_ = runs.ask("forgotten")
    assert not runs.perform(id_, lambda _: "done")
    assert (runs.state(id_), runs.column(id_, "tries")) == ("waiting", 1)
