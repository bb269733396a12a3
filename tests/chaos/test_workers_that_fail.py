"""Workers that are killed, frozen, robbed of their lease, or told to leave, under load."""

from __future__ import annotations

import time
from collections.abc import Callable
from signal import SIGTERM

import pytest

from tests.chaos.load import Load
from tests.chaos.reckoning import demand_all_is_well
from tests.system.listening import Listener
from tests.system.site import RELAY, WORKER, Program, Site, until

pytestmark = pytest.mark.system
SEED = 20_261
STANDBY_SECONDS = 8.0  # 5 s are promised; the rest is for a machine that has other things to do
# By the lease, by the batch in hand, or by RabbitMQ, which has ended the connection of a process that said nothing.
OVERTAKEN = ("partition lost", "FenceLost", "reading again from the ledger's position")
FROZEN_SECONDS = 9.0  # the server ends a session that is idle in a transaction after three


def measured(what: str, listener: Listener, since: float, within_seconds: float) -> float:
    """How long after `since` the first outcome came that was decided after it."""
    first = until(lambda: listener.first_decided_after(since), within_seconds + 20)
    seconds = first.came_at - since
    print(f"{what}: {seconds:.2f} s")  # noqa: T201 - a figure for whoever runs with -s
    assert seconds < within_seconds, what
    return float(seconds)


def under_load(site: Site, load: Load, listener: Listener) -> Program:
    """The active worker, once outcomes flow."""
    until(lambda: len(listener.heard) > 200, 20, site.logs)
    return site.owner_within(5)


def other(one: Program, programs: list[Program]) -> Program:
    return next(program for program in programs if program.pid != one.pid)


def test_a_stand_by_goes_on_within_seconds_after_the_active_worker_is_killed(any_site: Site) -> None:
    site = any_site
    site.start_all(WORKER, WORKER, RELAY)
    with Listener(site.edge_url, ["north", "south", "east"]) as listener:
        with Load(site.edge_url, seed=SEED) as load:
            active = under_load(site, load, listener)
            killed_at = time.time()
            active.kill()
            measured(
                "kill -9 of the active worker, to the next outcome", listener, killed_at, STANDBY_SECONDS
            )
            load.run_for(0.5)
        demand_all_is_well(site, load, listener)


def test_a_worker_killed_again_and_again_loses_and_doubles_nothing(site: Site) -> None:
    site.start_all(WORKER, RELAY)
    with Listener(site.edge_url, ["north", "south", "east"]) as listener:
        with Load(site.edge_url, seed=SEED + 1, at_once=40, pause_seconds=0.02) as load:
            for number in range(3):
                active = under_load(site, load, listener)
                site.start(*WORKER, wait=False)
                load.run_for(0.3 + 0.17 * number)
                active.kill()
                site.owner_within(STANDBY_SECONDS)
        demand_all_is_well(site, load, listener)


def test_a_worker_that_wakes_up_after_a_stand_by_took_over_can_commit_nothing(any_site: Site) -> None:
    site = any_site
    site.start_all(WORKER, WORKER, RELAY)
    with Listener(site.edge_url, ["north", "south", "east"]) as listener:
        with Load(site.edge_url, seed=SEED + 2) as load:
            frozen = under_load(site, load, listener)
            frozen_at = freeze(site, frozen, in_transaction=False)
            measured(
                "SIGSTOP of the active worker, to the next outcome", listener, frozen_at, STANDBY_SECONDS
            )
            frozen.wake()
            until(lambda: any(word in frozen.log for word in OVERTAKEN), 10, site.logs)
            load.run_for(0.5)
        demand_all_is_well(site, load, listener)


def test_a_batch_in_hand_of_a_worker_that_was_overtaken_is_refused(site: Site) -> None:
    """The epoch is raised while a batch is on its way: the very next transaction finds out."""
    (worker, _) = site.start_all(WORKER, RELAY)
    with Listener(site.edge_url, ["north", "south", "east"]) as listener:
        with Load(site.edge_url, seed=SEED + 3, at_once=40, pause_seconds=0.01) as load:
            under_load(site, load, listener)
            for _ in range(5):
                site.rows("UPDATE partition SET epoch = epoch + 1")
                load.run_for(0.25)
            until(lambda: "FenceLost" in worker.log or "partition lost" in worker.log, 10, site.logs)
        demand_all_is_well(site, load, listener)
    print(f"FenceLost {worker.log.count('FenceLost')}, partition lost {worker.log.count('partition lost')}")  # noqa: T201


def test_a_worker_frozen_in_the_middle_of_a_transaction_holds_the_partition_only_for_seconds(
    any_site: Site,
) -> None:
    site = any_site
    site.start_all(WORKER, WORKER, RELAY)
    with Listener(site.edge_url, ["north", "south", "east"]) as listener:
        with Load(site.edge_url, seed=SEED + 4, at_once=40, pause_seconds=0.01) as load:
            active = under_load(site, load, listener)
            frozen_at = freeze(site, active, in_transaction=True)
            measured("SIGSTOP in a transaction, to the next outcome", listener, frozen_at, FROZEN_SECONDS)
            active.wake()
            load.run_for(0.5)
        demand_all_is_well(site, load, listener)


def freeze(site: Site, program: Program, *, in_transaction: bool) -> float:
    """Stop it at a moment when its session has a batch open, or has none. When that was."""
    for _ in range(400):
        frozen_at = time.time()
        program.freeze()
        time.sleep(0.2)
        states = site.rows(
            "SELECT state, left(query, 40) FROM pg_stat_activity WHERE datname = current_database() "
            "AND application_name = 'coins worker' AND xact_start IS NOT NULL"
        )
        if [state for state, _ in states] == (["idle in transaction"] if in_transaction else []):
            print(f"frozen with open transactions: {states}")  # noqa: T201
            return frozen_at
        program.wake()
        time.sleep(0.013)
    raise AssertionError("never caught at the right moment")


def test_a_worker_that_is_told_to_leave_goes_at_once_and_a_stand_by_goes_on(any_site: Site) -> None:
    site = any_site
    site.start_all(WORKER, WORKER, RELAY)
    with Listener(site.edge_url, ["north", "south", "east"]) as listener:
        with Load(site.edge_url, seed=SEED + 5) as load:
            active = under_load(site, load, listener)
            told_at = time.time()
            active.send(SIGTERM)
            assert active.process.wait(10) == 0
            print(f"SIGTERM, to its end: {time.time() - told_at:.2f} s")  # noqa: T201
            left_at = time.time()
            measured("SIGTERM, from its end to the next outcome", listener, left_at, 2.0)
        demand_all_is_well(site, load, listener, faults=0)


def test_two_workers_share_two_partitions_and_stand_in_for_each_other(
    open_site: Callable[[int], Site],
) -> None:
    site = open_site(2)
    first, second, _ = site.start_all(WORKER, WORKER, RELAY)
    producers = ["north", "south", "east", "west"]
    with Listener(site.edge_url, producers) as listener:
        with Load(site.edge_url, seed=SEED + 6, producers=producers, partitions=2) as load:
            until(lambda: owners(site) == {first.pid, second.pid}, 10, site.logs)
            killed_at = time.time()
            first.kill()
            until(lambda: owners(site) == {second.pid} and both_owned(site), 8, site.logs)
            print(f"kill -9 of one of two, until the other has both: {time.time() - killed_at:.2f} s")  # noqa: T201
            started_at = time.time()
            third = site.start(*WORKER)
            until(lambda: owners(site) == {second.pid, third.pid}, 8, site.logs)
            print(f"a new worker, from its start until it has one: {time.time() - started_at:.2f} s")  # noqa: T201
            load.run_for(0.5)
        demand_all_is_well(site, load, listener)


def owners(site: Site) -> set[int | None]:
    return {owner.pid if owner else None for owner in (site.owner_of(0), site.owner_of(1))}


def both_owned(site: Site) -> bool:
    return bool(site.value("SELECT bool_and(lease_until > clock_timestamp()) FROM partition"))
