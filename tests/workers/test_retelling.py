"""What is decided again after a restore, batch by batch; answers that were given late, clocks that are wrong, gaps."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import orjson
import psycopg
import pytest

from ledger.database import connect
from messages.commands import TopUp
from messages.streams import EVENTS, outcomes_stream
from tests.breaking import BROKEN, Break, crash, mend
from tests.system.site import Site
from tests.workers.past import PRODUCER, Past, event, past_of
from workers.holding import holding_all
from workers.leases import PartitionLease
from workers.retelling import Retold

BRANCHES = ("a", "b")


@pytest.fixture
def past(site: Site) -> Iterator[Past]:
    with past_of(site) as made:
        made.batch(
            event("top", "OpenAccount", account="top", parent="platform", kind="enterprise", name="Top"),
            *(
                event(one, "OpenAccount", account=one, parent="top", kind="branch", name=one)
                for one in BRANCHES
            ),
        )
        made.batch(top_up("old"))
        yield made


def top_up(id_: str, account: str = "a", amount: int = 1, **more: str) -> bytes:
    return event(id_, "TopUp", account=account, amount=amount, **more)


def transfer(id_: str, amount: int) -> bytes:
    return event(id_, "Transfer", from_account="a", to_account="b", amount=amount, ordered_by="top")


def array(*bodies: bytes) -> bytes:
    return b"[" + b",".join(bodies) + b"]"


def demand_as_told(past: Past, retold: Retold) -> None:
    assert (retold.differences, retold.gaps) == ([], [])
    assert past.decided(past.restored_url) == past.decided()
    assert retold.as_told == retold.batches > 0, "each event has the id of one that says the same"


def test_a_command_that_was_replayed_holds_nobody_up(past: Past, break_rule: Break) -> None:
    past.backup()
    break_rule(TopUp, decide=crash)
    past.batch(top_up("crashed", amount=100, note=BROKEN), top_up("m1", amount=5))
    past.batch(transfer("m2", 6))
    past.batch(transfer("m3", 50))  # could be, if what had crashed was there by now
    mend()
    past.replay()
    past.batch(transfer("m4", 50))
    past.batch(top_up("m5"))
    demand_as_told(past, past.retold())
    told = past.decided(past.restored_url)
    assert told["m3"][0] == "insufficient_credit"
    assert told["m4"][0] is None


def test_of_an_array_only_the_part_that_was_replayed_is_decided_late(past: Past, break_rule: Break) -> None:
    past.backup()
    break_rule(TopUp, decide=crash)
    past.batch(array(top_up("crashed", amount=100, note=BROKEN), top_up("m1", amount=5)))
    past.batch(transfer("m2", 50))
    mend()
    past.replay()
    past.batch(transfer("m3", 50))
    demand_as_told(past, past.retold())
    assert past.retold().messages == 0


def test_a_replay_at_the_end_is_not_left_out(past: Past, break_rule: Break) -> None:
    past.backup()
    break_rule(TopUp, decide=crash)
    past.batch(*(top_up(f"crashed {number}", note=BROKEN) for number in range(3)), top_up("m1"))
    mend()
    past.replay()
    demand_as_told(past, past.retold())
    with psycopg.connect(past.restored_url) as connection, psycopg.connect(past.site.database_url) as before:
        positions = "SELECT stream, position FROM position ORDER BY 1"
        assert connection.execute(positions).fetchall() == before.execute(positions).fetchall()


def test_a_second_copy_is_what_was_decided_when_the_first_had_crashed(past: Past, break_rule: Break) -> None:
    past.backup()
    break_rule(TopUp, decide=crash)
    past.batch(top_up("twice", amount=100, note=BROKEN), top_up("m1"))
    past.batch(transfer("m2", 50))
    mend()
    past.batch(top_up("twice", amount=100, note=BROKEN))
    past.batch(transfer("m3", 50))
    assert past.retold().is_as_told
    assert past.decided(past.restored_url) == past.decided()


def test_what_was_abandoned_is_not_applied_after_all(past: Past, break_rule: Break) -> None:
    past.backup()
    break_rule(TopUp, decide=crash)
    past.batch(top_up("given up", amount=100, note=BROKEN), top_up("m1"))
    mend()
    past.abandon()
    past.batch(transfer("m2", 50))
    demand_as_told(past, past.retold())
    assert past.decided(past.restored_url)["given up"] == ("abandoned", None)


def test_a_duplicate_of_before_moves_no_new_command_there(past: Past) -> None:
    past.batch(top_up("old"))  # nothing but a duplicate, before the moment
    past.backup()
    past.batch(top_up("m1", amount=10))
    past.batch(array(top_up("old"), transfer("m2", 10)))
    past.batch(top_up("m3"))
    demand_as_told(past, past.retold())


@pytest.mark.parametrize("ahead", [timedelta(hours=2), -timedelta(hours=2)], ids=["ahead", "behind"])
def test_a_clock_that_is_wrong_forgets_nothing(past: Past, ahead: timedelta) -> None:
    past.batch(top_up("m1"), now=datetime.now(UTC) + ahead)
    past.backup()
    past.batch(top_up("m2"), now=datetime.now(UTC) - ahead)
    past.batch(top_up("m3"))
    retold = past.retold()
    demand_as_told(past, retold)
    assert retold.told == 2


def test_what_the_edge_has_trimmed_is_said(past: Past) -> None:
    past.backup()
    for number in range(4):
        past.batch(top_up(f"m{number}"))
    past.tell()
    with past.site.edge() as edge:
        edge.xtrim(outcomes_stream(PRODUCER), maxlen=2, approximate=False)
    retold = past.retold()
    assert not retold.is_as_told
    assert [one.stream for one in retold.gaps] == [outcomes_stream(PRODUCER)]
    assert any("COINS_EVENTS_KEEP" in line for line in retold.told_in_words())


def test_a_trimmed_stream_that_reaches_back_is_enough(past: Past) -> None:
    past.backup()
    past.batch(top_up("m1"))
    past.tell()
    with past.site.edge() as edge:
        edge.xtrim(outcomes_stream(PRODUCER), maxlen=2, approximate=False)
    demand_as_told(past, past.retold())


def test_a_further_event_that_says_something_else_gets_another_id(past: Past) -> None:
    past.batch(event("phone", "ActivatePostpaid", account="a", resource="r", estimate=1, coefficient="1"))
    past.backup()
    past.batch(event("u1", "ReportUsage", resource="r", amount=9))
    past.batch(top_up("m1", amount=20))
    past.batch(event("u2", "ReportUsage", resource="r", amount=30))
    past.tell()
    with past.site.edge() as edge:
        entries = edge.xrange(EVENTS)
        told = [json.loads(fields[b"event"]) for _, fields in entries]
        assert [one["type"] for one in told] == ["coins.CreditExhausted.v1"] * 2
        edge.delete(EVENTS)
        told[1]["data"]["available"] -= 1
        for one, (_, fields) in zip(told, entries, strict=True):
            edge.xadd(EVENTS, {**fields, b"event": orjson.dumps(one)})
    retold = past.retold()
    assert (retold.differences, retold.batches, retold.as_told) == ([], 3, 2)
    with psycopg.connect(past.restored_url) as connection:
        rows = connection.execute("SELECT events FROM outbox", binary=True).fetchall()
    said = {json.loads(line.split(b" ", 2)[2])["id"] for (lines,) in rows for line in lines.split(b"\n")}
    assert told[0]["id"] in said
    assert told[1]["id"] not in said


def test_no_batch_is_larger_than_those_of_the_workers(past: Past) -> None:
    """Many that got no answer come with the next one that did."""
    past.backup()
    past.batch(*(b"no message %d" % number for number in range(499)))
    past.batch(*(b"none either %d" % number for number in range(300)), top_up("m1"))
    assert past.retold().differences == []
    with psycopg.connect(past.restored_url) as connection:
        sizes = [len(json.loads(sent)) for (sent,) in connection.execute("SELECT deliveries FROM batch")]
    assert max(sizes) <= 500
    assert sum(sizes) == 3 + 1 + 499 + 301


def test_nobody_gets_a_partition_meanwhile(site: Site) -> None:
    """Not even when its lease would have run out."""
    waited = threading.Event()
    with (
        holding_all(site.database_url, site.partitions, name="restored") as epochs,
        connect(site.database_url, name="test") as connection,
    ):
        others = PartitionLease(connection, 1, site.partitions, "a worker", datetime.now(UTC))
        waited.wait(4)
        assert set(epochs) == set(range(site.partitions))
        assert others.take() is None
    with connect(site.database_url, name="test") as connection:
        others = PartitionLease(connection, 1, site.partitions, "a worker", datetime.now(UTC))
        assert others.take() is not None
