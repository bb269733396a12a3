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
from urllib.parse import urlsplit

import pytest

from messages.errors import MessagesError
from messages.rabbitmq import close, connect

SERVER_URL = "amqp://guest:guest@127.0.0.1:5672"
_numbers = count(1)


def rabbitmqctl(*arguments: str) -> str:
    """What it says. Fails where it fails."""
    done = subprocess.run(
        ["rabbitmqctl", "-q", *arguments], capture_output=True, text=True, timeout=60, check=False
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


@contextmanager
def users_removed(*names: str) -> Iterator[None]:
    """Afterwards there are no such users of the server: they belong to no virtual host."""
    try:
        yield
    finally:
        for name in names:
            rabbitmqctl("eval", f'catch rabbit_auth_backend_internal:delete_user(<<"{name}">>, <<"test">>).')
