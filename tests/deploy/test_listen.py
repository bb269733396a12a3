"""`coins up --listen`: the edge on TCP, for producers with users of their own and for nobody else."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis

from deploy.listening import address_of
from deploy.up import without_password
from messages import OutcomeReader, Publisher, TopUp, event
from messages.publisher import Message
from workers.errors import SettingsInvalid

COINS = (sys.executable, "-P", "-m", "console.cli.main")
WHOLE_SYSTEM_SECONDS = 60.0


@dataclass
class Listening:
    """A system that listens, and who was enrolled before it started."""

    data: Path
    port: int
    shop: dict[str, Any]
    said: Path

    def coins(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return coins(self.data, *arguments)

    def url(self, told: dict[str, Any]) -> str:
        return f"redis://{told['user']}:{told['password']}@127.0.0.1:{self.port}"


def clean() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("COINS_")}


def coins(data: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COINS, *arguments, "--data", str(data)], env=clean(), capture_output=True, text=True, timeout=60
    )


def enrolled(data: Path, name: str, *more: str) -> dict[str, Any]:
    done = coins(data, "producer", "new", name, "--json", *more)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, free_port: int) -> Iterator[Listening]:
    """The whole system, listening; `shop` may do everything for acme."""
    directory = tmp_path_factory.mktemp("listen")
    data, said = directory / "data", directory / "said.txt"
    shop = enrolled(data, "shop", "--under", "acme", "--itself")
    with said.open("wb") as output:
        up = subprocess.Popen(
            [*COINS, "up", "--data", str(data), "--listen", f"127.0.0.1:{free_port}"],
            env=clean(),
            stdin=subprocess.DEVNULL,
            stderr=output,
        )
    try:
        deadline = time.monotonic() + WHOLE_SYSTEM_SECONDS
        while "\nready " not in said.read_text(encoding="utf-8"):
            assert up.poll() is None, said.read_text(encoding="utf-8")
            assert time.monotonic() < deadline, said.read_text(encoding="utf-8")
            time.sleep(0.1)
        yield Listening(data, free_port, shop, said)
    finally:
        up.send_signal(signal.SIGTERM)
        up.wait(30)


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


def test_as_openssl_and_redis_cli_do_it(system: Listening) -> None:
    body = (
        '{"specversion":"1.0","id":"by-hand","source":"shop","type":"coins.TopUp.v1",'
        '"data":{"account":"acme","amount":1}}'
    )
    script = (
        'printf %s "$BODY" | openssl dgst -sha256 -hmac "$SECRET" -binary | base64 | '
        'xargs redis-cli -p "$PORT" --user shop XADD coins:commands:0:shop "*" event "$BODY" signature'
    )
    done = subprocess.run(
        ["sh", "-c", script],
        env={
            **clean(),
            "BODY": body,
            "SECRET": system.shop["secret"],
            "PORT": str(system.port),
            "REDISCLI_AUTH": system.shop["password"],
        },
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.returncode == 0, done.stderr
    deadline = time.monotonic() + 15
    while (found := system.coins("command", "shop", "by-hand", "--json")).returncode != 0:
        assert time.monotonic() < deadline, found.stderr
    assert json.loads(found.stdout)["producer"] == "shop"


def test_without_a_password_nobody_gets_in(system: Listening) -> None:
    with (
        redis.Redis.from_url(f"redis://127.0.0.1:{system.port}") as client,
        pytest.raises(redis.AuthenticationError),
    ):
        client.ping()


def test_a_producer_that_is_added_while_it_runs_needs_no_restart(system: Listening) -> None:
    late = enrolled(system.data, "late", "--under", "acme", "--itself")
    said = outcome_of(system.url(late), "late", late["secret"], "acme", "t1")
    assert said["data"]["command"]["source"] == "late"
    turned = system.coins("producer", "rotate", "late", "--json")
    new = json.loads(turned.stdout)
    for told in (late, new):
        assert redis.Redis.from_url(system.url(told)).ping()
    assert system.coins("producer", "rotate", "late", "--finish").returncode == 0
    with pytest.raises(redis.AuthenticationError):
        redis.Redis.from_url(system.url(late)).ping()


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
