"""Runs are performed from their row to their end: done, tried again, given up, handed over."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from messages.errors import EdgeUnavailable
from tests.workers.jobs.run_rows import AT, Runs, sweep, swept
from workers import health
from workers.jobs import rows
from workers.jobs.rows import TRIES
from workers.jobs.run import Run, RunFailed, RunStopped


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


def test_a_statement_that_is_wrong_is_a_failure_and_health_names_the_run(runs: Runs) -> None:
    # Given a job with a mistake in what it asks the database
    id_ = runs.ask()

    def mistaken(run: Run) -> str:
        run.connection.execute("SELECT nothing_of_that_name FROM account")
        return "never"

    assert told(runs) == "none has failed"
    # Then each time is a try, which health tells of, and five are enough
    for tries in range(1, TRIES):
        assert not runs.perform(id_, mistaken)
        assert (runs.state(id_), runs.column(id_, "tries")) == ("waiting", tries)
        assert told(runs) == f"sweep fails, try {tries} of {TRIES}: coins jobs show {id_}"
        runs.pause_is_over(id_)
    assert not runs.perform(id_, mistaken)
    assert told(runs) == f"sweep has failed: coins jobs show {id_}"
    # When a later run has made good for it, there is nothing to tell
    assert runs.perform(runs.ask(), lambda _: "done")
    assert told(runs) == "none has failed"
    # Nor is one that somebody did not want any more
    rows.withdraw(runs.connection, runs.ask(), "tests")
    assert told(runs) == "none has failed"


def told(runs: Runs) -> str:
    """What health says of jobs; commands are taken all the same."""
    (found,) = (one for one in health.inside(runs.connection, partitions=1) if one.name == "job runs")
    assert found.ok
    return found.detail


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
