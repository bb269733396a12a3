"""`coins jobs` and its verbs, as processes on a real database."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from schedulers.schedule import JOBS
from tests import builders as a
from tests.console.running import COMMAND, ROOT, Coins, coins_with, document
from tests.desk import LedgerDesk

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
APRIL = "2026-04-01T12:00:00Z"


@pytest.fixture(scope="module")
def database(module_database_url: str) -> str:
    """`acme` has 15 coins; a subscription of ten was paid, one that begins in April was not; a hold lasts an hour."""
    desk = LedgerDesk(module_database_url, now=NOW)
    desk.do(
        a.enterprise(),
        a.top_up("acme", 25),
        a.plan("pro", "package", price=10, cycle=a.MONTHLY),
        a.subscribe("s1"),
        a.subscribe("s2", start_at=APRIL),
        a.hold("h1", amount=3, expires_at=(NOW + timedelta(hours=1)).isoformat()),
        a.hold("h2", amount=1, expires_at=(NOW + timedelta(days=60)).isoformat()),
    )
    desk.close()
    return module_database_url


@pytest.fixture(scope="module")
def environment(database: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """No queue is there: what needs one cannot be done."""
    directory: Path = tmp_path_factory.mktemp("data")
    return {
        "PATH": os.environ["PATH"],
        "COINS_DATABASE_URL": database,
        "COINS_REDIS_URL": "redis://127.0.0.1:1/0",
        "COINS_DATA_DIR": str(directory),
    }


@pytest.fixture(scope="module")
def coins(environment: dict[str, str]) -> Coins:
    return coins_with(environment)


def frozen(database: str) -> int:
    with psycopg.connect(database) as connection:
        ((amount,),) = connection.execute("SELECT frozen FROM account WHERE account = 'acme'")
    return int(amount)


def refused(done: subprocess.CompletedProcess[str], said: str) -> None:
    """Wrong usage."""
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_every_job_is_listed_with_when_it_comes(coins: Coins) -> None:
    found = document(coins("jobs", "--json"))["rows"]
    assert [row["job"] for row in found] == list(JOBS)
    assert list(found[0]) == [
        "job",
        "next_at",
        "run",
        "state",
        "last_at",
        "seconds",
        "done",
        "refused",
        "result",
        "catches_up",
    ]
    assert all(row["next_at"] and row["catches_up"] for row in found)
    person = coins("jobs")
    assert person.stdout.split()[0] == "job"
    assert len(person.stdout.splitlines()) == len(JOBS) + 1
    assert "times in UTC" in person.stderr


def test_a_dry_run_says_what_would_be_done_and_does_nothing(coins: Coins, database: str) -> None:
    found = document(coins("jobs", "run", "billing", "--at", APRIL, "--dry-run", "--json"))
    assert (found["job"], found["at"], found["dry_run"]) == ("billing-cycle", APRIL, True)
    assert (found["done"], found["refused"]) == (1, 1)
    assert [(one["item"], one["outcome"], one["reason"]) for one in found["items"]] == [
        ("s1 cycle 2", "done", None),
        ("s2 cycle 1", "refused", "insufficient_credit"),
    ]
    person = coins("jobs", "run", "billing-cycle", "--at", APRIL, "--dry-run")
    assert "s2 cycle 1" in person.stdout
    assert "dry run, nothing was done: 1 would be done, 1 would be refused" in person.stderr
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM job_run").fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM subscription_cycle").fetchone() == (1,)


def test_a_job_is_run_by_any_clock_and_its_run_can_be_looked_at(coins: Coins, database: str) -> None:
    assert frozen(database) == 4
    done = document(coins("jobs", "run", "hold_expiry", "--at", "2026-03-02T00:00:00Z", "--json"))
    assert (done["job"], done["state"], done["result"]) == ("hold-expiry", "done", "1 holds expired")
    assert (done["at"], done["tries"], done["done"], done["refused"]) == ("2026-03-02T00:00:00Z", 1, 1, 0)
    assert done["asked_by"].startswith("cli:")
    assert [(one["item"], one["outcome"]) for one in done["items"]] == [("h1", "done")]
    assert frozen(database) == 1

    assert document(coins("jobs", "show", str(done["run"]), "--json")) == done
    shown = coins("jobs", "show", str(done["run"]))
    assert "expired at 2026-03-01 13:00:00 UTC" in shown.stdout

    person = coins("jobs", "run", "hold-expiry", "--at", "2026-03-02")
    assert person.returncode == 0
    assert (
        f"run {done['run'] + 1}: hold-expiry at 2026-03-02 00:00:00 UTC: done; 0 holds expired"
        in person.stderr
    )

    listed = document(coins("jobs", "runs", "--job", "hold", "--state", "done", "--limit", "1", "--json"))
    assert [row["run"] for row in listed["rows"]] == [done["run"] + 1]
    before = coins("jobs", "runs", "--after", listed["next"], "--ndjson")
    assert [json.loads(line)["run"] for line in before.stdout.splitlines()] == [done["run"]]
    busy = document(coins("jobs", "runs", "--job", "hold", "--busy", "--json"))
    assert [row["run"] for row in busy["rows"]] == [done["run"]], "not the one that found nothing to do"
    (last,) = [row for row in document(coins("jobs", "--json"))["rows"] if row["job"] == "hold-expiry"]
    assert (last["run"], last["state"], last["last_at"]) == (done["run"] + 1, "done", "2026-03-02T00:00:00Z")


def test_before_a_clock_that_is_ahead_it_says_what_it_would_do_and_asks(
    environment: dict[str, str], database: str
) -> None:
    ours, theirs = pty.openpty()
    before = frozen(database)
    try:
        with subprocess.Popen(
            [*COMMAND, "jobs", "run", "hold-expiry", "--at", "2098-01-01"],
            env=environment,
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=ROOT,
        ) as process:
            os.write(ours, b"n\n")
            _, said = process.communicate(timeout=30)
    finally:
        os.close(ours)
        os.close(theirs)
    assert b"hold-expiry by the clock of 2098-01-01 00:00 UTC: " in said
    assert b"holds expired" in said
    assert b"It will really be done, now. Go on?" in said
    assert (process.returncode, frozen(database)) == (1, before)


def test_a_job_that_fails_says_why_and_exits_with_1(coins: Coins, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("UPDATE account SET credit = credit + 1 WHERE account = 'acme'")
        try:
            done = coins("jobs", "run", "verification", "--json")
        finally:
            connection.execute("UPDATE account SET credit = credit - 1 WHERE account = 'acme'")
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert found["state"] == "failed"
    assert "differences" in found["result"]
    assert "RunFailed" in found["error"]
    assert any("acme" in one["item"] and one["outcome"] == "failed" for one in found["items"])
    assert document(coins("jobs", "run", "verification", "--json"))["state"] == "done"


def test_without_the_queue_a_run_is_given_up_and_the_command_exits_with_1(coins: Coins) -> None:
    """Nobody goes on with it later, behind the back of whoever asked for it by some clock."""
    done = coins("jobs", "run", "billing-cycle", "--at", APRIL)
    assert done.returncode == 1
    assert "EdgeUnavailable" in done.stderr
    (row,) = document(coins("jobs", "runs", "--job", "billing", "--json"))["rows"]
    assert (row["state"], row["result"]) == ("failed", "given up by whoever asked for it")


def test_names_that_nobody_has_are_wrong_usage_and_runs_that_never_were_are_not_found(coins: Coins) -> None:
    refused(
        coins("jobs", "run", "nothing"), "there is no job 'nothing'; there are threshold-scan, billing-cycle"
    )
    refused(coins("jobs", "runs", "--job", "expiry"), "there is no job 'expiry'")
    refused(coins("jobs", "runs", "--state", "asleep"), "--state")
    refused(coins("jobs", "runs", "--after", "x"), "--after")
    refused(coins("jobs", "run", "billing", "--at", "tomorrow"), "--at")
    refused(coins("jobs", "run", "billing", "--at", "9999-12-31", "--dry-run"), "from 2000 to 2099")
    unknown = coins("jobs", "show", "4711000")
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert "there is no run 4711000" in unknown.stderr
