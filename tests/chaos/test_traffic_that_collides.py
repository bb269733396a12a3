"""Many at once on the same rows: nothing is lost, doubled, or stands in front of another."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from typing import Any

import pytest

from messages.publisher import Message, Publisher
from tests.chaos.reckoning import demand_sound_books
from tests.system.listening import Listener
from tests.system.site import JOBS, RELAY, SCHEDULER, WORKER, Site, until
from workers.streams import MAX_DELIVERIES

pytestmark = pytest.mark.system


def event(source: str, number: object, type_: str, **data: Any) -> bytes:
    return json.dumps(
        {
            "specversion": "1.0",
            "id": f"{number}",
            "source": source,
            "type": f"coins.{type_}.v1",
            "data": data,
        }
    ).encode()


def send(site: Site, producer: str, partition: int, *bodies: bytes) -> None:
    with Publisher(site.edge_url, producer=producer) as publisher:
        publisher.send_raw([Message(body, partition) for body in bodies])


def family(site: Site, listener: Listener, *, credit: int) -> None:
    """A top account with two branches that have coins of their own."""
    send(
        site,
        "office",
        0,
        event("office", 1, "OpenAccount", account="top", parent="platform", kind="enterprise", name="Top"),
        event("office", 2, "OpenAccount", account="a", parent="top", kind="branch", name="A"),
        event("office", 3, "OpenAccount", account="b", parent="top", kind="branch", name="B"),
        event("office", 4, "TopUp", account="a", amount=credit),
        event("office", 5, "TopUp", account="b", amount=credit),
    )
    until(lambda: listener.count("office") == 5, 20, site.logs)


def credits(site: Site) -> dict[str, int]:
    return dict(site.rows("SELECT account, credit FROM account WHERE id > 0"))


def test_opposite_transfers_from_two_partitions_all_go_through(open_site: Callable[[int], Site]) -> None:
    """A to B in one partition, B to A in the other, ordered by their ancestor: 500 each, in messages of five."""
    site = open_site(2)
    site.start_all(WORKER, RELAY)
    with Listener(site.edge_url, ["office", "there", "back"]) as listener:
        family(site, listener, credit=10_000)
        for number in range(100):
            for producer, partition, from_, to in (("there", 0, "a", "b"), ("back", 1, "b", "a")):
                moved = {"from_account": from_, "to_account": to, "amount": 3, "ordered_by": "top"}
                some = [event(producer, 5 * number + one, "Transfer", **moved) for one in range(5)]
                send(site, producer, partition, b"[" + b",".join(some) + b"]")
        until(lambda: listener.count("there") + listener.count("back") == 1_000, 40, site.logs)
        answers = [one.answer for producer in ("there", "back") for one in listener.of(producer)]
        assert {(one.reason, one.duplicate) for one in answers} == {(None, False)}
        assert [one.answer.id for one in listener.of("there")] == [str(number) for number in range(500)]
    assert credits(site) == {"top": 0, "a": 10_000, "b": 10_000}
    demand_sound_books(site)


def test_the_same_keys_in_two_partitions_are_decided_once(open_site: Callable[[int], Site]) -> None:
    """Also refused ones, which lock no account: there only the key itself can collide."""
    site = open_site(2)
    site.start_all(WORKER, WORKER, RELAY)
    seed = 7
    print(f"seed {seed}")  # noqa: T201
    chance = random.Random(seed)
    with Listener(site.edge_url, ["office", "twin"]) as listener:
        family(site, listener, credit=100)
        commands = [event("twin", number, "TopUp", account="a", amount=1) for number in range(300)]
        commands += [event("twin", number, "TopUp", account="nobody", amount=1) for number in range(300, 600)]
        for partition in (0, 1):
            chance.shuffle(commands)
            send(site, "twin", partition, *commands)
        until(lambda: listener.count("twin") == 1_200, 40, site.logs)
        answers = [one.answer for one in listener.of("twin")]
        assert sorted(one.duplicate for one in answers) == [False] * 600 + [True] * 600
        assert len({one.id for one in answers if not one.duplicate}) == 600
        assert len({one.id for one in answers if one.duplicate}) == 600
    assert credits(site) == {"top": 0, "a": 400, "b": 100}
    demand_sound_books(site)


def test_a_backlog_of_one_producer_does_not_stand_in_front_of_another(site: Site) -> None:
    with Listener(site.edge_url, ["office", "bulk", "urgent"]) as listener:
        worker, _ = site.start_all(WORKER, RELAY)
        family(site, listener, credit=100)
        send(site, "urgent", 0, event("urgent", 0, "TopUp", account="b", amount=1))
        until(lambda: listener.count("urgent") == 1, 10, site.logs)
        worker.kill()
        backlog = (event("bulk", number, "TopUp", account="a", amount=1) for number in range(20_000))
        send(site, "bulk", 0, *backlog)
        worker = site.start(*WORKER)
        until(lambda: listener.count("bulk"), 20, site.logs)
        # In the middle of it; meanwhile nothing more is done
        worker.freeze()
        last = site.value("SELECT max(id) FROM batch")
        send(site, "urgent", 0, event("urgent", 1, "TopUp", account="b", amount=1))
        worker.wake()
        until(lambda: listener.count("urgent") == 2, 20, site.logs)
        urgent = site.value("SELECT batch FROM command WHERE (source, id) = ('urgent', '1')")
        bulk = "SELECT count(*) FROM command WHERE source = 'bulk' AND batch "
        # The batch in hand, what was read ahead of the next, and what comes beside it
        assert site.value(f"{bulk} > %s AND batch < %s", last, urgent) <= 3 * MAX_DELIVERIES
        until(lambda: listener.count("bulk") == 20_000, 60, site.logs)
        assert site.value(f"{bulk} > %s", urgent) > 0, "it was over before the other came"
    demand_sound_books(site)


def test_fewer_partitions_than_before_strand_nothing(open_site: Callable[[int], Site]) -> None:
    site = open_site(2)
    with Listener(site.edge_url, ["office", "late"]) as listener:
        two = site.start_all(WORKER, RELAY)
        family(site, listener, credit=100)
        for program in two:
            assert program.leave() == 0
        late = [event("late", number, "TopUp", account="a", amount=1) for number in range(50)]
        send(site, "late", 1, *late)
        site.partitions = 1
        site.coins("migrate")
        site.start_all(WORKER, RELAY, JOBS, SCHEDULER)
        until(lambda: listener.count("late") == 50, 20, site.logs)
        assert credits(site)["a"] == 150
        said = until(lambda: ready(site), 10, lambda: site.coins("health").stdout)
        assert said["ready"]


def test_more_partitions_than_before_are_read_by_workers_that_are_told_so(
    open_site: Callable[[int], Site],
) -> None:
    """Without another `coins migrate`: a changed setting and a restart are all that an operator does."""
    site = open_site(1)
    site.partitions = 3
    with Listener(site.edge_url, ["office", "late"]) as listener:
        site.start_all(WORKER, RELAY)
        family(site, listener, credit=100)
        for partition in (1, 2):
            send(site, "late", partition, event("late", partition, "TopUp", account="a", amount=1))
        until(lambda: listener.count("late") == 2, 10, site.logs)


def test_workers_with_different_partitions_at_once_double_nothing(open_site: Callable[[int], Site]) -> None:
    """As during a rolling restart: one still reads two partitions, the other already one."""
    site = open_site(2)
    with Listener(site.edge_url, ["office", "roll"]) as listener:
        site.start_all(WORKER, RELAY)
        site.start(*WORKER, PARTITIONS=1)
        family(site, listener, credit=100)
        for number in range(40):
            some = [event("roll", 25 * number + one, "TopUp", account="a", amount=1) for one in range(25)]
            send(site, "roll", 1, *some)
            time.sleep(0.02)
        until(lambda: listener.count("roll") == 1_000, 40, site.logs)
        assert [one.answer.id for one in listener.of("roll")] == [str(number) for number in range(1_000)]
        assert not any(one.answer.duplicate for one in listener.of("roll"))
    assert credits(site)["a"] == 1_100
    demand_sound_books(site)


def ready(site: Site) -> Any:
    said = json.loads(site.coins("health", "--json").stdout)
    return said if said["ready"] else None
