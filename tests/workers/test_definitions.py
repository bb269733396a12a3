"""RabbitMQ's definitions as an administrator imports them: what is there then, and what each user may do and may not."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
from amqp.exceptions import AccessRefused

from deploy.embedded import EmbeddedServers
from messages.errors import EdgeRefused
from messages.outcomes import OutcomeReader
from messages.publisher import Message, Publisher
from messages.rabbitmq import Confirms, close, connect
from messages.streams import COMMANDS_EXCHANGE, EVENTS_EXCHANGE, commands_queue, outcomes_queue
from tests.console.running import Coins, coins_with, document
from tests.rabbitmq import make_user, rabbitmqctl, users_removed, virtual_host
from tests.system.site import Site, site_on
from workers.topology import (
    Queue,
    Topology,
    commands_arguments,
    declare,
    declare_queue,
    is_there,
    objections,
    topology,
    version_of,
)

pytestmark = pytest.mark.rabbitmq
PARTITIONS = 2
# Users belong to the whole server: these are removed again, and the system's own take other names here.
SHOP, BANK, SYSTEM, CLI = (f"coins_test_{os.getpid()}_{name}" for name in ("shop", "bank", "coins", "cli"))
RENAMED = {"coins": SYSTEM, "cli": CLI}


class Place(NamedTuple):
    """A virtual host into which the definitions of two producers were imported. logins: user and password by producer."""

    url: str
    coins: Coins
    directory: Path
    logins: dict[str, tuple[str, str]]

    def as_user(self, user: str, password: str) -> str:
        parts = urlsplit(self.url)
        return parts._replace(netloc=f"{user}:{password}@{parts.netloc.rpartition('@')[2]}").geturl()

    def url_of(self, producer: str) -> str:
        return self.as_user(*self.logins[producer])

    def bring_in(self) -> None:
        """What the last call of `coins producer` has written."""
        definitions = json.loads((self.directory / "rabbitmq.json").read_text(encoding="utf-8"))
        for one in definitions["users"]:
            one["name"] = RENAMED.get(one["name"], one["name"])
        for one in [*definitions["permissions"], *definitions["topic_permissions"]]:
            one["user"] = RENAMED.get(one["user"], one["user"])
        bring_in(json.dumps(definitions))


def bring_in(definitions: str) -> None:
    """As the text says that `coins producer` prints: rabbitmqctl runs as another user, who cannot read the file."""
    rabbitmqctl("import_definitions", given=definitions)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    directory = tmp_path_factory.mktemp("definitions")
    with virtual_host() as url, users_removed(SHOP, f"{SHOP}.2", BANK, SYSTEM, CLI):
        coins = coins_with(
            {
                "COINS_DATA_DIR": str(directory),
                "COINS_EDGE_URL": url,
                "COINS_PARTITIONS": str(PARTITIONS),
                "PATH": "/usr/bin:/bin",
            }
        )
        told = [document(coins("producer", "new", name, "--everything", "--json")) for name in (SHOP, BANK)]
        logins = {one["producer"]: (one["user"], one["password"]) for one in told}
        logins["coins"] = (SYSTEM, told[0]["system"]["password"])
        made = Place(url, coins, directory, logins)
        made.bring_in()
        yield made


@pytest.fixture
def open_as(place: Place) -> Iterator[Callable[[str], Any]]:
    made: list[Any] = []

    def opened(producer: str) -> Any:
        made.append(connect(place.url_of(producer)))
        return made[-1]

    yield opened
    for one in made:
        close(one)


def test_a_producer_is_told_what_it_needs_at_rabbitmq(place: Place) -> None:
    (shop,) = [
        one for one in document(place.coins("producer", "list", "--json"))["rows"] if one["producer"] == SHOP
    ]
    assert shop["exchange"] == COMMANDS_EXCHANGE
    assert shop["writes"] == [f"{SHOP}.0", f"{SHOP}.1"]
    assert shop["reads"] == outcomes_queue(SHOP)


def test_they_are_all_that_migrate_declares_and_nothing_else(place: Place) -> None:
    """Imported here, declared there: the server says the same of both."""
    exported: dict[str, list[set[str]]] = {}
    with virtual_host() as other:
        connection = connect(other)
        made = topology(
            PARTITIONS, by_name(SHOP, BANK), events_keep=1_000_000, version=version_of(connection)
        )
        declare(connection, made)
        close(connection)
        everything = json.loads(rabbitmqctl("export_definitions", "-", "--format", "json"))
        for url in (place.url, other):
            vhost = urlsplit(url).path[1:]
            exported[url] = [of_host(everything[kind], vhost) for kind in ("exchanges", "queues", "bindings")]
    assert exported[place.url] == exported[other]
    assert all(exported[other])


def by_name(*names: str) -> Any:
    from ledger.trust import Producer, Producers

    system = {name: Producer(name, ()) for name in ("coins", "cli")}
    return Producers(system | {name: Producer(name, ()) for name in names})


def of_host(things: list[dict[str, Any]], vhost: str) -> set[str]:
    return {
        json.dumps(
            {key: value for key, value in one.items() if key not in ("vhost", "policy")}, sort_keys=True
        )
        for one in things
        if one["vhost"] == vhost
    }


# What a producer may do


def test_a_producer_sends_commands_by_its_own_keys_and_reads_its_own_outcomes(place: Place) -> None:
    reader = OutcomeReader(place.url_of(SHOP), SHOP)
    with Publisher(place.url_of(SHOP), producer=SHOP, partitions=PARTITIONS) as publisher:
        publisher.send_raw([Message(b"{}", partition) for partition in range(PARTITIONS)])
    system = connect(place.url_of("coins"))
    confirms = Confirms(system)
    for producer, told in ((SHOP, b"done"), (BANK, b"not for you")):
        key = f"outcome.{producer}.applied.TopUp"
        confirms.publish(confirms.envelope(EVENTS_EXCHANGE, key, mandatory=True), told)
    confirms.wait(5)
    assert list(reader.read(within_seconds=0.5)) == [b"done"]
    reader.close()
    purged = [system.default_channel.queue_purge(commands_queue(one, SHOP)) for one in range(PARTITIONS)]
    assert purged == [1, 1]
    close(system)


def publishes(exchange: str, key: str, **headers: Any) -> Callable[[Any], None]:
    def act(connection: Any) -> None:
        confirms = Confirms(connection)
        confirms.publish(confirms.envelope(exchange, key, mandatory=True, headers=headers), b"{}")
        confirms.wait(5)

    return act


def consumes(queue: str, **arguments: Any) -> Callable[[Any], None]:
    def act(connection: Any) -> None:
        channel = connection.channel()
        channel.basic_qos(0, 1, False)
        channel.basic_consume(queue, callback=print, arguments=arguments)

    return act


def on_channel(method: str, *given: Any, **more: Any) -> Callable[[Any], None]:
    def act(connection: Any) -> None:
        getattr(connection.channel(), method)(*given, **more)

    return act


FORBIDDEN = {
    "send as another": publishes(COMMANDS_EXCHANGE, f"{BANK}.0"),
    "send as the scheduler": publishes(COMMANDS_EXCHANGE, "coins.0"),
    "send as nobody": publishes(COMMANDS_EXCHANGE, ".0"),
    "send to a partition that is none": publishes(COMMANDS_EXCHANGE, f"{SHOP}.2"),
    "send with words behind its key": publishes(COMMANDS_EXCHANGE, f"{SHOP}.0.{BANK}"),
    "send as one whose name ends like its own": publishes(COMMANDS_EXCHANGE, f"x{SHOP}.0"),
    "put into a queue past the exchange": publishes("", commands_queue(0, BANK)),
    "send to an exchange behind the first": publishes(f"{COMMANDS_EXCHANGE}.route", f"{SHOP}.0"),
    "tell an outcome": publishes(EVENTS_EXCHANGE, f"outcome.{BANK}.applied.TopUp"),
    "read another's outcomes": consumes(outcomes_queue(BANK), **{"x-stream-offset": "first"}),
    "read everybody's events": consumes(EVENTS_EXCHANGE, **{"x-stream-offset": "first"}),
    "read commands": consumes(commands_queue(0, BANK)),
    "read its own commands back": consumes(commands_queue(0, SHOP)),
    "take a command": on_channel("basic_get", commands_queue(0)),
    "purge commands": on_channel("queue_purge", commands_queue(0, BANK)),
    "delete a queue": on_channel("queue_delete", commands_queue(0, BANK)),
    "delete its own stream": on_channel("queue_delete", outcomes_queue(SHOP)),
    "delete an exchange": on_channel("exchange_delete", COMMANDS_EXCHANGE),
    "declare a queue": on_channel("queue_declare", "mine"),
    "declare the relay's lock": on_channel("queue_declare", "coins.relay", exclusive=True),
    "declare an exchange that passes on": on_channel(
        "exchange_declare", "mine", "fanout", arguments={"alternate-exchange": f"{COMMANDS_EXCHANGE}.route"}
    ),
    "bind its stream to others' outcomes": on_channel(
        "queue_bind", outcomes_queue(SHOP), EVENTS_EXCHANGE, "#"
    ),
    "take a binding away": on_channel(
        "queue_unbind", commands_queue(0, BANK), f"{COMMANDS_EXCHANGE}.route", f"{BANK}.0"
    ),
}


@pytest.mark.parametrize("act", FORBIDDEN.values(), ids=FORBIDDEN)
def test_a_producer_may_not(open_as: Callable[[str], Any], act: Callable[[Any], None]) -> None:
    with pytest.raises(AccessRefused):
        act(open_as(SHOP))


def test_the_systems_own_user_may_do_all_that_the_system_does(
    place: Place, open_as: Callable[[str], Any]
) -> None:
    connection = open_as("coins")
    declare(
        connection,
        topology(PARTITIONS + 1, by_name("late"), events_keep=1_000, version=version_of(connection)),
    )
    assert is_there(connection, commands_queue(PARTITIONS, "late"))
    on_channel("queue_declare", "coins.relay", exclusive=True)(connection)
    publishes(COMMANDS_EXCHANGE, "coins.0")(connection)
    with pytest.raises(AccessRefused):
        on_channel("queue_declare", "of somebody else")(connection)


# Rotation


def logs_in(place: Place, user: str, password: str) -> bool:
    try:
        close(connect(place.as_user(user, password)))
    except EdgeRefused:
        return False
    return True


def test_a_password_is_changed_while_the_old_one_is_in_use(place: Place) -> None:
    old = place.logins[BANK]
    with users_removed(f"{BANK}.2"):
        told = document(place.coins("producer", "rotate", BANK, "--json"))
        new = (told["user"], told["password"])
        assert new[0] != old[0]
        place.bring_in()
        assert logs_in(place, *old)
        assert logs_in(place, *new)
        finished = place.coins("producer", "rotate", BANK, "--finish")
        assert finished.returncode == 0
        assert f"rabbitmqctl delete_user {old[0]}; " in finished.stderr
        place.bring_in()
        rabbitmqctl("delete_user", old[0])
        assert not logs_in(place, *old)
        assert logs_in(place, *new)
        with Publisher(place.as_user(*new), producer=BANK) as publisher:
            publisher.send_raw([Message(b"{}")])
        removed = place.coins("producer", "remove", BANK)
        for user in (BANK, f"{BANK}.2"):
            assert (
                f"rabbitmqctl delete_user {user}; rabbitmqctl close_all_user_connections {user}"
                in removed.stderr
            )
        document(place.coins("producer", "new", BANK, "--everything", "--json"))


def test_definitions_that_cannot_be_written_are_no_success(place: Place, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = place.coins("producer", "access", "--acl", str(tmp_path / "file" / "rabbitmq.json"))
    assert done.returncode == 1
    assert "definitions are not written" in done.stderr


# coins migrate


@pytest.fixture
def site(light_servers: EmbeddedServers, tmp_path: Path) -> Iterator[Site]:
    with site_on(light_servers, tmp_path / "site", partitions=PARTITIONS) as made:
        yield made


def test_migrate_declares_once_and_may_run_again(site: Site) -> None:
    with virtual_host() as url:
        first, second = (site.coins("migrate", EDGE_URL=url) for _ in range(2))
        assert (first.returncode, second.returncode) == (0, 0)
        assert "declared coins.commands.strays, " in first.stderr
        assert "RabbitMQ: everything is declared" in second.stderr


def test_migrate_of_a_user_who_may_not_declare_says_what_an_administrator_has_to_do(site: Site) -> None:
    user = f"coins_test_{os.getpid()}_plain"
    with virtual_host() as url, users_removed(user):
        plain = make_user(user, url, configure="^$", write="^coins\\\\..*$", read="^coins\\\\..*$")
        refused = site.coins("migrate", EDGE_URL=plain)
        assert refused.returncode == 3
        assert "exchange coins.commands.strays is missing, and this user may not declare it" in refused.stderr
        assert "coins migrate --definitions rabbitmq.json" in refused.stderr
        assert user not in refused.stderr.partition("ACCESS_REFUSED")[0]
        written = site.coins("migrate", "--definitions", "-", EDGE_URL=plain)
        assert written.returncode == 0
        bring_in(written.stdout)
        done = site.coins("migrate", EDGE_URL=plain)
        assert (done.returncode, "everything is declared" in done.stderr) == (0, True)


def test_migrate_without_a_server_says_so(site: Site) -> None:
    away = site.coins("migrate", EDGE_URL="amqp://user:hush@127.0.0.1:1/x")
    assert away.returncode == 3
    assert "RabbitMQ at amqp://127.0.0.1:1/x cannot be reached" in away.stderr
    assert "hush" not in away.stderr


def test_a_queue_that_is_not_as_it_has_to_be_is_named(place: Place) -> None:
    name = commands_queue(0, "unlike")
    connection = connect(place.url)
    try:
        wanted = Topology([], [Queue(name, commands_arguments((3, 10)))], [])
        assert objections(connection, wanted) == [f"queue {name} is missing: run `coins migrate`"]
        connection.channel().queue_declare(name, durable=True, auto_delete=False)
        (said,) = objections(connection, wanted)
    finally:
        close(connection)
    assert said.startswith(f"queue {name} is not as it has to be")
    assert "inequivalent" in said


def test_a_queue_from_before_release_4_is_named_with_the_policy_that_it_needs(place: Place) -> None:
    name = commands_queue(0, "older")
    connection = connect(place.url)
    try:
        declare_queue(connection, Queue(name, commands_arguments((3, 13))))
        # A limit of ours that differs from what is there, as -1 does on a release that knows it.
        newer = {**commands_arguments((3, 13)), "x-delivery-limit": 5}
        (said,) = objections(connection, Topology([], [Queue(name, newer)], []))
    finally:
        close(connection)
    assert "set_policy" in said
