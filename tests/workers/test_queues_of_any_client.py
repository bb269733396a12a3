"""Whatever other clients write into a message, it is read as far as it can be, and never stands in the way of another."""

from __future__ import annotations

import json
from collections.abc import Callable
from struct import pack

import pytest

from messages.codec import Unreadable
from messages.signing import sign
from messages.streams import COMMANDS_EXCHANGE, routing_key
from tests.rabbitmq import publish_raw
from tests.workers.consuming import Host, known, read
from workers.queues import QueueReader

pytestmark = pytest.mark.rabbitmq


CONTENT_TYPE, HEADERS, TIMESTAMP, CORRELATION = 0x8000, 0x2000, 0x0040, 0x0400


def table(*items: bytes) -> bytes:
    return pack(">HI", HEADERS, len(b"".join(items))) + b"".join(items)


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
