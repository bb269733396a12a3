"""The table of figures: what each measures, what it is compared with, and what it should reach (DESIGN §9)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from deploy.bench import billing, export, latency, letters, scan, sizes, textbook, throughput, yardsticks
from deploy.bench.results import Latency, Rate, Result, Took, Written
from deploy.bench.system import Bench


@dataclass(frozen=True, slots=True)
class Figure:
    """How to measure it; its targets: the least ratio to another figure (None: only shown), the most ms, MB or seconds.

    long: only measured when it is named. needs: a package that only the extra `bench` brings. rabbitmq: only where one is
    configured, by COINS_EDGE_URL.
    """

    measure: Callable[[Bench], Result]
    what: str
    at_least: Mapping[str, float | None] = field(default_factory=dict)
    at_most_ms: Mapping[str, float] = field(default_factory=dict)
    at_most_mb: float | None = None
    at_most_seconds: float | None = None
    long: bool = False
    needs: str | None = None
    rabbitmq: bool = False


# In the order in which they are measured: yardsticks next to what is compared with them.
FIGURES: dict[str, Figure] = {
    "copy_limit": Figure(yardsticks.copy_limit, "the same PostgreSQL copying a fixed row set per command"),
    "pgbench": Figure(yardsticks.pgbench, "TPC-B, prepared, 8 clients"),
    "singles": Figure(
        throughput.singles,
        "one command a message, two partitions, until every outcome can be read",
        at_least={"copy_limit": 0.25, "pgbench": 3.0, "textbook": None},
    ),
    "bulk": Figure(throughput.bulk, "the same in messages of 500", at_least={"singles": 1.0}),
    "even": Figure(throughput.even, "one partition, no account more than another"),
    "hot": Figure(throughput.hot, "one partition, all on one account", at_least={"even": 0.9}),
    "latency": Figure(
        latency.latency,
        "publish to outcome read, 200 commands a second",
        at_most_ms={"p50_ms": 15.0, "p99_ms": 50.0},
    ),
    "billing": Figure(
        billing.billing,
        "subscriptions that are due, two for each command, until all are renewed",
        at_least={"bulk": 0.5},
        long=True,
    ),
    "latency_billing": Figure(
        billing.latency_billing,
        "as latency, while as many renewals run",
        at_most_ms={"p99_ms": 150.0},
        long=True,
    ),
    "dry_run": Figure(
        letters.dry_run,
        "a dry run over dead letters, one for five commands, while 200 commands a second are answered",
        at_most_seconds=10.0,
        long=True,
    ),
    "replay": Figure(
        letters.replay,
        "dead letters that are replayed, two for each command, as fast as it goes",
        long=True,
    ),
    "latency_replay": Figure(
        letters.latency_replay,
        "as latency, while dead letters are replayed, 500 a second",
        long=True,
    ),
    "scan": Figure(
        scan.scan,
        "threshold scan over every account, twenty for each command",
        at_most_seconds=2.0,
        long=True,
    ),
    "rabbitmq": Figure(
        throughput.rabbitmq, "as singles, through RabbitMQ", at_least={"pgbench": 1.5}, rabbitmq=True
    ),
    "latency_rabbitmq": Figure(
        latency.rabbitmq,
        "as latency, through RabbitMQ",
        at_most_ms={"p50_ms": 15.0, "p99_ms": 50.0},
        rabbitmq=True,
    ),
    "sizes": Figure(
        sizes.sizes,
        "what commands leave behind in tables, indexes, WAL and Valkey, and what the processes take",
        long=True,
    ),
    "textbook": Figure(textbook.textbook, "a Celery task and a transaction per command", needs="celery"),
    "export": Figure(
        export.export,
        "a statement as a workbook, by us and by openpyxl",
        at_most_mb=250.0,
        long=True,
        needs=export.OPENPYXL,
    ),
}
LATER = ("growth",)


def ratios(results: Mapping[str, Result]) -> dict[str, dict[str, float]]:
    """Of each figure to those it is compared with, where this run has measured both."""
    found: dict[str, dict[str, float]] = {}
    for name, result in results.items():
        if isinstance(result, Written) and result.yardstick is not None:
            found[name] = {f"{export.OPENPYXL} seconds": result.seconds / result.yardstick.seconds}
        if not isinstance(result, Rate):
            continue
        for other in FIGURES[name].at_least:
            against = results.get(other)
            if isinstance(against, Rate) and against.rate > 0:
                found.setdefault(name, {})[other] = result.rate / against.rate
    return found


@dataclass(frozen=True, slots=True)
class Verdict:
    """A target, in words, and whether it is met."""

    target: str
    met: bool


def verdicts(name: str, result: Result, compared: Mapping[str, float]) -> list[Verdict]:
    """The targets of a figure that this run can judge."""
    figure = FIGURES[name]
    found = [
        Verdict(f"≥ {least:g} × {other}", compared[other] >= least)
        for other, least in figure.at_least.items()
        if least is not None and other in compared
    ]
    if isinstance(result, Latency):
        found += [
            Verdict(f"{field_.removesuffix('_ms')} ≤ {most:g} ms", getattr(result, field_) <= most)
            for field_, most in figure.at_most_ms.items()
        ]
    if isinstance(result, Written) and figure.at_most_mb is not None:
        found.append(Verdict(f"peak ≤ {figure.at_most_mb:g} MB", result.peak_mb <= figure.at_most_mb))
    if isinstance(result, Took) and figure.at_most_seconds is not None:
        most = figure.at_most_seconds
        found.append(Verdict(f"≤ {most:g} s", result.seconds <= most))
    return found
