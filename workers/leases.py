"""Who may do what only one may do: leases with epochs, by the database's clock.

An epoch that was superseded can commit nothing: every transaction of a partition checks it first (`ledger/fence.py`).
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import psycopg

from ledger.fence import LEASE_SECONDS, LOCK_CLASS
from workers.process import GONE_AFTER_SECONDS

# A session that holds a batch open past its lease, and has kept the server waiting for its client this long, belongs to a
# process that is frozen. One that works, however long, is left alone.
FROZEN_AFTER_SECONDS = 1

_CREATE = "INSERT INTO partition (id) VALUES (%(partition)s) ON CONFLICT (id) DO NOTHING"

_TAKE = f"""
WITH live AS (
  SELECT greatest(count(*), 1) AS workers FROM process
  WHERE role = 'worker' AND partitions = %(partitions)s
    AND seen_at > clock_timestamp() - interval '{GONE_AFTER_SECONDS} seconds'
), held AS (
  SELECT count(*) AS partitions FROM partition
  WHERE owner = %(owner)s AND lease_until > clock_timestamp() AND id <> %(partition)s
), free AS (
  SELECT p.id FROM partition p, live, held
  WHERE p.id = %(partition)s
    AND (p.owner = %(owner)s OR p.lease_until < clock_timestamp())
    AND (p.stopped_at IS NULL OR p.stopped_at < %(started_at)s)
    AND (p.owner = %(owner)s OR held.partitions < ceil(%(partitions)s::float8 / live.workers))
  FOR NO KEY UPDATE OF p NOWAIT
)
UPDATE partition p SET
  epoch = p.epoch + 1,
  owner = %(owner)s,
  lease_until = clock_timestamp() + interval '{LEASE_SECONDS} seconds',
  crashed_in_a_row = CASE WHEN p.stopped_at IS NULL THEN p.crashed_in_a_row ELSE 0 END,
  stopped_at = NULL
FROM free WHERE p.id = free.id
RETURNING p.epoch"""

_RENEW = f"""
UPDATE partition SET lease_until = clock_timestamp() + interval '{LEASE_SECONDS} seconds'
WHERE id = %(partition)s AND epoch = %(epoch)s
RETURNING id"""

_IS_OURS = "SELECT FROM partition WHERE id = %(partition)s AND epoch = %(epoch)s"

_TOO_MANY = f"""
SELECT count(*) > ceil(%(partitions)s::float8 / greatest((
         SELECT count(*) FROM process
         WHERE role = 'worker' AND partitions = %(partitions)s
           AND seen_at > clock_timestamp() - interval '{GONE_AFTER_SECONDS} seconds'), 1))
   AND max(id) = %(partition)s
FROM partition WHERE owner = %(owner)s AND lease_until > clock_timestamp()"""

_RELEASE = """
UPDATE partition SET lease_until = '-infinity', owner = NULL
WHERE id = %(partition)s AND epoch = %(epoch)s"""

# The lock of the fence shows which session it is; ending it rolls its batch back and frees the partition.
_END_FROZEN = f"""
SELECT l.pid, pg_terminate_backend(l.pid)
FROM pg_locks l JOIN partition p ON p.id = %(partition)s JOIN pg_stat_activity s ON s.pid = l.pid
WHERE l.locktype = 'advisory' AND l.classid = {LOCK_CLASS} AND l.objid = %(partition)s
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND l.pid <> pg_backend_pid()
  AND (s.state <> 'active' OR s.wait_event_type = 'Client')
  AND s.state_change < clock_timestamp() - interval '{FROZEN_AFTER_SECONDS} seconds'
  AND p.lease_until < clock_timestamp() - interval '{FROZEN_AFTER_SECONDS} seconds'"""

# Of two partitions that a process takes at once, neither would count the other as its share. Where a connection hangs the
# others go on all the same: what is too much is handed on.
_taking = threading.Lock()
TAKING_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class PartitionLease:
    """The claim of one process on one partition. `connection` in autocommit mode, with a lock time-out."""

    connection: psycopg.Connection[Any]
    partition: int
    partitions: int
    owner: str
    started_at: Any

    def create(self) -> None:
        """Make sure that the partition is known: their number may have grown since the last migration."""
        self.connection.execute(_CREATE, self._values(0))

    def take(self) -> int | None:
        """The epoch, or None while somebody else owns the partition or we have our share already."""
        try:
            row = self._take()
        except psycopg.errors.LockNotAvailable:
            self.connection.execute(_END_FROZEN, self._values(0))
            return None
        return row[0] if row else None

    def renew(self, epoch: int) -> bool:
        """Whether the partition is still ours under this epoch."""
        return self.connection.execute(_RENEW, self._values(epoch)).fetchone() is not None

    def is_ours(self, epoch: int) -> bool:
        """The same without renewing it, which has to wait for a batch that is open."""
        return self.connection.execute(_IS_OURS, self._values(epoch)).fetchone() is not None

    def has_too_many(self) -> bool:
        """Whether this partition is one too many for us, now that there are more workers."""
        row = self.connection.execute(_TOO_MANY, self._values(0)).fetchone()
        return bool(row and row[0])

    def release(self, epoch: int) -> None:
        """Let somebody else take it at once."""
        self.connection.execute(_RELEASE, self._values(epoch))

    def _take(self) -> Any:
        alone = _taking.acquire(timeout=TAKING_SECONDS)
        try:
            return self.connection.execute(_TAKE, self._values(0)).fetchone()
        finally:
            if alone:
                _taking.release()

    def _values(self, epoch: int) -> dict[str, Any]:
        return {
            "partition": self.partition,
            "partitions": self.partitions,
            "owner": self.owner,
            "started_at": self.started_at,
            "epoch": epoch,
        }


_TAKE_NAMED = f"""
INSERT INTO lease AS l (name, epoch, owner, lease_until)
VALUES (%(name)s, %(at_least)s, %(owner)s, clock_timestamp() + interval '{LEASE_SECONDS} seconds')
ON CONFLICT (name) DO UPDATE SET
  epoch = greatest(CASE WHEN l.owner = excluded.owner THEN l.epoch ELSE l.epoch + 1 END, %(at_least)s),
  owner = excluded.owner, lease_until = excluded.lease_until
WHERE l.owner = excluded.owner OR l.lease_until < clock_timestamp()
RETURNING epoch"""

_RELEASE_NAMED = (
    "UPDATE lease SET lease_until = '-infinity', owner = NULL WHERE name = %(name)s AND owner = %(owner)s"
)


@dataclass(frozen=True, slots=True)
class NamedLease:
    """A role that one process at a time has: `relay`, `scheduler`."""

    name: str
    owner: str

    def take(self, connection: psycopg.Connection[Any], *, at_least: int = 1) -> int | None:
        """Take or renew it: the epoch, no lower than `at_least`, or None while somebody else has it."""
        values = {"name": self.name, "owner": self.owner, "at_least": at_least}
        row = connection.execute(_TAKE_NAMED, values).fetchone()
        return row[0] if row else None

    def release(self, connection: psycopg.Connection[Any]) -> None:
        connection.execute(_RELEASE_NAMED, {"name": self.name, "owner": self.owner})
