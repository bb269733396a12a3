"""Prometheus metrics, on COINS_METRICS_ADDRESS: what stands in the database, read when it is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import psycopg
import structlog
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ledger.database import connect
from ledger.errors import DatabaseUnavailable
from workers.errors import SettingsInvalid
from workers.settings import Settings

TIMEOUT_SECONDS = 3
# A group is a trouble; so many at once are enough to be alerted by.
GROUPS = 200
LABELS = ("group", "reason", "type", "exception")

log = structlog.get_logger(__name__)

_GROUPS = f"""
SELECT g.id::text, g.reason, coalesce(g.type, ''), coalesce(g.exception, ''), g.count,
       (SELECT count(*) FROM dead_letter d WHERE d.group_id = g.id AND d.state IN ('waiting', 'failed again'))
FROM dead_letter_group g
ORDER BY g.last_at DESC
LIMIT {GROUPS}"""
_HOW_MANY = "SELECT count(*) FROM dead_letter_group"


class Ledger(Collector):
    """Figures of the database: `coins_database_up`, and of dead letters by group."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url

    def collect(self) -> Iterable[Metric]:
        up = GaugeMetricFamily("coins_database_up", "Whether the database answers.")
        try:
            with connect(self._url, name="metrics", timeout_seconds=TIMEOUT_SECONDS) as connection:
                connection.execute(f"SET statement_timeout = '{TIMEOUT_SECONDS}s'")
                found = list(_dead_letters(connection))
        except (DatabaseUnavailable, psycopg.Error) as error:
            log.warning("no metrics of the database", why=str(error).strip())
            up.add_metric((), 0)
            yield up
            return
        up.add_metric((), 1)
        yield up
        yield from found


def _dead_letters(connection: psycopg.Connection[tuple[object, ...]]) -> Iterator[Metric]:
    waiting = GaugeMetricFamily("coins_dead_letters", "Dead letters that wait for somebody.", labels=LABELS)
    came = CounterMetricFamily("coins_dead_letters_received", "How often dead letters came.", labels=LABELS)
    groups = CounterMetricFamily("coins_dead_letter_groups_opened", "Troubles that were new when they came.")
    for group, reason, type_, exception, count, open_ in connection.execute(_GROUPS):
        labels = [str(one) for one in (group, reason, type_, exception)]
        waiting.add_metric(labels, float(str(open_)))
        came.add_metric(labels, float(str(count)))
    row = connection.execute(_HOW_MANY).fetchone()
    groups.add_metric((), float(str(row[0])) if row else 0)
    yield from (waiting, came, groups)


@contextmanager
def served(settings: Settings) -> Iterator[None]:
    """Within, whoever asks at the address is told. Raises SettingsInvalid for an address that cannot be used."""
    if settings.metrics_address is None:
        yield
        return
    host, _, port = settings.metrics_address.rpartition(":")
    registry = CollectorRegistry()
    registry.register(Ledger(settings.database))
    try:
        server, thread = start_http_server(int(port), host.strip("[]"), registry)
    except (ValueError, OverflowError, OSError) as error:
        raise SettingsInvalid(
            f"COINS_METRICS_ADDRESS: {settings.metrics_address!r} cannot be listened on ({error}); "
            "give HOST:PORT, as in 127.0.0.1:9464"
        ) from None
    log.info("metrics", address=settings.metrics_address)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
