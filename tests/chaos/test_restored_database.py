"""A database restored from a backup: the edge still has what came after it (COINS_COMMANDS_KEEP), and it is read again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.chaos.reckoning import demand_sound_books
from tests.chaos.test_traffic_that_collides import credits, event, send
from tests.system.listening import Listener
from tests.system.site import RELAY, WORKER, Site, administer, until

pytestmark = pytest.mark.system
BEFORE, AFTER = 20, 30


@pytest.fixture
def backup(site: Site) -> Iterator[Site]:
    """The same system on the database as it was at the time of the backup; made by `restore`."""
    name = f"{site.database}_restored"
    restored = replace(
        site, database=name, database_url=site.database_url.replace(site.database, name), programs=[]
    )
    yield restored
    restored.end()
    administer(site.servers, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def run_up_to(site: Site, listener: Listener, number: int, *, sending: range = range(0)) -> None:
    """Start worker and relay, send top-ups, wait until so many outcomes have come, and stop both."""
    programs = [site.start(*WORKER, COMMANDS_KEEP=3_600), site.start(*RELAY)]
    send(site, "till", 0, *(event("till", one, "TopUp", account="till", amount=1) for one in sending))
    until(lambda: listener.count("till") >= number, 15, site.logs)
    for program in programs:
        assert program.leave() == 0


@pytest.fixture
def restored(site: Site, backup: Site) -> Iterator[tuple[Site, Listener]]:
    """Twenty commands, a backup, two restarts and thirty commands more, then the backup in their place."""
    with Listener(site.edge_url, ["till"]) as listener:
        opening = event(
            "till", "open", "OpenAccount", account="till", parent="platform", kind="enterprise", name="T"
        )
        send(site, "till", 0, opening)
        run_up_to(site, listener, BEFORE + 1, sending=range(BEFORE))
        administer(site.servers, f"CREATE DATABASE {backup.database} TEMPLATE {site.database}")
        for some in (range(BEFORE, BEFORE + 10), range(BEFORE + 10, BEFORE + AFTER)):
            run_up_to(site, listener, some.stop + 1, sending=some)
        assert credits(site) == {"till": BEFORE + AFTER}
        yield backup, listener


def test_what_came_after_the_backup_is_applied_again(restored: tuple[Site, Listener]) -> None:
    backup, _ = restored
    assert credits(backup) == {"till": BEFORE}
    backup.start_all(WORKER, RELAY)
    until(lambda: credits(backup) == {"till": BEFORE + AFTER}, 15, backup.logs)
    demand_sound_books(backup)


def test_its_outcomes_come_out_again(restored: tuple[Site, Listener]) -> None:
    backup, listener = restored
    backup.start_all(WORKER, RELAY)
    heard = len(listener.heard)
    until(lambda: len(listener.heard) >= heard + AFTER, 15, backup.logs)


def test_no_event_id_is_used_again_for_something_else(restored: tuple[Site, Listener]) -> None:
    """Readers tell events apart by their ids: a new outcome under an old id would be passed over."""
    backup, listener = restored
    with backup.edge() as edge:
        edge.delete("coins:relay:epoch")  # what the relay does about that is another test's
    backup.start_all(WORKER, RELAY)
    send(backup, "till", 0, event("till", "new", "TopUp", account="till", amount=1))
    until(lambda: credits(backup) == {"till": BEFORE + AFTER + 1}, 15, backup.logs)
    until(lambda: any(b'"causationid":"new"' in one.raw for one in list(listener.heard)), 15, backup.logs)
    mixed = {id_: bodies for id_, bodies in listener.by_event().items() if len(bodies) > 1}
    assert mixed == {}
