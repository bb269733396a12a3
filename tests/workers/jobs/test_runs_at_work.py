"""What a run does: committed with what is told of it, by its owner alone, item by item."""

from __future__ import annotations

import psycopg
import pytest

from ledger.errors import BatchRaced, DatabaseUnavailable
from messages.errors import EdgeUnavailable
from tests.workers.jobs.run_rows import AT, Connection, Runs, sweep, swept
from workers.errors import SettingsInvalid
from workers.jobs.run import RACES, Item, Run, RunLost


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


@pytest.mark.parametrize(
    "error", [EdgeUnavailable, DatabaseUnavailable, psycopg.OperationalError, SettingsInvalid, RunLost]
)
def test_an_outage_or_a_wrong_setting_is_no_things_fault(runs: Runs, error: type[Exception]) -> None:
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


def test_a_statement_that_is_wrong_is_no_things_fault(runs: Runs) -> None:
    run = runs.taken()
    assert run.id is not None

    def work(connection: Connection, _: list[str]) -> None:
        connection.execute("SELECT nothing_of_that_name FROM account")

    with pytest.raises(psycopg.errors.UndefinedColumn):
        run.each(["a", "b"], work, str)
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
