"""scan: the threshold scan over a million accounts, on a database of its own beside the system's."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import psycopg

from deploy.bench.results import Took
from deploy.bench.system import Bench
from deploy.supervisor import say
from ledger.database import connect_for_jobs
from ledger.migrate import migrate
from workers.jobs.run import Run
from workers.jobs.warnings import scan as look
from workers.settings import Settings

ACCOUNTS_PER_COMMAND = 20  # a million where a figure takes 50,000 commands
RUNS = 3
DATABASE = "coins_bench_scan"

# A third have come down to what warns nobody, one in a hundred has been warned, the rest are as after their inflow.
_ACCOUNTS = """
INSERT INTO account (id, account, parent, path, kind, name, funding, state, credit, credit_limit, frozen, reference, version,
                     running, settled, draws_from, timezone)
SELECT n, 'account-' || n, 0, ARRAY[n], 'enterprise', 'Account ' || n, 'own', 'active',
       CASE WHEN n %% 100 = 0 THEN 200 WHEN n %% 3 = 0 THEN 600 ELSE 1000 END, 0, 0, 1000, 1, 0, 0, n, 'UTC'
FROM generate_series(1, %s) AS n"""
_FALLEN = "UPDATE account SET credit = 50 WHERE id % 1000 = 7"


def scan(bench: Bench) -> Took:
    """The seconds of a full scan in which one account of a thousand has fallen; the first warns whoever is low already."""
    count = ACCOUNTS_PER_COMMAND * bench.commands
    with psycopg.connect(bench.database_url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {DATABASE}")
        try:
            return Took(_measured(urlsplit(bench.database_url)._replace(path=f"/{DATABASE}").geturl(), count))
        finally:
            admin.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")


def _measured(url: str, count: int) -> float:
    migrate(url)
    with connect_for_jobs(url, name="bench") as connection:
        say(f"  making {count:,} accounts")
        connection.execute(_ACCOUNTS, (count,))
        connection.execute("VACUUM ANALYZE account")
        now = datetime.now(UTC)
        settings = Settings()
        look(Run("threshold-scan", now, settings, connection), full=True)
        connection.execute("DELETE FROM touched")
        quiet = []
        for number in range(1, RUNS + 1):
            began = time.perf_counter()
            look(Run("threshold-scan", now + timedelta(seconds=number), settings, connection), full=True)
            quiet.append(time.perf_counter() - began)
        connection.execute(_FALLEN)
        began = time.perf_counter()
        told = look(Run("threshold-scan", now + timedelta(minutes=1), settings, connection), full=True)
        busy = time.perf_counter() - began
    say(f"  with nothing to tell {min(quiet):.2f} s; then {busy:.2f} s: {told}")
    return min(quiet)
