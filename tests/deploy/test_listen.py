"""`coins up --listen`: the edge on TCP, for producers with users of their own and for nobody else."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from deploy.listening import address_of
from messages import OutcomeReader, Publisher, TopUp, event
from messages.publisher import Message
from tests.deploy.enrolled import COINS, Listening, clean, coins, enrolled, system_that_listens
from workers.errors import SettingsInvalid
from workers.settings import without_password


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, free_port: int) -> Iterator[Listening]:
    """The whole system, listening; `shop` may do everything for acme."""
    rules = ("--commands", "*", "--under", "acme", "--itself")
    with system_that_listens(tmp_path_factory.mktemp("listen"), free_port, *rules, partitions=2) as made:
        yield made


def outcome_of(url: str, name: str, secret: str, account: str, id_: str) -> dict[str, Any]:
    outcomes = OutcomeReader(url, name)
    with Publisher(url, producer=name, secret=secret) as publisher:
        publisher.send(event(TopUp(account=account, amount=5), source=name, id=id_))
    try:
        for raw in outcomes.read(within_seconds=15):
            told: dict[str, Any] = json.loads(raw)
            if told["causationid"] == id_:
                return told
    finally:
        outcomes.close()
    raise AssertionError(f"no outcome of {id_}")


pytestmark = pytest.mark.system


def test_a_producer_sends_over_tcp_and_is_answered(system: Listening) -> None:
    opened = system.coins(
        "do", "OpenAccount", "account=acme", "parent=platform", "kind=enterprise", "name=Acme", "--yes"
    )
    assert opened.returncode == 0, opened.stderr
    said = outcome_of(system.url(system.shop), "shop", system.shop["secret"], "acme", "t1")
    assert said["data"]["reason"] is None
    refused = outcome_of(system.url(system.shop), "shop", system.shop["secret"], "rival", "t2")
    assert refused["data"]["reason"] == "not_authorized"


def test_without_a_password_nobody_gets_in(system: Listening) -> None:
    with (
        redis.Redis.from_url(f"redis://127.0.0.1:{system.port}") as client,
        pytest.raises(redis.AuthenticationError),
    ):
        client.ping()


def test_a_producer_that_is_added_while_it_runs_needs_no_restart(system: Listening) -> None:
    late = enrolled(system.data, "late", "--commands", "*", "--under", "acme", "--itself")
    said = outcome_of(system.url(late), "late", late["secret"], "acme", "t1")
    assert said["data"]["command"]["source"] == "late"
    turned = system.coins("producer", "rotate", "late", "--json")
    new = json.loads(turned.stdout)
    before, after = (lasting(system.url(told)) for told in (late, new))
    for client in (before, after):
        assert client.ping()
    assert system.coins("producer", "rotate", "late", "--finish").returncode == 0
    with pytest.raises(redis.ConnectionError):
        before.ping()
    with pytest.raises(redis.AuthenticationError):
        lasting(system.url(late)).ping()
    assert lasting(system.url(new)).ping()


def lasting(url: str) -> redis.Redis:
    """A client with one connection, which is not made again when it ends."""
    return redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0), single_connection_client=True)


def test_a_producer_that_is_removed_while_it_runs_is_cut_off(system: Listening) -> None:
    gone = enrolled(system.data, "gone", "--everything")
    client = lasting(system.url(gone))
    assert client.ping()
    done = system.coins("producer", "remove", "gone")
    assert done.returncode == 0, done.stderr
    assert "has them already" in done.stderr
    with pytest.raises(redis.ConnectionError):
        client.ping()
    with pytest.raises(redis.AuthenticationError):
        lasting(system.url(gone)).ping()
    assert redis.Redis.from_url(system.url(system.shop)).ping()


def test_a_new_password_of_the_system_leaves_its_own_processes_connected(system: Listening) -> None:
    endpoints = json.loads((system.data / "endpoints.json").read_text(encoding="utf-8"))
    own = lasting(endpoints["redis_url"])
    assert own.ping()
    old = json.loads(system.coins("producer", "rotate", "coins", "--json").stdout)
    outside = lasting(system.url(old))
    assert outside.ping()
    assert system.coins("producer", "rotate", "coins", "--finish").returncode == 0
    assert own.ping()
    with pytest.raises(redis.ConnectionError):
        outside.ping()


def test_the_partitions_in_force_are_known_to_every_verb(system: Listening) -> None:
    assert system.shop["writes"] == ["coins:commands:0:shop"], (
        "it was made before the system was started with two"
    )
    assert json.loads(system.coins("config", "--json").stdout)
    with redis.Redis.from_url(system.url(system.shop)) as client:
        assert client.xadd("coins:commands:1:shop", {"event": "{}"})
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.xadd("coins:commands:2:shop", {"event": "{}"})
    assert system.coins("producer", "access").returncode == 0
    rules = (system.data / "users.acl").read_text(encoding="ascii")
    assert "%W~coins:commands:1:shop (" in rules


def test_who_is_not_let_in_is_told_so_and_not_to_try_again(system: Listening, tmp_path: Path) -> None:
    line = tmp_path / "one.ndjson"
    line.write_text('{"type":"coins.TopUp.v1","data":{"account":"acme","amount":1}}\n', encoding="utf-8")
    done = subprocess.run(
        [*COINS, "send", str(line)],
        env={
            **clean(),
            "COINS_PRODUCERS_FILE": str(system.data / "producers.toml"),
            "COINS_DATABASE_URL": "postgresql:///none",
            "COINS_REDIS_URL": f"redis://cli:wrong@127.0.0.1:{system.port}",
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1, done.stderr
    assert "does not let this user do that" in done.stderr


def test_health_says_how_many_producers_there_are_and_whether_their_file_can_be_used(
    system: Listening,
) -> None:
    def found() -> dict[str, Any]:
        done = system.coins("health", "--json")
        return next(check for check in json.loads(done.stdout)["checks"] if check["name"] == "producers")

    file = system.data / "producers.toml"
    assert found()["ok"]
    file.chmod(0o644)
    try:
        spoiled = found()
    finally:
        file.chmod(0o600)
    assert not spoiled["ok"]
    assert "chmod 600" in spoiled["detail"]


def test_a_message_that_is_far_too_long_is_not_even_taken_in(system: Listening) -> None:
    url = system.url(system.shop)
    with Publisher(url, producer="shop", secret=system.shop["secret"]) as publisher:
        publisher.send_raw([Message(b"x" * 1024 * 1024)])
    with redis.Redis.from_url(url) as client, pytest.raises(redis.RedisError):
        client.xadd("coins:commands:0:shop", {"event": b"x" * 3 * 1024 * 1024})


def test_no_password_is_shown_and_no_file_with_one_can_be_read_by_others(system: Listening) -> None:
    password = (system.data / "valkey.password").read_text(encoding="ascii").strip()
    said = system.said.read_text(encoding="utf-8")
    assert "not encrypted" in said
    assert "warning: there is no producers file" not in said
    shown = said + system.coins("config").stdout + system.coins("config", "--json").stdout
    assert password not in shown
    assert not any(password in log.read_text(errors="replace") for log in (system.data / "logs").iterdir())
    for name in ("valkey.password", "endpoints.json", "users.acl", "producers.toml"):
        assert (system.data / name).stat().st_mode & 0o077 == 0, name
    assert system.coins("health").returncode == 0


def test_it_needs_a_producers_file(tmp_path: Path) -> None:
    done = coins(tmp_path / "data", "up", "--listen", "127.0.0.1:7000")
    assert done.returncode == 2
    assert "coins producer new" in done.stderr


def test_a_producers_file_that_cannot_be_used_stops_it_at_the_start(tmp_path: Path) -> None:
    data = tmp_path / "data"
    enrolled(data, "shop", "--everything")
    (data / "producers.toml").chmod(0o644)
    done = coins(data, "up")
    assert done.returncode == 2
    assert "chmod 600" in done.stderr


@pytest.mark.parametrize(
    "text", ["6379", ":6379", "host:", "host:0", "host:65536", "host:x", "a b:1", "host:-1"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(SettingsInvalid, match="HOST:PORT"):
        address_of(text)


def test_addresses_are_read_and_shown_alike() -> None:
    assert [str(address_of(text)) for text in ("0.0.0.0:1", "[::1]:6379")] == ["0.0.0.0:1", "[::1]:6379"]


def test_a_url_is_shown_without_its_password() -> None:
    assert without_password("unix://coins:secret@/a/b.sock") == "unix://coins:********@/a/b.sock"
    assert without_password("unix:///a/b.sock") == "unix:///a/b.sock"
