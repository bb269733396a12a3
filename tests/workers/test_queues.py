"""Reading commands in turn from queues of a real RabbitMQ, whatever happens meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from amqp.exceptions import ConsumerCancelled
from structlog.testing import capture_logs

from messages.rabbitmq import FAILURES
from messages.streams import commands_queue, routing_key
from tests.chaos.proxy import Proxy
from tests.rabbitmq import make_user, server_address, through, users_removed
from tests.workers.consuming import Host, known, numbers, read, read_rest, ticking
from workers.queues import QueueReader
from workers.topology import is_there

pytestmark = pytest.mark.rabbitmq


# Order, turns, how much


def test_a_queue_is_read_in_its_order_and_what_is_done_does_not_come_again(
    host: Host, shop: str, open_reader: Callable[..., QueueReader]
) -> None:
    host.number(shop, 300)
    reader = open_reader(shop)
    found: list[int] = []
    while len(found) < 300:
        some = read(reader, 1)
        reader.done(some, [])
        found += numbers(some)
    reader.close()
    assert found == list(range(300))
    assert read_rest(open_reader(shop)) == []


def test_producers_are_read_in_turn(host: Host, shop: str, open_reader: Callable[..., QueueReader]) -> None:
    busy, quiet = f"{shop}-busy", f"{shop}-quiet"
    reader = open_reader(busy, quiet)
    host.number(busy, 200)
    host.number(quiet, 3)
    time.sleep(0.1)
    reader.tick()
    assert [one.producer for one in reader.read(None)[:6]] in ([busy, quiet] * 3, [quiet, busy] * 3)


def test_no_more_is_held_than_there_is_room_for(host: Host, shop: str) -> None:
    """Whoever has no room left for seconds is still known to live, and goes on where it was."""
    host.publish(routing_key(0, shop), *(bytes([65]) * 500_000 for _ in range(30)))
    reader = QueueReader(host.url, 0, 1, producers=known(shop), held_bytes=3_000_000)
    reader.begin({})
    first = read_rest(reader)
    assert 6 <= len(first) <= 7
    ticking(reader)
    reader.done(first, [])
    found = len(first)
    while found < 30:
        some = read(reader, 1)
        reader.done(some, [])
        found += len(some)
    reader.close()
    assert host.connection.default_channel.queue_purge(commands_queue(0, shop)) == 0


# What is acknowledged


def test_what_was_not_done_comes_back_in_its_order_however_often(
    host: Host, shop: str, open_reader: Callable[..., QueueReader]
) -> None:
    """A quorum queue puts what comes back behind what came back before: every reader has to take all of that."""
    host.number(shop, 1_500)
    for begins_with in (0, 7, 14, 21):
        reader = open_reader(shop)
        found = read(reader, 900 if begins_with == 0 else 30)
        assert numbers(found) == list(range(begins_with, begins_with + len(found)))
        reader.done(found[:7], [])
        reader.close()
    reader = open_reader(shop)
    rest: list[int] = []
    while len(rest) < 1_500 - 28:
        some = read(reader, 1)
        reader.done(some, [])
        rest += numbers(some)
    assert rest == list(range(28, 1_500))


def test_only_what_is_done_and_has_nothing_undone_before_it_is_acknowledged(
    host: Host, shop: str, open_reader: Callable[..., QueueReader]
) -> None:
    host.number(shop, 5)
    reader = open_reader(shop)
    found = read(reader, 5)
    reader.done([found[3], found[2]], [])
    reader.done([found[0]], [])
    reader.close()
    assert numbers(read(open_reader(shop), 4)) == [1, 2, 3, 4]


def test_what_came_by_an_earlier_connection_acknowledges_nothing(
    host: Host, shop: str, open_reader: Callable[..., QueueReader]
) -> None:
    host.number(shop, 3)
    reader = open_reader(shop)
    earlier = read(reader, 3)
    reader.begin({})
    again = read(reader, 3)
    reader.done(earlier, [])
    reader.done(again[:1], [])
    reader.begin({})
    assert numbers(read(reader, 2)) == [1, 2]


def test_when_its_connection_is_cut_all_that_is_not_done_is_read_again(
    host: Host, shop: str, open_reader: Callable[..., QueueReader]
) -> None:
    with Proxy(server_address(), ["worker"]) as proxy:
        host.number(shop, 15)
        reader = open_reader(shop, url=through(host.url, proxy.ports["worker"]))
        found = read(reader, 15)
        reader.done(found[:5], [])
        reader.tick()
        time.sleep(0.1)
        proxy.cut("worker")
        with pytest.raises(FAILURES):
            ticking(reader)
        reader.done(found[5:], [])
        reader.begin({})
        assert numbers(read(reader, 10)) == list(range(5, 15))
        reader.close()


def test_a_server_that_says_nothing_for_two_seconds_is_gone(
    host: Host, shop: str, open_reader: Callable[..., QueueReader]
) -> None:
    with Proxy(server_address(), ["worker"]) as proxy:
        reader = open_reader(shop, url=through(host.url, proxy.ports["worker"]))
        proxy.hold_up("worker")
        with pytest.raises(FAILURES, match="heartbeats"):
            ticking(reader)
        reader.close()


# Which queues


def test_a_producer_that_is_added_while_it_is_read_gets_a_queue_of_its_own(
    host: Host, new: str, open_reader: Callable[..., QueueReader]
) -> None:
    reader = open_reader("somebody")
    host.number(new, 1)
    (by_the_common_queue,) = read(reader, 1)
    assert by_the_common_queue.producer == new
    assert not is_there(host.connection, commands_queue(0, new))
    reader.done([by_the_common_queue], [])
    reader.producers = known("somebody", new)
    reader.read(None)
    assert is_there(host.connection, commands_queue(0, new))
    host.number(new, 2)
    assert numbers(read(reader, 2)) == [0, 1]


def test_a_queue_that_is_missing_and_may_not_be_declared_is_told_and_the_common_one_is_read(
    host: Host, new: str, open_reader: Callable[..., QueueReader]
) -> None:
    user = f"coins_test_{new}"
    with users_removed(user):
        url = make_user(user, host.url, configure="^$", write="^$", read=".*")
        host.number(new, 2)
        with capture_logs() as logs:
            reader = open_reader(new, url=url)
        assert [one["event"] for one in logs] == ["a queue is missing"]
        assert commands_queue(0, new) in logs[0]["why"]
        assert [one.producer for one in read(reader, 2)] == [new, new]
        reader.close()


def test_queues_of_partitions_that_are_gone_are_read_to_their_end(
    host: Host, shop: str, open_reader: Callable[..., QueueReader]
) -> None:
    """Also that of a producer whom no worker knew when it began: with the partition it is looked for."""
    four = open_reader(shop, partition=3, partitions=4)
    late = f"{shop}-late"
    four.producers = known(shop, late)
    four.read(None)
    four.close()
    for name in (shop, late, "nobody"):
        host.publish(routing_key(3, name), b"left behind")
    reader = QueueReader(host.url, 1, 2, producers=known(shop, late))
    reader.begin({commands_queue(3): "0-0", "coins:commands:3": "7-0", "coins.commands.kept": "0-0"})
    assert {one.producer for one in read(reader, 3)} == {shop, late, "nobody"}
    reader.close()
    other = QueueReader(host.url, 0, 2, producers=known(shop, late))
    assert commands_queue(3, shop) not in other.begin({commands_queue(3): "0-0"})
    other.close()


def test_the_names_of_queues_are_told_once_to_be_remembered(host: Host, shop: str) -> None:
    reader = QueueReader(host.url, 0, 1, producers=known(shop))
    told = reader.begin({commands_queue(0): "0-0"})
    assert told == [commands_queue(0, name) for name in ("cli", "coins", shop)]
    assert reader.begin(dict.fromkeys([commands_queue(0), *told], "0-0")) == []
    reader.close()


def test_a_queue_that_is_deleted_under_it_is_noticed_and_declared_again(
    host: Host, shop: str, open_reader: Callable[..., QueueReader]
) -> None:
    reader = open_reader(shop)
    host.connection.default_channel.queue_delete(commands_queue(0, shop))
    with pytest.raises(ConsumerCancelled, match=shop):
        ticking(reader)
    reader.begin({})
    host.number(shop, 1)
    assert numbers(read(reader, 1)) == [0]
