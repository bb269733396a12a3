"""Whether a system has come to rest: nobody works, everything on the edge is read, everything decided is told."""

from __future__ import annotations

from typing import Any

import psycopg
import redis

from messages.publisher import RABBITMQ, connect
from messages.streams import COMMANDS, MAX_PARTITIONS, read_commands_stream
from workers.streams import START, order_of

# By their sessions: heartbeats come late on a busy machine, and those in a restored database are of nobody.
_LIVE = """
SELECT substring(application_name FROM '^coins (worker|relay|scheduler|job)') AS role, count(*)
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
  AND application_name ~ '^coins (worker|relay|scheduler|job)'
GROUP BY 1 ORDER BY 1"""
ROLES = {
    "worker": "coins worker commands",
    "job": "coins worker jobs",
    "relay": "coins relay",
    "scheduler": "coins scheduler",
}
_OUTBOX = "SELECT count(*) FROM outbox"
_CLAIMED = "SELECT count(*) FROM dead_letter WHERE claimed_until > clock_timestamp()"
_GO_ON = """
SELECT 'runs of jobs', count(*) FROM job_run WHERE state IN ('waiting', 'running')
UNION ALL SELECT 'mails', count(*) FROM mail WHERE state = 'waiting'
UNION ALL SELECT 'receipts', count(*) FROM receipt_due
UNION ALL SELECT 'exports', count(*) FROM export WHERE state IN ('requested', 'running')
UNION ALL SELECT 'renewals', count(*) FROM renewal_attempt WHERE decided_at IS NULL
UNION ALL SELECT 'replays of dead letters', count(*) FROM dead_replay WHERE state IN ('waiting', 'running')"""


def who_works(connection: psycopg.Connection[Any]) -> str | None:
    """Whose sessions there are in the database, in words; None where there are none."""
    live = [f"{count} of {ROLES[role]}" for role, count in connection.execute(_LIVE)]
    return ", ".join(live) or None


def unrest(connection: psycopg.Connection[Any], edge_url: str, *, common: bool) -> list[str]:
    """What is half done, a sentence each, with what to do; empty when the system is at rest.

    common: whether the common streams are read, as they are without a producers file.
    Raises redis.RedisError where the edge cannot be read.
    """
    found = []
    if live := who_works(connection):
        found.append(f"processes have sessions ({live}): stop them")
    if unread := [one for one in unread_streams(connection, edge_url) if common or not is_common(one)]:
        found.append(
            f"commands wait on the edge in {', '.join(unread)}: stop the producers, and let the system run until "
            "they are read"
        )
    if waiting := _count(connection, _OUTBOX):
        found.append(f"{waiting} rows of the outbox are not told yet: let the relay run until they are")
    if claimed := _count(connection, _CLAIMED):
        found.append(f"{claimed} dead letters are being sent anew by hand: wait a minute")
    return found


def unread_streams(connection: psycopg.Connection[Any], edge_url: str) -> list[str]:
    """Streams of commands with something beyond the ledger's position; on RabbitMQ, partitions with messages in a queue."""
    positions: dict[str, str] = dict(connection.execute("SELECT stream, position FROM position").fetchall())
    if edge_url.startswith(RABBITMQ):
        from workers.lag_rabbitmq import waiting_messages

        waiting = waiting_messages(edge_url, positions, partitions=MAX_PARTITIONS)
        return [f"partition {partition}" for partition, count in waiting.items() if count]
    client = connect(edge_url)
    try:
        found = []
        for key in client.scan_iter(match=f"{COMMANDS}*", count=1_000, _type="stream"):
            name = key.decode("utf-8", "replace")
            if read_commands_stream(name) is not None and _goes_beyond(
                client, name, positions.get(name, START)
            ):
                found.append(name)
        return sorted(found)
    finally:
        client.close()


def is_common(stream: str) -> bool:
    """Whether it is a stream that any producer may write to, and that nobody reads where there is a producers file."""
    known = read_commands_stream(stream)
    return known is not None and known[1] is None


def what_goes_on(connection: psycopg.Connection[Any]) -> list[str]:
    """What is not done yet and goes on wherever the ledger does, because it is written down there."""
    return [f"{count:,} {what}" for what, count in connection.execute(_GO_ON) if count]


def _goes_beyond(client: redis.Redis, name: str, position: str) -> bool:
    last: Any = client.xrevrange(name, count=1)
    # A stream that ends before the position has begun again: it is read from its start (StreamReader).
    return bool(last) and order_of(last[0][0].decode()) != order_of(position)


def _count(connection: psycopg.Connection[Any], statement: str) -> int:
    row = connection.execute(statement).fetchone()
    assert row is not None
    found: int = row[0]
    return found
