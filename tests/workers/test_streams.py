"""Reading commands in turn from streams of a real Valkey."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from messages.codec import Unreadable
from tests.system.site import Site
from workers.streams import AHEAD_BYTES, MAX_BYTES, MAX_DELIVERIES, StreamReader

BUSY, QUIET = "coins:commands:0:busy", "coins:commands:0:quiet"


@pytest.fixture
def edge(site: Site) -> Iterator[redis.Redis]:
    with site.edge() as client:
        yield client


@pytest.fixture
def reader(site: Site) -> Iterator[StreamReader]:
    made = StreamReader(site.edge_url, 0, 1)
    yield made
    made.close()


def fill(edge: redis.Redis, stream: str, number: int, body: bytes = b"{}") -> None:
    pipeline = edge.pipeline(transaction=False)
    for _ in range(number):
        pipeline.xadd(stream, {"event": body})
    pipeline.execute()


def test_a_stream_is_read_from_the_ledgers_position(edge: redis.Redis, reader: StreamReader) -> None:
    for place in range(1, 5):
        edge.xadd(BUSY, {"event": f"{place}"}, id=f"{place}-0")
    reader.begin({BUSY: "2-0"})
    assert [(one.position, one.body, one.producer) for one in reader.read(None)] == [
        ("3-0", b"3", "busy"),
        ("4-0", b"4", "busy"),
    ]


def test_nothing_is_read_twice(edge: redis.Redis, reader: StreamReader) -> None:
    fill(edge, BUSY, 3)
    reader.begin({})
    assert len(reader.read(None)) == 3
    assert reader.read(None) == []


def test_a_backlog_leaves_room_for_the_others_in_every_reading(
    edge: redis.Redis, reader: StreamReader
) -> None:
    fill(edge, BUSY, 5_000)
    fill(edge, QUIET, 3)
    reader.begin({})
    read = reader.read(None)
    assert [one.producer for one in read[:6]] in (["busy", "quiet"] * 3, ["quiet", "busy"] * 3)
    assert len(read) <= MAX_DELIVERIES


def test_streams_without_work_do_not_make_batches_small(edge: redis.Redis, reader: StreamReader) -> None:
    """A hundred producers with nothing to say: the one that has something is still read many at a time."""
    for number in range(100):
        fill(edge, f"coins:commands:0:idle-{number}", 1)
    reader.begin({})
    while reader.read(None):
        pass
    fill(edge, BUSY, 500)
    reader.begin({name: stream.cursor for name, stream in reader.streams.items()})
    assert len(reader.read(None)) >= 100


def test_the_stream_of_a_new_producer_is_found_within_seconds(
    edge: redis.Redis, reader: StreamReader
) -> None:
    reader.begin({})
    assert reader.read(None) == []
    edge.xadd(BUSY, {"event": "first"})
    assert first_read(reader) == ["first"]


def test_streams_of_another_partition_are_left_alone(edge: redis.Redis, site: Site) -> None:
    for partition in range(4):
        edge.xadd(f"coins:commands:{partition}:busy", {"event": f"{partition}"})
    reader = StreamReader(site.edge_url, 1, 2)
    reader.begin({})
    read = [one.body.decode() for one in reader.read(None)]
    reader.close()
    assert sorted(read) == ["1", "3"]


def test_the_common_stream_is_read_only_where_everybody_may_send(edge: redis.Redis, site: Site) -> None:
    edge.xadd("coins:commands:0", {"event": "anybody's"})
    edge.xadd(BUSY, {"event": "its own"})
    reader = StreamReader(site.edge_url, 0, 1, common=False)
    reader.begin({})
    read = [one.body for one in reader.read(None)]
    reader.close()
    assert read == [b"its own"]


def test_other_keys_of_the_server_are_no_commands(edge: redis.Redis, reader: StreamReader) -> None:
    for key in (
        "coins:commands:",
        "coins:commands:x",
        "coins:commands:0:a:b",
        "coins:commands:0:",
        "coins:events",
    ):
        edge.xadd(key, {"event": "no"})
    edge.set("coins:commands:0:text", "no")
    reader.begin({})
    assert reader.read(None) == []


def test_an_entry_without_the_field_event_is_kept_as_unreadable(
    edge: redis.Redis, reader: StreamReader
) -> None:
    edge.xadd(BUSY, {"body": "{}", "x": b"\xff\x00"})
    reader.begin({})
    (one,) = reader.read(None)
    assert one.body == b"body {} x \xff\x00"
    (part,) = one.decoded()
    assert isinstance(part, Unreadable)


def test_a_stream_that_begins_again_below_the_position_is_read_from_its_start(
    edge: redis.Redis, reader: StreamReader
) -> None:
    edge.xadd(BUSY, {"event": "again"}, id="5-0")
    reader.begin({BUSY: "1700000000000-3"})
    assert reader.streams[BUSY].stored == "1700000000000-3"
    assert [one.body for one in reader.read(None)] == [b"again"]


def test_a_reset_is_noticed_while_reading(edge: redis.Redis, reader: StreamReader) -> None:
    edge.xadd(BUSY, {"event": "before"}, id="1700000000000-0")
    reader.begin({})
    assert len(reader.read(None)) == 1
    edge.delete(BUSY)
    edge.xadd(BUSY, {"event": "after"}, id="7-0")
    assert first_read(reader) == ["after"]


def test_a_stream_that_was_only_trimmed_is_not_read_again(edge: redis.Redis, reader: StreamReader) -> None:
    last = [edge.xadd(BUSY, {"event": "x"}) for _ in range(3)][-1].decode()  # type: ignore[union-attr]
    edge.xtrim(BUSY, maxlen=0, approximate=False)
    reader.begin({BUSY: last})
    assert reader.streams[BUSY].cursor == last
    assert reader.read(None) == []


def test_what_the_ledger_is_past_is_trimmed_and_nothing_else(edge: redis.Redis, reader: StreamReader) -> None:
    places = [edge.xadd(BUSY, {"event": f"{number}"}).decode() for number in range(5)]  # type: ignore[union-attr]
    reader.trim({BUSY: places[2]}, keep_seconds=0)
    assert [place.decode() for place, _ in edge.xrange(BUSY)] == places[3:]  # type: ignore[union-attr]


def test_of_a_stream_that_has_begun_again_nothing_is_trimmed(edge: redis.Redis, reader: StreamReader) -> None:
    edge.xadd(BUSY, {"event": "read before"}, id="1700000000000-3")
    edge.delete(BUSY)
    edge.xadd(BUSY, {"event": "not read yet"}, id="7-0")
    reader.trim({BUSY: "1700000000000-3"}, keep_seconds=0)
    assert edge.xlen(BUSY) == 1
    edge.delete(BUSY)
    reader.trim({BUSY: "1700000000000-3"}, keep_seconds=0)
    assert not edge.exists(BUSY)


def test_read_commands_stay_as_long_as_they_are_to_be_kept(edge: redis.Redis, reader: StreamReader) -> None:
    edge.xadd(BUSY, {"event": "old"}, id="1000-0")
    new = edge.xadd(BUSY, {"event": "new"}).decode()  # type: ignore[union-attr]
    reader.trim({BUSY: new}, keep_seconds=3_600)
    assert [place.decode() for place, _ in edge.xrange(BUSY)] == [new]  # type: ignore[union-attr]


def test_messages_of_a_mebibyte_come_in_portions(edge: redis.Redis, reader: StreamReader) -> None:
    body = b"x" * 1024 * 1024
    fill(edge, BUSY, 80, body)
    reader.begin({})
    portions = []
    while read := reader.read(None):
        portions.append(len(read))
    assert sum(portions) == 80
    assert max(portions[1:]) * len(body) <= 2 * MAX_BYTES, "once it knows how large they are"


def first_read(reader: StreamReader) -> list[str]:
    for _ in range(30):
        if read := reader.read(100):
            return [one.body.decode() for one in read]
    raise AssertionError("nothing was read within three seconds")


@pytest.mark.parametrize(
    "last", [f"1700000000000-{2**64 - 1}", f"{2**64 - 1}-{2**64 - 1}"], ids=["of a millisecond", "of all"]
)
def test_a_producer_that_uses_up_the_ids_is_trimmed_like_any_other(
    edge: redis.Redis, reader: StreamReader, last: str
) -> None:
    edge.xadd(BUSY, {"event": b"1"}, id=last)
    fill(edge, QUIET, 2)
    reader.begin({})
    read = reader.read(None)
    assert len(read) == 3
    reader.trim({one.stream: one.position for one in read}, 0)
    assert edge.xlen(QUIET) == 0
    assert edge.xlen(BUSY) <= 1


def test_of_long_messages_few_are_read_ahead_and_none_is_lost(
    edge: redis.Redis, reader: StreamReader
) -> None:
    fill(edge, BUSY, 3_000)
    fill(edge, QUIET, 1)
    reader.begin({})
    while reader.read(None):
        pass
    # Short ones have led to expect short ones
    fill(edge, BUSY, 40, b"x" * 300_000)
    read = reader.read(None)
    assert sum(len(one.body) for one in read) <= AHEAD_BYTES
    edge.xadd(QUIET, {"event": b"mine"})
    assert b"mine" in [one.body for one in reader.read(None)]
    while more := reader.read(None):
        read += more
    assert reader.streams[BUSY].cursor == edge.xinfo_stream(BUSY)["last-generated-id"].decode()
