"""The examples for producers in each language, run against a system that knows them by login and signature."""

from __future__ import annotations

import hmac
import json
import re
import zlib
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from deploy.listening import Address, ListeningValkey
from ledger.trust import Producer, Producers
from messages.publisher import connect
from tests.deploy.enrolled import system_that_listens
from tests.messages.platforms import (
    APPLIED,
    NO_OUTCOME,
    NOT_LET_IN,
    PARTITIONS,
    REJECTED,
    WRONG_USAGE,
    Example,
    Login,
    example_of,
)
from tests.ports import free_port as another_port
from workers.access import login_of

SECRET = "a secret of sixteen bytes or more"

pytestmark = pytest.mark.system


@pytest.fixture(scope="module", params=["python", "node", "go", "java", "redis-cli"])
def example(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, client_python: Path
) -> Example:
    """Each language in turn."""
    return example_of(request.param, tmp_path_factory.mktemp("example"), client_python)


def login(port: int, password: str, secret: str) -> Login:
    return Login(f"redis://shop:{password}@127.0.0.1:{port}", "shop", secret, port, password)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, free_port: int) -> Iterator[Login]:
    """The whole system, with an account; `shop` may send everything."""
    directory = tmp_path_factory.mktemp("system")
    with system_that_listens(directory, free_port, "--everything", partitions=PARTITIONS) as system:
        opening = ("account=acme", "parent=platform", "kind=enterprise", "name=Acme")
        opened = system.coins("do", "OpenAccount", *opening, "--yes")
        assert opened.returncode == 0, opened.stderr
        yield login(free_port, system.shop["password"], system.shop["secret"])


@pytest.fixture(scope="module")
def unread(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Login, redis.Redis]]:
    """An edge that nobody reads, and the system's own client of it."""
    port = another_port()
    valkey = ListeningValkey(
        tmp_path_factory.mktemp("unread"),
        Address("127.0.0.1", port),
        Producers(
            {
                "coins": Producer("coins", (SECRET,)),
                "shop": Producer("shop", (SECRET,), (), (login_of("password"),)),
            }
        ),
        partitions=PARTITIONS,
        durable=False,
    )
    valkey.prepare_access()
    valkey.start()
    client = connect(valkey.url)
    yield login(port, "password", SECRET), client
    client.close()
    valkey.stop()


def test_a_top_up_is_applied_once_however_often_it_is_sent(example: Example, shop: Login) -> None:
    first, second = (example(shop, "acme", "5", f"{example.language}-1") for _ in range(2))
    assert (first.returncode, second.returncode) == (APPLIED, APPLIED), first.stderr + second.stderr
    transactions = [re.findall(r"T-\d{4}-\d{10}", done.stdout) for done in (first, second)]
    assert len(transactions[0]) == 1
    assert transactions[0] == transactions[1]
    again = re.compile(r'decided before|"duplicate":true')
    assert not again.search(first.stdout)
    assert again.search(second.stdout)


def test_a_refusal_is_told_with_its_reason(example: Example, shop: Login) -> None:
    done = example(shop, "nobody", "5", f"{example.language}-2")
    assert done.returncode == REJECTED, done.stderr
    assert "account_not_found" in done.stdout
    assert "There is no account nobody." in done.stdout


def test_whoever_is_not_let_in_does_not_try_again(example: Example, shop: Login) -> None:
    done = example(login(shop.port, "wrong", shop.secret), "acme", "5", f"{example.language}-3")
    assert done.returncode == NOT_LET_IN, done.stderr
    assert done.stderr.count("invalid username-password pair") == 1


def test_wrong_usage_is_told_and_nothing_is_sent(example: Example, unread: tuple[Login, redis.Redis]) -> None:
    shop, client = unread
    client.flushall()
    for arguments in ((), ("acme", "five", "5")):
        done = example(shop, *arguments)
        assert done.returncode == WRONG_USAGE, done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert client.keys() == []


def test_without_an_outcome_the_same_command_is_sent_again(
    example: Example, unread: tuple[Login, redis.Redis]
) -> None:
    shop, client = unread
    client.flushall()
    partition = zlib.crc32(b"acme") % PARTITIONS
    done = example(shop, "acme", "5", "4", WAIT_SECONDS="1", TRIES="2", PARTITION=str(partition))
    assert done.returncode == NO_OUTCOME, done.stderr
    assert client.keys("coins:commands:*") == [f"coins:commands:{partition}:shop".encode()]
    entries: Any = client.xrange(f"coins:commands:{partition}:shop")
    (body, signature), other = ((fields[b"event"], fields[b"signature"]) for _, fields in entries)
    assert (body, signature) == other
    assert b64decode(signature) == hmac.digest(SECRET.encode(), body, "sha256")
    event = json.loads(body)
    assert (event["source"], event["id"], event["type"]) == ("shop", "top-up-4", "coins.TopUp.v1")
    assert event["data"].items() >= {"account": "acme", "amount": 5, "reference": "4"}.items()
