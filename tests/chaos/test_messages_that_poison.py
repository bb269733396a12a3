"""Whatever comes in, the queue never stalls: what follows is decided, and what is none becomes a dead letter."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from deploy.embedded import EmbeddedServers
from messages.envelope import MAX_MESSAGE_BYTES
from tests.chaos.test_traffic_that_collides import event, family, send
from tests.system.conftest import ON_RABBITMQ, REDIS
from tests.system.listening import Listener
from tests.system.site import RELAY, WORKER, Site, site_on, until
from workers.streams import KEPT_BYTES

pytestmark = pytest.mark.system
KEY = b'{"specversion":"1.0","id":"poison","source":"odd",'

POISON = {
    "no JSON": b"hello",
    "nothing": b"",
    "bytes that are no text": b"\xff\xfe\x00\x01",
    "a lone surrogate in data": KEY
    + b'"type":"coins.TopUp.v1","data":{"account":"a","amount":1,"note":"\\ud800"}}',
    "a lone surrogate in the type": KEY + b'"type":"coins.\\ud800.v1","data":{}}',
    "a lone surrogate in the id": b'{"specversion":"1.0","id":"\\ud800","source":"odd","type":"coins.TopUp.v1"}',
    "NUL in data": KEY + b'"type":"coins.TopUp.v1","data":{"account":"a","amount":1,"note":"\\u0000"}}',
    "NUL in the type": KEY + b'"type":"coins.\\u0000.v1","data":{}}',
    "NUL as a field's name": KEY + b'"type":"coins.TopUp.v1","data":{"\\u0000":1}}',
    "NaN": KEY + b'"type":"coins.TopUp.v1","data":{"account":"a","amount":NaN}}',
    "an integer of 5,000 digits": KEY
    + b'"type":"coins.TopUp.v1","data":{"account":"a","amount":'
    + b"9" * 5_000
    + b"}}",
    "depth": b"[" * 100_000,
    "an array in an array": b"[[" + event("odd", 1, "TopUp", account="a", amount=1) + b"]]",
    "an empty array": b"[]",
    "1,001 events": b"[" + b",".join([b"{}"] * 1_001) + b"]",
    "more than 1 MiB": KEY + b'"type":"coins.TopUp.v1","data":{"note":"' + b"x" * 1_048_576 + b'"}}',
    "a foreign type": KEY + b'"type":"com.example.Other","data":{}}',
    "a type that is no text": KEY + b'"type":{"a":1},"data":{}}',
    "a partition key that is no text": KEY + b'"type":"coins.TopUp.v1","partitionkey":7,"data":{}}',
}


@pytest.fixture(scope="module", params=[REDIS, pytest.param(ON_RABBITMQ, marks=pytest.mark.rabbitmq)])
def running(
    request: pytest.FixtureRequest, durable_servers: EmbeddedServers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Site, Listener]]:
    """One system for all of them, on each edge in turn: poison that lasts would show in the next."""
    url = request.getfixturevalue("rabbitmq_host") if request.param == ON_RABBITMQ else None
    directory = tmp_path_factory.mktemp("poison")
    with site_on(durable_servers, directory, partitions=1, rabbitmq_url=url) as site:
        site.start_all(WORKER, RELAY)
        with Listener(site.edge_url, ["office", "odd", "odd-after", "mixed"]) as listener:
            family(site, listener, credit=1)
            yield site, listener


@pytest.mark.parametrize("name", POISON)
def test_what_comes_after_is_decided(name: str, running: tuple[Site, Listener]) -> None:
    site, listener = running
    before = listener.count("odd-after")
    send(site, "odd", 0, POISON[name])
    if site.rabbitmq_url is None:
        with site.edge() as edge:
            edge.xadd("coins:commands:0:odd", {"other": "field", "and": "another"})
    send(site, "odd-after", 0, event("odd-after", name, "TopUp", account="a", amount=1))
    try:
        until(lambda: listener.count("odd-after") > before, 6, lambda: site.logs()[-1_500:])
    finally:
        if listener.count("odd-after") == before and site.rabbitmq_url is None:
            # Out of the way, so that the others can be tried.
            with site.edge() as edge:
                edge.delete("coins:commands:0:odd")


def test_every_letter_has_its_raw_bytes_and_a_reason(running: tuple[Site, Listener]) -> None:
    site, _ = running
    letters = site.rows(
        "SELECT d.raw, g.reason FROM dead_letter d JOIN dead_letter_group g ON g.id = d.group_id"
    )
    kept = {bytes(raw): reason for raw, reason in letters}
    assert {name for name, body in POISON.items() if _as_kept(body) not in kept} == set()
    assert set(kept.values()) <= {"unreadable", "invalid"}


def _as_kept(body: bytes) -> bytes:
    return body if len(body) <= MAX_MESSAGE_BYTES else body[:KEPT_BYTES]


@pytest.mark.parametrize("running", [REDIS], indirect=True)
def test_a_key_that_is_no_stream_stops_nobody(running: tuple[Site, Listener]) -> None:
    """Anybody on an open edge may have written a list where commands go."""
    site, listener = running
    before = listener.count("odd-after")
    with site.edge() as edge:
        edge.delete("coins:commands:0")
        edge.rpush("coins:commands:0", "no stream")
        try:
            edge.xadd(
                "coins:commands:0:odd-after",
                {"event": event("odd-after", "beside a list", "TopUp", account="a", amount=1)},
            )
            until(lambda: listener.count("odd-after") > before, 5, lambda: site.logs()[-1_500:])
        finally:
            edge.delete("coins:commands:0")


def test_garbage_in_an_array_costs_its_neighbours_nothing(running: tuple[Site, Listener]) -> None:
    site, listener = running
    good = json.loads(event("mixed", 1, "TopUp", account="a", amount=1))
    array = [good, 7, {**good, "id": "2", "data": {}}, None, {**good, "id": "3"}]
    send(site, "mixed", 0, json.dumps(array).encode())
    until(lambda: listener.count("mixed") == 3, 6, site.logs)
    assert [(one.answer.id, one.answer.reason) for one in listener.of("mixed")] == [
        ("1", None),
        ("2", "invalid_message"),
        ("3", None),
    ]
