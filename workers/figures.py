"""What stands in the database and on the edge, for Prometheus: read anew whenever it is asked for.

One place is asked, a scheduler or `coins up`; two schedulers tell the same, so take the `max`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import psycopg
import redis
import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ledger.database import connect
from ledger.errors import DatabaseUnavailable
from messages.errors import MessagesError
from messages.publisher import RABBITMQ
from workers.counts import LEADING
from workers.lag import behind_seconds
from workers.process import GONE_AFTER_SECONDS
from workers.settings import Settings

TIMEOUT_SECONDS = 3
# A group is a trouble; so many at once are enough to be alerted by.
GROUPS = 200
GROUP = ("group", "reason", "type", "exception")
ROLES = ("worker", "relay", "jobs", "scheduler")
LED = ("relay", "scheduler")
Connection = psycopg.Connection[tuple[Any, ...]]

log = structlog.get_logger(__name__)

_GROUPS = f"""
SELECT g.id::text, g.reason, coalesce(g.type, ''), coalesce(g.exception, ''), g.count,
       (SELECT count(*) FROM dead_letter d WHERE d.group_id = g.id AND d.state IN ('waiting', 'failed again'))
FROM dead_letter_group g
ORDER BY g.last_at DESC
LIMIT {GROUPS}"""
_HOW_MANY = "SELECT count(*) FROM dead_letter_group"
_PARTITIONS = """
SELECT n::text, coalesce(p.lease_until > clock_timestamp(), false)::int, (p.stopped_at IS NOT NULL)::int
FROM generate_series(0, %(partitions)s::int - 1) n LEFT JOIN partition p ON p.id = n
ORDER BY n"""
_OUTBOX = """
SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)::float8 FROM outbox"""
_PROCESSES = f"""
SELECT role, count(*) FROM process
WHERE seen_at > clock_timestamp() - interval '{GONE_AFTER_SECONDS} seconds'
GROUP BY role"""
_LEASES = """
SELECT r, EXISTS (SELECT FROM lease WHERE name = r AND lease_until > clock_timestamp())::int
FROM unnest(%b::text[]) r ORDER BY r"""
_MAILS = """
SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)::float8
FROM mail WHERE state = 'waiting'"""
# By an index from one job to the next: there may be very many runs. Of the last one that has ended, how it did.
_JOBS = """
WITH RECURSIVE named AS (
  (SELECT job FROM job_run ORDER BY job LIMIT 1)
  UNION ALL
  SELECT (SELECT r.job FROM job_run r WHERE r.job > n.job ORDER BY r.job LIMIT 1) FROM named n WHERE n.job IS NOT NULL
)
SELECT n.job,
       (SELECT extract(epoch FROM r.finished_at)::float8 FROM job_run r
        WHERE r.job = n.job AND r.state = 'done' ORDER BY r.at DESC, r.id DESC LIMIT 1),
       coalesce((SELECT (r.state = 'failed')::int FROM job_run r
        WHERE r.job = n.job AND r.state IN ('done', 'failed') ORDER BY r.at DESC, r.id DESC LIMIT 1), 0),
       (SELECT count(*) FROM job_run r WHERE r.job = n.job AND r.state = 'waiting'),
       coalesce((SELECT extract(epoch FROM clock_timestamp() - min(r.started_at))::float8 FROM job_run r
        WHERE r.job = n.job AND r.state = 'running'), 0)
FROM named n WHERE n.job IS NOT NULL"""
_POSITIONS = "SELECT stream, position FROM position"


def figures_of(settings: Settings) -> Figures:
    """Of the system that the settings speak of. Raises NotReady where there is none."""
    common = settings.producers_file is None
    return Figures(settings.database, settings.edge, partitions=settings.partitions, common=common)


class Figures(Collector):
    """`coins_database_up` and what the database knows; `coins_edge_up` and how far behind the reading of it is."""

    def __init__(
        self, database_url: str, edge_url: str, *, partitions: int, common: bool, leading: bool = False
    ) -> None:
        """common: whether the common streams are read, as they are without a producers file. leading: tell by the leases
        which roles have somebody active, where processes are not asked themselves."""
        self._database_url = database_url
        self._edge_url = edge_url
        self._partitions = partitions
        self._common = common
        self._leading = leading

    def collect(self) -> Iterable[Metric]:
        positions: dict[str, str] | None = None
        found: list[Metric] = []
        try:
            with connect(
                self._database_url,
                name="metrics",
                timeout_seconds=TIMEOUT_SECONDS,
                options=f"-c statement_timeout={TIMEOUT_SECONDS}s -c jit=off",
            ) as connection:
                found = [
                    *_partitions(connection, self._partitions),
                    *_outbox(connection),
                    *_dead_letters(connection),
                    *_jobs(connection),
                    *_mails(connection),
                    *_processes(connection),
                    *(_leads(connection) if self._leading else ()),
                ]
                positions = dict(connection.execute(_POSITIONS).fetchall())
        except (DatabaseUnavailable, psycopg.Error) as error:
            log.warning("no metrics of the database", why=str(error).strip())
        yield _one("coins_database_up", "Whether the database answers.", positions is not None)
        yield from found if positions is not None else ()
        yield from self._edge(positions)

    def _edge(self, positions: dict[str, str] | None) -> Iterator[Metric]:
        """Without the ledger's positions, which name queues as well, nobody knows what is not read yet."""
        behind: Metric | None = None
        try:
            behind = self._behind(positions or {})
        except (redis.RedisError, MessagesError) as error:
            log.warning("no metrics of the edge", why=str(error).strip())
        yield _one("coins_edge_up", "Whether the edge answers.", behind is not None)
        if behind is not None and positions is not None:
            yield behind

    def _behind(self, positions: dict[str, str]) -> Metric:
        """Raises redis.RedisError, MessagesError."""
        partitions = self._partitions
        if self._edge_url.startswith(RABBITMQ):
            from workers.lag_rabbitmq import waiting_messages

            waiting = waiting_messages(self._edge_url, positions, partitions=partitions)
            told = "Messages of the partition that no worker was given yet."
            return _by("coins_partition_waiting_messages", told, ("partition",), _texts(waiting))
        behind = behind_seconds(self._edge_url, positions, partitions=partitions, common=self._common)
        told = "How long the oldest command that is not read has waited."
        return _by("coins_partition_behind_seconds", told, ("partition",), _texts(behind))


def _partitions(connection: Connection, partitions: int) -> Iterator[Metric]:
    rows = connection.execute(_PARTITIONS, {"partitions": partitions}).fetchall()
    owned, stopped = ([(row[0], row[column]) for row in rows] for column in (1, 2))
    yield _by("coins_partition_owned", "Whether a worker reads the partition.", ("partition",), owned)
    told = "Whether the partition was stopped, after too many crashes in a row."
    yield _by("coins_partition_stopped", told, ("partition",), stopped)


def _outbox(connection: Connection) -> Iterator[Metric]:
    rows, oldest_seconds = _row(connection, _OUTBOX)
    yield _one("coins_outbox_rows", "Batches of events that are not published yet.", rows)
    yield _one("coins_outbox_oldest_seconds", "How long the oldest of them has waited.", oldest_seconds)


def _dead_letters(connection: Connection) -> Iterator[Metric]:
    rows = connection.execute(_GROUPS).fetchall()
    waiting = ((*row[:4], row[5]) for row in rows)
    yield _by("coins_dead_letters", "Dead letters that wait for somebody.", GROUP, waiting)
    came = CounterMetricFamily("coins_dead_letters_received", "How often dead letters came.", labels=GROUP)
    for row in rows:
        came.add_metric(row[:4], float(row[4]))
    yield came
    (number,) = _row(connection, _HOW_MANY)
    told = "Troubles that were new when they came."
    yield CounterMetricFamily("coins_dead_letter_groups_opened", told, value=float(number))


def _jobs(connection: Connection) -> Iterator[Metric]:
    rows = connection.execute(_JOBS).fetchall()
    for column, name, told in (
        (1, "coins_job_last_success_timestamp_seconds", "When a run of the job was last done, in Unix time."),
        (2, "coins_job_last_run_failed", "Whether the last run that has ended was given up."),
        (3, "coins_job_runs_waiting", "Runs that wait to begin, or to be tried again."),
        (4, "coins_job_running_seconds", "For how long a run has been at work; 0 where none is."),
    ):
        yield _by(
            name, told, ("job_name",), ((row[0], row[column]) for row in rows if row[column] is not None)
        )


def _mails(connection: Connection) -> Iterator[Metric]:
    waiting, oldest_seconds = _row(connection, _MAILS)
    yield _one("coins_mails_waiting", "Mails that no server has taken yet.", waiting)
    yield _one("coins_mail_oldest_seconds", "How long the oldest of them has waited.", oldest_seconds)


def _processes(connection: Connection) -> Iterator[Metric]:
    alive = dict.fromkeys(ROLES, 0) | dict(connection.execute(_PROCESSES).fetchall())
    yield _by("coins_processes", "Processes that have told lately that they live.", ("role",), alive.items())


def _leads(connection: Connection) -> Iterator[Metric]:
    rows = connection.execute(_LEASES, (list(LED),)).fetchall()
    yield _by(LEADING, "1 where a process of the role is the active one.", ("role",), rows)


def _texts(by_partition: Mapping[int, float]) -> list[tuple[str, float]]:
    return [(str(partition), value) for partition, value in by_partition.items()]


def _row(connection: Connection, statement: str) -> tuple[Any, ...]:
    row = connection.execute(statement).fetchone()
    assert row is not None
    return row


def _one(name: str, told: str, value: float) -> Metric:
    return GaugeMetricFamily(name, told, value=float(value))


def _by(name: str, told: str, labels: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> Metric:
    """A gauge with the last of each row as its value."""
    gauge = GaugeMetricFamily(name, told, labels=labels)
    for *values, number in rows:
        gauge.add_metric(values, float(number))
    return gauge
