"""The job that makes lists into files: those that were asked for, and every night yesterday's of each top account."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from ledger.queries.exports import ExportRow, exports, ready
from tests import builders as a
from tests.desk import NOW, LedgerDesk
from tests.workers.exports.reading import records
from tests.workers.jobs.clockwork import Clockwork
from workers.jobs.exports import DIRECTORY, NOTHING, build_exports
from workers.jobs.housekeeping import tidy
from workers.jobs.performing import perform
from workers.jobs.rows import BY_HAND, ask
from workers.jobs.run import Run, RunLost, RunStopped

DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)


@pytest.fixture
def acme(desk: LedgerDesk, clockwork: Clockwork) -> LedgerDesk:
    """`acme` and `north` below it have three lines of a statement, all of 1 March; no night has been asked for yet."""
    desk.do(a.enterprise(), a.branch(), a.top_up("acme", 500), a.transfer("acme", "north", 100))
    return desk


def rows(clockwork: Clockwork) -> dict[str, ExportRow]:
    """Every export by its id, the oldest first."""
    return {row.export: row for row in reversed(exports(clockwork.connection).rows)}


def states(clockwork: Clockwork) -> dict[str, str]:
    return {export: row.state for export, row in rows(clockwork).items()}


def file_of(clockwork: Clockwork, export: str) -> Path:
    """The file of an export that is ready, which is what the row says of it."""
    row = rows(clockwork)[export]
    assert row.state == "ready"
    assert row.path is not None
    path = clockwork.settings.files / row.path
    assert path.stat().st_size == row.bytes
    assert hashlib.sha256(path.read_bytes()).hexdigest() == row.sha256
    return path


def files(clockwork: Clockwork) -> set[str]:
    """Whatever lies where exports go."""
    root = clockwork.settings.files
    return {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()}


def numbers(path: Path) -> list[str]:
    return sorted(row["number"] for row in records(path, "Statement"))


# What was asked for


def test_what_was_asked_for_becomes_a_file(acme: LedgerDesk, clockwork: Clockwork) -> None:
    acme.do(a.export("book", filters={"subtree": True}), a.export("lines", "north", format="csv"))
    acme.later(hours=1)
    run = clockwork.begin()
    assert build_exports(run) == "2 files made"
    assert [len(records(file_of(clockwork, "book"), "Statement")), files(clockwork)] == [
        3,
        {f"exports/acme/book.{run.id}-1.xlsx", f"exports/north/lines.{run.id}-1.csv"},
    ]
    assert len(file_of(clockwork, "lines").read_text(encoding="utf-8-sig").splitlines()) == 1 + 1
    book = rows(clockwork)["book"]
    assert (book.rows, book.requested_at, book.ready_at, book.why) == (3, NOW, acme.now, None)
    assert {one.item: one.outcome for one in clockwork.items(run)} == {"book": "done", "lines": "done"}


def test_a_file_is_announced(acme: LedgerDesk, clockwork: Clockwork) -> None:
    acme.do(a.export("lines", "north", format="csv"))
    clockwork.run(build_exports)
    (event,) = clockwork.events()
    found = ready(clockwork.connection, "lines")
    assert event.type == "coins.ExportReady.v1"
    assert event.data.model_dump() == {
        "account": "north",
        "top_account": "acme",
        "export": "lines",
        "path": found.path,
        "rows": 1,
        "sha256": found.sha256,
    }


def test_made_once_it_is_not_made_again(acme: LedgerDesk, clockwork: Clockwork) -> None:
    acme.do(a.export("book"))
    clockwork.run(build_exports)
    before, _ = rows(clockwork), clockwork.events()
    acme.later(minutes=1)
    assert build_exports(clockwork.begin()) == "0 files made"
    assert (rows(clockwork), clockwork.events(), len(files(clockwork))) == (before, [], 1)


def test_what_cannot_be_exported_has_failed_and_says_why_and_the_others_are_made(
    acme: LedgerDesk, clockwork: Clockwork
) -> None:
    acme.do(a.reseller(), a.export("nosy", report="orders", filters={"account": ["shop"]}))
    acme.do(a.export("odd", filters={"from": "2026-03-02", "to": "2026-03-01"}), a.export("good"))
    run = clockwork.run(build_exports, as_row=True)
    assert states(clockwork) == {"nosy": "failed", "odd": "failed", "good": "ready"}
    found = rows(clockwork)
    assert found["nosy"].why == "account: 'shop' is neither acme nor an account below it"
    assert "--from" in (found["odd"].why or "")
    assert {one.item: (one.outcome, one.detail) for one in clockwork.items(run) if one.item != "good"} == {
        "nosy": ("failed", found["nosy"].why),
        "odd": ("failed", found["odd"].why),
    }
    assert clockwork.run(build_exports).refused == 0


def test_one_that_crashes_keeps_nobody_waiting(acme: LedgerDesk, clockwork: Clockwork) -> None:
    acme.do(a.export("bad"), a.export("good"))
    acme.all("UPDATE export SET filters = '[]' WHERE export = 'bad'")
    assert build_exports(clockwork.begin()) == "1 files made, 1 failed"
    assert states(clockwork) == {"bad": "failed", "good": "ready"}
    assert "AttributeError" in (rows(clockwork)["bad"].why or "")


def test_where_nothing_can_be_written_it_is_tried_again_a_little_later(
    acme: LedgerDesk, clockwork: Clockwork, tmp_path: Path
) -> None:
    acme.do(a.export("book"))
    good = clockwork.settings
    in_the_way = tmp_path / "no directory"
    in_the_way.touch()
    clockwork.settings = good.model_copy(update={"files_dir": in_the_way})
    run = clockwork.begin()
    again = f"{NOW + 5 * MINUTE:%Y-%m-%dT%H:%M:%SZ}"
    with capture_logs() as logs:
        assert build_exports(run) == f"0 files made, 1 failed, tried again at {again}"
    assert [(one["event"], one["log_level"], one["export"]) for one in logs] == [
        ("export not written", "warning", "book")
    ]
    assert states(clockwork) == {"book": "requested"}
    assert "no directory" in (rows(clockwork)["book"].why or "")
    assert [(one.outcome, one.reason) for one in clockwork.items(run)] == [("failed", "to be tried again")]
    clockwork.settings = good
    acme.all("DELETE FROM job_run")
    assert build_exports(clockwork.begin(now=NOW + 4 * MINUTE)) == "0 files made"
    acme.all("DELETE FROM job_run")
    assert build_exports(clockwork.begin(now=NOW + 5 * MINUTE)) == "1 files made"
    assert (states(clockwork), rows(clockwork)["book"].why) == ({"book": "ready"}, None)


def test_who_asks_by_hand_does_not_wait_for_that(
    acme: LedgerDesk, clockwork: Clockwork, tmp_path: Path
) -> None:
    acme.do(a.export("book"))
    good = clockwork.settings
    (in_the_way := tmp_path / "no directory").touch()
    clockwork.settings = good.model_copy(update={"files_dir": in_the_way})
    build_exports(clockwork.begin())
    acme.all("DELETE FROM job_run")
    by_hand = ask(clockwork.connection, "test", NOW, f"{BY_HAND}root@here")
    told = list[str]()

    def at_once(run: Run) -> str:
        told.append(build_exports(run))
        return told[0]

    assert perform(by_hand, {"test": at_once}, good, owner="tests")
    assert told == ["1 files made"]


def test_a_dry_run_says_what_would_be_made_and_makes_nothing(acme: LedgerDesk, clockwork: Clockwork) -> None:
    acme.do(a.export("book"))
    run = clockwork.run(build_exports, now=NOW + DAY, dry_run=True)
    assert [(one.item, one.detail) for one in run.items] == [("book", "statement of acme as xlsx")]
    assert (states(clockwork), files(clockwork)) == ({"book": "requested"}, set())
    assert acme.all("SELECT FROM job_mark") == []


# Interrupted


def test_told_to_stop_while_it_builds_it_leaves_no_file_and_goes_on_with_the_next_run(
    acme: LedgerDesk, clockwork: Clockwork
) -> None:
    acme.do(a.export("one"), a.export("two"))
    looks = iter([False, False, False])  # before and in the first, before the second
    with pytest.raises(RunStopped):
        build_exports(clockwork.begin(stopping=lambda: next(looks, True)))
    assert states(clockwork) == {"one": "ready", "two": "running"}
    assert len(files(clockwork)) == 1
    acme.all("DELETE FROM job_run")
    assert build_exports(clockwork.begin()) == "1 files made"
    assert states(clockwork) == {"one": "ready", "two": "ready"}
    assert len(files(clockwork)) == 2


def test_overtaken_while_it_builds_it_leaves_the_file_of_the_other_alone(
    acme: LedgerDesk, clockwork: Clockwork
) -> None:
    acme.do(a.export("book"))
    looks = iter([False])

    def frozen_while_it_builds() -> bool:
        if next(looks, True):
            build_exports(clockwork.overtake(run))
        return False

    run = clockwork.begin(stopping=frozen_while_it_builds)
    with pytest.raises(RunLost):
        build_exports(run)
    assert files(clockwork) == {f"exports/acme/book.{run.id}-2.xlsx"}
    file_of(clockwork, "book")
    assert len(clockwork.events()) == 1


STUMBLE = (
    """
CREATE FUNCTION stumble() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE 'the server goes away' USING ERRCODE = '57P01'; END $$""",
    "CREATE TRIGGER stumble BEFORE UPDATE ON export FOR EACH ROW WHEN (NEW.state = 'ready') EXECUTE FUNCTION stumble()",
)


@pytest.fixture
def own_clockwork(own_desk: LedgerDesk, own_database_url: str, tmp_path: Path) -> Iterator[Clockwork]:
    made = Clockwork(own_desk, own_database_url, tmp_path)
    yield made
    made.close()


def test_a_file_that_is_nobodys_is_removed_after_a_day(
    own_desk: LedgerDesk, own_clockwork: Clockwork, edge_url: str
) -> None:
    """It was whole when its process ended, and no row ever said whose it is; so with one that was not even whole."""
    own_desk.do(a.enterprise(), a.export("book"))
    for statement in STUMBLE:
        own_desk.all(statement)
    run = own_clockwork.begin()
    with pytest.raises(psycopg.OperationalError, match="goes away"):
        build_exports(run)
    own_desk.all("DROP TRIGGER stumble ON export")
    build_exports(own_clockwork.overtake(run))
    orphan, whole = (f"exports/acme/book.{run.id}-{epoch}.xlsx" for epoch in (1, 2))
    unfinished = own_clockwork.settings.files / "exports/acme/.coins-export-abc"
    unfinished.mkdir()
    (unfinished / "book.xlsx").touch()
    assert files(own_clockwork) == {orphan, whole, "exports/acme/.coins-export-abc/book.xlsx"}

    own_clockwork.settings = own_clockwork.settings.model_copy(update={"redis_url": SecretStr(edge_url)})
    own_clockwork.run(tidy)
    assert len(files(own_clockwork)) == 3, "whoever makes it may be at work"
    yesterday = time.time() - 86_401
    for path in (own_clockwork.settings.files / DIRECTORY / "acme").iterdir():
        os.utime(path, (yesterday, yesterday))
    own_clockwork.run(tidy)
    assert files(own_clockwork) == {whole}
    file_of(own_clockwork, "book")


# Every night


@pytest.mark.parametrize(
    ("zone", "midnight"),
    [
        ("UTC", datetime(2026, 3, 2, tzinfo=UTC)),
        ("Asia/Shanghai", datetime(2026, 3, 1, 16, tzinfo=UTC)),
        ("America/New_York", datetime(2026, 3, 2, 5, tzinfo=UTC)),
    ],
)
def test_a_day_is_exported_five_minutes_after_it_is_over_where_the_top_account_is(
    desk: LedgerDesk, clockwork: Clockwork, zone: str, midnight: datetime
) -> None:
    """With what was posted on it below the account, from its first moment to its last."""
    desk.now = midnight - 2 * DAY
    desk.do(a.enterprise(timezone=zone), a.branch("north", timezone="Pacific/Kiritimati"))
    of_that_day: list[str | None] = []
    for moment, is_of_that_day in (
        (midnight - DAY - timedelta(microseconds=1), False),
        (midnight - DAY, True),
        (midnight - timedelta(microseconds=1), True),
        (midnight, False),
    ):
        desk.now = moment
        number = desk.do(a.top_up("north"))
        of_that_day += [number] if is_of_that_day else []
    assert (
        build_exports(clockwork.begin(now=midnight - DAY + 5 * MINUTE))
        == "1 files made, 1 of last night asked for"
    )
    desk.all("DELETE FROM job_run")
    assert build_exports(clockwork.begin(now=midnight + 5 * MINUTE - timedelta(seconds=1))) == "0 files made"
    desk.all("DELETE FROM job_run")
    assert (
        build_exports(clockwork.begin(now=midnight + 5 * MINUTE)) == "1 files made, 1 of last night asked for"
    )
    day = "2026-03-01"
    row = rows(clockwork)[f"nightly/acme/{day}"]
    assert (row.account, row.report, row.format) == ("acme", "statement", "xlsx")
    assert row.filters == {"subtree": True, "from": day, "to": day}
    assert numbers(file_of(clockwork, row.export)) == of_that_day


def test_days_that_were_missed_are_made_up_for_but_for_those_without_a_transaction(
    acme: LedgerDesk, clockwork: Clockwork
) -> None:
    acme.do(a.reseller(), a.top_up("shop"))
    assert build_exports(clockwork.begin(now=NOW + DAY)) == "2 files made, 2 of last night asked for"
    acme.now = NOW + 3 * DAY
    acme.do(a.top_up("north"))
    acme.now = NOW + 5 * DAY
    acme.do(a.top_up("acme"))
    acme.all("DELETE FROM job_run")
    assert build_exports(clockwork.begin(now=NOW + 8 * DAY)) == "2 files made, 2 of last night asked for"
    assert set(rows(clockwork)) == {
        "nightly/acme/2026-03-01",
        "nightly/shop/2026-03-01",
        "nightly/acme/2026-03-04",
        "nightly/acme/2026-03-06",
    }
    acme.all("DELETE FROM job_run")
    assert build_exports(clockwork.begin(now=NOW + 9 * DAY)) == "0 files made"
    # And nobody asks for a day again because a clock was set back
    acme.all("DELETE FROM job_run")
    assert build_exports(clockwork.begin(now=NOW + 2 * DAY)) == "0 files made"


def test_the_first_night_is_yesterdays_however_old_the_account_is(
    acme: LedgerDesk, clockwork: Clockwork
) -> None:
    acme.now = NOW + 30 * DAY
    acme.do(a.top_up("acme"))
    clockwork.run(build_exports, now=NOW + 31 * DAY)
    assert list(rows(clockwork)) == ["nightly/acme/2026-03-31"]


def test_who_asks_for_a_list_does_not_wait_for_the_night(acme: LedgerDesk, clockwork: Clockwork) -> None:
    acme.do(a.reseller(), a.top_up("shop"))
    acme.now = NOW + DAY
    acme.do(a.export("second"))
    acme.later(seconds=1)
    acme.do(a.export("and-last"))
    run = clockwork.run(build_exports, as_row=True)
    made = acme.all("SELECT item FROM job_item WHERE run = %s ORDER BY at", run.id)
    assert made[:2] == [("second",), ("and-last",)]
    assert len(made) == 4


def test_two_exports_never_share_a_file(acme: LedgerDesk, clockwork: Clockwork) -> None:
    ids = ["nightly_acme_2026-03-01", "nightly.acme.2026-03-01", "nightly-acme-2026-03-01"]
    acme.do(*(a.export(id_, filters={"type": ["transfer"]}) for id_ in ids))
    clockwork.run(build_exports, now=NOW + DAY)
    assert len({file_of(clockwork, id_) for id_ in [*ids, "nightly/acme/2026-03-01"]}) == 4


def test_where_the_day_turns_out_empty_there_is_no_file(acme: LedgerDesk, clockwork: Clockwork) -> None:
    """Nothing of it is posted, though it was asked for."""
    acme.do(a.export("x"))
    acme.all(
        "UPDATE export SET export = 'nightly/acme/2026-02-01', filters = %s",
        '{"subtree": true, "from": "2026-02-01", "to": "2026-02-01"}',
    )
    clockwork.run(build_exports)
    row = rows(clockwork)["nightly/acme/2026-02-01"]
    assert (row.state, row.path, row.why) == ("removed", None, NOTHING)
    assert (files(clockwork), clockwork.events()) == (set(), [])
