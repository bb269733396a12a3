"""What docker-compose.yml comes to, as compose itself reads it; no engine is asked."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.deploy.box import Container, Mount
from tests.deploy.image import ROOT, Image

COMPOSE = Path(sys.executable).with_name("docker-compose")
BASE = "docker-compose.yml"
OVERRIDES = {path.stem: f"deploy/compose/{path.name}" for path in (ROOT / "deploy" / "compose").glob("*.yml")}
# One that is laid over another.
NEEDS = {"publish-rabbitmq": ("rabbitmq",)}
PRODUCERS = {"COINS_PRODUCERS_FILE": "/etc/coinworks/producers.toml"}


def project(directory: Path) -> Path:
    """A copy of what a deployment needs of the repository, after the one step that its README asks for."""
    shutil.copy(ROOT / BASE, directory)
    shutil.copytree(
        ROOT / "deploy", directory / "deploy", ignore=shutil.ignore_patterns("secrets", "*.py", "__pycache__")
    )
    make_secrets(directory)
    return directory


def make_secrets(directory: Path) -> str:
    done = subprocess.run(
        [directory / "deploy" / "secrets.sh"], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def files(*overrides: str) -> list[str]:
    """The files of a deployment with these overrides, in their order."""
    return [
        BASE,
        *(OVERRIDES[name] for override in overrides for name in (*NEEDS.get(override, ()), override)),
    ]


def composed(directory: Path, *overrides: str, **variables: str) -> dict[str, Any]:
    """The whole configuration, with every profile. Fails with what compose says."""
    done = run(directory, overrides, variables)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def run(
    directory: Path, overrides: tuple[str, ...], variables: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    named = [part for file in files(*overrides) for part in ("--file", file)]
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("COINS_", "COMPOSE_", "VALKEY_"))
    }
    return subprocess.run(
        [COMPOSE, *named, "--profile", "*", "config", "--format", "json"],
        cwd=directory,
        env={**clean, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def is_ours(service: Mapping[str, Any]) -> bool:
    return "build" in service


def container_of(config: Mapping[str, Any], name: str, image: Image, volumes: Path) -> Container:
    """One of our services, with its secrets as the files say and its volumes under a directory."""
    service = config["services"][name]
    secrets = [
        Mount(Path(config["secrets"][one["source"]]["file"]), target(one))
        for one in service.get("secrets", [])
    ]
    mounts = [
        Mount(_volume(volumes / one["source"], image), one["target"], one.get("read_only", False))
        for one in service.get("volumes", [])
    ]
    uid, gid = map(int, service["user"].split(":"))
    test = service.get("healthcheck", {}).get("test")
    return Container(
        name,
        (*image.entrypoint, *service["command"]),
        service["environment"],
        (uid, gid),
        (*secrets, *mounts),
        tuple(one.partition(":")[0] for one in service["tmpfs"]),
        {"healthcheck": tuple(test[1:])} if test else {},
        stop_seconds=float(re.fullmatch(r"(\d+)s", service["stop_grace_period"])[1]),  # type: ignore[index]
    )


def target(secret: Mapping[str, str]) -> str:
    """Where a secret is in the container."""
    found = secret.get("target") or secret["source"]
    return found if found.startswith("/") else f"/run/secrets/{found}"


def _volume(directory: Path, image: Image) -> Path:
    """A volume as it is when it is new: as the image has the directory."""
    if not directory.exists():
        directory.mkdir(mode=0o750, parents=True)
        os.chown(directory, *image.user)
    return directory
