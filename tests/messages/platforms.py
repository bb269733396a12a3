"""The examples for producers as programs that can be run: in which languages, on which edge, and as whom."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

from tests.deploy.enrolled import clean
from tests.messages.conftest import MESSAGES

EXAMPLES = MESSAGES / "examples"
# Of others nobody says that they are there: of Go, and of Java the client for RabbitMQ.
REQUIRED = frozenset({"python", "node", "java", "redis-cli", "python over RabbitMQ", "node over RabbitMQ"})
REQUIRE = "COINS_TEST_REQUIRE_SERVICES"
APPLIED, NOT_LET_IN, WRONG_USAGE, NO_OUTCOME, REJECTED = 0, 1, 2, 3, 4
PARTITIONS = 4


@dataclass(frozen=True)
class Login:
    """Where an example finds the edge, and as whom."""

    edge_url: str
    producer: str
    secret: str
    port: int = 0
    password: str = ""

    @property
    def environment(self) -> dict[str, str]:
        return {
            **clean(),
            "EDGE_URL": self.edge_url,
            "PORT": str(self.port),
            "REDISCLI_AUTH": self.password,
            "PRODUCER": self.producer,
            "SECRET": self.secret,
            "PARTITIONS": str(PARTITIONS),
            "WAIT_SECONDS": "20",
        }


@dataclass(frozen=True)
class Example:
    """A program: its command line, less its arguments."""

    language: str
    command: tuple[str | Path, ...]

    def __call__(self, login: Login, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.command, *arguments],
            env={**login.environment, **settings},
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )


def example_of(language: str, folder: Path, client_python: Path) -> Example:
    """Made ready in a folder of its own; one that this machine has not got is skipped, and says so."""
    made: tuple[str | Path, ...]
    match language:
        case "python" | "python over RabbitMQ":
            made = (client_python, EXAMPLES / "python" / "top_up.py")
        case "node":
            made = (program("node", language), _with_packages(language, folder) / "top-up.js")
        case "node over RabbitMQ":
            made = (program("node", language), _with_packages(language, folder) / "top-up-rabbitmq.js")
        case "java":
            made = _compiled(language, folder, "TopUp")
        case "java over RabbitMQ":
            made = _compiled(language, folder, "TopUpOverRabbitMQ")
        case "go":
            made = (_built(language, folder, EXAMPLES / "go" / "redis"),)
        case "go over RabbitMQ":
            made = (_built(language, folder, EXAMPLES / "go" / "rabbitmq"),)
        case _:
            program("redis-cli", language)
            made = ("sh", EXAMPLES / "redis-cli" / "top-up.sh")
    return Example(language, made)


def program(name: str, language: str) -> str:
    return shutil.which(name) or missing(language, f"there is no {name} on this machine")


def missing(language: str, said: str) -> NoReturn:
    if language in REQUIRED and os.environ.get(REQUIRE) == "1":
        pytest.fail(f"{said} ({REQUIRE}=1 demands it)", pytrace=False)
    pytest.skip(f"the example in {language} is not tried: {said}")


def _with_packages(language: str, folder: Path) -> Path:
    """A copy of Node's examples with the packages that they need, which come from npm's registry or its cache."""
    copy = folder / "node"
    shutil.copytree(EXAMPLES / "node", copy, ignore=shutil.ignore_patterns("node_modules"))
    offline_first = ("--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund")
    _prepared(language, program("npm", language), "ci", *offline_first, cwd=copy)
    return copy


def _compiled(language: str, folder: Path, name: str) -> tuple[str | Path, ...]:
    """Java finds by CLASSPATH what is not its own."""
    found = os.environ.get("CLASSPATH", "")
    _prepared(language, program("javac", language), "-d", folder, EXAMPLES / "java" / f"{name}.java")
    return (program("java", language), "-cp", os.pathsep.join([str(folder), found]), name)


def _built(language: str, folder: Path, source: Path) -> Path:
    """A copy, since Go writes down the sums of what it needs, which comes from its cache or its proxy."""
    copy = folder / "go"
    shutil.copytree(source, copy)
    go = program("go", language)
    _prepared(language, go, "mod", "tidy", cwd=copy)
    _prepared(language, go, "build", "-o", "top_up", ".", cwd=copy)
    return copy / "top_up"


def _prepared(language: str, *command: str | Path, cwd: Path | None = None) -> None:
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=150, check=False, stdin=subprocess.DEVNULL
    )
    if done.returncode != 0:
        missing(language, f"{' '.join(map(str, command))} failed: {done.stderr.strip()[:300]}")
