"""export: a statement of a million rows as a workbook, by our writer and by openpyxl's, each in a process of its own.

Both read the same rows of a ledger of their own by the same query (the processes: `export_writing.py`).
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import psycopg

from deploy.bench.errors import FigureFailed
from deploy.bench.results import Written
from deploy.bench.system import Bench
from deploy.supervisor import say
from ledger.migrate import migrate

DATABASE = "yard_export"
ACCOUNT = "yard"
OURS, OPENPYXL = "coinworks", "openpyxl"

_ACCOUNT = f"""
INSERT INTO account (id, account, parent, path, kind, name, funding, state, credit, credit_limit, frozen, version,
                     draws_from, timezone)
VALUES (1, '{ACCOUNT}', 0, '{{1}}', 'enterprise', 'Yard', 'own', 'active', 0, 0, 0, %(rows)s, 1, 'Asia/Shanghai')"""
# A recharge pays for the 99 charges after it: devices that are onboarded and renewed, and orders.
_TRANSACTIONS = """
INSERT INTO transaction (id, time, type, top, account, item, devices, note, order_id, method, reference, payer,
                         command_source, command_id, actor)
SELECT n, timestamptz '2026-01-01 00:00:00Z' + n * interval '7 seconds', type, 1, 1,
       CASE WHEN type <> 'recharge' THEN 'Plan ' || n %% 7 END,
       CASE WHEN type IN ('onboarding', 'renewal') THEN ARRAY['dev-' || lpad(n::text, 12, '0')] END,
       CASE WHEN n %% 3 = 0 THEN 'as agreed for the quarter, number ' || n END,
       CASE WHEN type = 'order' THEN 'o-' || n END,
       CASE WHEN type = 'recharge' THEN 'wechat' END,
       CASE WHEN type = 'recharge' THEN 'WX-' || n END,
       CASE WHEN type = 'recharge' THEN 'li.na@yard.example' END,
       'device-mgmt', md5(n::text), CASE WHEN n %% 2 = 0 THEN 'bo@yard.example' END
FROM (SELECT n, CASE WHEN n %% 100 = 1 THEN 'recharge' WHEN n %% 10 = 0 THEN 'order' WHEN n %% 3 = 0 THEN 'renewal'
                     ELSE 'onboarding' END AS type
      FROM generate_series(1, %(rows)s) n) one"""
_ENTRIES = """
INSERT INTO entry (transaction, account, unit, amount, balance, version, top, type, time)
SELECT id, 1, 'coin', amount, sum(amount) OVER (ORDER BY id), id, 1, type, time
FROM (SELECT t.*, CASE WHEN t.type = 'recharge' THEN 99000 ELSE -1000 END AS amount FROM transaction t) t"""
_SETTLED = """
UPDATE account
SET credit = (SELECT balance FROM entry WHERE account = 1 AND account > 0 ORDER BY version DESC LIMIT 1)
WHERE id = 1"""
_ANALYZED = "ANALYZE account, transaction, entry"


def export(bench: Bench) -> Written:
    """Seconds and peak memory of ours, with openpyxl's beside it."""
    database_url = urlsplit(bench.database_url)._replace(path=f"/{DATABASE}").geturl()
    with psycopg.connect(bench.database_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {DATABASE}")
        try:
            say(f"  preparing {bench.rows:,} rows")
            prepare(database_url, bench.rows)
            with TemporaryDirectory(dir=bench.embedded.postgres.data_dir) as room:
                ours, theirs = (_written(by, database_url, Path(room), bench.rows) for by in (OURS, OPENPYXL))
        finally:
            connection.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")
    return replace(ours, yardstick=theirs)


def prepare(database_url: str, rows: int) -> None:
    """A ledger with one account that so much was posted to."""
    migrate(database_url)
    with psycopg.connect(database_url, autocommit=True) as connection:
        for statement in (_ACCOUNT, _TRANSACTIONS, _ENTRIES, _SETTLED, _ANALYZED):
            connection.execute(statement, {"rows": rows})


def _written(by: str, database_url: str, room: Path, rows: int) -> Written:
    say(f"  writing by {by}")
    module = ("-P", "-m", "deploy.bench.export_writing")
    command = (sys.executable, *module, by, database_url, str(room / f"{by}.xlsx"))
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise FigureFailed(f"{by} failed ({done.returncode}): {done.stderr.strip()[-1000:]}")
    found = Written(**json.loads(done.stdout))
    if found.rows != rows:
        raise FigureFailed(f"{by} wrote {found.rows:,} rows of {rows:,}")
    return found
