"""The examples for producers in each language, run against a system that knows them by login and signature."""

from __future__ import annotations

import hmac
import json
import os
import re
import shutil
import socket
import subprocess
import zlib
from base64 import b64decode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import pytest
import redis

from deploy.listening import Address, ListeningValkey
from ledger.trust import Producer, Producers
from messages.publisher import connect
from tests.deploy.enrolled import Listening, clean, system_that_listens
from tests.messages.conftest import MESSAGES
from workers.access import login_of

EXAMPLES = MESSAGES / "examples"
LANGUAGES = ("python", "node", "go", "java", "redis-cli")
# Of Go nobody says that it is there.
REQUIRED = frozenset(LANGUAGES) - {"go"}
APPLIED, NOT_LET_IN, NO_OUTCOME, REJECTED = 0, 1, 3, 4
PARTITIONS = 4
SECRET = "a secret of sixteen bytes or more"

pytestmark = pytest.mark.system


@dataclass(frozen=True)
class Login:
    """Where an example finds the edge, and as whom."""

    port: int
    password: str
    secret: str

    @property
    def environment(self) -> dict[str, str]:
        return {
            **clean(),
            "EDGE_URL": f"redis://shop:{self.password}@127.0.0.1:{self.port}",
            "PORT": str(self.port),
            "REDISCLI_AUTH": self.password,
            "PRODUCER": "shop",
            "SECRET": self.secret,
            "PARTITIONS": str(PARTITIONS),
            "WAIT_SECONDS": "20",
        }


@dataclass(frozen=True)
class Example:
    """An example that can be run: its command line, less its arguments."""

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


@pytest.fixture(scope="module", params=LANGUAGES)
def example(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Example:
    """Each language in turn; one that this machine has not got is skipped, and says so."""
    language: str = request.param
    made: tuple[str | Path, ...]
    match language:
        case "python":
            made = (request.getfixturevalue("client_python"), EXAMPLES / "python" / "top_up.py")
        case "node":
            made = (program("node", language), request.getfixturevalue("node_folder") / "top-up.js")
        case "java":
            classes = tmp_path_factory.mktemp("java")
            prepared(language, program("javac", language), "-d", classes, EXAMPLES / "java" / "TopUp.java")
            made = (program("java", language), "-cp", classes, "TopUp")
        case "go":
            binary = tmp_path_factory.mktemp("go") / "top_up"
            source = EXAMPLES / "go" / "redis" / "top_up.go"
            prepared(language, program("go", language), "build", "-o", binary, source)
            made = (binary,)
        case _:
            program("redis-cli", language)
            made = ("sh", EXAMPLES / "redis-cli" / "top-up.sh")
    return Example(language, made)


@pytest.fixture(scope="module")
def node_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of Node's examples with the packages that they need, which come from npm's registry or its cache."""
    folder = tmp_path_factory.mktemp("node") / "node"
    shutil.copytree(EXAMPLES / "node", folder, ignore=shutil.ignore_patterns("node_modules"))
    offline_first = ("--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund")
    prepared("node", program("npm", "node"), "ci", *offline_first, cwd=folder)
    return folder


def program(name: str, language: str) -> str:
    return shutil.which(name) or missing(language, f"there is no {name} on this machine")


def prepared(language: str, *command: str | Path, cwd: Path | None = None) -> None:
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=150, check=False, stdin=subprocess.DEVNULL
    )
    if done.returncode != 0:
        missing(language, f"{' '.join(map(str, command))} failed: {done.stderr[-2_000:]}")


def missing(language: str, said: str) -> NoReturn:
    if language in REQUIRED and os.environ.get("COINS_TEST_REQUIRE_SERVICES") == "1":
        pytest.fail(f"{said} (COINS_TEST_REQUIRE_SERVICES=1 demands it)", pytrace=False)
    pytest.skip(f"the example in {language} is not tried: {said}")


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, free_port: int) -> Iterator[Listening]:
    """The whole system, with an account; `shop` may send everything."""
    rules = ("--everything",)
    with system_that_listens(
        tmp_path_factory.mktemp("system"), free_port, *rules, partitions=PARTITIONS
    ) as made:
        opened = made.coins(
            "do", "OpenAccount", "account=acme", "parent=platform", "kind=enterprise", "name=Acme", "--yes"
        )
        assert opened.returncode == 0, opened.stderr
        yield made


@pytest.fixture(scope="module")
def shop(system: Listening) -> Login:
    return Login(system.port, system.shop["password"], system.shop["secret"])


@pytest.fixture(scope="module")
def unread(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Login, redis.Redis]]:
    """An edge that nobody reads, and the system's own client of it."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
    shop = Producer("shop", (SECRET,), (), (login_of("password"),))
    valkey = ListeningValkey(
        tmp_path_factory.mktemp("unread"),
        Address("127.0.0.1", port),
        Producers({"coins": Producer("coins", (SECRET,)), "shop": shop}),
        partitions=PARTITIONS,
        durable=False,
    )
    valkey.prepare_access()
    valkey.start()
    client = connect(valkey.url)
    yield Login(port, "password", SECRET), client
    client.close()
    valkey.stop()


@pytest.fixture
def transaction_in() -> Callable[[str], str]:
    def found(text: str) -> str:
        (number,) = re.findall(r"T-\d{4}-\d{10}", text)
        return str(number)

    return found


def test_a_top_up_is_applied_once_however_often_it_is_sent(
    example: Example, shop: Login, transaction_in: Callable[[str], str]
) -> None:
    first, second = (example(shop, "acme", "5", f"{example.language}-1") for _ in range(2))
    assert (first.returncode, second.returncode) == (APPLIED, APPLIED), first.stderr + second.stderr
    assert transaction_in(first.stdout) == transaction_in(second.stdout)
    again = re.compile(r'decided before|"duplicate":true')
    assert not again.search(first.stdout)
    assert again.search(second.stdout)


def test_a_refusal_is_told_with_its_reason(example: Example, shop: Login) -> None:
    done = example(shop, "nobody", "5", f"{example.language}-2")
    assert done.returncode == REJECTED, done.stderr
    assert "account_not_found" in done.stdout
    assert "There is no account nobody." in done.stdout


def test_whoever_is_not_let_in_does_not_try_again(example: Example, shop: Login) -> None:
    done = example(replace(shop, password="wrong"), "acme", "5", f"{example.language}-3")
    assert done.returncode == NOT_LET_IN, done.stderr
    assert done.stderr.count("invalid username-password pair") == 1


def test_without_an_outcome_the_same_command_is_sent_again(
    example: Example, unread: tuple[Login, redis.Redis]
) -> None:
    login, client = unread
    client.flushall()
    partition = zlib.crc32(b"acme") % PARTITIONS
    done = example(login, "acme", "5", "4", WAIT_SECONDS="1", TRIES="2", PARTITION=str(partition))
    assert done.returncode == NO_OUTCOME, done.stderr
    assert client.keys("coins:commands:*") == [f"coins:commands:{partition}:shop".encode()]
    entries: Any = client.xrange(f"coins:commands:{partition}:shop")
    (body, signature), other = ((fields[b"event"], fields[b"signature"]) for _, fields in entries)
    assert (body, signature) == other
    assert b64decode(signature) == hmac.digest(SECRET.encode(), body, "sha256")
    event = json.loads(body)
    assert (event["source"], event["id"], event["type"]) == ("shop", "top-up-4", "coins.TopUp.v1")
    assert event["data"].items() >= {"account": "acme", "amount": 5, "reference": "4"}.items()
