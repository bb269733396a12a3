"""docker-compose.yml and its overrides, as compose itself reads them: valid, confined, limited, and saying what is meant."""

from __future__ import annotations

import re
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from deploy.embedded import EmbeddedPostgres
from tests.deploy import composing
from tests.deploy.composing import PRODUCERS, composed, files, is_ours, target
from tests.deploy.image import ROOT
from workers.access import login_of, rules_text
from workers.alive import FILE
from workers.enrolling import enrol
from workers.producers import load
from workers.settings import PREFIX, SECRETS, Settings

ONE_SHOT = {"migrate", "coins"}
DEPLOYMENTS: list[tuple[str, ...]] = [(), *((name,) for name in sorted(composing.OVERRIDES))]
_VARIABLE = re.compile(r"\$\{([A-Z_]+)")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return composing.project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module", params=DEPLOYMENTS, ids="+".join)
def config(request: pytest.FixtureRequest, project: Path) -> dict[str, Any]:
    """A deployment: docker-compose.yml alone, and with each override."""
    return composed(project, *request.param, **PRODUCERS)


@pytest.fixture(scope="module")
def plain(project: Path) -> dict[str, Any]:
    return composed(project)


def known(name: str) -> bool:
    """Whether a process of ours reads that variable."""
    setting = name.removeprefix(PREFIX).lower()
    return name == FILE or setting in Settings.model_fields or setting.removesuffix("_file") in SECRETS


def test_no_container_can_become_more_than_it_is(config: dict[str, Any]) -> None:
    for name, service in config["services"].items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["user"].split(":")[0] not in ("", "0", "root"), name
        assert not service.get("privileged"), name
        assert not any(
            volume["type"] == "bind" and not volume.get("read_only") for volume in service.get("volumes", [])
        )


def test_every_container_is_limited_and_its_log_is_rotated(config: dict[str, Any]) -> None:
    for name, service in config["services"].items():
        assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory", "pids"}, name
        assert service["logging"]["options"] == {"max-size": "10m", "max-file": "5"}, name


def test_every_image_names_its_version(config: dict[str, Any]) -> None:
    for name, service in config["services"].items():
        _, _, tag = service["image"].rpartition(":")
        assert re.match(r"v?\d+", tag), name


def test_what_runs_on_is_watched_and_started_again(config: dict[str, Any]) -> None:
    for name, service in config["services"].items():
        if name in ONE_SHOT:
            assert service["healthcheck"] == {"disable": True}, name
        else:
            assert service["restart"] == "unless-stopped", name
            assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL"), name


def test_our_processes_are_told_nothing_that_they_do_not_read_and_no_secret_but_by_a_file(
    config: dict[str, Any],
) -> None:
    for name, service in config["services"].items():
        if is_ours(service):
            assert [one for one in service["environment"] if not known(one)] == [], name
            named = {value for one, value in service["environment"].items() if one.endswith("_URL_FILE")}
            assert named == {target(one) for one in service["secrets"]}, name
            assert [one for one in SECRETS if f"{PREFIX}{one.upper()}" in service["environment"]] == [], name


def test_every_secret_is_made(config: dict[str, Any], project: Path) -> None:
    """But for the certificate of a published edge, which only its owner can have."""
    for name, secret in config["secrets"].items():
        assert Path(secret["file"]).is_relative_to(project / "deploy" / "secrets")
        assert Path(secret["file"]).exists() or name in ("edge_certificate", "edge_key"), name


def test_processes_wait_for_the_schema_and_the_schema_for_the_database(plain: dict[str, Any]) -> None:
    for name, service in plain["services"].items():
        waits = {other: one["condition"] for other, one in service.get("depends_on", {}).items()}
        if is_ours(service) and name not in ONE_SHOT:
            assert waits == {"migrate": "service_completed_successfully", "valkey": "service_healthy"}, name
    assert plain["services"]["migrate"]["depends_on"]["postgres"]["condition"] == "service_healthy"


@pytest.mark.parametrize(
    ("overrides", "published"),
    [
        ((), set()),
        (("rabbitmq",), set()),
        (("own-servers",), set()),
        (("publish-valkey",), {("127.0.0.1", "6380")}),
        (("publish-rabbitmq",), {("127.0.0.1", "5671")}),
        (("local-ports",), {("127.0.0.1", port) for port in ("3000", "8025", "9090")}),
    ],
)
def test_nothing_is_published_but_what_an_override_says(
    project: Path, overrides: tuple[str, ...], published: set[tuple[str, str]]
) -> None:
    services = composed(project, *overrides, **PRODUCERS)["services"].values()
    ports = [port for service in services for port in service.get("ports", [])]
    assert {(port["host_ip"], port["published"]) for port in ports} == published


@pytest.mark.parametrize("override", ["publish-valkey", "publish-rabbitmq"])
def test_the_edge_is_not_published_without_a_producers_file(project: Path, override: str) -> None:
    done = composing.run(project, (override,), {})
    assert done.returncode != 0
    assert "coins producer new" in done.stderr


def test_a_published_valkey_is_configured_as_the_other_one(project: Path, plain: dict[str, Any]) -> None:
    published = composed(project, "publish-valkey", **PRODUCERS)["services"]["valkey"]["command"]
    inside = plain["services"]["valkey"]["command"]
    assert published[: len(inside)] == inside


def test_rabbitmq_is_the_edge_of_all_of_ours_by_one_setting(project: Path) -> None:
    services = composed(project, "rabbitmq")["services"]
    for name, service in services.items():
        if is_ours(service):
            assert service["environment"]["COINS_EDGE_URL_FILE"] == "/run/secrets/edge_url", name
    password = (project / "deploy/secrets/rabbitmq_password").read_text(encoding="utf-8")
    url = (project / "deploy/secrets/edge_url").read_text(encoding="utf-8")
    assert url == f"amqp://coinworks:{password}@rabbitmq:5672/"
    assert f"default_pass = {password}\n" in (project / "deploy/secrets/rabbitmq.conf").read_text(
        encoding="utf-8"
    )


@pytest.mark.parametrize("edge", ["rabbitmq", "own-rabbitmq"])
def test_servers_of_ones_own_and_rabbitmq_go_together(project: Path, edge: str) -> None:
    services = composed(project, "own-servers", edge)["services"]
    assert services.keys().isdisjoint({"postgres", "valkey"})
    assert ("rabbitmq" in services) == (edge == "rabbitmq")
    for name, service in services.items():
        if is_ours(service):
            assert service["environment"]["COINS_EDGE_URL_FILE"] == "/run/secrets/edge_url", name
            waits = service.get("depends_on", {}).keys()
            assert ("rabbitmq" in waits) == (edge == "rabbitmq" and name != "coins"), name


def test_with_servers_of_ones_own_there_are_none_of_ours(project: Path) -> None:
    services = composed(project, "own-servers")["services"]
    assert services.keys().isdisjoint({"postgres", "valkey"})
    for service in services.values():
        assert service.get("depends_on", {}).keys() <= {"migrate", "prometheus"}


def test_secrets_that_exist_stay_as_they_are_and_nobody_else_gets_at_them(tmp_path: Path) -> None:
    composing.project(tmp_path)
    directory = tmp_path / "deploy" / "secrets"
    before = {file.name: file.read_text(encoding="utf-8") for file in directory.iterdir()}
    assert composing.make_secrets(tmp_path) == ""
    assert {file.name: file.read_text(encoding="utf-8") for file in directory.iterdir()} == before
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    passwords = [before[name] for name in before if name.endswith("_password")]
    assert len(passwords) == len(set(passwords)) == 4
    assert min(map(len, passwords)) == 48
    assert (tmp_path / ".env").read_text(encoding="utf-8") == (ROOT / "deploy/env.example").read_text(
        encoding="utf-8"
    )


def test_a_new_password_of_valkey_leaves_the_producers_logins(tmp_path: Path) -> None:
    # Given the logins of producers beside that of the system
    composing.project(tmp_path)
    directory = tmp_path / "deploy" / "secrets"
    users, shop = directory / "valkey_users", f"user shop on #{login_of('of the shop')} +ping"
    before = users.read_text(encoding="utf-8")
    users.write_text(f"{before}{shop}\n", encoding="utf-8")
    # When the system's password is made anew
    for name in ("valkey_password", "redis_url"):
        (directory / name).unlink()
    composing.make_secrets(tmp_path)
    # Then the system has a login by the new one alone, and the others are as they were
    password = (directory / "valkey_password").read_text(encoding="utf-8")
    default, *others = users.read_text(encoding="utf-8").splitlines()
    assert default == before.splitlines()[0]
    assert others == [shop, f"user coins on sanitize-payload #{login_of(password)} ~* &* +@all"]
    assert composing.make_secrets(tmp_path) == ""


# Answers as compose would, with the rules that the product has written.
DOCKER = """#!/bin/sh
case "$*" in
  *"config --services"*) printf 'valkey\\nworker\\n' ;;
  *"--entrypoint cat"*) cat "{rules}" ;;
  *"producer access"*) echo "access rules" ;;
  *"exec -T valkey"*) echo OK ;;
  *) exit 1 ;;
esac
"""


def test_access_rules_are_laid_beside_the_login_of_the_system(tmp_path: Path) -> None:
    # Given the server's users, and the rules that the product writes for a producer
    composing.project(tmp_path)
    users = tmp_path / "deploy/secrets/valkey_users"
    before, inode = users.read_text(encoding="utf-8"), users.stat().st_ino
    made = enrol(tmp_path / "producers.toml", "shop", None)
    rules = tmp_path / "users.acl"
    rules.write_text(rules_text(load(tmp_path / "producers.toml"), partitions=1), encoding="utf-8")
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text(DOCKER.format(rules=rules), encoding="utf-8")
    docker.chmod(0o755)
    # When they are brought into force, twice
    for _ in range(2):
        done = subprocess.run(
            [tmp_path / "deploy/compose/access.sh"],
            env={"PATH": f"{docker.parent}:/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout) == (0, "OK\n"), done.stderr
    # Then the file, the very one that the container has, has the system's login as it was, and the producer's
    after = users.read_text(encoding="utf-8").splitlines()
    assert after[:2] == before.splitlines()
    assert [line.split()[1] for line in after[2:]] == ["cli", "shop"]
    assert login_of(made["shop"].password) in after[-1]
    assert users.stat().st_ino == inode


def test_every_variable_of_the_compose_files_is_explained_in_the_example_and_no_other() -> None:
    used = {
        name
        for file in files(*composing.OVERRIDES)
        for name in _VARIABLE.findall((ROOT / file).read_text(encoding="utf-8"))
    }
    assert set(_explained()) == used | {"COMPOSE_FILE", "COMPOSE_PROFILES"}


def _explained() -> Iterator[str]:
    for line in (ROOT / "deploy/env.example").read_text(encoding="utf-8").splitlines():
        if found := re.match(r"#?([A-Z_]+)=", line):
            yield found[1]


def test_prometheus_asks_every_process_that_tells(plain: dict[str, Any]) -> None:
    text = (ROOT / "deploy/prometheus/prometheus.yml").read_text(encoding="utf-8")
    (job,) = (one for one in yaml.safe_load(text)["scrape_configs"] if one["job_name"] == "coins")
    (found,) = job["dns_sd_configs"]
    tell = {
        name
        for name, one in plain["services"].items()
        if is_ours(one)
        and name not in ONE_SHOT
        and one["environment"]["COINS_METRICS_ADDRESS"] == f"0.0.0.0:{found['port']}"
    }
    assert set(found["names"]) == tell == {"worker", "worker-standby", "jobs", "relay", "scheduler"}


def test_postgresql_knows_every_setting_that_it_is_given(
    plain: dict[str, Any], embedded_postgres: EmbeddedPostgres
) -> None:
    program, *given = plain["services"]["postgres"]["command"]
    names = [re.fullmatch(r"-c([a-z_]+)=\S+", one)[1] for one in given]  # type: ignore[index]
    assert program == "postgres"
    with psycopg.connect(embedded_postgres.url) as connection:
        found = connection.execute("SELECT name FROM pg_settings WHERE name = ANY(%s)", (names,)).fetchall()
    assert {name for (name,) in found} == set(names)


def test_what_is_mounted_of_the_repository_is_there(plain: dict[str, Any]) -> None:
    for service in plain["services"].values():
        for volume in service.get("volumes", []):
            if volume["type"] == "bind":
                assert Path(volume["source"]).is_dir(), volume["source"]
