"""Whether Prometheus and Grafana would take a file: its keys, its times, and every query, read by a parser of PromQL.

Models of what is used here and no more: a key that is not in them is a mistake, or has to be added.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import promql_parser
import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

Duration = Annotated[str, Field(pattern=r"^(\d+(ms|[smhdwy]))+$")]
Label = Annotated[str, Field(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")]
# What Grafana puts in before a query is sent.
_TIMES = re.compile(r"\$\{?__(rate_interval|interval|range)\}?")
_VARIABLE = re.compile(r"\$\{?[a-zA-Z_]+(:[a-z]+)?\}?")


def _query(text: str) -> str:
    promql_parser.parse(text)
    return text


Query = Annotated[str, AfterValidator(_query)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Globals(_Strict):
    scrape_interval: Duration
    evaluation_interval: Duration


class _Names(_Strict):
    names: list[str] = Field(min_length=1)
    type: Literal["A", "AAAA", "SRV"]
    port: int = Field(ge=1, le=65_535)
    refresh_interval: Duration


class _Targets(_Strict):
    targets: list[Annotated[str, Field(pattern=r"^[^/\s:]+:\d+$")]] = Field(min_length=1)


class _Relabel(_Strict):
    source_labels: list[Label]
    target_label: Label


class _Job(_Strict):
    job_name: str
    dns_sd_configs: list[_Names] = []
    static_configs: list[_Targets] = []
    relabel_configs: list[_Relabel] = []


class _Scraping(_Strict):
    global_: _Globals = Field(alias="global")
    rule_files: list[str]
    scrape_configs: list[_Job] = Field(min_length=1)


class _Rule(_Strict):
    alert: str | None = None
    record: Annotated[str, Field(pattern=r"^[a-zA-Z_:][a-zA-Z0-9_:]*$")] | None = None
    expr: Query
    for_: Duration | None = Field(None, alias="for")
    keep_firing_for: Duration | None = None
    labels: dict[Label, str] = {}
    annotations: dict[Label, str] = {}

    @model_validator(mode="after")
    def _one_or_the_other(self) -> _Rule:
        if (self.alert is None) == (self.record is None):
            raise ValueError("a rule is an alert or a record")
        return self


class _Group(_Strict):
    name: str
    interval: Duration | None = None
    rules: list[_Rule] = Field(min_length=1)


class _Rules(_Strict):
    groups: list[_Group] = Field(min_length=1)


class _Source(_Strict):
    name: str
    uid: str
    type: Literal["prometheus"]
    access: Literal["proxy"]
    url: Annotated[str, Field(pattern=r"^http://[a-z]+:\d+$")]
    isDefault: bool  # noqa: N815
    editable: bool


class _Sources(_Strict):
    apiVersion: Literal[1]  # noqa: N815
    datasources: list[_Source] = Field(min_length=1)


class _Place(_Strict):
    path: str


class _Provider(_Strict):
    name: str
    folder: str
    type: Literal["file"]
    disableDeletion: bool  # noqa: N815
    allowUiUpdates: bool  # noqa: N815
    options: _Place


class _Providers(_Strict):
    apiVersion: Literal[1]  # noqa: N815
    providers: list[_Provider] = Field(min_length=1)


def scraping(file: Path) -> None:
    _Scraping.model_validate(_yaml(file))


def rules(file: Path) -> None:
    groups = _Rules.model_validate(_yaml(file)).groups
    names = [rule.alert for group in groups for rule in group.rules if rule.alert]
    assert len(set(names)) == len(names), "an alert is there twice"


def provisioning(file: Path) -> None:
    model = {"datasources": _Sources, "dashboards": _Providers}[file.parent.name]
    model.model_validate(_yaml(file))


def dashboard(file: Path) -> None:
    content = json.loads(file.read_text(encoding="utf-8"))
    assert {"uid", "title", "panels", "schemaVersion"} <= content.keys()
    queries = list(_queries(content))
    assert queries, "a dashboard asks something"
    for query in queries:
        promql_parser.parse(_VARIABLE.sub("x", _TIMES.sub("5m", query)))


def _queries(content: Any) -> Iterator[str]:
    """Every `expr`, however deep."""
    if isinstance(content, dict):
        if isinstance(content.get("expr"), str):
            yield content["expr"]
        content = list(content.values())
    if isinstance(content, list):
        for one in content:
            yield from _queries(one)


def _yaml(file: Path) -> Any:
    return yaml.safe_load(file.read_text(encoding="utf-8"))
