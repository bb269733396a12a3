"""Prometheus metrics: what a process counts is served by itself, on COINS_METRICS_ADDRESS.

The processes of `coins up` share a machine and an address, which only one of them could listen on. So each keeps its counts
in files of DIR/run/metrics (the multiprocess mode of prometheus_client), and `coins up` itself serves all of them together:
one address, and no port to be reckoned for each child. Files go by the child's name: one that is started again counts on.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog
from prometheus_client import (
    CollectorRegistry,
    ProcessCollector,
    disable_created_metrics,
    start_http_server,
    values,
)
from prometheus_client.core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from prometheus_client.values import MultiProcessValue

from workers.counts import LEADING
from workers.errors import SettingsInvalid
from workers.settings import Settings

METRICS_DIR, READY_FILE = "COINS_METRICS_DIR", "COINS_READY_FILE"
# Of these kinds of files a process has one each. They are written whole before they are mapped: a page of a mapped file for
# which the disk has no room kills whoever touches it.
KINDS = ("counter", "histogram", "gauge_max")
ROOM_BYTES = 1024 * 1024

log = structlog.get_logger(__name__)


@contextmanager
def counting(settings: Settings, *standing: Collector) -> Iterator[CollectorRegistry]:
    """The registry that a process counts in, served while within where there is an address, with what stands elsewhere.

    Raises SettingsInvalid for an address that cannot be used.
    """
    # When a series began is of no use to anybody here, and is as many series again.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    if directory := os.environ.get(METRICS_DIR):
        _count_in_files(Path(directory), Path(os.environ.get(READY_FILE, "process")).stem)
        yield registry
    elif settings.metrics_address is None:
        yield registry
    else:
        ProcessCollector(registry=registry)
        with _listening(settings.metrics_address, registry, standing):
            log.info("metrics", address=settings.metrics_address)
            yield registry


@contextmanager
def served_together(address: str, directory: Path, *standing: Collector) -> Iterator[None]:
    """Within, what processes count in files of the directory is served, with what stands elsewhere.

    What an earlier run has left there is removed. Who leads is told by what stands elsewhere: the file of a process that
    was killed or is frozen says what it has said last. Raises SettingsInvalid for an address that cannot be used.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for left in directory.glob("*.db"):
        left.unlink()
    registry = CollectorRegistry()
    registry.register(_Counts(directory))
    with _listening(address, registry, standing):
        yield


class _Counts(Collector):
    """What stands in the files of all processes, but for what each can say of itself alone."""

    def __init__(self, directory: Path) -> None:
        self._files = MultiProcessCollector(None, path=str(directory))  # type: ignore[no-untyped-call]

    def collect(self) -> Iterable[Metric]:
        return [one for one in self._files.collect() if one.name != LEADING]  # type: ignore[no-untyped-call]


@contextmanager
def _listening(address: str, registry: CollectorRegistry, standing: tuple[Collector, ...]) -> Iterator[None]:
    for one in standing:
        registry.register(one)
    host, _, port = address.rpartition(":")
    try:
        if not host or not int(port) >= 1:
            raise ValueError("there is no host, or no port")
        server, thread = start_http_server(int(port), host.strip("[]"), registry)
    except (ValueError, OverflowError, OSError) as error:
        raise SettingsInvalid(
            f"COINS_METRICS_ADDRESS: {address!r} cannot be listened on ({error}); give HOST:PORT, as in 127.0.0.1:9464"
        ) from None
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _count_in_files(directory: Path, name: str) -> None:
    """From here on, metrics that are made keep their values in files under that name."""
    try:
        for kind in KINDS:
            _make_room(directory / f"{kind}_{name}.db")
    except OSError as error:
        # Whatever is counted is worth less than what it counts.
        told = "the disk is full" if error.errno == errno.ENOSPC else str(error)
        log.warning("what this process counts is not served until it is started again", why=told)
        return
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(directory)
    values.ValueClass = MultiProcessValue(lambda: name)  # type: ignore[no-untyped-call]


def _make_room(file: Path) -> None:
    if not file.exists():
        (beside := file.with_suffix(".new")).write_bytes(bytes(ROOM_BYTES))
        beside.replace(file)
