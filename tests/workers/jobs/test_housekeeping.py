"""Housekeeping: what is past its time goes, by the run's clock; what the ledger lives by stays for ever."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
import redis
from pydantic import SecretStr

from ledger.errors import NotFound
from ledger.queries.exports import ready
from messages.publisher import connect
from messages.streams import EVENTS, commands_stream, outcomes_stream
from tests import builders as a
from tests.conftest import EMBEDDED
from tests.desk import NOW, LedgerDesk
from tests.workers.jobs.clockwork import Clockwork
from workers.jobs import rows
from workers.jobs.exports import build_exports
from workers.jobs.housekeeping import tidy
from workers.jobs.mails import send_mails
from workers.jobs.receipts import issue_receipts
from workers.jobs.rows import Taken

# On one server: nothing here asks much of it.
pytestmark = pytest.mark.parametrize("database_server", [EMBEDDED], indirect=True, scope="session")

DAY, SECOND = timedelta(days=1), timedelta(seconds=1)
KEEP = 1_000
RUN = """
INSERT INTO job_run (job, at, asked_by, state, created_at, done, refused)
VALUES ('j', now(), 'tests', %s, %s, %s, %s) RETURNING id"""
MAIL = """
INSERT INTO mail (message_id, recipient, subject, body, account, state, created_at, next_try_at)
VALUES (%s, '', '', '', 1, %s, %s, %s)"""


@pytest.fixture
def database_url(own_database_url: str) -> str:
    """Housekeeping adds tables to it, for months to come."""
    return own_database_url


@pytest.fixture
def edge(clockwork: Clockwork, edge_url: str) -> Iterator[redis.Redis]:
    """The empty edge of the clockwork, whose streams keep a thousand events."""
    clockwork.settings = clockwork.settings.model_copy(
        update={"redis_url": SecretStr(edge_url), "events_keep": KEEP}
    )
    client = connect(edge_url)
    client.flushall()
    yield client
    client.close()


def ids(desk: LedgerDesk, table: str) -> list[Any]:
    return [id_ for (id_,) in desk.all(f"SELECT {table}.id FROM {table} ORDER BY 1")]


# Streams


def test_streams_of_events_are_trimmed_and_those_of_commands_are_not(
    clockwork: Clockwork, edge: redis.Redis
) -> None:
    trimmed = [EVENTS, outcomes_stream("north")]
    short, commands = outcomes_stream("south"), commands_stream(0, "north")
    counts = {**dict.fromkeys([*trimmed, commands], 3 * KEEP), short: 10}
    with edge.pipeline(transaction=False) as pipeline:
        for stream, count in counts.items():
            for number in range(count):
                pipeline.xadd(stream, {"event": str(number)})
        pipeline.execute()
    edge.set(f"{EVENTS}-are-no-stream", "1")

    clockwork.run(tidy)

    for stream in trimmed:
        # Whole nodes of a hundred are cut off, the oldest first
        assert KEEP <= edge.xlen(stream) <= KEEP + 100
        ((_, newest),) = edge.xrevrange(stream, count=1)
        assert newest == {b"event": str(3 * KEEP - 1).encode()}
    assert (edge.xlen(short), edge.xlen(commands)) == (10, 3 * KEEP)


# Files


def test_a_file_is_kept_for_thirty_days_and_then_its_export_is_removed(
    desk: LedgerDesk, clockwork: Clockwork, edge: redis.Redis
) -> None:
    desk.do(a.enterprise(), a.export("old", format="csv"))
    clockwork.run(build_exports)
    desk.later(days=1)
    desk.do(a.export("young", format="csv"), a.export("never-built"))
    clockwork.run(build_exports, now=desk.now)
    root = clockwork.settings.files
    old, young = (root / ready(clockwork.connection, id_).path for id_ in ("old", "young"))

    clockwork.run(tidy, now=NOW + 30 * DAY)
    assert (old.exists(), young.exists()) == (True, True)
    run = clockwork.run(tidy, now=NOW + 30 * DAY + SECOND, as_row=True)
    assert (old.exists(), young.exists()) == (False, True)
    assert [(one.item, one.detail) for one in clockwork.items(run)] == [
        ("export old", "removed, it can be asked for again under another id")
    ]
    with pytest.raises(NotFound, match="the export old has no file: its file was removed"):
        ready(clockwork.connection, "old")
    assert ready(clockwork.connection, "young").path == str(young.relative_to(root))
    assert clockwork.run(tidy, now=NOW + 30 * DAY + SECOND).done == 0
    # One whose file somebody has removed by hand goes like any other
    young.unlink()
    clockwork.run(tidy, now=NOW + 40 * DAY)
    assert desk.all("SELECT state FROM export WHERE export = 'young'") == [("removed",)]


def test_where_there_never_was_a_file_there_is_nothing_to_remove(
    clockwork: Clockwork, edge: redis.Redis
) -> None:
    assert not clockwork.settings.files.exists()
    clockwork.run(tidy)


def test_a_clock_that_is_ahead_removes_nothing_that_is_young(
    desk: LedgerDesk, clockwork: Clockwork, edge: redis.Redis
) -> None:
    desk.now = datetime.now(UTC)
    desk.do(a.enterprise(), a.export("young", format="csv"))
    clockwork.run(build_exports, now=desk.now)
    run = clockwork.begin(now=desk.now)
    assert run.id is not None
    assert rows.done(clockwork.connection, Taken(run.id, "test", desk.now, run.epoch, 1), "done")
    clockwork.run(tidy, now=desk.now + 4_000 * DAY)
    assert (clockwork.settings.files / ready(clockwork.connection, "young").path).exists()
    assert desk.one("SELECT count(*) FROM job_run WHERE id = %s", run.id) == (1,)


# Rows


def test_runs_are_kept_for_ninety_days_and_those_that_had_nothing_to_do_for_two(
    desk: LedgerDesk, clockwork: Clockwork, edge: redis.Redis
) -> None:
    kept = []
    for state, age, done, refused, stays in (
        ("done", 2 * DAY, 0, 0, True),
        ("done", 2 * DAY + SECOND, 0, 0, False),
        ("done", 90 * DAY, 1, 0, True),
        ("done", 90 * DAY, 0, 1, True),
        ("done", 90 * DAY + SECOND, 1, 1, False),
        ("failed", 90 * DAY, 0, 0, True),
        ("failed", 90 * DAY + SECOND, 0, 0, False),
        # Whatever is to be done is never too old for it
        ("waiting", 900 * DAY, 0, 0, True),
        ("running", 900 * DAY, 0, 0, True),
    ):
        (id_,) = desk.one(RUN, state, NOW - age, done, refused)
        desk.all("INSERT INTO job_item (run, item, outcome) VALUES (%s, 'x', 'done')", id_)
        kept += [id_] if stays else []

    clockwork.run(tidy)

    assert ids(desk, "job_run") == kept
    assert [run for (run,) in desk.all("SELECT run FROM job_item ORDER BY run")] == kept


def test_mails_are_kept_for_four_hundred_days_and_those_that_were_never_sent_for_ever(
    desk: LedgerDesk, clockwork: Clockwork, edge: redis.Redis
) -> None:
    for id_, state, age in (
        ("sent", "sent", 400 * DAY),
        ("sent long ago", "sent", 400 * DAY + SECOND),
        ("waiting", "waiting", 900 * DAY),
        ("given up", "given up", 900 * DAY),
    ):
        desk.all(MAIL, id_, state, NOW - age, NOW - age)
    clockwork.run(tidy)
    assert desk.all("SELECT message_id FROM mail ORDER BY 1") == [("given up",), ("sent",), ("waiting",)]


LETTER = """
INSERT INTO dead_letter (group_id, digest, place, raw, why, count, first_at, last_at, resolved_at, state)
VALUES (%s, %s::text::bytea, 0, 'x', %s, 1, %s, %s, %s, %s) RETURNING id"""


def test_settled_letters_are_kept_for_four_hundred_days_and_those_that_wait_for_ever(
    desk: LedgerDesk, clockwork: Clockwork, edge: redis.Redis
) -> None:
    (group,) = desk.one(
        "INSERT INTO dead_letter_group (digest, reason, count, kept, first_at, last_at) "
        "VALUES ('g', 'invalid', 9, 9, now(), now()) RETURNING id"
    )
    kept = []
    for number, (state, settled, came, stays) in enumerate(
        (
            ("resolved", 400 * DAY, 900 * DAY, True),
            ("resolved", 400 * DAY + SECOND, 900 * DAY, False),
            ("archived", 500 * DAY, 500 * DAY, False),
            # One that has come again since is no old one
            ("archived", 500 * DAY, 3 * DAY, True),
            ("waiting", None, 900 * DAY, True),
            ("failed again", None, 900 * DAY, True),
            ("replaying", None, 900 * DAY, True),
        )
    ):
        came_at, settled_at = NOW - came, NOW - settled if settled else None
        (id_,) = desk.one(LETTER, group, number, state, came_at, came_at, settled_at, state)
        desk.all(
            "INSERT INTO dead_letter_act (letter, at, act, who, result) VALUES (%s, now(), 'replay', 'a', 'b')",
            id_,
        )
        kept += [id_] if stays else []
    clockwork.run(tidy)
    assert ids(desk, "dead_letter") == kept
    assert [one for (one,) in desk.all("SELECT letter FROM dead_letter_act ORDER BY 1")] == kept
    assert desk.one("SELECT kept FROM dead_letter_group") == (7,)


def test_many_rows_go_portion_by_portion(
    desk: LedgerDesk, clockwork: Clockwork, edge: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.jobs.housekeeping.AT_ONCE", 2)
    for number in range(5):
        desk.all(MAIL, str(number), "sent", NOW - 500 * DAY, NOW)
        desk.one(RUN, "done", NOW - 3 * DAY, 0, 0)
    clockwork.run(tidy)
    assert (ids(desk, "mail"), ids(desk, "job_run")) == ([], [])


GOES = {"mail", "job_run", "job_item", "export"}


def everything_else(desk: LedgerDesk) -> dict[str, list[Any]]:
    """The rows of all tables of which nothing may ever go, with who has changed them last."""
    names = [
        name
        for (name,) in desk.all(
            "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public' AND tablename NOT LIKE 'batch_2%%' ORDER BY 1"
        )
        if name not in GOES
    ]
    # As text: some moments are infinite.
    return {name: sorted(desk.all(f"SELECT x.xmin::text, x::text FROM {name} x")) for name in names}


def test_nothing_of_the_ledger_ever_goes_nor_a_letter_nor_a_receipt(
    desk: LedgerDesk, clockwork: Clockwork, edge: redis.Redis
) -> None:
    desk.do(a.enterprise(email="fin@acme.example"), a.branch(), a.top_up("acme", 100), a.transfer(), a.hold())
    desk.do(a.plan("pro", "package", price=1, cycle=a.MONTHLY), a.subscribe(), a.order("o1", pay="later"))
    desk.deliver(b"no message", b'{"specversion":"1.0","id":"1","source":"tests","type":"x","data":{}}')
    clockwork.run(issue_receipts)
    clockwork.run(send_mails)
    clockwork.events()
    before = everything_else(desk)
    for name in ("entry", "transaction", "command", "batch", "dead_letter", "receipt", "subscription_cycle"):
        assert before[name], f"there is nothing in {name} that could go"

    clockwork.run(tidy, now=NOW + 3_650 * DAY)

    after = everything_else(desk)
    assert {name: after[name] for name in before} == before


# Room for months to come


def months(desk: LedgerDesk) -> set[str]:
    rows = desk.all("SELECT tablename::text FROM pg_tables WHERE tablename LIKE 'batch_2%%'")
    return {name for (name,) in rows}


def test_room_is_made_for_the_messages_of_months_to_come_and_nobody_waits_for_it(
    desk: LedgerDesk, database_url: str, clockwork: Clockwork, edge: redis.Redis
) -> None:
    """While a backup reads, it is put off: a command that comes in does not stand behind somebody who waits for a lock."""
    before = months(desk)
    later = datetime(2031, 12, 5, tzinfo=NOW.tzinfo)
    with psycopg.connect(database_url) as backup:
        backup.execute("LOCK TABLE batch IN ACCESS SHARE MODE")
        clockwork.run(tidy, now=later)
        assert months(desk) == before
        desk.do(a.enterprise())
    clockwork.run(tidy, now=later)
    assert months(desk) - before >= {"batch_2031_12", "batch_2032_01"}
    clockwork.run(tidy, now=later)


def test_a_dry_run_removes_nothing(desk: LedgerDesk, clockwork: Clockwork, edge: redis.Redis) -> None:
    desk.all(MAIL, "1", "sent", NOW - 500 * DAY, NOW)
    clockwork.run(tidy, dry_run=True)
    assert len(ids(desk, "mail")) == 1
