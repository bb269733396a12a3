"""The metrics of `coins up`: all of its processes at one address, whatever becomes of one of them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.scraping import Scraped, free_addresses, scraped
from tests.system.site import COINS, until

pytestmark = pytest.mark.system


def environment(address: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("COINS_")}
    return {**clean, "COINS_METRICS_ADDRESS": address, "COINS_LOG_FORMAT": "json"}


@dataclass
class Up:
    data: Path
    address: str
    output: Path

    @property
    def said(self) -> str:
        return self.output.read_text(encoding="utf-8")

    def told(self) -> Scraped:
        return scraped(self.address)

    def applied(self, type_: str) -> float:
        return self.told().value("coins_commands_total", type=type_, outcome="applied", reason="")

    def send(self, lines: str) -> None:
        subprocess.run(
            [*COINS, "send", "--wait", "-", "--data", str(self.data)],
            input=lines,
            text=True,
            check=True,
            stdout=subprocess.DEVNULL,
        )

    def child(self, name: str) -> int:
        return int((self.data / "run" / f"{name}.pid").read_text(encoding="ascii"))


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    directory = tmp_path_factory.mktemp("up")
    (address,) = free_addresses(1)
    made = Up(directory / "data", address, directory / "said.txt")
    with made.output.open("wb") as output:
        process = subprocess.Popen(
            [*COINS, "up", "--data", str(made.data)],
            env=environment(address),
            stdin=subprocess.DEVNULL,
            stderr=output,
        )
    try:
        until(lambda: "\nready " in made.said or process.poll() is not None, 60, lambda: made.said)
        assert process.poll() is None, made.said
        yield made
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def test_one_address_tells_of_all_processes(up: Up) -> None:
    assert f"metrics are at http://{up.address}/metrics" in up.said
    up.send(
        '{"type":"OpenAccount","data":{"account":"acme","parent":"platform","kind":"enterprise","name":"A"}}\n'
        '{"type":"TopUp","data":{"account":"acme","amount":5}}\n'
    )
    until(lambda: up.told().values.get(("coins_events_published_total", frozenset()), 0) >= 2, 10)
    told = up.told()
    assert told.value("coins_batch_commands_sum") == 2
    assert told.value("coins_leading", role="relay") == told.value("coins_leading", role="scheduler") == 1
    assert told.value("coins_database_up") == told.value("coins_edge_up") == 1
    assert told.value("coins_processes", role="worker") >= 1
    until(lambda: "coins_job_runs_total" in up.told().labels_of_samples, 15, lambda: up.said)


def test_a_process_that_is_killed_goes_on_counting(up: Up) -> None:
    top_up = '{"type":"TopUp","data":{"account":"acme","amount":5}}\n'
    up.send(top_up)
    before, killed = up.applied("TopUp"), up.child("commands-1")
    os.kill(killed, signal.SIGKILL)
    assert up.applied("TopUp") == before
    until(lambda: up.child("commands-1") != killed, 10, lambda: up.said)
    up.send(top_up)
    until(lambda: up.applied("TopUp") == before + 1, 10, lambda: up.said)


def test_a_relay_that_is_frozen_leads_no_longer(up: Up) -> None:
    frozen = up.child("relay")
    until(lambda: up.told().value("coins_leading", role="relay") == 1, 10, lambda: up.said)
    os.kill(frozen, signal.SIGSTOP)
    try:
        until(lambda: up.told().value("coins_leading", role="relay") == 0, 15, lambda: up.said)
        assert up.told().value("coins_leading", role="scheduler") == 1
    finally:
        os.kill(frozen, signal.SIGCONT)


def test_an_address_where_somebody_listens_ends_it_at_once(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = subprocess.run(
            [*COINS, "up", "--data", str(tmp_path / "data")],
            env=environment(address),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert done.returncode == 2
    assert "COINS_METRICS_ADDRESS" in done.stderr
    assert not (tmp_path / "data" / "postgres").exists()
