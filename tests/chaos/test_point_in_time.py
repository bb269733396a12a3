"""A disaster: back-up, WAL archive, a moment in between; then the system goes on at the same edge, as if nothing had been.

Several producers send all the while, over two partitions. What they were told stands: outcomes, numbers of transactions, and
numbers of receipts; and each command has one effect.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.embedded import servers
from deploy.up import write_whole
from ledger.migrate import migrate
from tests.chaos.load import Load
from tests.chaos.reckoning import demand_all_is_well, demand_one_outcome_each
from tests.system.listening import Listener
from tests.system.site import JOBS, RELAY, SCHEDULER, WORKER, Site, until

pytestmark = pytest.mark.system
SEED = 20_270
PRODUCERS = ["north", "south", "east"]
ARCHIVING = """
archive_mode = on
archive_command = 'test ! -f {archive}/%f && cp %p {archive}/%f.part && mv {archive}/%f.part {archive}/%f'
"""
KEEP = 3_600
RECEIPTS = "SELECT transaction, number FROM receipt ORDER BY 1"


@pytest.fixture
def archive() -> Iterator[Path]:
    """Where WAL is kept; PostgreSQL's own user has to reach it, as root's tests have it run by another."""
    directory = Path(tempfile.mkdtemp(prefix="coins-test-wal-", dir="/tmp"))
    directory.chmod(0o777)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def archived(tmp_path: Path, archive: Path) -> Iterator[Site]:
    """A system whose database archives its WAL."""
    both = servers(tmp_path / "data")
    both.postgres.start()
    both.postgres.stop()
    with (both.postgres.home / "postgresql.conf").open("a", encoding="utf-8") as settings:
        settings.write(ARCHIVING.format(archive=archive))
    site = Site(both, tmp_path, both.postgres.url, "coinworks", 2)
    try:
        with both:
            migrate(both.postgres.url, partitions=2)
            write_whole(tmp_path / "data" / "endpoints.json", {**both.endpoints, "partitions": "2"})
            yield site
    finally:
        site.end()


def backup(site: Site, to: Path) -> None:
    done = site.coins("backup", str(to), "--data", str(site.servers.postgres.data_dir))
    assert done.returncode == 0, done.stderr


def restore(site: Site, source: Path, wal: Path, moment: str) -> Any:
    return site.coins(
        "restore",
        str(source),
        "--data",
        str(site.servers.postgres.data_dir),
        "--wal",
        str(wal),
        "--at",
        moment,
        DATABASE_URL=None,
        REDIS_URL=None,
        DATA_DIR=None,
    )


def archive_all(site: Site, archive: Path) -> None:
    """As archive_timeout would, a minute later."""
    (segment,) = site.rows("SELECT pg_walfile_name(pg_switch_wal())")[0]
    until((archive / segment).exists, 20, site.logs)


def told(listener: Listener) -> dict[tuple[str, str], Any]:
    """What each producer was told first of each command."""
    found: dict[tuple[str, str], Any] = {}
    for one in list(listener.heard):
        if not one.answer.duplicate and one.answer.reason not in ("idempotency_conflict", "invalid_message"):
            found.setdefault((one.producer, one.answer.id), (one.answer.reason, one.data["transaction"]))
    return found


def decided(site: Site) -> dict[tuple[str, str], Any]:
    rows = site.rows(
        "SELECT c.source, c.id, c.reason, c.outcome::json ->> 'transaction' FROM command c ORDER BY 1, 2"
    )
    return {(source, id_): (reason, number) for source, id_, reason, number in rows}


def test_a_restored_system_says_what_was_said(archived: Site, archive: Path, tmp_path: Path) -> None:
    site = archived
    running = {"COMMANDS_KEEP": KEEP}
    programs = [site.start(*verb, **running) for verb in (WORKER, RELAY, JOBS, SCHEDULER)]
    with Listener(site.edge_url, PRODUCERS) as listener:
        with Load(site.edge_url, seed=SEED, partitions=2, at_once=8, pause_seconds=0.05) as load:
            until(lambda: len(listener.heard) > 200, 20, site.logs)
            backup(site, tmp_path / "backup")
            heard = len(listener.heard)
            until(lambda: len(listener.heard) > heard + 200, 20, site.logs)
            moment = site.value("SELECT clock_timestamp()").isoformat()
            heard = len(listener.heard)
            until(lambda: len(listener.heard) > heard + 400, 20, site.logs)
            archive_all(site, archive)
            # The disaster. Producers do not know of it.
            for program in programs:
                program.kill()
            before, receipts = told(listener), dict(site.rows(RECEIPTS))
            site.servers.stop()
            restored = restore(site, tmp_path / "backup", archive, moment)
            assert restored.returncode == 0, restored.stderr
            assert re.search(r"all \d+ commands that were told since are as they were told", restored.stderr)
            print(restored.stderr)  # noqa: T201 - how much of it was word for word
            site.servers.start()
            load.run_for(0.2)
            for verb in (WORKER, RELAY, JOBS, SCHEDULER):
                site.start(*verb, **running)
        demand_all_is_well(site, load, listener)
        demand_one_outcome_each(site, load, listener)
        after = decided(site)
    assert {key: after[key] for key in before} == before
    until(lambda: site.value("SELECT count(*) FROM receipt_due") == 0, 30, site.logs)
    now = dict(site.rows(RECEIPTS))
    assert {transaction: now.get(transaction) for transaction in receipts} == receipts
