"""Where counts are told: at an address of a process' own, or from files for several processes together."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.scraping import free_addresses, scraped
from workers.errors import SettingsInvalid
from workers.metrics import ROOM_BYTES, counting, served_together
from workers.settings import Settings

# A child of `coins up`, as it counts: arguments are how many runs it counts, and whether it leads.
CHILD = """
import sys
from types import SimpleNamespace
from workers.counts import JobCounts, Leading
from workers.jobs.performing import Outcome
from workers.metrics import counting
from workers.settings import Settings
with counting(Settings()) as registry:
    counts, leading = JobCounts(registry), Leading(registry, "relay")
    for _ in range(int(sys.argv[1])):
        counts.ended(SimpleNamespace(job="mails", done=2, refused=0), Outcome.DONE, 0.02)
    leading.set(sys.argv[2] == "leads")
"""


def count(directory: Path, name: str, runs: int, leads: str = "stands by") -> None:
    subprocess.run(
        [sys.executable, "-c", CHILD, str(runs), leads],
        env={"COINS_METRICS_DIR": str(directory), "COINS_READY_FILE": f"/run/{name}.ready"},
        check=True,
    )


def test_several_processes_are_told_together_and_one_that_is_started_again_counts_on(tmp_path: Path) -> None:
    (address,) = free_addresses(1)
    directory = tmp_path / "metrics"
    directory.mkdir()
    (directory / "counter_earlier.db").write_bytes(b"of another run")
    with served_together(address, directory):
        count(directory, "jobs-1", 2, "leads")
        count(directory, "jobs-2", 3)
        told = scraped(address)
        assert told.value("coins_job_runs_total", job_name="mails", outcome="done") == 5
        assert told.value("coins_job_items_total", job_name="mails", outcome="done") == 10
        assert told.value("coins_job_seconds_bucket", job_name="mails", le="0.01") == 0
        assert told.value("coins_job_seconds_bucket", job_name="mails", le="0.05") == 5
        # Who leads, the database knows: this process may be dead by now
        assert "coins_leading" not in told.types
        count(directory, "jobs-1", 1)
        told = scraped(address)
        assert told.value("coins_job_runs_total", job_name="mails", outcome="done") == 6
    assert {file.stat().st_size for file in directory.glob("*.db")} == {ROOM_BYTES}


def test_without_room_for_its_counts_a_process_works_all_the_same(tmp_path: Path) -> None:
    nowhere = tmp_path / "missing"
    done = subprocess.run(
        [sys.executable, "-c", CHILD, "1", ""],
        env={"COINS_METRICS_DIR": str(nowhere), "COINS_READY_FILE": "/run/jobs.ready"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "what this process counts is not served" in done.stdout + done.stderr


@pytest.mark.parametrize(
    "address", ["nowhere", ":9464", "127.0.0.1:0", "127.0.0.1:99999", "198.51.100.7:9464"]
)
def test_an_address_that_cannot_be_used_is_refused(address: str) -> None:
    with (
        pytest.raises(SettingsInvalid, match="COINS_METRICS_ADDRESS"),
        counting(Settings(metrics_address=address)),
    ):
        pass


def test_an_address_where_somebody_listens_is_refused() -> None:
    (address,) = free_addresses(1)
    settings = Settings(metrics_address=address)
    with counting(settings), pytest.raises(SettingsInvalid, match="in use"), counting(settings):
        pass
    with counting(settings):
        assert "process_resident_memory_bytes" in scraped(address).types
