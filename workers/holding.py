"""All partitions, held by one process while it works alone: no worker that is started meanwhile gets one."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg

from ledger.database import connect
from ledger.fence import LEASE_SECONDS
from workers.errors import NotReady
from workers.leases import PartitionLease

RENEW_SECONDS = 0.5
# A batch that is open keeps its own; the others are not to wait for it.
LOCK_MILLISECONDS = 200
# Whoever had them before may have been killed a moment ago.
TAKE_SECONDS = LEASE_SECONDS + 7.0


@contextmanager
def holding_all(url: str, partitions: int, *, name: str) -> Iterator[dict[int, int]]:
    """The epoch of each partition; their leases are renewed on a thread, and given back at the end.

    Who has lost one can commit nothing there (`ledger/fence.py`). Raises NotReady where somebody else keeps one.
    """
    with connect(url, name=name, options=f"-c lock_timeout={LOCK_MILLISECONDS}") as connection:
        leases = [
            PartitionLease(connection, partition, partitions, name, datetime.now(UTC))
            for partition in range(partitions)
        ]
        epochs: dict[int, int] = {}
        done = threading.Event()
        renewing = threading.Thread(target=_renew, args=(leases, epochs, done), name="leases", daemon=True)
        renewing.start()
        try:
            for lease in leases:
                epochs[lease.partition] = _take(lease)
            yield epochs
        finally:
            done.set()
            renewing.join()
            for lease in leases:
                if lease.partition in epochs and not connection.closed:
                    lease.release(epochs[lease.partition])


def _take(lease: PartitionLease) -> int:
    lease.create()
    deadline = time.monotonic() + TAKE_SECONDS
    while (epoch := lease.take()) is None:
        if time.monotonic() > deadline:
            raise NotReady(
                f"partition {lease.partition} is being read by somebody else, or stopped: stop the workers"
            )
        time.sleep(0.1)
    return epoch


def _renew(leases: list[PartitionLease], epochs: dict[int, int], done: threading.Event) -> None:
    """Until it is over, or the connection is: then the leases run out, and the fence says so with the next batch."""
    while not done.wait(RENEW_SECONDS):
        for lease in leases:
            epoch: Any = epochs.get(lease.partition)
            try:
                if epoch is not None:
                    lease.renew(epoch)
            except psycopg.errors.LockNotAvailable:
                continue
            except psycopg.Error:
                return
