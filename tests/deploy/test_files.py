"""Every file under deploy/, and what the image and compose are made of, is looked at by something that knows its kind."""

from __future__ import annotations

import ast
import fnmatch
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from deploy.demo import story
from tests.deploy import composing, kustomizing, monitoring
from tests.deploy.image import ROOT

BIN = Path(sys.executable).parent
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)


def checked(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def dockerfile(file: Path) -> None:
    checked(BIN / "hadolint", file)


def shell(file: Path) -> None:
    checked(BIN / "shellcheck", file)
    assert os.access(file, os.X_OK), f"{file} is to be run: chmod +x"


def python(file: Path) -> None:
    """The rest is for ruff and mypy."""
    ast.parse(file.read_bytes())


def compose(file: Path) -> None:
    """Compose reads it, by itself and with what it is laid over."""
    assert file.name == composing.BASE or file.stem in composing.OVERRIDES
    overrides = () if file.name == composing.BASE else (file.stem,)
    unmade = {"COINS_PRODUCERS_FILE": "/etc/coinworks/producers.toml"}
    done = composing.run(ROOT, overrides, unmade)
    assert done.returncode == 0, done.stderr


def kubernetes(file: Path) -> None:
    """Some kustomization takes it in; what comes out is for test_kubernetes.py."""
    assert file in reached(kustomizing.EXAMPLE), f"{file} belongs to no kustomization"


def reached(directory: Path) -> set[Path]:
    """A kustomization, and every file that it takes in."""
    found = {directory / "kustomization.yaml"}
    content = yaml.safe_load((directory / "kustomization.yaml").read_text(encoding="utf-8"))
    generators = [*content.get("configMapGenerator", []), *content.get("secretGenerator", [])]
    named = [file for one in generators for key in ("files", "envs") for file in one.get(key, [])]
    named += content.get("resources", []) + [patch["path"] for patch in content.get("patches", [])]
    for name in named:
        path = (directory / name).resolve()
        found |= reached(path) if path.is_dir() else {path}
    return found


def day(file: Path) -> None:
    """The demo's own reader takes it: messages that are broken on purpose are part of the day."""
    assert file.name in (story.MESSAGES_FILE, story.EXPECTED_FILE)
    story.read(file.parent)


def toml(file: Path) -> None:
    tomllib.loads(file.read_text(encoding="utf-8"))


def environment(file: Path) -> None:
    """What the names mean is for test_compose.py and test_kubernetes.py."""
    for line in file.read_text(encoding="utf-8").splitlines():
        assert not line or line.startswith("#") or re.fullmatch(r"[A-Z_]+=\S*", line), line


def rabbitmq(file: Path) -> None:
    """Lines of `key = value`; the files that it names are secrets of the override that takes it in."""
    lines = [
        line for line in file.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")
    ]
    settings = dict(line.split(" = ") for line in lines)
    assert all(re.fullmatch(r"[a-z_]+(\.[a-z_]+)+", key) for key in settings)
    override = yaml.safe_load((ROOT / composing.OVERRIDES["publish-rabbitmq"]).read_text(encoding="utf-8"))
    assert override["configs"]["rabbitmq_tls"]["file"] == f"./deploy/compose/{file.name}"
    named = {Path(value).name for value in settings.values() if value.startswith("/run/secrets/")}
    assert named == override["secrets"].keys()


def markdown(file: Path) -> None:
    """Its links lead to files that there are, and to headings in them."""
    for link in _LINK.findall(file.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        path = (file.parent / name).resolve() if name else file
        assert path.exists(), link
        if anchor:
            assert anchor in anchors(path), link


def anchors(file: Path) -> set[str]:
    text = re.sub(r"```.*?```", "", file.read_text(encoding="utf-8"), flags=re.DOTALL)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
        for heading in _HEADING.findall(text)
    }


# The first that matches; the path is below the root.
VALIDATORS: dict[str, Callable[[Path], None]] = {
    "*/Dockerfile": dockerfile,
    "docker-compose.yml": compose,
    "deploy/compose/*.yml": compose,
    "deploy/compose/rabbitmq-*.conf": rabbitmq,
    "deploy/kubernetes/*": kubernetes,
    "deploy/prometheus/prometheus.yml": monitoring.scraping,
    "deploy/prometheus/*.yml": monitoring.rules,
    "deploy/grafana/provisioning/*.yml": monitoring.provisioning,
    "deploy/grafana/dashboards/*.json": monitoring.dashboard,
    "*.sh": shell,
    "*.py": python,
    "deploy/demo/day.*": day,
    "*.toml": toml,
    "*.md": markdown,
    "deploy/env.example": environment,
}


def validator_of(path: str) -> Callable[[Path], None] | None:
    return next((check for pattern, check in VALIDATORS.items() if fnmatch.fnmatchcase(path, pattern)), None)


def deployed() -> Iterator[str]:
    """What version control has, or would take, of deploy/ and of what belongs to it."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", "deploy", composing.BASE],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return (path for path in sorted(set(listed.stdout.splitlines())) if (ROOT / path).is_file())


@pytest.mark.parametrize("path", list(deployed()))
def test_every_file_is_valid(path: str) -> None:
    check = validator_of(path)
    assert check is not None, f"nothing looks at {path}: add its kind to VALIDATORS"
    check(ROOT / path)


# What is wrong, and what is said of it.
SPOILED = {
    "deploy/Dockerfile": ("FROM python\nRUN sudo ls\n", "DL3006"),
    "deploy/secrets.sh": ("#!/bin/sh\nrm -r $1/*\n", "SC2086"),
    "deploy/up.py": ("def run(:\n", "invalid syntax"),
    "deploy/prometheus/prometheus.yml": ("global: {scrape_interval: often}\n", "scrape_interval"),
    "deploy/prometheus/alerts.yml": ("groups: [{name: a, rules: [{alert: A, expr: 'sum(('}]}]\n", "expr"),
    "deploy/grafana/provisioning/datasources/prometheus.yml": (
        "apiVersion: 1\ndatasource: []\n",
        "datasource",
    ),
    "deploy/grafana/dashboards/coins.json": (
        '{"uid": "a", "title": "a", "schemaVersion": 1, "panels": [{"expr": "rate("}]}',
        "unclosed left parenthesis",
    ),
    "deploy/demo/day.ndjson": ("{}\n", "1 lines"),
    "deploy/anything.toml": ("a = ", "Invalid value"),
    "deploy/README.md": ("[it](not-there.md)\n", "not-there.md"),
    "deploy/runbook.md": ("# A\n\n[it](#b)\n", "#b"),
    "deploy/compose/rabbitmq-tls.conf": ("listeners.ssl.default 5671\n", "dictionary update"),
    "deploy/env.example": ("COINS_SCALE: 0\n", "COINS_SCALE: 0"),
    "deploy/kubernetes/base/forgotten.yaml": ("kind: Deployment\n", "belongs to no kustomization"),
}


@pytest.mark.parametrize("path", list(SPOILED))
def test_a_file_that_is_spoiled_is_noticed(path: str, tmp_path: Path) -> None:
    text, said = SPOILED[path]
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    shutil.copy(ROOT / "deploy" / "demo" / story.EXPECTED_FILE, file.parent)
    file.write_text(text, encoding="utf-8")
    file.chmod(0o755)
    check = validator_of(path)
    assert check is not None
    with pytest.raises((AssertionError, ValueError, SyntaxError), match=re.escape(said)):
        check(file)


def test_a_file_that_nothing_knows_has_no_validator() -> None:
    assert validator_of("deploy/somewhere/new.conf") is None


def test_a_compose_file_with_a_wrong_key_is_noticed(tmp_path: Path) -> None:
    composing.project(tmp_path)
    file = tmp_path / composing.BASE
    file.write_text(file.read_text(encoding="utf-8").replace("cap_drop:", "cap_drops:"), encoding="utf-8")
    done = composing.run(tmp_path, (), {})
    assert done.returncode != 0
    assert "cap_drops" in done.stderr
