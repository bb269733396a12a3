"""Faults of every kind, at random moments and on top of each other, under load: at the end nothing is lost or doubled.

In the suite it is short, with a seed that stays. `make chaos` plays hundreds of faults with a seed of its own.
"""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.campaign import Campaign, schedule
from tests.chaos.faults import KINDS
from tests.chaos.load import Load
from tests.chaos.reckoning import (
    demand_all_is_well,
    demand_everything_came_to_rest,
    demand_exports,
    demand_one_outcome_each,
)
from tests.chaos.stage import PRODUCERS, Stage, stage
from tests.chaos.summary import summary
from tests.system.conftest import ON_RABBITMQ, REDIS
from tests.system.listening import Listener
from tests.system.site import until

pytestmark = pytest.mark.system
NAMES = ["north", "south", "east", "west"]
FAULTS = int(os.environ.get("COINS_CHAOS_FAULTS", "0"))
LONG = FAULTS > 0
SHORT_SEED = 20_271
BACK_SECONDS, DRAINED_SECONDS = 60.0, 120.0  # on a machine that has other things to do


@pytest.fixture(scope="module")
def seed() -> int:
    given = os.environ.get("COINS_CHAOS_SEED")
    if given:
        return int(given)
    return random.SystemRandom().randrange(1_000_000) if LONG else SHORT_SEED


@pytest.fixture(params=[REDIS, pytest.param(ON_RABBITMQ, marks=pytest.mark.rabbitmq)])
def played_on(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """With each edge in turn."""
    url = request.getfixturevalue("rabbitmq_host") if request.param == ON_RABBITMQ else None
    # Not where pytest keeps what tests leave behind: these disks are to go with the test.
    with (
        tempfile.TemporaryDirectory(prefix="coins-chaos-", ignore_cleanup_errors=True) as directory,
        stage(Path(directory), events_keep=20_000, rabbitmq_url=url) as made,
    ):
        yield made


@pytest.mark.timeout(300 + 30 * FAULTS)
def test_whatever_fails_in_whatever_order_every_command_has_one_outcome(played_on: Stage, seed: int) -> None:
    if LONG:
        plans = schedule(seed, FAULTS, pause_seconds=4.5)
    else:
        plans = schedule(seed, len(KINDS), pause_seconds=0.65, longest_seconds=4.0)
    site, campaign = played_on.site, Campaign(played_on, plans)
    edge_url = played_on.keeper.edge_url(PRODUCERS)
    with Listener(site.edge_url, NAMES) as listener:
        try:
            with Load(
                edge_url,
                seed=seed,
                producers=NAMES,
                partitions=site.partitions,
                at_once=6,
                most=2_000,
                exports=0.005,
            ) as load:
                until(lambda: len(listener.heard) > 200, 30, played_on.keeper.logs)
                campaign.play()
                load.run_for(0.5)
            ended_at = time.time()
            played_on.keeper.wait_complete(BACK_SECONDS)
            demand_all_is_well(
                site,
                load,
                listener,
                within_seconds=DRAINED_SECONDS,
                logs=played_on.keeper.logs,
                faults=2 * len(plans),
            )
            demand_one_outcome_each(site, load, listener)
            demand_everything_came_to_rest(site, load, played_on.keeper.everybody(), played_on.keeper.logs)
            demand_exports(site, load)
            assert played_on.keeper.surprises == []
        except BaseException:
            print(f"\nCOINS_CHAOS_SEED={seed} COINS_CHAOS_FAULTS={FAULTS}: what was played")  # noqa: T201
            print("\n".join([*campaign.told, played_on.keeper.logs()]))  # noqa: T201
            raise
    print("\n".join(campaign.told))  # noqa: T201
    print(summary(seed, campaign, load, listener, played_on.keeper, ended_at))  # noqa: T201
