"""The tools of a campaign do what they are there for: a proxy, disks, a clock."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from deploy.embedded import EmbeddedPostgres, short_address
from tests.chaos.campaign import schedule
from tests.chaos.clocks import Clock
from tests.chaos.disks import LIMITS, family, limit_files, small_disk
from tests.chaos.faults import KINDS
from tests.chaos.proxy import Moment, Proxy, Trap
from tests.system.site import until

NOW = "import datetime, time; from datetime import UTC; print(time.time(), datetime.datetime.now(UTC).timestamp())"


@pytest.fixture
def proxy(embedded_postgres: EmbeddedPostgres) -> Iterator[Proxy]:
    socket = short_address(embedded_postgres.data_dir) / "postgres" / ".s.PGSQL.5432"
    with Proxy(socket, ["worker", "relay"], postgres=True) as made:
        yield made


@pytest.fixture
def through(
    proxy: Proxy, embedded_postgres: EmbeddedPostgres
) -> Iterator[Callable[[str], psycopg.Connection]]:
    """Connects as a role; there is an empty table."""
    with psycopg.connect(embedded_postgres.url, autocommit=True) as direct:
        direct.execute("CREATE TABLE cut (number int)")

    made: list[psycopg.Connection] = []

    def connect(role: str) -> psycopg.Connection:
        made.append(psycopg.connect(f"postgresql://coinworks@127.0.0.1:{proxy.ports[role]}/coinworks"))
        return made[-1]

    yield connect
    for connection in made:
        connection.close()
    with psycopg.connect(embedded_postgres.url, autocommit=True) as direct:
        direct.execute("DROP TABLE cut")


def numbers(postgres: EmbeddedPostgres) -> list[int]:
    with psycopg.connect(postgres.url) as direct:
        return [row[0] for row in direct.execute("SELECT number FROM cut")]


def commit(connection: psycopg.Connection, pipelined: bool) -> None:
    if not pipelined:
        connection.commit()
        return
    with connection.pipeline():
        connection.commit()


@pytest.mark.parametrize("pipelined", [False, True])
@pytest.mark.parametrize(("moment", "kept"), [(Moment.BEFORE, []), (Moment.AFTER, [1])])
def test_a_connection_is_cut_exactly_around_its_commit(
    proxy: Proxy,
    through: Callable[[str], psycopg.Connection],
    embedded_postgres: EmbeddedPostgres,
    moment: Moment,
    kept: list[int],
    pipelined: bool,
) -> None:
    connection = through("worker")
    connection.execute("INSERT INTO cut VALUES (1)")
    trap = Trap("worker", moment)
    proxy.set_trap(trap)
    with pytest.raises(psycopg.OperationalError):
        commit(connection, pipelined)
    assert trap.sprung.wait(5)
    until(lambda: numbers(embedded_postgres) == kept, 5)


def test_a_trap_for_one_role_lets_another_commit(
    proxy: Proxy, through: Callable[[str], psycopg.Connection], embedded_postgres: EmbeddedPostgres
) -> None:
    trap = Trap("worker", Moment.BEFORE)
    proxy.set_trap(trap)
    with through("relay") as connection:
        connection.execute("INSERT INTO cut VALUES (2)")
    assert numbers(embedded_postgres) == [2]
    assert not trap.sprung.is_set()


def test_what_is_held_up_comes_through_later_and_what_is_cut_never(
    proxy: Proxy, through: Callable[[str], psycopg.Connection], embedded_postgres: EmbeddedPostgres
) -> None:
    connection = through("worker")
    proxy.hold_up("worker")
    connection.pgconn.send_query(b"INSERT INTO cut VALUES (3)")
    with psycopg.connect(embedded_postgres.url, autocommit=True) as direct:
        direct.execute("SELECT pg_sleep(0.3)")
    assert numbers(embedded_postgres) == []
    proxy.let_through("worker")
    until(lambda: numbers(embedded_postgres) == [3], 5)
    assert proxy.cut("worker") == 1
    with pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT 1")


def test_a_clock_that_jumps_is_seen_by_processes_and_can_be_set_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(tmp_path / "clock")
    clock.announce(monkeypatch)
    for off in (86_400.0, -3_600.0, 0.0):
        clock.off_by(off)
        said = subprocess.run([sys.executable, "-P", "-c", NOW], capture_output=True, check=True).stdout
        for seconds in map(float, said.split()):
            assert abs(seconds - datetime.now(UTC).timestamp() - off) < 60


def test_a_full_disk_takes_nothing_and_a_freed_one_does(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", megabytes=20) as disk:
        if not disk.own:
            pytest.skip("a disk of its own may not be mounted here")
        disk.fill()
        with pytest.raises(OSError, match="No space left"):
            (disk.path / "file").write_bytes(bytes(8_192))
        disk.free()
        (disk.path / "file").write_bytes(bytes(8_192))


@pytest.mark.skipif(LIMITS is None, reason="there is no prlimit here")
def test_a_server_whose_files_may_not_grow_refuses_what_it_cannot_write(tmp_path: Path) -> None:
    postgres = EmbeddedPostgres(tmp_path / "limited", durable=True)  # its crash is to cost nothing
    postgres.start()
    try:
        with psycopg.connect(postgres.url, autocommit=True) as connection:
            connection.execute("CREATE TABLE growing AS SELECT 1 AS number")
            limit_files(family(postgres.pid), 8_192)
            with pytest.raises(psycopg.Error):
                connection.execute("INSERT INTO growing SELECT generate_series(1, 100000)")
        limit_files(family(postgres.pid), None)
        until(lambda: inserted(postgres.url), 20)
    finally:
        postgres.stop()


def inserted(url: str) -> bool:
    try:
        with psycopg.connect(url, autocommit=True, connect_timeout=2) as connection:
            connection.execute("INSERT INTO growing SELECT generate_series(1, 100000)")
    except psycopg.OperationalError:
        return False
    return True


def test_a_seed_says_all_of_a_schedule_and_every_kind_is_in_it() -> None:
    assert schedule(7, 80, pause_seconds=1.0) == schedule(7, 80, pause_seconds=1.0)
    assert schedule(7, 80, pause_seconds=1.0) != schedule(8, 80, pause_seconds=1.0)
    kinds = [plan.kind for plan in schedule(7, len(KINDS), pause_seconds=1.0)]
    assert sorted(kinds) == sorted(kind.name for kind in KINDS)
