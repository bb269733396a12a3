"""The embedded servers, on real ones: what they keep, who may reach them, and what a crash leaves."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
import redis
import sqlalchemy

from deploy.embedded import EmbeddedServers, servers, short_address
from deploy.errors import Interrupted, ServerNotRunning, ServerNotStarted
from deploy.programs import runnable_programs

OWNER_THAT_LEAVES = """
import json, sys
from pathlib import Path
from deploy.embedded import servers
both = servers(Path(sys.argv[1]), durable=False)
both.start()
print(json.dumps([both.postgres.pid, both.valkey.pid]), flush=True)
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServers]:
    with servers(tmp_path_factory.mktemp("data"), durable=False) as both:
        yield both


def ask(url: str, query: str) -> object:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(query.encode()).fetchone()
    return None if row is None else row[0]


def run(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())


def valkey(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, single_connection_client=True, decode_responses=True)


def put_into(both: EmbeddedServers) -> None:
    run(both.postgres.url, "CREATE TABLE kept AS SELECT 42 AS value")
    with valkey(both.valkey.url) as client:
        client.xadd("commands", {"ce": "{}"}, id="1-1")


def assert_still_there(both: EmbeddedServers) -> None:
    assert ask(both.postgres.url, "SELECT value FROM kept") == 42
    with valkey(both.valkey.url) as client:
        assert client.xrange("commands") == [("1-1", {"ce": "{}"})]


def test_what_was_stored_is_there_after_a_stop_and_after_a_crash(tmp_path: Path) -> None:
    # Given both servers, made to be durable, with something in them
    both = servers(tmp_path / "data")
    with both:
        put_into(both)
    assert not both.postgres.alive
    assert not both.valkey.alive
    with both:
        # When they have been stopped and started
        assert_still_there(both)
        # And when they are killed and started
        both.postgres.kill()
        both.valkey.kill()
        both.postgres.start()
        both.valkey.start()
        assert_still_there(both)
        assert ask(both.postgres.url, "SHOW fsync") == "on"
        with valkey(both.valkey.url) as client:
            assert client.config_get("append*")["appendfsync"] == "always"


def test_restart_gives_a_new_process_at_the_same_url(running: EmbeddedServers) -> None:
    for server in (running.postgres, running.valkey):
        pid, url = server.pid, server.url
        server.restart()
        assert server.pid != pid
        assert server.url == url


def test_nobody_else_can_reach_the_sockets_and_nothing_listens_on_the_network(
    running: EmbeddedServers,
) -> None:
    for server in (running.postgres, running.valkey):
        assert stat.S_IMODE(server.home.stat().st_mode) == 0o700
        process = psutil.Process(server.pid)
        listening = [process, *process.children(recursive=True)]
        assert not [each.net_connections("inet") for each in listening if each.net_connections("inet")]


def test_each_server_has_a_session_of_its_own(running: EmbeddedServers) -> None:
    for server in (running.postgres, running.valkey):
        assert os.getsid(server.pid) == server.pid


def test_no_directory_above_the_data_is_opened(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with servers(closed / "data", durable=False) as both:
        assert ask(both.postgres.url, "SELECT 1") == 1
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


def test_the_url_serves_psycopg_and_sqlalchemy_alike(running: EmbeddedServers) -> None:
    url = running.postgres.url
    assert ask(url, "SELECT current_database()") == "coinworks"
    assert ask(url, "SHOW server_encoding") == "UTF8"
    assert str(ask(url, "SHOW server_version")).startswith("18.")
    engine = sqlalchemy.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        assert connection.execute(sqlalchemy.text("SELECT current_database()")).scalar() == "coinworks"
    engine.dispose()


def test_pgbench_comes_with_it(running: EmbeddedServers) -> None:
    program = [str(running.postgres.bin_dir / "pgbench"), "-i", "-q", running.postgres.url]
    subprocess.run(program, check=True, capture_output=True, timeout=30)
    assert ask(running.postgres.url, "SELECT count(*) FROM pgbench_accounts") == 100_000


@pytest.mark.parametrize("name", ["long" * 40, "with a space, a comma?and #more%20"])
def test_a_path_that_no_socket_can_have_gets_a_short_link(tmp_path: Path, name: str) -> None:
    data = tmp_path / name
    with servers(data, durable=False) as both:
        link = short_address(data)
        assert link != data
        assert link.readlink() == data
        assert stat.S_IMODE(link.parent.stat().st_mode) == 0o700
        put_into(both)
        assert_still_there(both)
    assert not link.parent.exists()
    assert short_address(data) == link


def test_a_plain_path_is_used_as_it_is() -> None:
    assert short_address(Path("/srv/coins")) == Path("/srv/coins")


def test_servers_left_behind_are_ended_before_new_ones_start(tmp_path: Path) -> None:
    # Given servers whose owner went away without stopping them, the lock's process id now a stranger's
    owner = [sys.executable, "-c", OWNER_THAT_LEAVES, str(tmp_path)]
    done = subprocess.run(owner, check=True, capture_output=True, text=True, timeout=60)
    left = json.loads(done.stdout)
    old = [psutil.Process(pid) for pid in left]
    # When new ones are started on the same data
    with servers(tmp_path, durable=False) as both:
        # Then the old ones are gone, and the data is the same
        assert not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in old)
        put_into(both)
        assert_still_there(both)


def test_a_lock_with_the_process_id_of_a_stranger_is_no_obstacle(tmp_path: Path) -> None:
    both = servers(tmp_path, durable=False)
    with both:
        put_into(both)
        shutil.copy(both.postgres.home / "postmaster.pid", tmp_path / "lock")
    lines = (tmp_path / "lock").read_text(encoding="utf-8").splitlines()
    (both.postgres.home / "postmaster.pid").write_text("\n".join(["1", *lines[1:]]), encoding="utf-8")
    with both:
        assert_still_there(both)


def test_a_half_made_database_is_made_anew(tmp_path: Path) -> None:
    half = tmp_path / "postgres.new"
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n", encoding="ascii")
    with servers(tmp_path, durable=False) as both:
        assert ask(both.postgres.url, "SELECT 1") == 1
    assert not half.exists()


def test_data_of_another_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "PG_VERSION").write_text("15\n", encoding="ascii")
    with pytest.raises(ServerNotStarted, match="PostgreSQL 15"):
        servers(tmp_path).start()


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    both = servers(tmp_path, durable=False)
    with both:
        pass
    with (both.postgres.home / "postgresql.conf").open("a", encoding="utf-8") as settings:
        settings.write("no_such_setting = 1\n")
    with pytest.raises(ServerNotStarted, match="no_such_setting"):
        both.start()
    assert not both.postgres.alive
    assert not both.valkey.alive


def test_a_start_can_be_interrupted_and_leaves_nothing_running(tmp_path: Path) -> None:
    both = servers(tmp_path, durable=False)
    with pytest.raises(Interrupted):
        both.start(interrupted=lambda: True)
    living = [process for process in psutil.process_iter(["cwd"]) if _lives_in(process, tmp_path)]
    _, living = psutil.wait_procs(living, timeout=5)  # what was told to stop may take a moment to be gone
    assert not living
    with both:
        assert ask(both.postgres.url, "SELECT 1") == 1


def _lives_in(process: psutil.Process, directory: Path) -> bool:
    return (process.info["cwd"] or "").startswith(f"{directory}{os.sep}")


def test_a_server_that_does_not_run_has_no_process_id(tmp_path: Path) -> None:
    with pytest.raises(ServerNotRunning):
        _ = servers(tmp_path).valkey.pid


def test_programs_that_the_servers_user_cannot_reach_are_copied(tmp_path: Path) -> None:
    # Given an installation in a directory that is closed to others
    installed = runnable_programs(None)
    me = (os.getuid(), os.getgid())
    if os.geteuid() != 0:  # then the server's user is this one, who reaches everything
        assert runnable_programs(None, installed, tmp_path) == installed
        return
    closed = tmp_path / "closed"
    package = installed.parent.parent
    shutil.copytree(installed.parent, closed / package.name / installed.parent.name)
    shutil.copytree(package.with_name(f"{package.name}.libs"), closed / f"{package.name}.libs")
    closed.chmod(0o700)
    theirs = closed / package.name / installed.parent.name / installed.name
    assert runnable_programs(me, theirs, tmp_path / "copies") == theirs
    # When another user is to run the programs, and can reach the place for copies
    open_to_all = Path("/var/tmp") / f"coinworks-test-{os.getpid()}"
    try:
        copied = runnable_programs((65534, 65534), theirs, open_to_all)
        # Then there is a copy, which is used again, and the installation is as closed as before
        assert copied.is_relative_to(open_to_all)
        assert runnable_programs((65534, 65534), theirs, open_to_all) == copied
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    finally:
        shutil.rmtree(open_to_all, ignore_errors=True)
