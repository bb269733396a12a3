"""Real servers for the tests: an embedded PostgreSQL 18, and the machine's PostgreSQL where there is one.

`database_url` is a migrated database of a test's own, on each server in turn. On the machine's server nothing is touched
but databases whose names begin with `coins_test_`, which these tests make and drop.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import NoReturn

import psycopg
import pytest
import structlog
from hypothesis import HealthCheck, settings
from psycopg.conninfo import conninfo_to_dict

from deploy.embedded import EmbeddedPostgres, unlink_address
from ledger.migrate import migrate
from tests.breaking import break_rule
from tests.desk import LedgerDesk
from tests.ports import free_port as another_port

__all__ = ["break_rule"]

PARTITIONS = 4
MACHINE_URL = "postgresql://postgres@127.0.0.1:5432/postgres"
EMBEDDED, MACHINE = "embedded", "machine"

settings.register_profile(
    "default",
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.register_profile("long", settings.get_profile("default"), max_examples=3_000)
settings.load_profile(os.environ.get("COINS_HYPOTHESIS_PROFILE", "default"))


# The default shows every variable of every frame of an exception: minutes, for a batch that crashes a thousand times.
structlog.configure(
    processors=[
        structlog.processors.add_log_level,
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ]
)


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are processors, four at most: each has servers of its own, and often waits for them."""
    return min((os.cpu_count() or 1) + 1, 4)


@pytest.fixture(autouse=True)
def logs_go_where_they_went() -> Iterator[None]:
    """A verb that is called within a test sends logs to a stream that is closed when it has ended."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@dataclass(frozen=True)
class DatabaseServer:
    """A server on which databases may be made. `url_of` names one of its databases."""

    name: str
    admin_url: str
    strategy: str

    def url_of(self, database: str) -> str:
        parts = conninfo_to_dict(self.admin_url)
        parts["dbname"] = database
        host, port = str(parts.pop("host", "")), str(parts.pop("port", "5432"))
        user, password = str(parts.pop("user", "postgres")), str(parts.pop("password", "") or "")
        secret = f":{password}" if password else ""
        if host.startswith("/"):
            return f"postgresql://{user}{secret}@/{database}?host={host}&port={port}"
        return f"postgresql://{user}{secret}@{host}:{port}/{database}"

    def run(self, statement: str) -> None:
        with psycopg.connect(self.admin_url, autocommit=True) as connection:
            connection.execute(statement.encode())

    def create(self, database: str, template: str | None = None) -> str:
        of = f"TEMPLATE {template} STRATEGY {self.strategy}" if template else ""
        self.run(f"CREATE DATABASE {database} {of}")
        return self.url_of(database)

    def drop(self, database: str) -> None:
        self.run(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")


@pytest.fixture(scope="session")
def embedded_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """The PostgreSQL 18 that comes with the product, on data of its own."""
    postgres = EmbeddedPostgres(tmp_path_factory.mktemp("pg"), durable=False)
    postgres.start()
    try:
        yield postgres
    finally:
        postgres.stop()
        unlink_address(postgres.data_dir)


@pytest.fixture(scope="session", params=[EMBEDDED, MACHINE])
def database_server(request: pytest.FixtureRequest) -> DatabaseServer:
    """Each server that the ledger is tested on."""
    if request.param == EMBEDDED:
        postgres: EmbeddedPostgres = request.getfixturevalue("embedded_postgres")
        return DatabaseServer(EMBEDDED, postgres.url, "FILE_COPY")
    return machine_server()


def machine_server() -> DatabaseServer:
    """The machine's PostgreSQL; skips the test where there is none, and fails it where services are demanded."""
    url = os.environ.get("COINS_TEST_DATABASE_URL") or MACHINE_URL
    try:
        psycopg.connect(url, connect_timeout=3).close()
    except psycopg.OperationalError as error:
        do_without(f"no PostgreSQL answers at COINS_TEST_DATABASE_URL or {MACHINE_URL}: {error}")
    return DatabaseServer(MACHINE, url, "WAL_LOG")


def do_without(said: str) -> NoReturn:
    """Skip what cannot be tried on this machine, and say why; in CI nothing is skipped."""
    if os.environ.get("COINS_TEST_REQUIRE_SERVICES") == "1":
        pytest.fail(f"{said} (COINS_TEST_REQUIRE_SERVICES=1 demands it)", pytrace=False)
    pytest.skip(said)


# Triggers do not fire for a replica: the ledger's own refuse what is done here.
EMPTY = """
DO $$
DECLARE name text;
BEGIN
  SET LOCAL session_replication_role = replica;
  SET LOCAL lock_timeout = '10s';
  FOR name IN SELECT format('%I', tablename) FROM pg_tables t
              WHERE schemaname = 'public' AND tablename <> 'alembic_version'
                AND NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = format('%I', t.tablename)::regclass)
  LOOP
    IF name = 'account' THEN
      DELETE FROM account WHERE account <> 'platform';
    ELSIF name = 'partition' THEN
      UPDATE partition SET epoch = 0, owner = NULL, crashed_in_a_row = 0, stopped_at = NULL, lease_until = '-infinity';
    ELSE
      EXECUTE 'DELETE FROM ' || name;
    END IF;
  END LOOP;
  PERFORM setval(format('%I', sequencename)::regclass, 1, false) FROM pg_sequences WHERE schemaname = 'public';
END $$"""

_numbers = count(1)


def _unused_name() -> str:
    return f"coins_test_{os.getpid()}_{next(_numbers)}"


@pytest.fixture(scope="session")
def migrated_template(database_server: DatabaseServer) -> Iterator[str]:
    """A migrated database from which the others are copied."""
    name = _unused_name()
    migrate(database_server.create(name), partitions=PARTITIONS)
    yield name
    database_server.drop(name)


@contextmanager
def _database(server: DatabaseServer, template: str | None) -> Iterator[str]:
    name = _unused_name()
    try:
        yield server.create(name, template)
    finally:
        server.drop(name)


@pytest.fixture(scope="session")
def emptied_database_url(database_server: DatabaseServer, migrated_template: str) -> Iterator[str]:
    """The database that `database_url` empties for each test: quicker than making one."""
    with _database(database_server, migrated_template) as url:
        yield url


@pytest.fixture
def database_url(emptied_database_url: str) -> str:
    """A migrated database as good as new. Whoever changes its schema takes `own_database_url`."""
    with psycopg.connect(emptied_database_url, autocommit=True) as connection:
        connection.execute(EMPTY)
    return emptied_database_url


@pytest.fixture
def own_database_url(database_server: DatabaseServer, migrated_template: str) -> Iterator[str]:
    """A migrated database that one test may do anything to."""
    with _database(database_server, migrated_template) as url:
        yield url


@pytest.fixture(scope="module")
def module_database_url(database_server: DatabaseServer, migrated_template: str) -> Iterator[str]:
    """A migrated database for the tests of one module, which then must not step on each other's accounts."""
    with _database(database_server, migrated_template) as url:
        yield url


@pytest.fixture
def empty_database_url(database_server: DatabaseServer) -> Iterator[str]:
    """A database without a schema."""
    with _database(database_server, None) as url:
        yield url


@contextmanager
def _desks(database_url: str) -> Iterator[Callable[..., LedgerDesk]]:
    desks: list[LedgerDesk] = []

    def opened(**given: object) -> LedgerDesk:
        desk = LedgerDesk(database_url, **{"partition": len(desks), **given})  # type: ignore[arg-type]
        desks.append(desk)
        return desk

    try:
        yield opened
    finally:
        for desk in desks:
            desk.close()


@pytest.fixture
def open_desk(database_url: str) -> Iterator[Callable[..., LedgerDesk]]:
    """Makes desks on the test's database; each takes a partition of its own unless told which."""
    with _desks(database_url) as opened:
        yield opened


@pytest.fixture
def desk(open_desk: Callable[..., LedgerDesk]) -> LedgerDesk:
    """Commands in, outcomes out, on a database as good as new."""
    return open_desk()


@pytest.fixture
def own_desk(own_database_url: str) -> Iterator[LedgerDesk]:
    """The same on a database whose schema the test may change."""
    with _desks(own_database_url) as opened:
        yield opened()


@pytest.fixture(scope="session")
def free_port() -> int:
    """A port of this machine that nobody listens at."""
    return another_port()
