"""The examples for producers over RabbitMQ, each as a user that may do no more there than a producer may."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.enrolled import coins, enrolled, up
from tests.messages.platforms import (
    APPLIED,
    NOT_LET_IN,
    PARTITIONS,
    REJECTED,
    WRONG_USAGE,
    Example,
    Login,
    example_of,
)
from tests.rabbitmq import rabbitmqctl, users_removed, virtual_host

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


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Login]:
    """The whole system, with an account. Users are the whole server's: the producer's name is nobody else's."""
    directory, name = tmp_path_factory.mktemp("system"), f"coins_test_shop_{os.getpid()}"
    data = directory / "data"
    with virtual_host() as edge_url, users_removed(name):
        settings = {"EDGE_URL": edge_url, "PARTITIONS": PARTITIONS}
        told = enrolled(data, name, "--everything", **settings)
        _let_in(json.loads((data / "rabbitmq.json").read_text(encoding="utf-8")), name, told["password"])
        with up(data, directory / "said.txt", **settings):
            opening = ("account=acme", "parent=platform", "kind=enterprise", "name=Acme")
            opened = coins(data, "do", "OpenAccount", *opening, "--yes", **settings)
            assert opened.returncode == 0, opened.stderr
            yield login(edge_url, name, told["password"], told["secret"])


def _let_in(definitions: dict[str, Any], user: str, password: str) -> None:
    """Make the producer's user with the permissions of the definitions: the system's users are not the tests' to make."""
    (granted,) = (one for one in definitions["permissions"] if one["user"] == user)
    (topic,) = (one for one in definitions["topic_permissions"] if one["user"] == user)
    may = (granted[what] for what in ("vhost", "configure", "write", "read"))
    may_publish = (topic[what] for what in ("vhost", "exchange", "write", "read"))
    rabbitmqctl(
        "eval",
        f"rabbit_auth_backend_internal:add_user({_erlang(user, password)}, {_erlang('test')}), "
        f"rabbit_auth_backend_internal:set_permissions({_erlang(user, *may)}, {_erlang('test')}), "
        f"rabbit_auth_backend_internal:set_topic_permissions({_erlang(user, *may_publish)}, {_erlang('test')}).",
    )


def _erlang(*texts: str) -> str:
    return ", ".join(f"<<{json.dumps(text)}>>" for text in texts)


def login(edge_url: str, user: str, password: str, secret: str) -> Login:
    url = re.sub(r"//[^@]*@", f"//{user}:{password}@", edge_url)
    return Login(url, user, secret, password=password)


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
    done = example(login(shop.edge_url, shop.producer, "wrong", shop.secret), "acme", "5", "3")
    assert done.returncode == NOT_LET_IN, done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_whoever_names_a_vhost_that_is_none_does_not_try_again(example: Example, shop: Login) -> None:
    url = f"{shop.edge_url}_of_nobody"
    done = example(login(url, shop.producer, shop.password, shop.secret), "acme", "5", "3")
    assert done.returncode == NOT_LET_IN, done.stderr
    assert "vhost" in done.stderr
    assert "again with the same id" not in done.stderr


def test_wrong_usage_is_told(example: Example, shop: Login) -> None:
    done = example(shop)
    assert done.returncode == WRONG_USAGE, done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_nobody_writes_where_it_may_not(example: Example, shop: Login) -> None:
    done = example(shop, "acme", "5", "4", PARTITIONS="1000003")
    assert done.returncode == NOT_LET_IN, done.stderr
    assert "access to topic" in done.stderr
