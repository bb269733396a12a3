"""Who may read which partition, by the database's clock."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from ledger.batch import Batch, Move
from ledger.database import connect, connect_for_commands
from ledger.fence import LEASE_SECONDS
from ledger.fence import claim as begin_batch
from tests.system.site import Site, until
from workers.leases import FROZEN_AFTER_SECONDS, NamedLease, PartitionLease

PARTITIONS = 3


@pytest.fixture
def connection(site: Site) -> Iterator[psycopg.Connection]:
    with connect(site.database_url, name="test", options="-c lock_timeout=200ms") as opened:
        yield opened


def alive(connection: psycopg.Connection, *owners: str) -> None:
    for owner in owners:
        connection.execute(
            "INSERT INTO process (name, role, partitions, started_at, seen_at, state) "
            "VALUES (%s, 'worker', %s, now(), clock_timestamp(), 'ready')",
            (owner, PARTITIONS),
        )


def claim(
    connection: psycopg.Connection, owner: str, partition: int = 0, started_at: datetime | None = None
) -> PartitionLease:
    return PartitionLease(connection, partition, PARTITIONS, owner, started_at or datetime.now(UTC))


def taken(connection: psycopg.Connection, owner: str) -> list[int]:
    return [one for one in range(PARTITIONS) if claim(connection, owner, one).take() is not None]


def test_one_worker_takes_all_partitions(connection: psycopg.Connection) -> None:
    alive(connection, "a")
    assert taken(connection, "a") == [0, 1, 2]


def test_two_workers_take_at_most_their_share_rounded_up(connection: psycopg.Connection) -> None:
    alive(connection, "a", "b")
    assert taken(connection, "a") == [0, 1]
    assert taken(connection, "b") == [2]


def test_a_worker_that_takes_two_at_once_has_no_more_than_its_share(
    site: Site, connection: psycopg.Connection
) -> None:
    # Given a taking that lasts, so that it is not over when the other begins
    alive(connection, "a", "b", "c")
    for partition in range(PARTITIONS):
        claim(connection, "a", partition).create()
    connection.execute("""
        CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN PERFORM pg_sleep(0.3); RETURN new; END'""")
    connection.execute(
        "CREATE TRIGGER slowly BEFORE UPDATE ON partition FOR EACH ROW EXECUTE FUNCTION slowly()"
    )
    with (
        connect(site.database_url, name="first") as first,
        connect(site.database_url, name="second") as second,
        ThreadPoolExecutor(2) as threads,
    ):
        epochs = threads.map(lambda one: one.take(), [claim(first, "a", 0), claim(second, "a", 1)])
        assert sorted(epochs, key=str) == [1, None]


def test_one_that_cannot_be_taken_yet_holds_up_no_other(site: Site, connection: psycopg.Connection) -> None:
    alive(connection, "a")
    claim(connection, "a", 0).create()
    with (
        psycopg.connect(site.database_url) as batch,
        connect(site.database_url, name="patient", options="-c lock_timeout=0") as patient,
    ):
        batch.execute("SELECT FROM partition WHERE id = 0 FOR UPDATE")
        assert taken(patient, "a") == [1, 2], "it has waited for nothing"


def test_more_workers_than_partitions_leave_stand_bys(connection: psycopg.Connection) -> None:
    alive(connection, "a", "b", "c", "d")
    assert [taken(connection, owner) for owner in "abcd"] == [[0], [1], [2], []]


def test_workers_that_are_gone_do_not_count(connection: psycopg.Connection) -> None:
    alive(connection, "a", "b")
    connection.execute("UPDATE process SET seen_at = now() - interval '5 seconds' WHERE name = 'b'")
    assert taken(connection, "a") == [0, 1, 2]


def test_a_worker_with_too_many_hands_on_its_last_one(connection: psycopg.Connection) -> None:
    alive(connection, "a")
    taken(connection, "a")
    assert not any(claim(connection, "a", one).has_too_many() for one in range(PARTITIONS))
    alive(connection, "b")
    assert [claim(connection, "a", one).has_too_many() for one in range(PARTITIONS)] == [False, False, True]


def test_every_taking_raises_the_epoch(connection: psycopg.Connection) -> None:
    alive(connection, "a")
    epochs = [claim(connection, "a").take() for _ in range(3)]
    assert epochs == [1, 2, 3]


def test_an_old_epoch_renews_nothing(connection: psycopg.Connection) -> None:
    alive(connection, "a")
    lease = claim(connection, "a")
    old, new = lease.take(), lease.take()
    assert old is not None
    assert new is not None
    assert not lease.renew(old)
    assert lease.renew(new)


def test_a_lease_is_free_when_it_has_run_out_and_not_before(connection: psycopg.Connection) -> None:
    alive(connection, "a", "b")
    began = time.monotonic()
    assert claim(connection, "a").take() == 1
    assert claim(connection, "b").take() is None
    assert until(claim(connection, "b").take, 5) == 2
    assert LEASE_SECONDS - 0.1 < time.monotonic() - began < LEASE_SECONDS + 1


def test_a_released_lease_is_free_at_once(connection: psycopg.Connection) -> None:
    alive(connection, "a", "b")
    lease = claim(connection, "a")
    epoch = lease.take()
    assert epoch is not None
    lease.release(epoch)
    assert claim(connection, "b").take() == 2


def test_who_has_lost_a_lease_releases_nothing(connection: psycopg.Connection) -> None:
    alive(connection, "a", "b")
    lease = claim(connection, "a")
    old = lease.take()
    assert old is not None
    connection.execute("UPDATE partition SET lease_until = now() - interval '1 second' WHERE id = 0")
    assert claim(connection, "b").take() == 2
    lease.release(old)
    assert claim(connection, "a").take() is None


def test_a_stopped_partition_waits_for_a_worker_that_was_started_later(
    connection: psycopg.Connection,
) -> None:
    alive(connection, "a", "b")
    connection.execute(
        "UPDATE partition SET stopped_at = clock_timestamp(), crashed_in_a_row = 20 WHERE id = 0"
    )
    early, late = datetime.now(UTC) - timedelta(minutes=1), datetime.now(UTC) + timedelta(minutes=1)
    assert claim(connection, "a", started_at=early).take() is None
    assert claim(connection, "b", started_at=late).take() == 1
    row = connection.execute("SELECT stopped_at, crashed_in_a_row FROM partition WHERE id = 0").fetchone()
    assert row == (None, 0)


def test_a_held_row_makes_nobody_wait_long(site: Site, connection: psycopg.Connection) -> None:
    alive(connection, "a")
    with connect(site.database_url, name="holder") as holder, holder.transaction():
        holder.execute("SELECT FROM partition WHERE id = 0 FOR UPDATE")
        began = time.monotonic()
        assert claim(connection, "a").take() is None
        assert time.monotonic() - began < 2


@pytest.mark.parametrize(("seconds_since", "ended"), [(1, False), (11, True)])
def test_a_session_frozen_while_it_sends_rows_is_ended_long_after_its_lease(
    site: Site, connection: psycopg.Connection, seconds_since: int, ended: bool
) -> None:
    """Not idle, so the server's own time-out does not help. A batch that merely takes long is left alone."""
    alive(connection, "a", "b")
    epoch = claim(connection, "a").take()
    connection.execute(
        "UPDATE partition SET lease_until = clock_timestamp() - make_interval(secs => %s)", (seconds_since,)
    )
    frozen = connect_for_commands(site.database_url, name="worker")
    begin_batch(frozen, Batch(0, epoch or 0, [Move("coins:commands:0", "0-0", "1-0")], []))
    with suppress(psycopg.errors.AdminShutdown), frozen.cursor().copy("COPY device (device) FROM STDIN"):
        if ended:
            time.sleep(FROZEN_AFTER_SECONDS + 0.5)
        assert claim(connection, "b").take() is None
        time.sleep(0.5)
        sessions = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'coins worker' AND state = 'active'"
        ).fetchone()
        assert sessions == (0 if ended else 1,)
    frozen.close()


def test_a_role_is_one_processes_own_until_it_lets_go(connection: psycopg.Connection) -> None:
    first, second = NamedLease("relay", "first"), NamedLease("relay", "second")
    assert first.take(connection) == 1
    assert second.take(connection) is None
    assert first.take(connection) == 1
    first.release(connection)
    assert second.take(connection) == 2
    assert first.take(connection) is None
