"""What an operator looks at first: whether everything that is needed runs."""

from __future__ import annotations

from typing import Any, NamedTuple

import psycopg
import redis

from ledger.database import connect
from ledger.errors import DatabaseUnavailable, SchemaOutdated
from ledger.schema import check_schema
from messages.errors import MessagesError
from messages.publisher import RABBITMQ
from messages.publisher import connect as connect_redis
from messages.streams import COMMANDS_EXCHANGE, EVENTS_EXCHANGE
from workers.errors import SettingsInvalid
from workers.jobs.rows import TRIES
from workers.lag import behind_seconds
from workers.process import GONE_AFTER_SECONDS
from workers.producers import load as load_producers
from workers.settings import Settings

OUTBOX_LATE_SECONDS = 10
COMMANDS_LATE_SECONDS = 60
# Of Redis or Valkey: what it has acknowledged is on disk, and nothing is thrown away to make room.
KEEPS_EVERYTHING = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}


class Check(NamedTuple):
    name: str
    ok: bool
    detail: str


_PARTITIONS = """
SELECT count(*) FILTER (WHERE lease_until > clock_timestamp()), count(*) FILTER (WHERE stopped_at IS NOT NULL)
FROM partition WHERE id < %b"""
_POSITIONS = "SELECT stream, position FROM position"
_OUTBOX = "SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)::float8 FROM outbox"
_LETTERS = """
SELECT count(*), count(DISTINCT group_id), (SELECT coalesce(sum(not_kept), 0) FROM dead_letter_group)::int8
FROM dead_letter WHERE state IN ('waiting', 'failed again')"""
# Of each job the last run that has ended, or was tried and not because of an outage.
_JOBS = """
SELECT last.id, last.job, last.state, last.tries
FROM (SELECT DISTINCT job FROM job_run) j
CROSS JOIN LATERAL (
  SELECT r.id, r.job, r.state, r.tries FROM job_run r
  WHERE r.job = j.job AND r.at <= clock_timestamp()
    AND (r.state = 'done' OR r.error IS NOT NULL AND (r.state = 'failed' OR r.state = 'waiting' AND r.tries > 0))
  ORDER BY r.at DESC, r.id DESC LIMIT 1) last
WHERE last.state <> 'done'
ORDER BY last.job"""
_LIVE = f"""
SELECT count(*) FROM process
WHERE role = %b AND seen_at > clock_timestamp() - interval '{GONE_AFTER_SECONDS} seconds'"""


def examine(settings: Settings) -> list[Check]:
    """Every check, in the order in which one depends on the other. Raises NotReady where nothing is set up."""
    checks = [_edge(settings), *_producers(settings)]
    try:
        with connect(settings.database, name="health", timeout_seconds=3) as connection:
            checks.append(Check("database", True, "answers"))
            check_schema(connection)
            checks += _waiting(connection, settings) if checks[0].ok else []
            checks += inside(connection, settings.partitions)
    except DatabaseUnavailable as error:
        checks.append(Check("database", False, str(error)))
    except SchemaOutdated as error:
        checks.append(Check("schema", False, str(error)))
    except psycopg.Error as error:
        checks.append(Check("database", False, str(error).strip()))
    return checks


def _edge(settings: Settings) -> Check:
    if settings.edge.startswith(RABBITMQ):
        return _rabbitmq(settings)
    client = connect_redis(settings.edge, timeout_seconds=3)
    try:
        client.ping()
        unsafe = _unsafe(client)
    except redis.RedisError as error:
        return Check("edge", False, f"cannot be reached: {error}")
    finally:
        client.close()
    if not unsafe:
        return Check("edge", True, "answers")
    return Check("edge", True, f"answers, but may lose commands that it has taken; set {', '.join(unsafe)}")


def _unsafe(client: redis.Redis) -> list[str]:
    """What to set at a server that may lose what it has acknowledged; empty where it does not tell its settings."""
    try:
        found: Any = client.config_get(*KEEPS_EVERYTHING)
    except redis.ResponseError:
        return []
    told = {_text(name): _text(value) for name, value in found.items()}
    return [
        f"{name} {wanted} (it is {told[name]})"
        for name, wanted in KEEPS_EVERYTHING.items()
        if told.get(name, wanted) != wanted
    ]


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _rabbitmq(settings: Settings) -> Check:
    from messages.rabbitmq import FAILURES, close, connect
    from workers.declaring import wrong_at_edge

    try:
        connection = connect(settings.edge, timeout_seconds=3, name="coins health")
    except MessagesError as error:
        return Check("edge", False, str(error))
    try:
        for exchange in (COMMANDS_EXCHANGE, EVENTS_EXCHANGE):
            connection.channel().exchange_declare(exchange, "topic", passive=True)
        wrong = wrong_at_edge(settings, connection)
    except FAILURES as error:
        return Check("edge", False, f"answers, but not all is declared: {error}; run `coins migrate`")
    finally:
        close(connection)
    return Check("edge", True, "; ".join(["RabbitMQ answers", *wrong]))


def _producers(settings: Settings) -> list[Check]:
    if settings.producers_file is None:
        return []
    try:
        count = len(load_producers(settings.producers_file).by_name)
    except SettingsInvalid as error:
        return [Check("producers", False, str(error))]
    return [Check("producers", True, f"{count} in {settings.producers_file}")]


def _waiting(connection: psycopg.Connection[Any], settings: Settings) -> list[Check]:
    """Whether commands that came in wait: a partition may have an owner that gets nothing done."""
    positions = dict(connection.execute(_POSITIONS).fetchall())
    try:
        if settings.edge.startswith(RABBITMQ):
            from workers.lag_rabbitmq import waiting_messages

            waiting = waiting_messages(settings.edge, positions, partitions=settings.partitions)
            return [
                Check("commands", True, f"{sum(waiting.values()):,} messages that no worker was given yet")
            ]
        common = settings.producers_file is None
        behind = behind_seconds(settings.edge, positions, partitions=settings.partitions, common=common)
    except (redis.RedisError, MessagesError) as error:
        return [Check("commands", False, f"the edge does not say what waits: {error}")]
    oldest = max(behind.values())
    told = f"the oldest that is not read has waited {oldest:.1f} s" if oldest else "none waits"
    return [Check("commands", oldest < COMMANDS_LATE_SECONDS, told)]


def inside(connection: psycopg.Connection[Any], partitions: int) -> list[Check]:
    """What the database knows of the processes and of their work."""
    owned, stopped = _row(connection, _PARTITIONS, (partitions,))
    waiting, late_seconds = _row(connection, _OUTBOX)
    letters, groups, not_kept = _row(connection, _LETTERS)
    checks = [
        Check("partitions", owned == partitions, f"{owned} of {partitions} are being read"),
        Check(
            "outbox", late_seconds < OUTBOX_LATE_SECONDS, f"{waiting} waiting, oldest {late_seconds:.1f} s"
        ),
        Check("dead letters", True, _letters(letters, groups, not_kept)),
    ]
    if stopped:
        checks.append(
            Check(
                "stopped",
                False,
                f"{stopped} partitions: too many commands crashed in a row; restart the workers of a deployment, or under "
                "`coins up` end the processes whose ids are in DIR/run/commands-*.pid: they are started again",
            )
        )
    checks.append(_jobs(connection))
    for role in ("worker", "relay", "jobs", "scheduler"):
        (live,) = _row(connection, _LIVE, (role,))
        checks.append(Check(role, live > 0, f"{live} alive"))
    return checks


def _letters(letters: int, groups: int, not_kept: int) -> str:
    told = f"{letters:,} waiting" + (f" in {groups:,} groups: coins dead groups" if letters else "")
    return told + (f"; {not_kept:,} came when there was no room, and are not kept" if not_kept else "")


def _jobs(connection: psycopg.Connection[Any]) -> Check:
    """Jobs whose last run has failed, or was tried in vain. Commands are taken and answered all the same."""
    told = [
        f"{job} {'has failed' if state == 'failed' else f'fails, try {tries} of {TRIES}'}: coins jobs show {run}"
        for run, job, state, tries in connection.execute(_JOBS)
    ]
    return Check("job runs", True, "; ".join(told) or "none has failed")


def _row(connection: psycopg.Connection[Any], statement: str, values: tuple[Any, ...] = ()) -> Any:
    return connection.execute(statement, values).fetchone()
