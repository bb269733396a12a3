"""PostgreSQL and Valkey that crash, are away, or come back with nothing."""

from __future__ import annotations

import json
import time

import pytest

from messages.streams import commands_queue
from tests.chaos.load import Load
from tests.chaos.reckoning import demand_all_is_well, demand_sound_books
from tests.chaos.test_workers_that_fail import measured
from tests.rabbitmq import looked_at
from tests.system.listening import Listener
from tests.system.site import JOBS, RELAY, SCHEDULER, WORKER, Site, until

pytestmark = pytest.mark.system
SEED = 20_263
PRODUCERS = ["north", "south", "east"]


def flowing(site: Site, listener: Listener) -> None:
    until(lambda: len(listener.heard) > 200, 20, site.logs)


def test_nothing_is_lost_or_doubled_when_postgresql_crashes_and_comes_back(site: Site) -> None:
    site.start_all(WORKER, RELAY)
    with Listener(site.edge_url, PRODUCERS) as listener:
        with Load(site.edge_url, seed=SEED, at_once=30) as load:
            flowing(site, listener)
            site.servers.postgres.kill()
            time.sleep(0.3)
            site.servers.postgres.start()
            back_at = time.time()
            measured("PostgreSQL is back, to the next outcome", listener, back_at, 8.0)
            load.run_for(0.3)
        demand_all_is_well(site, load, listener)


def test_nothing_is_lost_or_doubled_when_valkey_crashes_and_comes_back(site: Site) -> None:
    site.start_all(WORKER, RELAY)
    with Listener(site.edge_url, PRODUCERS) as listener:
        with Load(site.edge_url, seed=SEED + 1, at_once=30) as load:
            flowing(site, listener)
            site.servers.valkey.kill()
            time.sleep(0.3)
            site.servers.valkey.start()
            back_at = time.time()
            measured("Valkey is back, to the next outcome", listener, back_at, 8.0)
            load.run_for(0.3)
        demand_all_is_well(site, load, listener)


def test_while_postgresql_is_away_nothing_is_refused_and_health_says_so(any_site: Site) -> None:
    site = any_site
    site.start_all(WORKER, RELAY, JOBS, SCHEDULER)
    with Listener(site.edge_url, PRODUCERS) as listener:
        with Load(site.edge_url, seed=SEED + 2) as load:
            flowing(site, listener)
            until(lambda: site.coins("health").returncode == 0, 15, site.logs)
            site.servers.postgres.stop()
            away_at = time.time()
            health = site.coins("health", "--json")
            assert health.returncode == 3
            checks = {one["name"]: one["ok"] for one in json.loads(health.stdout)["checks"]}
            assert checks == {"edge": True, "database": False}
            time.sleep(max(0.0, away_at + 4 - time.time()))
            if site.rabbitmq_url is not None:
                (queue,) = looked_at(site.rabbitmq_url, commands_queue(0)).values()
                assert queue.consumers == 0, "whoever cannot decide is given nothing"
                assert queue.messages > 0
            site.servers.postgres.start()
            back_at = time.time()
            measured("PostgreSQL was away for 4 s, to the next outcome", listener, back_at, 8.0)
            until(lambda: site.coins("health").returncode == 0, 10, lambda: site.coins("health").stdout)
        demand_all_is_well(site, load, listener)


def test_an_edge_that_comes_back_empty_gets_its_commands_again_and_the_keys_decide(site: Site) -> None:
    """The server has lost everything, its clock is behind, and the producer sends again what it is not sure of."""
    site.start_all(WORKER, RELAY)
    stream = "coins:commands:0:north"
    opening = [
        event(1, "OpenAccount", account="north", parent="platform", kind="enterprise", name="North"),
        *(event(number, "TopUp", account="north", amount=1) for number in range(2, 12)),
    ]
    with site.edge() as edge, Listener(site.edge_url, ["north"]) as listener:
        for body in opening:
            edge.xadd(stream, {"event": body})
        until(lambda: len(listener.of("north")) == 11, 20, site.logs)
        edge.flushall()
    with site.edge() as edge, Listener(site.edge_url, ["north"]) as listener:
        for place, body in enumerate([*opening, event(12, "TopUp", account="north", amount=1)], 1):
            edge.xadd(stream, {"event": body}, id=f"{place}-0")
        until(lambda: len(listener.of("north")) == 12, 20, site.logs)
        answers = [one.answer for one in listener.of("north")]
        assert [one.duplicate for one in answers] == [True] * 11 + [False]
        assert {one.reason for one in answers} == {None}
    assert site.value("SELECT credit FROM account WHERE account = 'north'") == 11
    demand_sound_books(site)


def test_an_edge_that_is_emptied_and_restarted_is_read_on_by_the_same_worker(site: Site) -> None:
    site.start_all(WORKER, RELAY)
    with Listener(site.edge_url, ["north"]) as listener:
        with site.edge() as edge:
            edge.xadd(
                "coins:commands:0:north",
                {
                    "event": event(
                        1, "OpenAccount", account="n", parent="platform", kind="enterprise", name="N"
                    )
                },
            )
        until(lambda: len(listener.of("north")) == 1, 20, site.logs)
        with site.edge() as edge:
            edge.flushall()
        site.servers.valkey.kill()
        site.servers.valkey.start()
    with site.edge() as edge, Listener(site.edge_url, ["north"]) as listener:
        began = time.time()
        edge.xadd("coins:commands:0:north", {"event": event(2, "TopUp", account="n", amount=5)})
        until(lambda: len(listener.of("north")) == 1, 10, site.logs)
        print(f"first outcome on the emptied edge after {time.time() - began:.2f} s")  # noqa: T201
    assert site.value("SELECT credit FROM account WHERE account = 'n'") == 5


def event(number: int, type_: str, **data: object) -> bytes:
    return json.dumps(
        {
            "specversion": "1.0",
            "id": f"{number}",
            "source": "north",
            "type": f"coins.{type_}.v1",
            "data": data,
        }
    ).encode()
