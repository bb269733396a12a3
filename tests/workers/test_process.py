"""What a process tells of itself while it runs."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import dramatiq
import psutil
import pytest
from dramatiq.brokers.stub import StubBroker

from tests.system.site import Site, until
from workers import alive
from workers.broker import has_its_threads
from workers.process import Process


def test_a_process_without_its_threads_gives_no_sign_of_life(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(alive.FILE, str(file := tmp_path / "coins.alive"))
    asked = threading.Event()

    def whole() -> bool:
        asked.set()
        return False

    with handlers_kept(), Process("relay", site.database_url) as process:
        until(file.exists, 10)
        process.whole = whole
        asked.clear()
        assert asked.wait(10)
        file.unlink()
        asked.clear()
        assert asked.wait(10)
        assert not file.exists()


def test_a_process_lives_while_its_database_is_frozen(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To start it again would help nobody, and all of them at once would be an outage of its own."""
    monkeypatch.setenv(alive.FILE, str(file := tmp_path / "coins.alive"))
    with handlers_kept(), Process("relay", site.database_url):
        until(file.exists, 10)
        with frozen(site.servers.postgres.pid):
            signs = {file.read_text()}
            # One might have been under way.
            until(lambda: signs.add(file.read_text()) or len(signs) > 4, 20)


@contextmanager
def handlers_kept() -> Iterator[None]:
    """A process takes the signals of this one."""
    before = {one: signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


@contextmanager
def frozen(server: int) -> Iterator[None]:
    """A server with all its sessions."""
    family = [psutil.Process(server), *psutil.Process(server).children()]
    for one in family:
        one.suspend()
    try:
        yield
    finally:
        for one in family:
            one.resume()


def test_a_worker_has_its_threads_until_one_is_gone() -> None:
    broker = StubBroker(middleware=[])
    broker.declare_queue("some")
    worker = dramatiq.Worker(broker, worker_threads=2)
    worker.start()
    assert has_its_threads(worker)
    gone = threading.Thread()
    assert not has_its_threads(SimpleNamespace(consumers=worker.consumers, workers=[*worker.workers, gone]))  # type: ignore[arg-type]
    worker.stop()
    assert not has_its_threads(worker)
    broker.close()
