"""Relays that are killed, frozen, or begin again on older books: every event comes out, in order, always the same."""

from __future__ import annotations

import time

import pytest

from tests.chaos.load import Load
from tests.chaos.reckoning import demand_all_is_well
from tests.chaos.test_workers_that_fail import STANDBY_SECONDS, measured
from tests.system.listening import Listener
from tests.system.site import RELAY, WORKER, Site, until

pytestmark = pytest.mark.system
SEED = 20_262
PRODUCERS = ["north", "south", "east"]


def test_a_stand_by_publishes_on_after_the_active_relay_is_killed(site: Site) -> None:
    site.start_all(WORKER, RELAY, RELAY)
    with Listener(site.edge_url, PRODUCERS) as listener:
        with Load(site.edge_url, seed=SEED) as load:
            until(lambda: len(listener.heard) > 200, 20, site.logs)
            active = site.relaying_within(5)
            killed_at = time.time()
            active.kill()
            measured("kill -9 of the active relay, to the next outcome", listener, killed_at, STANDBY_SECONDS)
            load.run_for(0.3)
        demand_all_is_well(site, load, listener, faults=0)


def test_a_relay_that_wakes_up_after_a_stand_by_took_over_publishes_nothing(any_site: Site) -> None:
    site = any_site
    site.start_all(WORKER, RELAY, RELAY)
    with Listener(site.edge_url, PRODUCERS) as listener:
        with Load(site.edge_url, seed=SEED + 1, at_once=40, pause_seconds=0.0) as load:
            until(lambda: len(listener.heard) > 200, 20, site.logs)
            frozen = site.relaying_within(5)
            frozen_at = time.time()
            frozen.freeze()
            measured("SIGSTOP of the active relay, to the next outcome", listener, frozen_at, STANDBY_SECONDS)
            frozen.wake()
            load.run_for(1.5)
            now = site.relaying_within(2)
            assert now.pid != frozen.pid
        demand_all_is_well(site, load, listener, faults=0)
        how = (
            "refused"
            if "old epoch" in frozen.log
            else "it saw the lost lease before it had anything to publish"
        )
        print(how)  # noqa: T201


def test_a_relay_with_an_old_epoch_is_refused_by_the_edge(site: Site) -> None:
    """The lease is taken away under it, by somebody who publishes at once."""
    relay = site.start_all(WORKER, RELAY)[1]
    with Listener(site.edge_url, PRODUCERS) as listener:
        with Load(site.edge_url, seed=SEED + 2, at_once=30, pause_seconds=0.0) as load:
            until(lambda: len(listener.heard) > 200, 20, site.logs)
            for _ in range(3):
                seen = site.value(
                    "UPDATE lease SET epoch = epoch + 1, owner = 'somebody else', "
                    "lease_until = clock_timestamp() + interval '1 second' WHERE name = 'relay' RETURNING epoch"
                )
                with site.edge() as edge:
                    edge.set("coins:relay:epoch", seen)
                load.run_for(1.3)
        demand_all_is_well(site, load, listener)
    assert "published nothing under an old epoch" in relay.log


def test_the_relay_goes_on_when_the_edge_has_seen_a_newer_epoch_than_a_restored_database_has(
    site: Site,
) -> None:
    """A database from before some take-overs of the relay: what it has to say must still come out."""
    with site.edge() as edge:
        edge.set("coins:relay:epoch", 40)
    site.start_all(WORKER, RELAY)
    with Listener(site.edge_url, PRODUCERS) as listener:
        with Load(site.edge_url, seed=SEED + 3) as load:
            until(lambda: len(listener.heard) > 100, 12, site.logs)
        demand_all_is_well(site, load, listener)
