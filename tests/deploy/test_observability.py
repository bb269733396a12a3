"""Dashboard, alerts, runbook and the table of metrics speak of what a running system really tells, and of each other."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import promql_parser
import pytest
import yaml

from ledger.batch import Stage
from schedulers.schedule import SCHEDULE
from tests.scraping import Scraped, free_addresses, scraped
from tests.system.site import JOBS, RELAY, SCHEDULER, WORKER, embedded, site_on, until
from workers.jobs.performing import Outcome

pytestmark = pytest.mark.system

DEPLOY = Path(__file__).parents[2] / "deploy"
DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana/dashboards/coins.json").read_text(encoding="utf-8"))
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
RUNBOOK = (DEPLOY / "runbook.md").read_text(encoding="utf-8")
README = (DEPLOY / "README.md").read_text(encoding="utf-8")
# Of another edge than the one that is asked here: `tests/workers/test_figures.py` has it.
WITH_RABBITMQ = {"coins_partition_waiting_messages": {"partition"}}
# Of every target Prometheus says which one it is, and whether it could be asked.
OF_PROMETHEUS = {"job", "instance"}
COMMANDS = """
{"type":"OpenAccount","data":{"account":"acme","parent":"platform","kind":"enterprise","name":"A"}}
{"type":"TopUp","id":"t1","data":{"account":"acme","amount":5}}
{"type":"TopUp","id":"t1","data":{"account":"acme","amount":5}}
{"type":"TopUp","data":{"account":"nobody","amount":5}}
"""


class Selector(NamedTuple):
    """A metric that an expression asks for, with the labels that it asks by, and those of which it has a fixed value."""

    name: str
    labels: set[str]
    fixed: dict[str, str]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scraped]:
    """A system that has done a little of everything, as Prometheus hears of it from all its processes."""
    directory = tmp_path_factory.mktemp("observed")
    with (
        embedded(directory / "servers", durable=False) as both,
        site_on(both, directory / "site", partitions=1) as site,
    ):
        verbs = (WORKER, RELAY, JOBS, SCHEDULER)
        addresses = list(free_addresses(len(verbs)))
        site.wait_ready(
            *(
                site.start(*verb, wait=False, METRICS_ADDRESS=address)
                for verb, address in zip(verbs, addresses, strict=True)
            )
        )
        assert site.coins("send", "--wait", "-", given=COMMANDS).stdout.count("\n") == 4
        with site.edge() as client:
            client.xadd("coins:commands:0:shop", {"event": b"no event"})
        site.rows("INSERT INTO job_run (job, at, asked_by) VALUES ('mails', now(), 'tests')")
        until(lambda: site.value("SELECT count(*) FROM job_run WHERE state = 'done'"), 20, site.logs)
        until(lambda: site.value("SELECT count(*) FROM dead_letter"), 20, site.logs)
        yield until(lambda: complete(scraped(*addresses)), 20, site.logs)


def complete(found: Scraped) -> Scraped | None:
    """The counts of a run, and of a batch, come a moment after what the database knows of them."""
    return found if {"coins_job_runs_total", "coins_dead_letters"} <= set(found.labels_of_samples) else None


def test_what_became_of_commands_is_counted(told: Scraped) -> None:
    counted = {name: value for name, value in told.values.items() if name[0] == "coins_commands_total"}
    assert {tuple(sorted(dict(labels).values())): value for (_, labels), value in counted.items()} == {
        ("", "OpenAccount", "applied"): 1,
        ("", "TopUp", "applied"): 1,
        ("", "TopUp", "duplicate"): 1,
        ("TopUp", "account_not_found", "rejected"): 1,
    }
    assert told.value("coins_batch_commands_sum") == 4
    batches = told.value("coins_batches_total", result="committed")
    assert all(told.value("coins_batch_seconds_count", stage=stage) == batches for stage in Stage)
    assert told.value("coins_oldest_command_seconds_count") == batches
    assert 0 < told.value("coins_oldest_command_seconds_sum") < 60
    assert told.value("coins_events_published_total") >= 4
    assert told.value("coins_leading", role="relay") == told.value("coins_leading", role="scheduler") == 1
    assert told.value("coins_job_runs_total", job_name="mails", outcome="done") >= 1


def test_the_table_of_metrics_is_what_is_told(told: Scraped) -> None:
    rows = re.findall(r"^\| `(coins_\w+)` \| (\w+) \|([^|]*)\|", README, re.MULTILINE)
    listed = {name: (kind, set(labels.replace(" ", "").split(",")) - {""}) for name, kind, labels in rows}
    served = {
        name: (kind, told.labels[name]) for name, kind in told.types.items() if name.startswith("coins_")
    }
    assert listed == served | {name: ("gauge", labels) for name, labels in WITH_RABBITMQ.items()}


def expressions() -> dict[str, str]:
    """Every query of the dashboard and of the alerts, by where it stands."""
    found = {rule["alert"]: rule["expr"] for rule in RULES}
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            found[f"{panel['title']} {target['refId']}"] = target["expr"].replace("$__rate_interval", "1m")
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            found[f"${variable['name']}"] = re.fullmatch(
                r"label_values\((.*), (\w+)\)", variable["definition"]
            )[1]  # type: ignore[index]
    return found


EXPRESSIONS = expressions()


def asked_for(expression: str) -> tuple[list[Selector], set[str]]:
    """The metrics that an expression asks for, and the labels that it puts results together by."""
    selectors: list[Selector] = []
    grouped: set[str] = set()

    def visit(one: Any) -> None:
        if isinstance(one, promql_parser.MatrixSelector):
            one = one.vector_selector
        if isinstance(one, promql_parser.VectorSelector):
            matchers = list(one.matchers.matchers)
            names = (
                [one.name] if one.name else next(m.value for m in matchers if m.name == "__name__").split("|")
            )
            labels = {m.name for m in matchers} - {"__name__"}
            fixed = {m.name: m.value for m in matchers if "$" not in m.value and m.name != "__name__"}
            selectors.extend(Selector(name, labels, fixed) for name in names)
        elif isinstance(one, promql_parser.AggregateExpr) and one.modifier is not None:
            grouped.update(one.modifier.labels)
        elif isinstance(one, promql_parser.BinaryExpr) and one.modifier and one.modifier.matching:
            grouped.update(one.modifier.matching.labels)

    promql_parser.walk(promql_parser.parse(expression), visit)
    return selectors, grouped


@pytest.mark.parametrize("where", EXPRESSIONS)
def test_every_metric_and_label_that_is_asked_for_is_told(told: Scraped, where: str) -> None:
    selectors, grouped = asked_for(EXPRESSIONS[where])
    assert selectors
    labels: set[str] = set()
    labels_of = told.labels_of_samples | WITH_RABBITMQ
    for one in selectors:
        assert one.name in labels_of
        known = labels_of[one.name] | OF_PROMETHEUS
        assert one.labels <= known
        labels |= known
    assert grouped <= labels


VALUES = {
    "job_name": {one.name for one in SCHEDULE},
    "outcome": {*Outcome, "applied", "rejected", "duplicate", "refused"},
    "result": {"committed", "raced", "failed"},
    "reason": {"crashed", "unauthenticated", "unreadable", "invalid", "gave up"},
}


@pytest.mark.parametrize("where", EXPRESSIONS)
def test_every_value_that_is_asked_for_is_one_that_there_can_be(where: str) -> None:
    for one in asked_for(EXPRESSIONS[where])[0]:
        for label, value in one.fixed.items():
            assert set(value.split("|")) <= VALUES[label]


def test_every_job_is_late_some_time() -> None:
    (late,) = (rule["expr"] for rule in RULES if rule["alert"] == "JobLate")
    named = [name for one in asked_for(late)[0] for name in one.fixed.get("job_name", "").split("|") if name]
    assert sorted(named) == sorted(one.name for one in SCHEDULE)


def test_every_alert_says_how_bad_it_is_and_what_to_do() -> None:
    for rule in RULES:
        assert rule["for"]
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["description"]
        assert rule["annotations"]["runbook_url"] == f"deploy/runbook.md#{rule['alert'].lower()}"


def test_every_label_that_a_text_shows_is_one_that_the_alert_has() -> None:
    for rule in RULES:
        shown = set(re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values())))
        assert shown <= asked_for(rule["expr"])[1]


def test_every_alert_has_a_section_in_the_runbook_and_every_section_an_alert() -> None:
    alerts = RUNBOOK.partition("\n## Alerts\n")[2].partition("\n## ")[0]
    sections = re.split(r"^### (\w+)\n", alerts, flags=re.MULTILINE)[1:]
    assert sections[::2] == [rule["alert"] for rule in RULES]
    for text in sections[1::2]:
        assert all(f"**{part}**" in text for part in ("Means", "Look at", "Do"))


def test_panels_of_the_dashboard_have_names_places_and_numbers_of_their_own() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert panel["title"]
        assert place["x"] + place["w"] <= 24
        assert not cells & taken
        taken |= cells
