"""A database restored from a backup, with RabbitMQ at the edge: what came after it is read again from the kept copy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploy.embedded import EmbeddedServers
from messages.rabbitmq import close, connect
from messages.streams import commands_queue
from tests.chaos.reckoning import demand_sound_books
from tests.chaos.test_traffic_that_collides import credits, event, send
from tests.rabbitmq import virtual_host
from tests.system.listening import Listener
from tests.system.site import RELAY, WORKER, Site, administer, site_on, until

pytestmark = [pytest.mark.system, pytest.mark.rabbitmq]
BEFORE, AFTER, UNREAD = 5, 300, 3
KEEP = 3_600


@pytest.fixture
def site(durable_servers: EmbeddedServers, tmp_path: Path) -> Iterator[Site]:
    with ExitStack() as stack:
        url = stack.enter_context(virtual_host())
        made = stack.enter_context(
            site_on(durable_servers, tmp_path / "site", partitions=1, rabbitmq_url=url)
        )
        assert made.coins("migrate", COMMANDS_KEEP=KEEP).returncode == 0
        yield made


@pytest.fixture
def restored(site: Site) -> Iterator[Site]:
    """The database as it was at a moment, after which many commands came, and some that nobody has read."""
    opening = event(
        "till", "open", "OpenAccount", account="till", parent="platform", kind="enterprise", name="T"
    )
    with Listener(site.edge_url, ["till"]) as listener:
        programs = [site.start(*WORKER), site.start(*RELAY)]
        send(site, "till", 0, opening, *top_ups(0, BEFORE))
        until(lambda: listener.count("till") == 1 + BEFORE, 15, site.logs)
        programs[0].leave()
        administer_copy(site)
        programs.append(site.start(*WORKER))
        send(site, "till", 0, *top_ups(BEFORE, AFTER))
        until(lambda: listener.count("till") == 1 + BEFORE + AFTER, 30, site.logs)
        for program in programs:
            if program.process.poll() is None:
                program.leave()
        send(site, "till", 0, *top_ups(BEFORE + AFTER, UNREAD), b"no message")
    name = f"{site.database}_restored"
    backup = replace(
        site, database=name, database_url=site.database_url.replace(site.database, name), programs=[]
    )
    yield backup
    backup.end()
    administer(site.servers, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def top_ups(first: int, number: int) -> list[dict[str, object]]:
    return [event("till", one, "TopUp", account="till", amount=1) for one in range(first, first + number)]


def administer_copy(site: Site) -> None:
    """The worker has left; the relay's sessions would be in the way of a copy."""
    relay = site.relaying()
    assert relay is not None
    relay.leave()
    administer(site.servers, f"CREATE DATABASE {site.database}_restored TEMPLATE {site.database}")
    site.start(*RELAY)


def test_what_came_after_the_backup_is_applied_once_and_in_order(restored: Site) -> None:
    backup = restored
    assert credits(backup) == {"till": BEFORE}
    everything = BEFORE + AFTER + UNREAD

    first = restored_of(backup)
    # What had been told is as it was told; what nobody had read is decided, too.
    assert first["differences"] == []
    assert (first["told"], first["untold"]) == (AFTER, UNREAD)
    assert first["as_told"] == first["batches"]
    assert credits(backup) == {"till": everything}
    assert top_ups_in_order(backup) == list(range(everything))

    again = restored_of(backup)
    assert (again["told"], again["untold"], again["differences"]) == (0, 0, [])
    # What was no message is known by no key: it is not gone through again.
    assert backup.rows("SELECT count FROM dead_letter") == [(1,)]
    backup.start_all(WORKER, RELAY)
    until(lambda: queue_is_empty(backup), 15, backup.logs)
    assert credits(backup) == {"till": everything}
    demand_sound_books(backup)


def restored_of(site: Site) -> dict[str, Any]:
    done = site.coins("restored", "--json", COMMANDS_KEEP=KEEP)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def top_ups_in_order(site: Site) -> list[int]:
    rows = site.rows("SELECT command_id FROM transaction WHERE type = 'recharge' ORDER BY id")
    return [int(id_) for (id_,) in rows]


def queue_is_empty(site: Site) -> bool:
    connection = connect(site.edge_url)
    try:
        return bool(connection.channel().queue_declare(commands_queue(0), passive=True).message_count == 0)
    finally:
        close(connection)


def test_without_a_kept_copy_it_says_what_is_gone(restored: Site) -> None:
    connection = connect(restored.edge_url)
    connection.channel().queue_delete("coins.commands.kept")
    close(connection)
    done = restored.coins("restored", "--json")
    assert done.returncode == 5
    told = json.loads(done.stdout)
    assert len(told["differences"]) == told["told"] == AFTER
    assert {one["now"] for one in told["differences"]} == {None}
    assert credits(restored) == {"till": BEFORE}
