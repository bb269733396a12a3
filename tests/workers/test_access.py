"""The access rules on a real server: what a producer may do there, and that it is all that it may do."""

from __future__ import annotations

import fnmatch
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from deploy.errors import ServerNotStarted
from deploy.listening import PASSWORD_FILE, Address, ListeningValkey
from ledger.trust import Producer, Producers
from messages import OutcomeReader, Publisher, TopUp, event
from messages.errors import EdgeRefused
from messages.publisher import Message, connect
from messages.streams import MAX_PARTITIONS, read_commands_stream
from workers.access import login_of, rules_text, write_private, written_keys
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
        tmp_path_factory.mktemp("valkey"),
        Address("127.0.0.1", free_port),
        PRODUCERS,
        partitions=MAX_PARTITIONS,
        durable=False,
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
    ("XADD", "coins:commands:1024:shop", "*", "event", "{}"),
    ("XADD", "coins:commands:1999:shop", "*", "event", "{}"),
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
    with pytest.raises(EdgeRefused, match="look at the user and the password"):
        OutcomeReader(url(valkey, user, password), user)
    with (
        Publisher(url(valkey, user, password), producer=user) as publisher,
        pytest.raises(EdgeRefused, match="look at the user and the password"),
    ):
        publisher.send_raw([Message(b"{}")])


def test_what_a_producer_may_not_write_or_read_is_told_as_refused(valkey: ListeningValkey) -> None:
    with Publisher(url(valkey), producer="shop-2") as publisher, pytest.raises(EdgeRefused):
        publisher.send_raw([Message(b"{}")])
    with pytest.raises(EdgeRefused, match="coins producer list"):
        OutcomeReader(url(valkey), "shop-2")


def test_without_a_name_there_is_no_way_in(valkey: ListeningValkey) -> None:
    socket_path = valkey.url.partition("@")[2]
    for address in (f"redis://{valkey.address}", f"unix://{socket_path}"):
        with redis.Redis.from_url(address) as client, pytest.raises(redis.AuthenticationError):
            client.ping()


def test_the_system_does_not_lock_itself_out() -> None:
    with pytest.raises(SettingsInvalid, match="coins producer rotate coins"):
        rules_text(PRODUCERS, partitions=1)
    with pytest.raises(SettingsInvalid, match="coins producer new coins"):
        rules_text(Producers({}), partitions=1)


def test_the_rules_hold_no_password(valkey: ListeningValkey) -> None:
    text = valkey.access_file.read_text(encoding="ascii")
    assert PASSWORD not in text
    assert login_of(PASSWORD) in text
    assert valkey.access_file.stat().st_mode & 0o077 == 0
    assert Path(valkey.data_dir / "valkey.password").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("partitions", [1, 3, 64, 65, MAX_PARTITIONS])
def test_what_may_be_written_is_what_is_read(partitions: int) -> None:
    patterns = written_keys("shop", partitions)
    for number in range(2_001):
        stream = f"coins:commands:{number}:shop"
        granted = any(fnmatch.fnmatchcase(stream, pattern) for pattern in patterns)
        read = read_commands_stream(stream) is not None
        assert granted == (read and (number < partitions or partitions > 64)), stream


def test_where_partitions_are_few_no_other_is_granted() -> None:
    text = rules_text(PRODUCERS, partitions=2, system_logins=["0" * 64])
    assert " %W~coins:commands:0:shop %W~coins:commands:1:shop (" in text
    assert "coins:commands:2" not in text


def test_the_systems_own_pipelines_are_longer_than_what_one_command_may_be(
    valkey: ListeningValkey, system: redis.Redis
) -> None:
    with Publisher(valkey.url, producer="shop", timeout_seconds=30) as publisher:
        publisher.send_raw([Message(b"x" * 1024 * 1024)] * 64)
    assert system.xlen(OWN) == 64
    assert len(system.xrange(OWN)) == 64  # type: ignore[arg-type]


def test_a_command_that_never_ends_does_not_fill_the_memory(
    valkey: ListeningValkey, system: redis.Redis
) -> None:
    argument = b"$1048576\r\n" + b"x" * 1024 * 1024 + b"\r\n"
    with socket.create_connection(valkey.address, timeout=20) as raw:
        raw.sendall(f'AUTH shop "{PASSWORD}"\r\n'.encode())
        assert raw.recv(100) == b"+OK\r\n"
        raw.sendall(b"*2000\r\n$4\r\nXADD\r\n")
        with pytest.raises(OSError, match=r"reset|Broken pipe"):
            raw.sendall(argument * 1_000)
    assert system.ping(), "the system is still let in"
    memory: Any = system.info("memory")
    assert memory["used_memory_peak"] < 900 * 1024 * 1024


@pytest.mark.parametrize("text", ["", "\n", "fifteen-bytes..\n"])
def test_a_password_that_is_none_is_not_taken(tmp_path: Path, text: str) -> None:
    (tmp_path / PASSWORD_FILE).write_text(text, encoding="ascii")
    made = ListeningValkey(tmp_path, Address("127.0.0.1", 1), PRODUCERS)
    with pytest.raises(ServerNotStarted, match="Remove it, and a new one is made"):
        made.prepare_access()
    assert not made.access_file.exists()


def test_of_a_symbolic_link_the_file_behind_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link, target = tmp_path / "users.acl", tmp_path / "real" / "users.acl"
    link.symlink_to(target)
    for text in ("one", "another"):
        write_private(link, text)
        assert link.is_symlink()
        assert target.read_text(encoding="ascii") == text
    assert [one.name for one in target.parent.iterdir()] == ["users.acl"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root writes what belongs to others")
def test_what_root_writes_stays_with_its_owner(tmp_path: Path) -> None:
    file = tmp_path / "users.acl"
    write_private(file, "one")
    os.chown(file, 12_345, 23_456)
    write_private(file, "another")
    assert (file.stat().st_uid, file.stat().st_gid, file.stat().st_mode & 0o777) == (12_345, 23_456, 0o600)
