"""What comes by a connection is handed out in its order, in whatever pieces it comes; the rest is waited for."""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import amqp
import pytest
from amqp import spec
from amqp.channel import Channel

from messages import amqp_messages
from messages.amqp_messages import FRAME, next_delivery
from messages.amqp_wire import _TCP, _Connection, drain
from messages.rabbitmq import Confirms
from tests.messages.test_amqp_messages import delivered

HEARTBEAT = FRAME.pack(8, 0, 0) + b"\xce"
CHANNELS = (1, 2, 3)


class Wire:
    """A connection of ours, and its server's end."""

    def __init__(self) -> None:
        ours, self.server = socket.socketpair()
        made = _Connection("nobody", client_properties={})
        made.channels = {0: made}
        made.transport = _TCP("nobody:1")
        made.transport.sock, made.transport.connected = ours, True
        made.on_inbound_frame = made.frame_handler_cls(made, made.on_inbound_method)
        self.written: list[tuple[Any, ...]] = []
        made._frame_writer = lambda *what: self.written.append(what)
        self.connection = SimpleNamespace(connected=True, connection=made)
        self.came: list[amqp.Message] = []
        self.channels = {number: Channel(made, number, auto_decode=False) for number in CHANNELS}
        for channel in self.channels.values():
            channel.is_open = True
            channel.callbacks["consumer"] = self.came.append

    def drain(self, seconds: float = 0.1, most: int = 1_000) -> bool:
        until = len(self.came) + most
        return drain(self.connection, seconds, lambda: len(self.came) >= until)

    def bodies(self) -> list[bytes]:
        return [one.body or b"" for one in self.came]


@pytest.fixture
def wire() -> Iterator[Wire]:
    made = Wire()
    yield made
    made.connection.connection.transport.sock.close()
    made.server.close()


def frames_of(data: bytes) -> list[bytes]:
    found: list[bytes] = []
    while data:
        size = FRAME.unpack_from(data, 0)[2] + FRAME.size + 1
        found.append(data[:size])
        data = data[size:]
    return found


def mixed(chance: random.Random, by_channel: dict[int, list[bytes]]) -> bytes:
    """The frames of several channels as a server may send them, with heartbeats in between."""
    left = {number: list(frames) for number, frames in by_channel.items()}
    mixture = b""
    while any(left.values()):
        channel = left[chance.choice([number for number, frames in left.items() if frames])]
        mixture += b"".join(channel.pop(0) for _ in range(min(len(channel), chance.choice((1, 2, 3, 9)))))
        mixture += HEARTBEAT if chance.random() < 0.1 else b""
    return mixture


@pytest.mark.parametrize("seed", range(20))
def test_messages_of_several_channels_come_in_the_order_of_each_however_they_are_cut(
    wire: Wire, seed: int
) -> None:
    chance = random.Random(seed)
    sent: dict[int, list[bytes]] = {number: [] for number in CHANNELS}
    frames: dict[int, list[bytes]] = {number: [] for number in CHANNELS}
    for number in range(60):
        channel = chance.choice(CHANNELS)
        body = chance.choice((b"", b"%d" % number, b"%d" % number + b"x" * 9_000))
        key = "shop.0" if chance.random() < 0.9 else "shöp.0"
        sent[channel].append(body)
        frames[channel] += frames_of(
            delivered(body, key, tag=number + 1, channel=channel, message_id=f"{number}")
        )
    data = mixed(chance, frames)

    def send() -> None:
        at = 0
        while at < len(data):
            size = chance.choice((1, 7, 50, 3_000, 20_000))
            wire.server.sendall(data[at : at + size])
            at += size

    sending = threading.Thread(target=send)
    sending.start()
    while len(wire.came) < 60:
        before = len(wire.came)
        assert wire.drain(5.0, most=3), "nothing has come"
        assert len(wire.came) <= before + 3, "more than was enough"
    sending.join()
    for number, channel in wire.channels.items():
        assert [one.body or b"" for one in wire.came if one.channel is channel] == sent[number]


def test_of_a_message_that_has_not_come_as_a_whole_the_rest_is_waited_for(wire: Wire) -> None:
    data = delivered(b"{}", channel=1)
    wire.server.sendall(data[:20])
    assert wire.drain()
    assert not wire.drain(), "nothing more has come"
    wire.server.sendall(data[20:])
    assert wire.drain()
    assert wire.bodies() == [b"{}"]


def test_whoever_fails_with_a_message_does_not_lose_the_next_one(wire: Wire) -> None:
    def fails(message: amqp.Message) -> None:
        raise LookupError(message.body)

    wire.channels[1].callbacks["consumer"] = fails
    wire.server.sendall(delivered(b"1", channel=1) + delivered(b"2", channel=2))
    with pytest.raises(LookupError):
        wire.drain()
    wire.drain()
    assert wire.bodies() == [b"2"]


def test_a_message_for_nobody_is_given_back_and_one_for_a_channel_that_closes_dropped(wire: Wire) -> None:
    wire.channels[1].callbacks.clear()
    wire.channels[2].is_closing = True
    wire.server.sendall(b"".join(delivered(b"%d" % number, channel=number) for number in CHANNELS))
    wire.drain()
    assert wire.bodies() == [b"3"]
    assert [what[2] for what in wire.written] == [spec.Basic.Reject]


def test_a_body_is_a_text_where_the_channel_is_to_decode_it(wire: Wire) -> None:
    wire.channels[2].auto_decode = True
    for number in (1, 2):
        wire.server.sendall(delivered("é".encode(), channel=number, content_encoding="utf-8"))
    wire.drain()
    assert [one.body for one in wire.came] == ["é".encode(), "é"]


def test_a_server_that_is_gone_is_told_of(wire: Wire) -> None:
    wire.server.close()
    with pytest.raises(OSError, match="closed the connection"):
        wire.drain()


def test_of_long_properties_nothing_is_kept() -> None:
    amqp_messages._short.cache_clear()
    for number in range(50):
        headers = {f"{number}-{place}": place for place in range(100)}
        assert next_delivery(delivered(b"{}", channel=1, application_headers=headers), 0)
    assert amqp_messages._short.cache_info().currsize == 0


@pytest.mark.parametrize("seed", range(50))
def test_what_is_confirmed_is_counted_in_whatever_order_the_server_does(seed: int) -> None:
    chance = random.Random(seed)
    listeners: dict[str, set[Any]] = {"basic_ack": set(), "basic_nack": set(), "basic_return": set()}
    channel = SimpleNamespace(events=listeners, confirm_select=lambda: None)
    confirms = Confirms(SimpleNamespace(channel=lambda: channel))
    ((ack,), (nack,)) = listeners["basic_ack"], listeners["basic_nack"]
    confirms._published = chance.randint(1, 40)
    open_ones, refused = set(range(1, confirms._published + 1)), 0
    while open_ones:
        tag = (
            chance.choice(sorted(open_ones))
            if chance.random() < 0.8
            else chance.randint(1, confirms._published)
        )
        multiple = chance.random() < 0.3
        told = {one for one in open_ones if one == tag or (multiple and one < tag)}
        open_ones -= told
        if chance.random() < 0.3:
            refused += len(told)
            nack(tag, multiple)
        else:
            ack(tag, multiple)
        assert (confirms._waiting(), confirms._refused) == (len(open_ones), refused)
