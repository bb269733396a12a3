"""Replays as they are played: in portions, at a rate, on from where they were, until they are over, stopped or canceled."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ledger import replays
from ledger.queries.dead import LetterFilter
from ledger.replays import ReplayRow
from messages.commands import TopUp
from messages.publisher import event
from tests.breaking import BROKEN, Break, crash, mend
from tests.builders import enterprise, top_up
from tests.desk import SOURCE, LedgerDesk
from tests.workers.jobs.clockwork import Clockwork
from tests.workers.jobs.run_rows import Runs
from workers.jobs import mails, performing, rows
from workers.jobs.replay import AT_ONCE, WATCHED, replay_letters
from workers.jobs.run import RunLost, RunStopped

LETTERS = 230


@pytest.fixture
def crashed(desk: LedgerDesk, break_rule: Break, caplog: pytest.LogCaptureFixture) -> LedgerDesk:
    """Recharges of a coin each, all of which crashed; the rule is mended."""
    desk.do(enterprise())
    break_rule(TopUp, decide=crash)
    asks = [event(top_up(amount=1, note=BROKEN), source=SOURCE, id=f"t{number}") for number in range(LETTERS)]
    desk.send(*asks)
    desk.all("UPDATE partition SET stopped_at = NULL, epoch = %s, crashed_in_a_row = 0", desk.epoch)
    mend()
    return desk


def asked(clockwork: Clockwork, **how: Any) -> int:
    given = {"who": "ada", "why": "mended", "rate": None, "limit": None, "even_if_newer": False, **how}
    return replays.ask(clockwork.connection, LetterFilter(), **given).id


def found(clockwork: Clockwork, id_: int) -> ReplayRow:
    return replays.replay(clockwork.connection, id_)


def test_everything_that_was_chosen_is_replayed(crashed: LedgerDesk, clockwork: Clockwork) -> None:
    id_ = asked(clockwork)
    run = clockwork.run(replay_letters, as_row=True)
    done = found(clockwork, id_)
    assert (done.state, done.done, done.total, done.counts) == (
        "done",
        LETTERS,
        LETTERS,
        {"applied": LETTERS},
    )
    assert done.result == "230 of 230 letters: applied 230"
    assert crashed.credit("acme") == LETTERS
    assert crashed.one("SELECT done, refused FROM job_run WHERE id = %s", run.id) == (LETTERS, 0)
    assert crashed.one("SELECT count(*) FROM dead_letter_act WHERE replay = %s", id_) == (LETTERS,)


def test_no_more_letters_than_asked_for_and_none_that_came_later(
    crashed: LedgerDesk, clockwork: Clockwork
) -> None:
    first = asked(clockwork, limit=7)
    clockwork.run(replay_letters)
    assert found(clockwork, first).done == 7
    second = asked(clockwork)
    crashed.deliver(b"no json")
    clockwork.run(replay_letters)
    assert (found(clockwork, second).done, crashed.credit("acme")) == (LETTERS - 7, LETTERS)
    assert crashed.letters()[-1]["state"] == "waiting"


def test_it_stops_by_itself_when_the_first_hundred_all_end_alike(
    crashed: LedgerDesk, clockwork: Clockwork, break_rule: Break
) -> None:
    break_rule(TopUp, decide=crash)
    id_ = asked(clockwork)
    clockwork.run(replay_letters)
    stopped = found(clockwork, id_)
    assert (stopped.state, stopped.done) == ("stopped", WATCHED)
    assert "all ended alike, failed again: tests.breaking.Defect" in (stopped.result or "")
    assert [one["state"] for one in crashed.letters()].count("waiting") == LETTERS - WATCHED
    # Resumed, it goes on where it was, and is not stopped again
    mend()
    replays.resume(clockwork.connection, id_)
    clockwork.run(replay_letters)
    assert (found(clockwork, id_).state, crashed.credit("acme")) == ("done", LETTERS - WATCHED)


def test_refusals_all_alike_stop_it_as_well(crashed: LedgerDesk, clockwork: Clockwork) -> None:
    crashed.all("UPDATE account SET state = 'closed' WHERE account = 'acme'")
    id_ = asked(clockwork)
    clockwork.run(replay_letters)
    assert (found(clockwork, id_).state, found(clockwork, id_).counts) == (
        "stopped",
        {"refused: account_closed": WATCHED},
    )


def test_it_goes_on_where_it_was_after_its_process_was_told_to_stop(
    crashed: LedgerDesk, clockwork: Clockwork
) -> None:
    id_ = asked(clockwork)
    asks = iter([False, True])
    run = clockwork.begin(stopping=lambda: next(asks))
    with pytest.raises(RunStopped):
        replay_letters(run)
    assert (found(clockwork, id_).state, found(clockwork, id_).done) == ("running", AT_ONCE)
    clockwork.run(replay_letters)
    assert (found(clockwork, id_).state, crashed.credit("acme")) == ("done", LETTERS)
    assert crashed.one("SELECT count(*) FROM transaction WHERE type = 'recharge'") == (LETTERS,)


def test_one_that_was_frozen_replays_nothing_more_when_another_has_taken_over(
    crashed: LedgerDesk, clockwork: Clockwork
) -> None:
    id_ = asked(clockwork)
    run = clockwork.begin()
    other = clockwork.overtake(run)
    with pytest.raises(RunLost):
        replay_letters(run)
    assert found(clockwork, id_).done == 0
    replay_letters(other)
    assert (found(clockwork, id_).done, crashed.credit("acme")) == (LETTERS, LETTERS)


def test_canceled_it_replays_no_letter_more_and_can_be_resumed(
    crashed: LedgerDesk, clockwork: Clockwork
) -> None:
    id_ = asked(clockwork)

    def cancel_after_the_first_portion() -> bool:
        if found(clockwork, id_).done:
            replays.cancel(clockwork.connection, id_, "bob")
        return False

    run = clockwork.begin(stopping=cancel_after_the_first_portion)
    assert "canceled" in replay_letters(run)
    canceled = found(clockwork, id_)
    assert (canceled.state, canceled.done, canceled.result) == ("canceled", AT_ONCE, "canceled by bob")
    assert crashed.credit("acme") == AT_ONCE
    replays.resume(clockwork.connection, id_)
    clockwork.run(replay_letters)
    assert (found(clockwork, id_).done, crashed.credit("acme")) == (LETTERS, LETTERS)


def test_it_keeps_to_the_rate(crashed: LedgerDesk, clockwork: Clockwork) -> None:
    asked(clockwork, limit=30, rate=20.0)
    began = time.monotonic()
    clockwork.run(replay_letters)
    # The first ten go out at once, half a second's worth.
    assert time.monotonic() - began >= (30 - 10 - 10) / 20
    assert crashed.credit("acme") == 30


def test_what_a_job_gave_up_is_run_again(desk: LedgerDesk, clockwork: Clockwork, runs: Runs) -> None:
    # Given a job that has failed for good
    failing = True

    def job(_: Any) -> str:
        if failing:
            raise ValueError("not today")
        return "swept"

    id_ = runs.ask()
    for _ in range(rows.TRIES):
        runs.pause_is_over(id_)
        runs.perform(id_, job)
    (letter,) = desk.letters()
    assert (letter["reason"], letter["state"]) == ("gave up", "waiting")
    # When it is replayed and fails again, its letter says so, and there is no other
    asked(clockwork)
    clockwork.run(replay_letters)
    (letter,) = desk.letters()
    assert letter["state"] == "replaying"
    for _ in range(rows.TRIES):
        runs.pause_is_over(letter["run"])
        runs.perform(letter["run"], job)
    (letter,) = desk.letters()
    assert letter["state"] == "failed again"
    # And when it is replayed and done, it is resolved
    failing = False
    asked(clockwork)
    clockwork.run(replay_letters)
    (letter,) = desk.letters()
    assert runs.column(letter["run"], "asked_by") == f"dead letter {letter['id']}"
    assert runs.perform(letter["run"], job)
    (letter,) = desk.letters()
    assert letter["state"] == "resolved"


def test_a_mail_that_was_given_up_is_sent_again(desk: LedgerDesk, clockwork: Clockwork) -> None:
    desk.all(
        "INSERT INTO mail (message_id, recipient, subject, body, account, created_at, next_try_at, state) "
        "VALUES ('m', 'a@b.example', 's', 'b', 0, now(), now(), 'given up')"
    )
    (number,) = desk.one("SELECT id FROM mail")
    with clockwork.connection.transaction():
        performing.give_up(
            clockwork.connection,
            b"raw",
            performing.MAIL_STREAM,
            str(number),
            ValueError("no"),
            datetime.now(UTC),
        )
    id_ = asked(clockwork)
    clockwork.run(replay_letters)
    assert found(clockwork, id_).counts == {"run again": 1}
    assert desk.one("SELECT state FROM mail") == ("waiting",)
    assert [one["state"] for one in desk.letters()] == ["resolved"]
    clockwork.run(mails.send_mails, now=datetime.now(UTC))
    assert desk.one("SELECT state FROM mail") == ("sent",)


def test_what_is_over_can_neither_be_canceled_nor_resumed(crashed: LedgerDesk, clockwork: Clockwork) -> None:
    from ledger.errors import NotFound, QueryInvalid

    id_ = asked(clockwork, limit=1)
    with pytest.raises(QueryInvalid, match="waiting"):
        replays.resume(clockwork.connection, id_)
    clockwork.run(replay_letters)
    for act in (
        lambda: replays.cancel(clockwork.connection, id_, "ada"),
        lambda: replays.resume(clockwork.connection, id_),
    ):
        with pytest.raises(QueryInvalid, match="done"):
            act()
    with pytest.raises(NotFound, match="replays"):
        replays.replay(clockwork.connection, 4711)


def test_a_dry_run_of_the_job_touches_no_replay(
    crashed: LedgerDesk, clockwork: Clockwork, tmp_path: Path
) -> None:
    id_ = asked(clockwork)
    clockwork.run(replay_letters, dry_run=True)
    assert found(clockwork, id_).state == "waiting"
