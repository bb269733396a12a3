"""The examples for producers over RabbitMQ: a virtual host of the tests' own on the machine's server, and a user that may
do no more there than a producer may."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from messages.errors import MessagesError
from messages.rabbitmq import close, connect
from tests.deploy.enrolled import coins, enrolled, up
from tests.messages.platforms import (
    APPLIED,
    NOT_LET_IN,
    PARTITIONS,
    REJECTED,
    REQUIRE,
    Example,
    Login,
    example_of,
)

SERVER = "127.0.0.1:5672"
ADMINISTRATOR = "guest"

pytestmark = [pytest.mark.system, pytest.mark.rabbitmq]


@pytest.fixture(
    scope="module",
    params=["python over RabbitMQ", "node over RabbitMQ", "go over RabbitMQ", "java over RabbitMQ"],
)
def example(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, client_python: Path
) -> Example:
    """Each language in turn."""
    return example_of(request.param, tmp_path_factory.mktemp("example"), client_python)


def rabbitmqctl(*arguments: str) -> None:
    subprocess.run(
        ["rabbitmqctl", "--quiet", *arguments], check=True, capture_output=True, timeout=60, cwd="/"
    )


@pytest.fixture(scope="module")
def vhost() -> Iterator[str]:
    """Empty, and gone afterwards. Where none can be made these tests are skipped, or fail where they are demanded."""
    name = f"coins_test_examples_{os.getpid()}"
    try:
        close(connect(f"amqp://{SERVER}"))
        rabbitmqctl("add_vhost", name)
    except (MessagesError, OSError, subprocess.CalledProcessError) as error:
        said = f"no virtual host of RabbitMQ at {SERVER} for the examples: {error}"
        if os.environ.get(REQUIRE) == "1":
            pytest.fail(f"{said} ({REQUIRE}=1 demands it)", pytrace=False)
        pytest.skip(said)
    try:
        rabbitmqctl("set_permissions", "-p", name, ADMINISTRATOR, ".*", ".*", ".*")
        yield name
    finally:
        rabbitmqctl("delete_vhost", name)


@pytest.fixture(scope="module")
def shop(vhost: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Login]:
    """The whole system, with an account. The producer is named after the virtual host: users are the whole server's."""
    directory = tmp_path_factory.mktemp("system")
    data, settings = directory / "data", {"EDGE_URL": f"amqp://{SERVER}/{vhost}", "PARTITIONS": PARTITIONS}
    told = enrolled(data, vhost, "--everything", **settings)
    try:
        _let_in(json.loads((data / "rabbitmq.json").read_text(encoding="utf-8")), vhost, told["password"])
        with up(data, directory / "said.txt", **settings):
            opening = ("account=acme", "parent=platform", "kind=enterprise", "name=Acme")
            opened = coins(data, "do", "OpenAccount", *opening, "--yes", **settings)
            assert opened.returncode == 0, opened.stderr
            yield login(vhost, told["password"], told["secret"])
    finally:
        rabbitmqctl("delete_user", vhost)


def _let_in(definitions: dict[str, Any], user: str, password: str) -> None:
    """Make the producer's user with the permissions of the definitions: those of others are not the tests' to make."""
    rabbitmqctl("add_user", user, password)
    (granted,) = (one for one in definitions["permissions"] if one["user"] == user)
    rabbitmqctl(
        "set_permissions",
        *("-p", granted["vhost"], user, granted["configure"], granted["write"], granted["read"]),
    )
    (topic,) = (one for one in definitions["topic_permissions"] if one["user"] == user)
    rabbitmqctl(
        "set_topic_permissions",
        *("-p", topic["vhost"], user, topic["exchange"], topic["write"], topic["read"]),
    )


def login(vhost: str, password: str, secret: str) -> Login:
    return Login(f"amqp://{vhost}:{password}@{SERVER}/{vhost}", vhost, secret)


def test_a_top_up_is_applied_once_however_often_it_is_sent(example: Example, shop: Login) -> None:
    payment = f"{example.language.split()[0]}-1"
    first, second = (example(shop, "acme", "5", payment) for _ in range(2))
    assert (first.returncode, second.returncode) == (APPLIED, APPLIED), first.stderr + second.stderr
    number = r"applied (T-\d{4}-\d{10})"
    assert re.fullmatch(f"{number}\n", first.stdout)
    assert second.stdout == f"{first.stdout.rstrip()} (decided before)\n"


def test_a_refusal_is_told_with_its_reason(example: Example, shop: Login) -> None:
    done = example(shop, "nobody", "5", f"{example.language.split()[0]}-2")
    assert done.returncode == REJECTED, done.stderr
    assert done.stdout == "rejected account_not_found: There is no account nobody.\n"


def test_whoever_is_not_let_in_does_not_try_again(example: Example, shop: Login) -> None:
    done = example(login(shop.producer, "wrong", shop.secret), "acme", "5", "3")
    assert done.returncode == NOT_LET_IN, done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_nobody_writes_where_it_may_not(example: Example, shop: Login) -> None:
    done = example(shop, "acme", "5", "4", PARTITIONS="1000003")
    assert done.returncode == NOT_LET_IN, done.stderr
    assert "access to topic" in done.stderr
