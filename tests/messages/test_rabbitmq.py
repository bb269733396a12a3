"""Publishing to a real RabbitMQ and reading outcomes back: what is confirmed, what is said when it is not, and TLS."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from amqp.exceptions import AMQPError

from messages.errors import EdgeRefused, EdgeUnavailable
from messages.outcomes import OutcomeReader
from messages.publisher import Message, Publisher, check_url
from messages.rabbitmq import Confirms, close, connect, shown
from messages.streams import COMMANDS_EXCHANGE, EVENTS_EXCHANGE, commands_queue
from tests.chaos.proxy import Proxy
from tests.rabbitmq import make_user, server_address, through, users_removed, virtual_host
from tests.workers.mail.servers import Certificates, made_certificates
from workers.topology import declare, topology, version_of

pytestmark = pytest.mark.rabbitmq


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A virtual host with all that `coins migrate` declares for one partition."""
    with virtual_host() as made:
        connection = connect(made)
        declare(connection, topology(1, None, events_keep=1_000, version=version_of(connection)))
        close(connection)
        yield made


@pytest.fixture
def connection(url: str) -> Iterator[Any]:
    made = connect(url)
    made.default_channel.queue_purge(commands_queue(0, "cli"))
    yield made
    close(made)


def waiting(connection: Any, queue: str) -> int:
    """How many messages stand in a queue; they are taken out of it."""
    purged: int = connection.default_channel.queue_purge(queue)
    return purged


# Publishing


def test_what_was_published_is_there_when_it_is_confirmed(url: str, connection: Any) -> None:
    with Publisher(url, producer="cli") as publisher:
        publisher.send_raw([Message(b"{}")] * 2_500)
    assert waiting(connection, commands_queue(0, "cli")) == 2_500


def test_a_message_says_what_it_is(url: str, connection: Any) -> None:
    channel = connection.default_channel
    channel.queue_declare("seen", exclusive=True)
    channel.queue_bind("seen", COMMANDS_EXCHANGE, "cli.0")
    with Publisher(url, producer="cli", secret="a secret of sixteen bytes or more") as publisher:
        publisher.send_raw([Message(b"{}"), Message(b"[]")])
    got = [channel.basic_get("seen") for _ in range(2)]
    assert [one.properties["content_type"] for one in got] == [
        "application/cloudevents+json",
        "application/cloudevents-batch+json",
    ]
    assert all(one.properties["delivery_mode"] == 2 and one.headers["signature"] for one in got)


def test_where_no_queue_takes_it_the_publisher_says_what_to_do() -> None:
    with virtual_host() as empty, Publisher(empty, producer="shop") as publisher:
        with pytest.raises(EdgeUnavailable, match="`coins migrate`"):
            publisher.send_raw([Message(b"{}")])
        made = connect(empty)
        made.default_channel.exchange_declare(COMMANDS_EXCHANGE, "topic", durable=True, auto_delete=False)
        # Returned messages are confirmed all the same: nobody but the publisher hears that they went nowhere.
        with pytest.raises(EdgeUnavailable, match=r"returned 2 .* 'shop\.0' .*`coins migrate`"):
            publisher.send_raw([Message(b"{}"), Message(b"{}")])
        made.default_channel.queue_declare("all", durable=True, auto_delete=False)
        made.default_channel.queue_bind("all", COMMANDS_EXCHANGE, "#")
        publisher.send_raw([Message(b"{}")])
        assert waiting(made, "all") == 1
        close(made)


def test_what_the_server_does_not_take_is_not_confirmed(url: str, connection: Any) -> None:
    one = {"x-max-length": 1, "x-overflow": "reject-publish"}
    connection.default_channel.queue_declare("full", exclusive=True, arguments=one)
    confirms = Confirms(connection)
    full = confirms.envelope("", "full", mandatory=True)
    for _ in range(4):
        confirms.publish(full, b"{}")
    with pytest.raises(AMQPError, match="could not take 3 messages"):
        confirms.wait(5)
    waiting(connection, "full")
    confirms.publish(full, b"{}")
    confirms.wait(5)


def test_a_user_who_may_not_is_told_apart_from_a_server_that_is_away(url: str) -> None:
    with users_removed("coins_test_refused"):
        refused = make_user("coins_test_refused", url, configure="^$", write="^$", read="^$")
        with (
            Publisher(refused, producer="shop") as publisher,
            pytest.raises(EdgeRefused, match="ask the operator for this user's permissions") as told,
        ):
            publisher.send_raw([Message(b"{}")])
        assert "again" not in str(told.value)
        with pytest.raises(EdgeRefused, match="permissions"):
            OutcomeReader(refused, "cli")
        with pytest.raises(EdgeRefused) as wrong:
            connect(refused.replace(":coins_test_refused@", ":a-wrong-password@"))
        assert "a-wrong-password" not in str(wrong.value)


def test_a_virtual_host_that_is_not_there_is_a_refusal(url: str) -> None:
    with pytest.raises(EdgeRefused, match="vhost"):
        connect(f"{url}_not")


def test_a_connection_that_was_ended_meanwhile_is_noticed_before_anything_is_sent(
    url: str, connection: Any
) -> None:
    with (
        Proxy(server_address(), ["producers"]) as proxy,
        Publisher(through(url, proxy.ports["producers"]), producer="cli") as publisher,
    ):
        publisher.send_raw([Message(b"{}")])
        assert proxy.cut("producers") == 1
        time.sleep(0.1)
        publisher.send_raw([Message(b"{}")])
        assert proxy.cut("producers") == 1
    assert waiting(connection, commands_queue(0, "cli")) == 2


def test_a_server_that_says_nothing_is_given_up_on_in_time(url: str) -> None:
    with Proxy(server_address(), ["producers"]) as proxy:
        behind = through(url, proxy.ports["producers"])
        with Publisher(behind, producer="cli", timeout_seconds=1.0) as publisher:
            publisher.send_raw([Message(b"{}")])
            proxy.hold_up("producers")
            with pytest.raises(EdgeUnavailable, match="not confirmed within 1 s"):
                publisher.send_raw([Message(b"{}")])
            with pytest.raises(EdgeUnavailable, match="cannot be reached"):
                publisher.send_raw([Message(b"{}")])
            proxy.let_through("producers")
            publisher.send_raw([Message(b"{}")])


# Outcomes


def tell(connection: Any, *bodies: bytes, producer: str = "cli") -> None:
    confirms = Confirms(connection)
    key = f"outcome.{producer}.applied.TopUp"
    envelope = confirms.envelope(EVENTS_EXCHANGE, key, mandatory=True, content_encoding="utf-8")
    for body in bodies:
        confirms.publish(envelope, body)
    confirms.wait(5)
    confirms.channel.close()


def test_outcomes_are_read_from_now_on_by_as_many_as_like(url: str, connection: Any) -> None:
    tell(connection, b"before")
    first, second = OutcomeReader(url, "cli"), OutcomeReader(url, "cli")
    tell(connection, *(b"%d" % number for number in range(1_500)))
    for reader in (first, second):
        assert [int(one) for one in reader.read(within_seconds=0.5)] == list(range(1_500))
        reader.close()


def test_a_reading_that_is_broken_off_goes_on_where_it_was(url: str, connection: Any) -> None:
    reader = OutcomeReader(url, "cli")
    tell(connection, *(b"%d" % number for number in range(10)))
    for one in reader.read(within_seconds=2):
        if one == b"3":
            break
    assert [int(one) for one in reader.read(within_seconds=0.3)] == list(range(4, 10))
    reader.close()


def test_a_producer_whose_stream_is_not_there_yet_has_it_made(url: str, connection: Any) -> None:
    reader = OutcomeReader(url, "newcomer")
    tell(connection, b"hello", producer="newcomer")
    assert list(reader.read(within_seconds=0.5)) == [b"hello"]
    reader.close()


# URLs


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("amqp://", "no address of RabbitMQ"),
        ("amqp://host:many", "no address of RabbitMQ"),
        ("amqp://user:hush/hush@host/x", "no address of RabbitMQ"),
        ("amqp://user:hush?hush@host/x", "no address of RabbitMQ"),
        ("amqps://host?verify=no", "no such parameter: verify; there are cacertfile, certfile, keyfile"),
        ("amqp://host?cacertfile=ca.pem", "certificates go with amqps://"),
    ],
)
def test_a_wrong_url_is_told_without_its_password(wrong: str, said: str) -> None:
    with pytest.raises(EdgeUnavailable) as error:
        check_url(wrong)
    assert said in str(error.value)
    assert "hush" not in str(error.value)


@pytest.mark.parametrize(
    "away", ["amqp://127.0.0.1:1/", "amqp://no.such.host.invalid/", "amqp://a..b/", f"amqp://{'a' * 80}/"]
)
def test_a_server_that_cannot_be_reached_is_unavailable(away: str) -> None:
    with pytest.raises(EdgeUnavailable, match="cannot be reached"):
        connect(away, timeout_seconds=2)


def test_of_several_nodes_the_first_that_answers_is_taken(url: str) -> None:
    with Publisher(f"amqp://127.0.0.1:1/x;{url}", producer="cli") as publisher:
        publisher.send_raw([Message(b"{}")])
    with pytest.raises(EdgeUnavailable, match=r"127\.0\.0\.1:2"):
        connect("amqp://127.0.0.1:1/x;amqp://u:p@127.0.0.1:2/x")


def test_only_the_password_goes_from_what_is_shown() -> None:
    assert shown("amqp://u:p@host:1/v?cacertfile=x") == "amqp://host:1/v"


# TLS


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return made_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def secure_url(url: str, certificates: Certificates) -> Iterator[str]:
    """By a node that speaks TLS; its certificate is for localhost."""
    with Proxy(server_address(), ["any"], encrypted=certificates.context) as proxy:
        yield (
            through(url, proxy.ports["any"]).replace("amqp://", "amqps://").replace("127.0.0.1", "localhost")
        )


def test_commands_and_outcomes_go_through_tls(
    secure_url: str, connection: Any, certificates: Certificates
) -> None:
    known = f"{secure_url}?cacertfile={certificates.authority}"
    with Publisher(known, producer="cli") as publisher:
        publisher.send_raw([Message(b"{}"), *(Message(b"x" * 100_000) for _ in range(20))])
    assert waiting(connection, commands_queue(0, "cli")) == 21
    reader = OutcomeReader(known, "cli")
    tell(connection, *(b"%d" % number + b" " * 20_000 for number in range(50)))
    assert [int(one) for one in reader.read(within_seconds=0.5)] == list(range(50))
    reader.close()


def test_a_server_of_an_unknown_authority_or_another_name_is_not_spoken_to(
    secure_url: str, certificates: Certificates
) -> None:
    with pytest.raises(EdgeUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
        connect(secure_url)
    other = secure_url.replace("localhost", "127.0.0.1")
    with pytest.raises(EdgeUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
        connect(f"{other}?cacertfile={certificates.authority}")
    with pytest.raises(EdgeUnavailable, match="No such file"):
        connect(f"{secure_url}?cacertfile=/no/such/ca.pem")
