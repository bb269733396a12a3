"""Reading commands in turn from queues of a real RabbitMQ, whatever happens meanwhile."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable

import pytest
from amqp.exceptions import ConsumerCancelled, NotFound
from structlog.testing import capture_logs

from messages.amqp_wire import opened
from messages.rabbitmq import FAILURES
from messages.streams import commands_queue, routing_key
from tests.chaos.proxy import Proxy
from tests.rabbitmq import make_user, server_address, through, users_removed
from tests.system.site import until
from tests.workers.consuming import Host, known, numbers, read, read_rest, ticking
from workers.queues import BOUND, READ, QueueReader
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
    reader.tick()
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
    other.begin({commands_queue(3): "0-0"})
    assert commands_queue(3, shop) not in other.to_remember()
    other.close()


def test_queues_are_told_to_be_remembered_when_they_are_bound_and_when_they_are_read(
    host: Host, shop: str, new: str
) -> None:
    reader = QueueReader(host.url, 0, 1, producers=known(shop))
    common, own = commands_queue(0), [commands_queue(0, name) for name in ("cli", "coins", shop)]
    reader.begin({common: READ})
    assert reader.to_remember() == dict.fromkeys(own, BOUND)
    told: dict[str, str] = {}

    def are_read(*queues: str) -> None:
        def looked() -> bool:
            reader.read(20)
            told.update(reader.to_remember())
            return all(told.get(queue) == READ for queue in queues)

        until(looked, 10)

    are_read(*own)
    # Also of a producer who comes later, and goes.
    reader.producers = known(shop, new)
    are_read(commands_queue(0, new))
    reader.close()
    host.number(new, 1)
    reader.producers = known(shop)
    reader.begin({common: READ, **told})
    assert reader.to_remember() == {}
    assert [one.producer for one in read(reader, 1)] == [new]
    reader.close()


# A queue of its own for somebody who has sent by the common one


@pytest.mark.parametrize("declared", [True, False], ids=["found", "declares"])
def test_what_stands_in_the_common_queue_comes_before_what_comes_by_a_new_one(
    host: Host, new: str, open_reader: Callable[..., QueueReader], declared: bool
) -> None:
    reader = open_reader("somebody")
    host.number(new, 1_300)
    read(reader, 1)
    reader.begin({})
    reader.producers = known("somebody", new)
    if declared:
        host.declare(known(new))
    else:
        reader.read(None)
    host.publish(routing_key(0, new), *(b"%d" % number for number in range(1_300, 1_305)))
    found: list[int] = []
    while len(found) < 1_305:
        some = read(reader, 1)
        reader.done(some, [])
        found += numbers(some)
    assert found == list(range(1_305))
    assert is_there(host.connection, commands_queue(0, new))


def test_it_does_so_however_much_others_send_by_the_common_queue(
    host: Host, new: str, open_reader: Callable[..., QueueReader]
) -> None:
    reader = open_reader("somebody")
    host.number(new, 10)
    host.number(f"{new}-other", 200)
    host.declare(known(new))
    host.publish(routing_key(0, new), b"10")
    reader.producers = known("somebody", new)
    found: list[int] = []
    sent = 200
    while len(found) < 11:
        host.publish(routing_key(0, f"{new}-other"), *[b"-1"] * 100)
        sent += 100
        some = read(reader, 1)
        reader.done(some, [])
        found += [int(one.body) for one in some if one.producer == new]
    assert found == list(range(11))
    assert sent >= 1_000


@pytest.mark.parametrize("frozen", [True, False], ids=["frozen", "gone"])
def test_it_does_so_when_another_reader_goes_on_in_the_middle(
    host: Host, new: str, open_reader: Callable[..., QueueReader], frozen: bool
) -> None:
    """One that is frozen keeps what it was given, until the server has ended its connection."""
    reader = open_reader("somebody")
    told = {**reader.to_remember()}
    host.number(new, 300)
    found = read(reader, 300)
    reader.producers = known("somebody", new)
    reader.read(None)
    told |= reader.to_remember()
    assert told[commands_queue(0, new)] == BOUND
    host.publish(routing_key(0, new), b"300")
    reader.done(found[:100], [])
    if not frozen:
        reader.close()
    other = QueueReader(host.url, 0, 1, producers=known("somebody", new))
    other.begin(told)
    assert numbers(read(other, 201)) == list(range(100, 301))
    other.close()


# Many queues


def test_no_more_is_held_while_queues_are_begun_than_there_is_room_for(host: Host, new: str) -> None:
    names = [f"{new}-{number}" for number in range(12)]
    host.declare(known(*names))
    for name in names:
        host.publish(routing_key(0, name), *(bytes([65]) * 500_000 for _ in range(6)))
    reader = QueueReader(host.url, 0, 1, producers=known(*names), held_bytes=3_000_000)
    reader.begin({})
    by_whom: dict[str | None, int] = defaultdict(int)
    while sum(by_whom.values()) < 72:
        some = reader.read(20)
        reader.tick()
        assert sum(len(one.body) for one in some) <= 3_500_000
        assert reader.held_bytes <= 3_600_000
        reader.done(some, [])
        for one in some:
            by_whom[one.producer] += 1
    assert by_whom == dict.fromkeys(names, 6)
    reader.close()


def test_queues_beyond_what_the_server_allows_a_connection_are_told_of(
    host: Host, new: str, open_reader: Callable[..., QueueReader]
) -> None:
    names = [f"{new}-{number}" for number in range(4)]
    reader = open_reader(*names)
    opened(reader._connection).channel_max = 5
    host.number(names[0], 1)
    with capture_logs() as logs:
        assert [one.producer for one in read(reader, 1)] == names[:1]
    (told,) = [one for one in logs if one["log_level"] == "error"]
    assert (told["queues"], told["first"]) == (2, commands_queue(0, names[2]))
    assert "channel_max" in told["what"]


def test_a_queue_that_is_deleted_under_it_is_noticed_and_declared_again(
    host: Host, shop: str, open_reader: Callable[..., QueueReader]
) -> None:
    reader = open_reader(shop)
    host.connection.default_channel.queue_delete(commands_queue(0, shop))
    with pytest.raises((ConsumerCancelled, NotFound), match=shop):
        ticking(reader)
    reader.begin({})
    host.number(shop, 1)
    assert numbers(read(reader, 1)) == [0]
