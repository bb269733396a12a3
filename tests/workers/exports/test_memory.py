"""The memory of an export does not grow with its rows."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.bench.export import prepare
from deploy.embedded import EmbeddedPostgres
from tests.conftest import EMBEDDED, DatabaseServer
from tests.console.running import ROOT

ROWS = 200_000
MOST_MB = 250
DATABASE = "coins_test_memory"


@pytest.fixture
def long_statement(embedded_postgres: EmbeddedPostgres) -> Iterator[str]:
    """A ledger with a statement of so many lines."""
    server = DatabaseServer(EMBEDDED, embedded_postgres.url, "FILE_COPY")
    url = server.create(DATABASE)
    try:
        prepare(url, ROWS)
        yield url
    finally:
        server.drop(DATABASE)


@pytest.mark.timeout(600)
def test_a_long_statement_takes_no_more_memory_than_is_promised(long_statement: str, tmp_path: Path) -> None:
    # In a process of its own: here there is more in memory than an export
    command = [sys.executable, "-m", "deploy.bench.export_writing", "coinworks", long_statement]
    done = subprocess.run([*command, str(tmp_path / "x.xlsx")], capture_output=True, text=True, cwd=ROOT)

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["rows"] == ROWS
    assert found["peak_mb"] < MOST_MB
    assert [one.name for one in tmp_path.iterdir()] == ["x.xlsx"]
