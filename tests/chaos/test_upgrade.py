"""An upgrade and the way back, under load: workers go on with what a newer version adds to the schema, and start on it."""

from __future__ import annotations

import psycopg
import pytest

from tests.chaos.load import Load
from tests.chaos.reckoning import demand_all_is_well
from tests.system.listening import Listener
from tests.system.site import JOBS, RELAY, SCHEDULER, WORKER, Site, until

pytestmark = pytest.mark.system
SEED = 20_271
PRODUCERS = ["north", "south", "east"]
TABLES = (
    "SELECT format('%I', tablename) FROM pg_tables t WHERE schemaname = 'public' AND tablename <> 'alembic_version' "
    "AND NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = format('%I', t.tablename)::regclass)"
)


def expand(site: Site) -> None:
    """As a newer version's migrations: a column for every table, an index beside the traffic, under short locks."""
    with psycopg.connect(site.database_url, autocommit=True) as connection:
        connection.execute("SET lock_timeout = '5s'")
        for (name,) in connection.execute(TABLES).fetchall():
            connection.execute(f"ALTER TABLE {name} ADD COLUMN of_a_newer_version text".encode())
        connection.execute("CREATE TABLE newer (id int PRIMARY KEY)")
        connection.execute("CREATE INDEX CONCURRENTLY entry_newer_idx ON entry (type, time)")
        connection.execute("UPDATE alembic_version SET version_num = '9999'")


def test_workers_go_on_and_start_anew_on_the_schema_of_a_newer_version(site: Site) -> None:
    site.start_all(WORKER, RELAY, JOBS, SCHEDULER)
    with Listener(site.edge_url, PRODUCERS) as listener:
        with Load(site.edge_url, seed=SEED, at_once=8) as load:
            until(lambda: len(listener.heard) > 100, 20, site.logs)
            expand(site)
            heard = len(listener.heard)
            until(lambda: len(listener.heard) > heard + 100, 20, site.logs)
            # The way back: this version's migrations, and its processes, on that schema.
            assert site.coins("migrate").returncode == 0
            before = list(site.programs)
            site.start_all(WORKER, RELAY, JOBS, SCHEDULER)
            for program in before:
                assert program.leave() == 0
            heard = len(listener.heard)
            until(lambda: len(listener.heard) > heard + 100, 20, site.logs)
            until(lambda: site.coins("health").returncode == 0, 20, lambda: site.coins("health").stdout)
        demand_all_is_well(site, load, listener)
