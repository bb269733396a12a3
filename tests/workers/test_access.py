"""The access rules on a real server: what a producer may do there, and that it is all that it may do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from deploy.listening import Address, ListeningValkey
from ledger.trust import Producer, Producers
from messages import OutcomeReader, Publisher, TopUp, event
from messages.errors import EdgeUnavailable
from messages.publisher import connect
from workers.access import login_of, rules_text
from workers.errors import SettingsInvalid

PASSWORD, OLD_PASSWORD, OTHERS_PASSWORD = "shop's new one", "shop's old one", "somebody else's"
SECRET = "a secret of sixteen bytes or more"
PRODUCERS = Producers(
    {
        "coins": Producer("coins", (SECRET,)),
        "shop": Producer("shop", (SECRET,), (), (login_of(PASSWORD), login_of(OLD_PASSWORD))),
        "shop-2": Producer("shop-2", (SECRET,), (), (login_of(OTHERS_PASSWORD),)),
        "quiet": Producer("quiet", (SECRET,)),
    }
)
OWN, OUTCOMES = "coins:commands:0:shop", "coins:events:shop"


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory, free_port: int) -> Iterator[ListeningValkey]:
    made = ListeningValkey(
        tmp_path_factory.mktemp("valkey"), Address("127.0.0.1", free_port), PRODUCERS, durable=False
    )
    made.prepare_access()
    made.start()
    yield made
    made.stop()


@pytest.fixture
def system(valkey: ListeningValkey) -> Iterator[redis.Redis]:
    """The system itself."""
    client = connect(valkey.url)
    client.flushall()
    yield client
    client.close()


def url(valkey: ListeningValkey, user: str = "shop", password: str = PASSWORD) -> str:
    return f"redis://{user}:{password.replace(' ', '%20')}@{valkey.address}"


@pytest.fixture
def shop(valkey: ListeningValkey, system: redis.Redis) -> Iterator[redis.Redis]:
    """The producer, as any client of the server."""
    client = redis.Redis.from_url(url(valkey), socket_timeout=5)
    yield client
    client.close()


def test_a_producer_adds_to_its_own_streams_in_every_partition(
    shop: redis.Redis, system: redis.Redis
) -> None:
    for partition in (0, 7, 31, 999, 1023):
        shop.xadd(f"coins:commands:{partition}:shop", {"event": "{}", "signature": "x"})
    assert system.xlen("coins:commands:1023:shop") == 1


def test_a_producer_reads_its_own_outcomes(shop: redis.Redis, system: redis.Redis) -> None:
    place: Any = system.xadd(OUTCOMES, {"event": "{}", "type": "t"})
    assert shop.xread({OUTCOMES: "0"}, block=100)
    assert shop.xrange(OUTCOMES)[0][0] == place  # type: ignore[index]
    assert shop.xrevrange(OUTCOMES, count=1)
    assert shop.xlen(OUTCOMES) == 1
    assert shop.ping()


def test_the_python_client_needs_nothing_more(valkey: ListeningValkey, system: redis.Redis) -> None:
    outcomes = OutcomeReader(url(valkey), "shop")
    with Publisher(url(valkey), producer="shop", secret=SECRET) as publisher:
        publisher.send(event(TopUp(account="acme", amount=1), source="shop"))
        publisher.send_batch(event(TopUp(account="acme", amount=1), source="shop") for _ in range(3))
    assert system.xlen(OWN) == 2
    assert all(b"signature" in fields for _, fields in system.xrange(OWN))  # type: ignore[union-attr]
    system.xadd(OUTCOMES, {"event": "told", "type": "t"})
    assert list(outcomes.read(within_seconds=0.3)) == [b"told"]
    outcomes.close()


FORBIDDEN: list[tuple[Any, ...]] = [
    # its own commands: not to be read, cut or removed
    ("XREAD", "STREAMS", OWN, "0"),
    ("XRANGE", OWN, "-", "+"),
    ("XREVRANGE", OWN, "+", "-"),
    ("XLEN", OWN),
    ("XTRIM", OWN, "MAXLEN", "0"),
    ("XDEL", OWN, "1-1"),
    ("DEL", OWN),
    ("UNLINK", OWN),
    ("XSETID", OWN, "9-9"),
    ("XGROUP", "CREATE", OWN, "g", "0"),
    ("XINFO", "STREAM", OWN),
    ("EXPIRE", OWN, "1"),
    ("RENAME", OWN, "coins:commands:0:shop-2"),
    ("COPY", OWN, "coins:commands:0:shop-2"),
    ("SET", OWN, "x"),
    # its own outcomes: not to be written
    ("XADD", OUTCOMES, "*", "event", "{}"),
    ("DEL", OUTCOMES),
    ("XTRIM", OUTCOMES, "MAXLEN", "0"),
    # what is somebody else's
    ("XADD", "coins:commands:0:shop-2", "*", "event", "{}"),
    ("XADD", "coins:commands:0:coins", "*", "event", "{}"),
    ("XADD", "coins:commands:0", "*", "event", "{}"),
    ("XADD", "coins:commands:0:x:shop", "*", "event", "{}"),
    ("XADD", "coins:commands:x:shop", "*", "event", "{}"),
    ("XADD", "coins:commands:00000:shop", "*", "event", "{}"),
    ("XADD", "coins:commands:00:shop", "*", "event", "{}"),
    ("XADD", "coins:commands:2000:shop", "*", "event", "{}"),
    ("XADD", "coins:commands::shop", "*", "event", "{}"),
    ("XADD", "anything", "*", "event", "{}"),
    ("XREAD", "STREAMS", "coins:events:shop-2", "0"),
    ("XREAD", "STREAMS", "coins:events", "0"),
    ("XREAD", "STREAMS", OUTCOMES, "coins:events:shop-2", "0", "0"),
    ("XRANGE", "coins:commands:0:shop-2", "-", "+"),
    ("GET", "coins:relay:epoch"),
    ("SET", "coins:relay:epoch", "999"),
    ("LPUSH", "coins:jobs:jobs", "x"),
    # the server
    ("KEYS", "*"),
    ("SCAN", "0"),
    ("RANDOMKEY",),
    ("DBSIZE",),
    ("EVAL", "return 1", "0"),
    ("EVALSHA", "0" * 40, "0"),
    ("SCRIPT", "LOAD", "return 1"),
    ("FUNCTION", "LIST"),
    ("FLUSHALL",),
    ("CONFIG", "GET", "*"),
    ("ACL", "LIST"),
    ("ACL", "LOAD"),
    ("CLIENT", "LIST"),
    ("CLIENT", "KILL", "ID", "1"),
    ("MONITOR",),
    ("SUBSCRIBE", "x"),
    ("PUBLISH", "x", "y"),
    ("INFO",),
    ("SHUTDOWN", "NOSAVE"),
    ("REPLICAOF", "127.0.0.1", "1"),
    ("MEMORY", "USAGE", OWN),
    ("SELECT", "1"),
    ("SWAPDB", "0", "1"),
    ("SAVE",),
    ("MULTI",),
]


@pytest.mark.parametrize("command", FORBIDDEN, ids=lambda command: " ".join(map(str, command))[:40])
def test_everything_else_is_refused_by_the_server(
    shop: redis.Redis, system: redis.Redis, command: tuple[Any, ...]
) -> None:
    for name in ("shop", "shop-2"):
        system.xadd(f"coins:commands:0:{name}", {"event": "{}"}, id="1-1")
        system.xadd(f"coins:events:{name}", {"event": "{}"}, id="1-1")
    with pytest.raises(redis.exceptions.NoPermissionError):
        shop.execute_command(*command)  # type: ignore[no-untyped-call]
    assert system.dbsize() == 4


def test_while_a_password_is_changed_both_are_valid(valkey: ListeningValkey, system: redis.Redis) -> None:
    for password in (PASSWORD, OLD_PASSWORD):
        with redis.Redis.from_url(url(valkey, password=password)) as client:
            assert client.ping()


@pytest.mark.parametrize(
    ("user", "password"),
    [
        ("shop", "wrong"),
        ("shop", OTHERS_PASSWORD),
        ("nobody", PASSWORD),
        ("quiet", PASSWORD),
        ("default", "x"),
    ],
)
def test_nobody_else_comes_in(valkey: ListeningValkey, user: str, password: str) -> None:
    with pytest.raises(EdgeUnavailable):
        OutcomeReader(url(valkey, user, password), user)


def test_without_a_name_there_is_no_way_in(valkey: ListeningValkey) -> None:
    socket_path = valkey.url.partition("@")[2]
    for address in (f"redis://{valkey.address}", f"unix://{socket_path}"):
        with redis.Redis.from_url(address) as client, pytest.raises(redis.AuthenticationError):
            client.ping()


def test_the_system_does_not_lock_itself_out() -> None:
    with pytest.raises(SettingsInvalid, match="coins producer rotate coins"):
        rules_text(PRODUCERS)
    with pytest.raises(SettingsInvalid, match="coins producer new coins"):
        rules_text(Producers({}))


def test_the_rules_hold_no_password(valkey: ListeningValkey) -> None:
    text = valkey.access_file.read_text(encoding="ascii")
    assert PASSWORD not in text
    assert login_of(PASSWORD) in text
    assert valkey.access_file.stat().st_mode & 0o077 == 0
    assert Path(valkey.data_dir / "valkey.password").stat().st_mode & 0o077 == 0
