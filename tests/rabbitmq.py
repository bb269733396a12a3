"""A virtual host of RabbitMQ for a test's own, on the machine's server; removed with everything in it.

COINS_TEST_AMQP_URL names a server (default: guest on 127.0.0.1). The virtual hosts are made with rabbitmqctl, so tests that
need them run where both are there, and say so where they are not.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import count
from struct import pack
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

from messages.errors import MessagesError
from messages.rabbitmq import close, connect

SERVER_URL = "amqp://guest:guest@127.0.0.1:5672"
_numbers = count(1)


def rabbitmqctl(*arguments: str, given: str = "") -> str:
    """What it says. Fails where it fails."""
    done = subprocess.run(
        ["rabbitmqctl", "-q", *arguments],
        input=given,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, f"rabbitmqctl {arguments[0]}: {done.stderr}{done.stdout}"
    return done.stdout


@cache
def missing() -> str | None:
    """Why there is no RabbitMQ for tests, if so."""
    if shutil.which("rabbitmqctl") is None:
        return "no RabbitMQ for tests: rabbitmqctl is not here, which makes their virtual hosts"
    try:
        close(connect(server_url()))
        rabbitmqctl("list_vhosts")
    except (MessagesError, AssertionError) as error:
        return f"no RabbitMQ for tests at COINS_TEST_AMQP_URL or {SERVER_URL}: {error}"
    return None


def server_url() -> str:
    return (os.environ.get("COINS_TEST_AMQP_URL") or SERVER_URL).rstrip("/")


def demand_rabbitmq() -> None:
    """Skip the test where there is none; fail it where there has to be one."""
    why = missing()
    if why is None:
        return
    if os.environ.get("COINS_TEST_REQUIRE_SERVICES") == "1":
        pytest.fail(f"{why} (COINS_TEST_REQUIRE_SERVICES=1 demands it)", pytrace=False)
    pytest.skip(why)


@contextmanager
def virtual_host() -> Iterator[str]:
    """The URL of a virtual host with nothing in it."""
    demand_rabbitmq()
    name = f"coins_test_{os.getpid()}_{next(_numbers)}"
    user = urlsplit(server_url()).username or "guest"
    grant = f'<<"{user}">>, <<"{name}">>, <<".*">>, <<".*">>, <<".*">>, <<"test">>'
    # In one call: each of them starts a machine of Erlang's.
    rabbitmqctl(
        "eval",
        f'rabbit_vhost:add(<<"{name}">>, <<"test">>), rabbit_auth_backend_internal:set_permissions({grant}).',
    )
    try:
        yield f"{server_url()}/{name}"
    finally:
        rabbitmqctl("delete_vhost", name)


def empty(url: str) -> None:
    """Remove every queue of a virtual host, with what stands in it."""
    name = urlsplit(url).path[1:]
    rabbitmqctl(
        "eval",
        f'[rabbit_amqqueue:delete(Q, false, false, <<"test">>) || Q <- rabbit_amqqueue:list(<<"{name}">>)].',
    )


class Stands(NamedTuple):
    """What a queue says of itself: how many messages wait in it, and for how many consumers."""

    messages: int
    consumers: int


def looked_at(url: str, *queues: str) -> dict[str, Stands]:
    """Of each queue as it is now: what rabbitmqctl says of a quorum queue may be some seconds old."""
    connection = connect(url)
    try:
        channel = connection.default_channel
        found = {queue: channel.queue_declare(queue, passive=True) for queue in queues}
        return {name: Stands(one.message_count, one.consumer_count) for name, one in found.items()}
    finally:
        close(connection)


@contextmanager
def users_removed(*names: str) -> Iterator[None]:
    """Afterwards there are no such users of the server: they belong to no virtual host."""
    try:
        yield
    finally:
        for name in names:
            rabbitmqctl("eval", f'catch rabbit_auth_backend_internal:delete_user(<<"{name}">>, <<"test">>).')


def server_address() -> tuple[str, int]:
    """Host and port of the server, for what stands in front of it."""
    parts = urlsplit(server_url())
    return parts.hostname or "127.0.0.1", parts.port or 5672


def through(url: str, port: int) -> str:
    """The same virtual host by another port of this machine."""
    parts = urlsplit(url)
    login = parts.netloc.rpartition("@")[0]
    return parts._replace(netloc=f"{login}@127.0.0.1:{port}").geturl()


def make_user(name: str, host: str, *, configure: str, write: str, read: str) -> str:
    """A user of the server who may do that in a virtual host; the URL by which it logs in. See `users_removed`."""
    user, vhost = f'<<"{name}">>', f'<<"{urlsplit(host).path[1:]}">>'
    may = ", ".join(f'<<"{one}">>' for one in (configure, write, read))
    rabbitmqctl(
        "eval",
        f'rabbit_auth_backend_internal:add_user({user}, <<"{name}">>, <<"test">>), '
        f'rabbit_auth_backend_internal:set_permissions({user}, {vhost}, {may}, <<"test">>).',
    )
    parts = urlsplit(host)
    return parts._replace(netloc=f"{name}:{name}@{parts.netloc.rpartition('@')[2]}").geturl()


def publish_raw(url: str, exchange: str, key: bytes, properties: bytes, body: bytes) -> None:
    """A message as another client might put it: its properties (flags and what they announce) byte by byte."""
    connection = connect(url)
    channel = connection.channel()
    channel.confirm_select()
    confirmed: list[int] = []
    channel.events["basic_ack"].add(lambda tag, multiple: confirmed.append(tag))
    number = channel.channel_id
    method = pack(">HHHB", 60, 40, 0, len(exchange)) + exchange.encode() + pack(">B", len(key)) + key + b"\0"
    header = pack(">HHQ", 60, 0, len(body)) + properties
    frames = [(1, method), (2, header)] + ([(3, body)] if body else [])
    write = connection.connection.transport.write
    for kind, payload in frames:
        write(pack(">BHI", kind, number, len(payload)) + payload + b"\xce")
    while not confirmed:
        connection.drain_events(timeout=5)
    close(connection)
