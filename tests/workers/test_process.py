"""What a process tells of itself while it runs."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from types import SimpleNamespace

import dramatiq
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
    before = {one: signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)}
    asked = threading.Event()

    def whole() -> bool:
        asked.set()
        return False

    try:
        with Process("relay", site.database_url) as process:
            until(file.exists, 10)
            process.whole = whole
            asked.clear()
            assert asked.wait(10)
            file.unlink()
            asked.clear()
            assert asked.wait(10)
            assert not file.exists()
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


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
