"""The schema: migrations say what the tables say, and may be run at any time by anybody."""

from __future__ import annotations

import json
import threading
from typing import Any

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine

from ledger import tables
from ledger.database import connect, sqlalchemy_url
from ledger.errors import DatabaseUnavailable, SchemaOutdated
from ledger.migrate import migrate
from ledger.migrations.versions import __name__ as _versions  # the migrations are a package that is shipped
from ledger.schema import check_schema


def rows(url: str, query: str) -> list[Any]:
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(query.encode()).fetchall()


def test_migrations_make_the_tables_that_the_metadata_describes(database_url: str) -> None:
    engine = create_engine(sqlalchemy_url(database_url))
    parts = {name for (name,) in rows(database_url, "SELECT inhrelid::regclass::text FROM pg_inherits")}

    def included(name: str | None, kind: str, _: Any) -> bool:
        return kind != "table" or (name not in parts and name != "alembic_version")

    try:
        with engine.connect() as connection:
            context = MigrationContext.configure(
                connection,
                opts={"include_name": included, "compare_type": True, "compare_server_default": True},
            )
            assert compare_metadata(context, tables.metadata) == []
    finally:
        engine.dispose()


def test_constraints_are_those_of_the_metadata(database_url: str) -> None:
    found = rows(
        database_url,
        "SELECT conrelid::regclass::text, conname FROM pg_constraint WHERE contype = 'c' AND coninhcount = 0 "
        "AND connamespace = 'public'::regnamespace",
    )
    described = {
        (
            table.name,
            f"{table.name}_{constraint.name}_check"
            if not str(constraint.name).endswith("_check")
            else str(constraint.name),
        )
        for table in tables.metadata.tables.values()
        for constraint in table.constraints
        if type(constraint).__name__ == "CheckConstraint"
    }
    assert {(table.strip('"'), name) for table, name in found} == described


def test_migrating_twice_changes_nothing(empty_database_url: str) -> None:
    first = migrate(empty_database_url, partitions=2)
    assert first
    before = rows(empty_database_url, "SELECT oid, relname FROM pg_class ORDER BY oid")
    assert migrate(empty_database_url, partitions=2) == []
    assert rows(empty_database_url, "SELECT oid, relname FROM pg_class ORDER BY oid") == before
    assert rows(empty_database_url, "SELECT count(*) FROM partition") == [(2,)]


def test_more_partitions_are_added_and_none_is_taken_away(empty_database_url: str) -> None:
    migrate(empty_database_url, partitions=3)
    migrate(empty_database_url, partitions=1)
    assert rows(empty_database_url, "SELECT id FROM partition ORDER BY id") == [(0,), (1,), (2,)]


def test_two_who_migrate_at_once_do_it_once(empty_database_url: str) -> None:
    applied: list[list[str]] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            applied.append(migrate(empty_database_url))
        except BaseException as error:  # noqa: BLE001 - shown below
            failed.append(error)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == []
    assert sorted(len(one) for one in applied)[:2] == [0, 0]
    assert len(max(applied, key=len)) > 0
    assert rows(empty_database_url, "SELECT account FROM account") == [("platform",)]


def test_the_coming_months_have_partitions(database_url: str) -> None:
    parts = rows(
        database_url, "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'batch'::regclass"
    )
    assert len(parts) >= 3 + 1


def test_a_database_without_a_schema_says_what_to_do(empty_database_url: str) -> None:
    connection = connect(empty_database_url, name="test")
    try:
        with pytest.raises(SchemaOutdated, match="coins migrate"):
            check_schema(connection)
    finally:
        connection.close()


def test_a_migrated_database_is_in_order(database_url: str) -> None:
    connection = connect(database_url, name="test")
    try:
        check_schema(connection)
    finally:
        connection.close()


def test_a_database_that_is_not_there_is_a_fault_with_a_name() -> None:
    with pytest.raises(DatabaseUnavailable):
        migrate("postgresql://nobody@127.0.0.1:1/nothing")


def test_migrations_ship_with_the_package() -> None:
    assert _versions == "ledger.migrations.versions"


def test_a_revision_of_a_newer_version_is_left_as_it_is(empty_database_url: str) -> None:
    """Whoever goes back to this version runs its migrations, too."""
    migrate(empty_database_url)
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        assert migrate(empty_database_url, partitions=3) == []
        check_schema(connection)
    assert rows(empty_database_url, "SELECT version_num FROM alembic_version") == [("9999",)]
    assert rows(empty_database_url, "SELECT count(*) FROM partition") == [(3,)]


LETTER = """
INSERT INTO dead_letter (group_id, digest, place, raw, why, count, first_at, last_at)
VALUES (1, %(digest)s, %(place)s, %(raw)s, 'old', 1, now(), now())"""


def test_letters_that_are_there_before_the_upgrade_get_their_accounts(
    empty_database_url: str,
) -> None:
    event = {"data": {"from_account": "acme", "to_account": "north"}}
    raws = [
        json.dumps(event),
        json.dumps([{}, event]),
        "no json",
        json.dumps({"data": {"account": "no id!"}}),
    ]
    _upgraded_to(empty_database_url, "0005")
    with psycopg.connect(empty_database_url) as connection:
        for number in range(800):
            raw = raws[number % len(raws)]
            connection.execute(
                LETTER, {"digest": b"%d" % number, "place": int(raw[:1] == "["), "raw": raw.encode()}
            )
    assert migrate(empty_database_url)[:2] == ["0006", "0007"]
    assert rows(empty_database_url, "SELECT account, count(*) FROM dead_letter GROUP BY 1 ORDER BY 1") == [
        ("acme", 400),
        (None, 400),
    ]
    assert rows(empty_database_url, "SELECT DISTINCT whole, verified, arrival FROM dead_letter") == [
        (True, False, None)
    ]


def _upgraded_to(url: str, revision: str) -> None:
    engine = create_engine(sqlalchemy_url(url))
    config = Config()
    config.set_main_option("script_location", "ledger:migrations")
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        connection.commit()
    engine.dispose()
