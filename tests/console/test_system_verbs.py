"""`coins health`, `contract`, `config`, `migrate`, help, and what wrong settings and missing servers come to."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.site import RELAY, WORKER, Site, embedded, site_on, until

pytestmark = pytest.mark.system
NOWHERE = {"DATABASE_URL": "postgresql:///x?host=/nowhere", "REDIS_URL": "unix:///nowhere/valkey.sock"}


@pytest.fixture(scope="module")
def idle_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Servers and a schema, and no process of the product."""
    directory = tmp_path_factory.mktemp("idle")
    with (
        embedded(directory / "servers", durable=False) as both,
        site_on(both, directory / "site", partitions=1) as made,
    ):
        yield made


def checks(site: Site, **settings: Any) -> dict[str, bool]:
    done = site.coins("health", "--json", **settings)
    said = json.loads(done.stdout)
    assert done.returncode == (0 if said["ready"] else 3)
    assert said["ready"] == all(one["ok"] for one in said["checks"])
    return {one["name"]: one["ok"] for one in said["checks"]}


def test_health_is_ready_when_everything_runs(site: Site) -> None:
    until(lambda: all(checks(site).values()), 10, lambda: site.coins("health").stdout)
    done = site.coins("health")
    assert done.returncode == 0
    assert all(line.startswith("ok") for line in done.stdout.splitlines())


def test_health_says_what_does_not_run(idle_site: Site) -> None:
    found = checks(idle_site)
    assert found["edge"]
    assert found["database"]
    assert [found[role] for role in ("partitions", "worker", "relay", "scheduler")] == [False] * 4


def test_health_notices_a_worker_that_was_killed(idle_site: Site) -> None:
    worker, relay = idle_site.start_all(WORKER, RELAY)
    until(lambda: parts(idle_site) == (True, True), 10)
    worker.kill()
    killed_at = time.monotonic()
    until(lambda: parts(idle_site) == (False, False), 15)
    print(f"health noticed a dead worker after {time.monotonic() - killed_at:.1f} s")  # noqa: T201
    assert checks(idle_site)["relay"]
    assert relay.leave() == 0
    assert not checks(idle_site)["relay"]


def parts(site: Site) -> tuple[bool, bool]:
    found = checks(site)
    return found["worker"], found["partitions"]


@pytest.mark.parametrize(("server", "check"), [("DATABASE_URL", "database"), ("REDIS_URL", "edge")])
def test_health_names_the_server_that_is_away(site: Site, server: str, check: str) -> None:
    found = checks(site, **{server: NOWHERE[server]})
    assert found[check] is False


def test_health_without_any_system_exits_3_and_says_how_to_start_one(site: Site) -> None:
    done = site.coins("health", DATABASE_URL=None, REDIS_URL=None)
    assert done.returncode == 3
    assert "coins up" in done.stderr
    assert "Traceback" not in done.stderr


def test_config_hides_secrets_and_names_where_each_setting_comes_from(site: Site, tmp_path: Path) -> None:
    secret = tmp_path / "smtp"
    secret.write_text("smtp://user:hunter2@mail\n")
    url = "postgresql://u:hunter1@/x?host=/nowhere"
    done = site.coins("config", "--json", DATABASE_URL=url, SMTP_URL_FILE=secret)
    shown = json.loads(done.stdout)
    assert "hunter" not in done.stdout + done.stderr
    assert shown["DATABASE_URL"] == {
        "value": "postgresql://u:********@/x?host=/nowhere",
        "source": "environment COINS_DATABASE_URL",
    }
    assert shown["SMTP_URL"] == {"value": "smtp://user:********@mail", "source": f"file {secret}"}
    assert shown["SCALE"] == {"value": 0, "source": "default"}
    assert shown["EDGE_URL"] == {"value": None, "source": "default"}
    assert shown["PARTITIONS"] == {"value": 1, "source": "environment COINS_PARTITIONS"}
    expected = (
        "DATABASE_URL REDIS_URL EDGE_URL DATA_DIR PARTITIONS PRODUCERS_FILE SMTP_URL MAIL_FROM FILES_DIR SCALE "
        "LOG_FORMAT METRICS_ADDRESS EVENTS_KEEP COMMANDS_KEEP"
    )
    assert set(shown) == set(expected.split())
    text = site.coins("config", DATABASE_URL=url, SMTP_URL_FILE=secret).stdout
    assert "hunter" not in text
    assert all(f"COINS_{name}" in text for name in shown)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"PARTITIONS": "abc"}, "COINS_PARTITIONS"),
        ({"PARTITIONS": "0"}, "COINS_PARTITIONS"),
        ({"SCALE": "99"}, "COINS_SCALE"),
        ({"LOG_FORMAT": "xml"}, "COINS_LOG_FORMAT"),
        ({"DATABASE_URL": None, "DATABASE_URL_FILE": "/nowhere/secret"}, "COINS_DATABASE_URL_FILE"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(site: Site, settings: dict[str, Any], named: str) -> None:
    refused(site, ("config",), settings, named)


@pytest.mark.parametrize(
    "verb", [("health",), ("worker", "commands"), ("relay",), ("migrate",)], ids=" ".join
)
def test_every_verb_refuses_wrong_settings(site: Site, verb: tuple[str, ...]) -> None:
    refused(site, verb, {"PARTITIONS": "abc"}, "COINS_PARTITIONS")


def refused(site: Site, verb: tuple[str, ...], settings: dict[str, Any], named: str) -> None:
    done = site.coins(*verb, **settings)
    assert done.returncode == 2
    assert named in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["PARTITIONS", "SCALE", "EDGE_URL", "EVENTS_KEEP", "PRODUCERS_FILE"])
def test_an_empty_setting_is_one_that_is_not_set(site: Site, name: str) -> None:
    """As lines of an env file without a value come in."""
    done = site.coins("config", "--json", **{name: ""})  # type: ignore[arg-type]
    assert done.returncode == 0, done.stderr
    default = site.coins("config", "--json", **{name: None})  # type: ignore[arg-type]
    assert json.loads(done.stdout)[name] == json.loads(default.stdout)[name]


def test_the_contract_is_a_json_schema_of_every_message(site: Site) -> None:
    schema = json.loads(site.coins("contract").stdout)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    definitions = schema["$defs"]
    assert {"TopUpEvent", "TransferEvent", "CommandApplied", "CommandRejected", "Message"} <= set(definitions)
    unresolved = {one for one in references(schema) if not resolves(schema, one)}
    assert unresolved == set()
    try:
        from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
    except ImportError:
        return
    Draft202012Validator.check_schema(schema)
    event = {"specversion": "1.0", "id": "1", "source": "s", "type": "coins.TopUp.v1"}
    good = {**event, "data": {"account": "a", "amount": 1}}
    assert Draft202012Validator(schema).is_valid(good)
    assert Draft202012Validator(schema).is_valid([good])
    assert not Draft202012Validator(schema).is_valid({**event, "data": {"account": "a", "amount": 0}})


def test_the_asyncapi_document_refers_to_nothing_that_is_not_in_it(site: Site) -> None:
    document = json.loads(site.coins("contract", "--asyncapi").stdout)
    assert document["asyncapi"].startswith("3.")
    assert {one for one in references(document) if not resolves(document, one)} == set()


def references(value: Any) -> Iterator[str]:
    match value:
        case dict():
            for key, inner in value.items():
                if key == "$ref" and isinstance(inner, str):
                    yield inner
                yield from references(inner)
        case list():
            for inner in value:
                yield from references(inner)


def resolves(document: Any, reference: str) -> bool:
    found = document
    for part in reference.removeprefix("#/").split("/"):
        if not isinstance(found, dict) or part not in found:
            return False
        found = found[part]
    return True


def test_help_needs_no_system(site: Site) -> None:
    done = site.coins("--help", DATABASE_URL=None, REDIS_URL=None, PARTITIONS="abc")
    assert done.returncode == 0
    for verb in ("up", "demo", "migrate", "worker", "relay", "scheduler", "send", "do", "health", "config"):
        assert f" {verb} " in done.stdout
    assert site.coins("up", "--help", PARTITIONS="abc").returncode == 0


def test_a_verb_that_is_none_is_wrong_usage(site: Site) -> None:
    assert site.coins("nonsense").returncode == 2


def test_migrate_may_be_run_at_any_time(site: Site) -> None:
    done = site.coins("migrate")
    assert done.returncode == 0
    assert "up to date" in done.stderr
    assert site.coins("migrate", DATABASE_URL=NOWHERE["DATABASE_URL"]).returncode == 3


def test_a_database_without_a_schema_is_told_apart(idle_site: Site) -> None:
    url = idle_site.database_url.replace(f"/{idle_site.database}?", "/coinworks?")
    found = checks(idle_site, DATABASE_URL=url)
    assert found == {"edge": True, "database": True, "schema": False}
