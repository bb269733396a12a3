"""Reading commands in turn from queues of a real RabbitMQ, whoever wrote them and whatever happens meanwhile."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from itertools import count
from struct import pack
from typing import Any

import pytest
from amqp.exceptions import ConsumerCancelled
from structlog.testing import capture_logs

from ledger.batch import Delivery
from ledger.trust import Producer, Producers
from messages.codec import Unreadable
from messages.rabbitmq import FAILURES, Confirms, close, connect
from messages.signing import sign
from messages.streams import COMMANDS_EXCHANGE, commands_queue, routing_key
from tests.chaos.proxy import Proxy
from tests.rabbitmq import make_user, publish_raw, server_address, through, users_removed, virtual_host
from tests.system.site import until
from workers.queues import QueueReader
from workers.topology import declare, is_there, topology, version_of

pytestmark = pytest.mark.rabbitmq
_numbers = count(1)


CONTENT_TYPE, HEADERS, TIMESTAMP, CORRELATION = 0x8000, 0x2000, 0x0040, 0x0400


def table(*items: bytes) -> bytes:
    return pack(">HI", HEADERS, len(b"".join(items))) + b"".join(items)


class Host:
    """A virtual host in which everything is declared that stands there without a producers file, for one partition."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.connection = connect(url)
        self._confirms = Confirms(self.connection)
        self.declare(None)

    def declare(self, producers: Producers | None) -> None:
        made = topology(1, producers, events_keep=1_000, version=version_of(self.connection))
        declare(self.connection, made)

    def publish(self, key: str, *bodies: bytes, **properties: Any) -> None:
        for body in bodies:
            self._confirms.publish(body, COMMANDS_EXCHANGE, key, mandatory=True, **properties)
        self._confirms.wait(10)

    def number(self, producer: str, how_many: int) -> None:
        """Messages that say which one they are."""
        self.publish(routing_key(0, producer), *(b"%d" % number for number in range(how_many)))

    def purge(self) -> None:
        for name in (None, "coins", "cli"):
            self.connection.default_channel.queue_purge(commands_queue(0, name))

    def close(self) -> None:
        close(self.connection)


def ticking(reader: QueueReader) -> None:
    """For some seconds."""
    for _ in range(200):
        reader.tick()
        time.sleep(0.02)


@pytest.fixture(scope="module")
def shared_host() -> Iterator[Host]:
    with virtual_host() as url:
        host = Host(url)
        yield host
        host.close()


@pytest.fixture
def host(shared_host: Host) -> Host:
    shared_host.purge()
    return shared_host


@pytest.fixture
def shop(host: Host) -> str:
    """A producer of this test alone, with a queue of its own."""
    name = f"shop-{next(_numbers)}"
    host.declare(known(name))
    return name


@pytest.fixture
def new() -> str:
    """A producer of this test alone, for whom nothing is declared."""
    return f"new-{next(_numbers)}"


@pytest.fixture
def open_reader(host: Host) -> Iterator[Callable[..., QueueReader]]:
    """A reader that has begun, of partition 0 unless told otherwise, for producers of these names."""
    made: list[QueueReader] = []

    def opened(*names: str, url: str = host.url, partition: int = 0, partitions: int = 1) -> QueueReader:
        reader = QueueReader(url, partition, partitions, producers=known(*names) if names else None)
        made.append(reader)
        reader.begin({})
        return reader

    yield opened
    for reader in made:
        reader.close()


def known(*names: str) -> Producers:
    return Producers({name: Producer(name, (f"{name} has a secret of its own",)) for name in names})


def read(reader: QueueReader, number: int) -> list[Delivery]:
    """So many deliveries, none of them done."""
    found: list[Delivery] = []

    def enough() -> bool:
        reader.tick()
        found.extend(reader.read(20))
        return len(found) >= number

    until(enough, 10, lambda: f"only {len(found)} of {number}")
    return found


def read_rest(reader: QueueReader) -> list[Delivery]:
    """What comes until nothing has come for a moment."""
    found: list[Delivery] = []
    while some := reader.read(300):
        found += some
    return found


def numbers(deliveries: list[Delivery]) -> list[int]:
    return [int(one.body) for one in deliveries]


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


# What other clients write


@pytest.mark.parametrize("key", ["x", "", "shop.99", "shop.0.1", "shop.00", ".0", "a.b", "#", "*.*"])
def test_a_message_with_a_routing_key_of_nobody_arrives(
    host: Host, open_reader: Callable[..., QueueReader], key: str
) -> None:
    host.publish(key, b"{}")
    (one,) = read(open_reader(), 1)
    assert (one.body, one.producer) == (b"{}", "shop" if key == "shop.99" else None)


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "utf-16", "rot13", "gzip", "none"])
def test_a_body_is_what_was_sent_whatever_encoding_it_claims(
    host: Host, shop: str, open_reader: Callable[..., QueueReader], encoding: str
) -> None:
    """Kombu's own producers say utf-8 of every text."""
    body = '{"note": "¼ für Zoë"}'.encode()
    host.publish(routing_key(0, shop), body, content_encoding=encoding)
    (one,) = read(open_reader(shop), 1)
    assert one.body == body


def test_a_signature_is_read_as_text_or_as_bytes(
    host: Host, shop: str, open_reader: Callable[..., QueueReader]
) -> None:
    producers = known(shop)
    (secret,) = producers.by_name[shop].secrets
    signature = sign(b"{}", secret.encode())
    for header in (b"S" + pack(">I", len(signature)), b"x" + pack(">I", len(signature))):
        written = table(b"\x09signature" + header + signature.encode())
        publish_raw(host.url, COMMANDS_EXCHANGE, routing_key(0, shop).encode(), written, b"{}")
    host.publish(routing_key(0, shop), b"{}", headers={"signature": 7})
    assert [one.is_genuine for one in read(open_reader(shop), 3)] == [True, True, False]


def test_an_empty_message_and_one_of_three_mebibytes_are_kept_as_unreadable(
    host: Host, new: str, open_reader: Callable[..., QueueReader]
) -> None:
    host.publish(routing_key(0, new), b"", b"[" * 3 * 1024 * 1024, b"{}")
    empty, long, _ = read(open_reader(), 3)
    assert isinstance(empty.decoded()[0], Unreadable)
    (part,) = long.decoded()
    assert isinstance(part, Unreadable)
    assert "3,145,728 bytes" in part.why
    assert len(long.body) < 100_000


def nested(depth: int) -> bytes:
    inner = b""
    for _ in range(depth):
        inner = b"\x01xF" + pack(">I", len(inner)) + inner
    return table(inner)


# Of what the server itself lets through.
ODD_PROPERTIES = {
    "a short integer, as other clients write it": table(b"\x01xs\0\x07"),
    "a time in the far future": table(b"\x01xT" + b"\xff" * 8),
    "a timestamp beyond all years": pack(">HQ", TIMESTAMP, 2**64 - 1),
    "an id that is no text": pack(">HB", CORRELATION, 2) + b"\xff\xfe",
    "a signature with half a surrogate": table(b"\x09signatureS" + pack(">I", 3) + b"\xed\xa0\x80"),
    "a signature that is no text": table(b"\x09signatureS" + pack(">I", 2) + b"\xff\xfe"),
    "a signature of a megabyte's length": table(b"\x09signatureS" + pack(">I", 90_000) + b"A" * 90_000),
    "a decimal of many places": table(b"\x01xD\xff" + b"\xff" * 4),
    "tables in tables": nested(200),
}


@pytest.mark.parametrize("properties", ODD_PROPERTIES.values(), ids=ODD_PROPERTIES)
def test_properties_of_any_kind_do_not_keep_a_message_from_being_read(
    host: Host, shop: str, open_reader: Callable[..., QueueReader], properties: bytes
) -> None:
    key = routing_key(0, shop)
    for body in (b"odd", b""):
        publish_raw(host.url, COMMANDS_EXCHANGE, key.encode(), properties, body)
    host.publish(key, b"even")
    found = read(open_reader(shop), 3)
    assert [(one.body, one.producer, one.is_genuine) for one in found] == [
        (b"odd", shop, False),
        (b"", shop, False),
        (b"even", shop, False),
    ]


def test_headers_are_read_beside_properties_that_cannot_be(
    host: Host, shop: str, open_reader: Callable[..., QueueReader]
) -> None:
    signature = sign(b"{}", known(shop).by_name[shop].secrets[0].encode()).encode()
    header = b"\x09signatureS" + pack(">I", len(signature)) + signature
    flags = CONTENT_TYPE | HEADERS | CORRELATION
    written = pack(">H", flags) + b"\x04text" + pack(">I", len(header)) + header + b"\x02\xff\xfe"
    publish_raw(host.url, COMMANDS_EXCHANGE, routing_key(0, shop).encode(), written, b"{}")
    (one,) = read(open_reader(shop), 1)
    assert one.is_genuine


@pytest.mark.parametrize("key", [b"\xff.0", b"shop.\xff", b"\xed\xa0\x80.0", "caf\u00e9.0".encode()])
def test_a_routing_key_that_is_no_text_is_nobodys(
    host: Host, open_reader: Callable[..., QueueReader], key: bytes
) -> None:
    publish_raw(host.url, COMMANDS_EXCHANGE, key, pack(">H", 0), b"odd")
    (one,) = read(open_reader(), 1)
    assert (one.body, one.producer) == (b"odd", None)


def test_a_copy_in_the_queue_of_another_producer_is_still_its_senders(
    host: Host, shop: str, open_reader: Callable[..., QueueReader]
) -> None:
    """The server adds the routing keys of a header `CC`, and asks nobody whether that is allowed."""
    bank = f"{shop}-bank"
    reader = open_reader(shop, bank)
    body = json.dumps({"who": shop}).encode()
    host.publish(routing_key(0, shop), body, headers={"CC": [routing_key(0, bank)]})
    assert [one.producer for one in read(reader, 2)] == [shop, shop]
