"""`coins move`: an embedded ledger goes on in a database of a server, with all that was in it, or stays where it is."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg
import pytest
import redis

from deploy.embedded import EmbeddedPostgres, EmbeddedServers, servers
from deploy.moving import MOVED_FILE, MOVING_FILE, place_of
from ledger.database import connect
from ledger.migrate import migrate
from ledger.verify import verify
from tests import builders as a
from tests.conftest import DatabaseServer
from tests.desk import NOW, LedgerDesk
from tests.ledger.test_verify_products import fill
from workers.access import write_private
from workers.producers import PRODUCERS_FILE

MOVE = (sys.executable, "-P", "-m", "console.cli.main", "move")
AGAIN = {"specversion": "1.0", "id": "again", "source": "tests", "type": "coins.TopUp.v1"}
TOP_UP = {**AGAIN, "data": {"account": "acme", "amount": 5, "reference": "WIRE-1"}}
PAST_MONTH = (
    "CREATE TABLE batch_2026_03 PARTITION OF batch FOR VALUES FROM ('2026-03-01 00:00:00+00') "
    "TO ('2026-04-01 00:00:00+00')"
)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> EmbeddedServers:
    """An embedded system with one of everything in its ledger, at rest and stopped."""
    both = servers(tmp_path_factory.mktemp("embedded"), durable=False)
    with both:
        migrate(both.postgres.url, partitions=2)
        with psycopg.connect(both.postgres.url, autocommit=True) as connection:
            connection.execute(PAST_MONTH)
        desk = LedgerDesk(both.postgres.url)
        fill(desk)
        desk.ask(TOP_UP)
        desk.deliver(b"no message")
        desk.close()
        rest(both)
    return both


def rest(both: EmbeddedServers) -> None:
    """As after the relay has told everything."""
    with psycopg.connect(both.postgres.url, autocommit=True) as connection:
        connection.execute("DELETE FROM outbox")


@contextmanager
def empty_database(server: DatabaseServer) -> Iterator[str]:
    name = f"coins_test_{os.getpid()}_moved"
    try:
        yield server.create(name)
    finally:
        server.drop(name)


@pytest.fixture
def target(embedded_postgres: EmbeddedPostgres) -> Iterator[str]:
    """An empty database of another server."""
    with empty_database(DatabaseServer("embedded", embedded_postgres.url, "FILE_COPY")) as url:
        yield url


@pytest.fixture
def any_target(database_server: DatabaseServer) -> Iterator[str]:
    """An empty database on each server in turn: the embedded one's version, and the machine's."""
    with empty_database(database_server) as url:
        yield url


def move(source: EmbeddedServers, target: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [*MOVE, "--to-database", target, "--data", str(source.postgres.data_dir), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def back(source: EmbeddedServers) -> None:
    (source.postgres.data_dir / MOVED_FILE).unlink(missing_ok=True)


def rows(url: str, query: str) -> list[Any]:
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(query.encode()).fetchall()


def tables(url: str) -> set[str]:
    return {name for (name,) in rows(url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}


def test_a_moved_ledger_is_the_same_and_goes_on(source: EmbeddedServers, any_target: str) -> None:
    """Keys, balances, dates of subscriptions, numbers of transactions and letters: nothing begins anew."""
    with source:
        before = state_of(source.postgres.url)
    moved = move(source, any_target)
    back(source)
    assert moved.returncode == 0, moved.stderr
    assert "are the same on both sides" in moved.stderr
    assert "COINS_DATABASE_URL=" in moved.stderr
    assert state_of(any_target) == before
    assert rows(any_target, "SELECT count(*) FROM batch_2026_03 WHERE received_at >= '2026-03-01'")[0][0] > 0
    desk = LedgerDesk(any_target, now=NOW)
    try:
        repeated = desk.ask(TOP_UP)
        assert (repeated.data.duplicate, repeated.data.reason) == (True, None)
        assert desk.refused(a.top_up("acme", 5, reference="WIRE-1")) == "duplicate_reference"
        number = desk.do(a.top_up("acme", 5))
        assert number not in before["numbers"]
        desk.deliver(b"no message either")
        desk.later(days=31)
        desk.do(
            a.next_cycle(
                *rows(any_target, "SELECT subscription FROM subscription WHERE status = 'active'")[0]
            )
        )
    finally:
        desk.close()
    with connect(any_target, name="test") as connection:
        assert verify(connection).differences == []


def state_of(url: str) -> dict[str, Any]:
    return {
        "accounts": rows(url, "SELECT * FROM account ORDER BY id"),
        "subscriptions": rows(
            url, "SELECT subscription, anchor, paid_cycles, next_try_at FROM subscription ORDER BY 1"
        ),
        "entries": rows(url, "SELECT * FROM entry ORDER BY transaction, account, unit, version"),
        "letters": rows(url, "SELECT id, raw, state FROM dead_letter ORDER BY id"),
        "numbers": [f"T-{one:%Y}-{id_:010d}" for id_, one in rows(url, "SELECT id, time FROM transaction")],
        "sequences": rows(url, "SELECT sequencename, last_value FROM pg_sequences ORDER BY 1"),
    }


def test_what_is_not_at_rest_is_not_moved(source: EmbeddedServers, target: str) -> None:
    with source:
        edge = redis.Redis.from_url(source.valkey.url)
        edge.xadd("coins:commands:1:till", {"event": "{}"})
        edge.close()
        with psycopg.connect(source.postgres.url, autocommit=True) as connection:
            connection.execute("INSERT INTO outbox (events) VALUES ('x')")
    try:
        refused = move(source, target)
    finally:
        with source:
            rest(source)
            edge = redis.Redis.from_url(source.valkey.url)
            edge.delete("coins:commands:1:till")
            edge.close()
    assert refused.returncode == 1
    for said in ("coins:commands:1:till", "1 rows of the outbox"):
        assert said in refused.stderr
    assert tables(target) == set()
    assert not (source.postgres.data_dir / MOVED_FILE).exists()


def test_a_target_with_anything_in_it_is_left_alone(source: EmbeddedServers, target: str) -> None:
    with psycopg.connect(target, autocommit=True) as connection:
        connection.execute("CREATE TABLE shop (id int)")
    refused = move(source, target)
    assert refused.returncode == 1
    assert "tables of something else (shop" in refused.stderr
    with psycopg.connect(target, autocommit=True) as connection:
        connection.execute("DROP TABLE shop")
    migrate(target)
    desk = LedgerDesk(target)
    desk.do(a.enterprise("other"))
    desk.close()
    refused = move(source, target)
    assert refused.returncode == 1
    assert "the target is not empty" in refused.stderr
    assert rows(target, "SELECT account FROM account ORDER BY id") == [("platform",), ("other",)]


def test_a_dry_run_changes_nothing(source: EmbeddedServers, target: str) -> None:
    """And what lies where nobody reads is in nobody's way."""
    producers = source.postgres.data_dir / PRODUCERS_FILE
    write_private(producers, "")
    with source, closing(redis.Redis.from_url(source.valkey.url)) as edge:
        edge.xadd("coins:commands:1", {"event": "{}"})
    try:
        tried = move(source, target, "--dry-run")
        producers.unlink()
        refused = move(source, target, "--dry-run")
    finally:
        producers.unlink(missing_ok=True)
        with source, closing(redis.Redis.from_url(source.valkey.url)) as edge:
            edge.delete("coins:commands:1")
    assert (refused.returncode, "wait on the edge in coins:commands:1:" in refused.stderr) == (1, True)
    assert tried.returncode == 0, tried.stderr
    assert "what lies in coins:commands:1 is left there" in tried.stderr
    assert "rows of" in tried.stderr
    assert tables(target) == set()
    assert not (source.postgres.data_dir / MOVED_FILE).exists()


def test_a_copy_that_breaks_off_leaves_the_target_empty(source: EmbeddedServers, target: str) -> None:
    """And can be begun again."""
    migrate(target)
    with psycopg.connect(target, autocommit=True) as connection:
        connection.execute("ALTER TABLE receipt ADD CONSTRAINT none CHECK (seq < 0)")
    refused = move(source, target)
    assert refused.returncode == 1
    assert "nothing was moved" in refused.stderr
    assert rows(target, "SELECT account FROM account") == [("platform",)]
    assert rows(target, "SELECT count(*) FROM entry") == [(0,)]
    with psycopg.connect(target, autocommit=True) as connection:
        connection.execute("ALTER TABLE receipt DROP CONSTRAINT none")
    with psycopg.connect(target) as holder:
        # As a vacuum holds it: rows can be written, and no statistics made, which undoes nothing.
        holder.execute("LOCK TABLE receipt IN SHARE UPDATE EXCLUSIVE MODE")
        moved = move(source, target)
    back(source)
    assert moved.returncode == 0, moved.stderr
    assert "are the same on both sides" in moved.stderr


def test_a_move_that_was_broken_off_in_its_commit_is_settled_by_a_look_at_the_target(
    source: EmbeddedServers, target: str
) -> None:
    """Until then nobody goes on: neither does the old system beside a new one, nor is anything lost."""
    moving, moved = (source.postgres.data_dir / name for name in (MOVING_FILE, MOVED_FILE))
    elsewhere = "moved to postgresql://db/coins at 2026-03-01T00:00:00Z\nhost=db dbname=coins\n"
    # Given a mark that speaks of another target
    moving.write_text(elsewhere)
    up = [sys.executable, "-P", "-m", "console.cli.main", "up", "--data", str(source.postgres.data_dir)]
    refused = subprocess.run(up, capture_output=True, text=True, timeout=60, check=False)
    assert (refused.returncode, "is not known" in refused.stderr) == (3, True)
    refused = move(source, target)
    assert (refused.returncode, "with that target" in refused.stderr) == (1, True)
    assert moving.read_text() == elsewhere
    # When it speaks of this one, which is empty, then it was not moved, and is now
    moving.write_text(elsewhere.replace("host=db dbname=coins", place_of(target)))
    done = move(source, target)
    assert done.returncode == 0, done.stderr
    assert "rows of" in done.stderr
    assert not moving.exists()
    # When it was killed before it had seen its commit, then it was moved, and is not moved again
    moved.rename(moving)
    settled = move(source, target)
    assert settled.returncode == 0, settled.stderr
    assert "was committed before it was broken off" in settled.stderr
    assert "copying" not in settled.stderr
    assert moved.exists()
    back(source)


def test_a_moved_system_is_not_started_again_beside_its_new_self(source: EmbeddedServers) -> None:
    (source.postgres.data_dir / MOVED_FILE).write_text("moved to postgresql://db/coins at 2026-03-01\n")
    up = [sys.executable, "-P", "-m", "console.cli.main", "up", "--data", str(source.postgres.data_dir)]
    try:
        for command in (up, [*MOVE, "--to-database", "postgresql://db/coins", *up[-2:]]):
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            assert done.returncode == 3
            assert "moved to postgresql://db/coins" in done.stderr
            assert f"remove {source.postgres.data_dir / MOVED_FILE}" in done.stderr
    finally:
        back(source)
