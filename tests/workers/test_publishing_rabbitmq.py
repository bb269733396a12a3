"""Events into streams of a real RabbitMQ: by one relay at a time, for every producer, and never into nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
from structlog.testing import capture_logs

from messages.amqp_wire import drain, opened
from messages.rabbitmq import FAILURES, close, connect, consuming_channel, declare_stream
from messages.streams import EVENTS_EXCHANGE, outcomes_binding, outcomes_queue
from tests.rabbitmq import make_user, users_removed, virtual_host
from tests.system.site import until
from workers.publishing import RelayedElsewhere
from workers.publishing_rabbitmq import RabbitEvents
from workers.topology import Binding, bind, declare, topology, version_of

pytestmark = pytest.mark.rabbitmq
_numbers = count(1)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with virtual_host() as made:
        connection = connect(made)
        declare(connection, topology(1, None, events_keep=1_000, version=version_of(connection)))
        close(connection)
        yield made


@pytest.fixture
def connection(url: str) -> Iterator[Any]:
    made = connect(url)
    yield made
    close(made)


@pytest.fixture
def relay(url: str) -> Iterator[Callable[[], RabbitEvents]]:
    """Makes relays that are gone when the test is over, and so is what they had to themselves."""
    made: list[RabbitEvents] = []

    def opened() -> RabbitEvents:
        made.append(RabbitEvents(url, keep=1_000))
        return made[-1]

    yield opened
    for one in made:
        one.close()


@pytest.fixture
def shop() -> str:
    return f"shop-{next(_numbers)}"


def row(producer: str, *events: bytes) -> list[Any]:
    lines = b"\n".join(b"outcome.%b.applied.TopUp coins.X.v1 " % producer.encode() + one for one in events)
    return [(1, lines)]


def told(connection: Any, producer: str, number: int) -> list[bytes]:
    """The first so many events of a producer's stream."""
    found: list[bytes] = []
    channel = consuming_channel(connection)
    channel.basic_qos(0, 100, False)

    def came(message: Any) -> None:
        found.append(message.body)
        channel.basic_ack(message.delivery_tag)

    channel.basic_consume(
        outcomes_queue(producer),
        callback=came,
        arguments={"x-stream-offset": "first"},
    )

    def enough() -> bool:
        drain(connection, 0.1)
        return len(found) >= number

    until(enough, 10, lambda: f"{len(found)} of {number}")
    drain(connection, 0.1)
    channel.close()
    return found


def test_events_are_published_in_their_order_and_a_new_producer_gets_a_stream(
    relay: Callable[[], RabbitEvents], connection: Any, shop: str
) -> None:
    assert relay().publish(row(shop, *(b"%d" % number for number in range(500))), 1) == 500
    assert [int(one) for one in told(connection, shop, 500)] == list(range(500))


def test_one_relay_publishes_and_the_next_when_that_lets_go(
    relay: Callable[[], RabbitEvents], connection: Any, shop: str
) -> None:
    first, second = relay(), relay()
    first.publish(row(shop, b"first"), 1)
    for _ in range(40):
        with pytest.raises(RelayedElsewhere):
            second.publish(row(shop, b"too early"), 2)
        second.tick()
    assert len(opened(second._connection).channels) <= 3
    first.stand_by()
    second.publish(row(shop, b"second"), 2)
    with pytest.raises(RelayedElsewhere):
        first.publish(row(shop, b"too late"), 3)
    second.close()
    first.publish(row(shop, b"third"), 4)
    assert told(connection, shop, 3) == [b"first", b"second", b"third"]


def test_a_relay_that_was_frozen_has_lost_its_place_and_publishes_nothing(
    relay: Callable[[], RabbitEvents], connection: Any, shop: str
) -> None:
    frozen, stand_by = relay(), relay()
    frozen.publish(row(shop, b"before"), 1)
    began = time.monotonic()

    def taken_over() -> bool:
        stand_by.tick()
        try:
            stand_by.publish(row(shop, b"after"), 2)
        except RelayedElsewhere:
            return False
        return True

    until(taken_over, 8)
    assert time.monotonic() - began > 1
    with pytest.raises(FAILURES):
        frozen.publish(row(shop, b"woken up"), 1)
    assert told(connection, shop, 2) == [b"before", b"after"]


@pytest.mark.parametrize("harm", ["deleted", "unbound"])
def test_outcomes_for_which_there_is_no_stream_any_more_are_not_given_up(
    relay: Callable[[], RabbitEvents], connection: Any, shop: str, harm: str
) -> None:
    events = relay()
    events.publish(row(shop, b"heard"), 1)
    channel = connection.default_channel
    if harm == "deleted":
        channel.queue_delete(outcomes_queue(shop))
    else:
        channel.queue_unbind(outcomes_queue(shop), EVENTS_EXCHANGE, outcomes_binding(shop))
    other = f"{shop}-other"
    assert events.publish(row(shop, b"into nothing") + row(other, b"something"), 1) == 2
    expected = [b"into nothing"] if harm == "deleted" else [b"heard", b"into nothing"]
    assert told(connection, shop, len(expected)) == expected
    assert told(connection, other, 1) == [b"something"]


@pytest.mark.parametrize("harm", ["missing", "unbound"])
def test_a_stream_that_this_user_may_not_mend_keeps_nothing_from_others(
    url: str, connection: Any, shop: str, harm: str
) -> None:
    """And as soon as somebody has, it is heard."""
    other, user = f"{shop}-other", f"coins_test_{shop}"
    declare_stream(connection, outcomes_queue(other), outcomes_binding(other), keep=1_000)
    if harm == "unbound":
        declare_stream(connection, outcomes_queue(shop), outcomes_binding(shop), keep=1_000)
        connection.default_channel.queue_unbind(outcomes_queue(shop), EVENTS_EXCHANGE, outcomes_binding(shop))
    with users_removed(user), capture_logs() as logs:
        may = r"^coins\.(relay|events)$"
        restricted = make_user(user, url, configure=may, write=may, read=".*")
        events = RabbitEvents(restricted, keep=1_000, again_seconds=0.0)
        for number in range(3):
            one, two = b"lost %d" % number, b"%d" % number
            assert events.publish(row(shop, one) + row(other, two), 1) == 2
        assert [(one["log_level"], one["stream"]) for one in logs] == [("error", outcomes_queue(shop))]
        assert "import_definitions" in logs[0]["what"]
        declare_stream(connection, outcomes_queue(shop), outcomes_binding(shop), keep=1_000)
        bind(connection, Binding(EVENTS_EXCHANGE, outcomes_queue(shop), outcomes_binding(shop)))
        events.publish(row(shop, b"heard"), 1)
        events.close()
    assert told(connection, other, 3) == [b"0", b"1", b"2"]
    assert told(connection, shop, 1) == [b"heard"]
