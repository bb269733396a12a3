"""A database restored from a backup: the edge still has what came after it (COINS_COMMANDS_KEEP), and it is read again.

`coins restored`, before anything is started, decides again as was told; without it the workers decide anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

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


def outcomes_of(listener: Listener) -> dict[str, tuple[str | None, str | None]]:
    """What was told first of each command: the reason, and the number of its transaction."""
    found: dict[str, tuple[str | None, str | None]] = {}
    for one in list(listener.heard):
        found.setdefault(one.answer.id, (one.answer.reason, one.data["transaction"]))
    return found


def stored(site: Site) -> dict[str, tuple[str | None, str | None]]:
    rows = site.rows("SELECT id, reason, outcome::json ->> 'transaction' FROM command")
    return {id_: (reason, number) for id_, reason, number in rows}


def sessions(site: Site) -> set[str]:
    rows = site.rows("SELECT application_name FROM pg_stat_activity WHERE datname = current_database()")
    return {" ".join(name.split()[:2]) for (name,) in rows}


def test_what_was_told_is_decided_again_under_the_same_numbers(
    site: Site, restored: tuple[Site, Listener]
) -> None:
    """By the clock of then: what has expired since is applied, and its event is the one that was sent."""
    backup, listener = restored
    expires_at = datetime.now(UTC) + timedelta(seconds=4)
    body = json.loads(event("till", "expiring", "TopUp", account="till", amount=1))
    send(site, "till", 0, json.dumps({**body, "expirytime": expires_at.isoformat()}).encode())
    run_up_to(site, listener, BEFORE + AFTER + 2)
    told = outcomes_of(listener)
    assert told["expiring"][0] is None
    until(lambda: datetime.now(UTC) > expires_at, 5)
    done = backup.coins("restored", "--json", COMMANDS_KEEP=3_600)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["told"], said["messages"], said["differences"]) == (AFTER + 1, AFTER + 1, [])
    assert said["as_told"] == said["batches"]
    assert stored(backup) == told
    demand_sound_books(backup)
    again = backup.coins("restored", "--json", COMMANDS_KEEP=3_600)
    assert json.loads(again.stdout)["messages"] == 0
    heard = len(listener.heard)
    backup.start_all(WORKER, RELAY)
    until(lambda: {"coins relay", "coins worker"} <= sessions(backup), 15, backup.logs)
    refused = backup.coins("restored")
    assert refused.returncode == 3
    assert "of coins relay" in refused.stderr
    until(lambda: len(listener.heard) > heard + AFTER, 15, backup.logs)
    assert {id_: bodies for id_, bodies in listener.by_event().items() if len(bodies) > 1} == {}
    send(backup, "till", 0, event("till", "new", "TopUp", account="till", amount=1))
    until(lambda: "new" in stored(backup), 15, backup.logs)
    assert stored(backup)["new"][1] not in {number for _, number in told.values()}


def test_what_was_told_and_cannot_be_read_again_is_listed(restored: tuple[Site, Listener]) -> None:
    """COINS_COMMANDS_KEEP was too short: somebody is to know, and nothing goes by a number or an id of something else."""
    backup, listener = restored
    told = outcomes_of(listener)
    with backup.edge() as edge:
        edge.xtrim("coins:commands:0:till", maxlen=10, approximate=False)
    done = backup.coins("restored", "--json", COMMANDS_KEEP=3_600)
    assert done.returncode == 5, done.stderr
    said = json.loads(done.stdout)
    assert said["as_told"] == 0, "what is left of the batches shows other balances"
    differing = {one["id"]: one["now"] for one in said["differences"]}
    assert differing == {f"{number}": None for number in range(BEFORE, BEFORE + AFTER - 10)}
    assert {id_: one for id_, one in told.items() if id_ not in differing} == stored(backup)
    assert backup.value("SELECT nextval('transaction_key')") > max(
        int(number.rpartition("-")[2]) for _, number in told.values() if number
    )
    heard = len(listener.heard)
    backup.start(*RELAY)
    until(lambda: len(listener.heard) >= heard + 10, 15, backup.logs)
    assert {id_: bodies for id_, bodies in listener.by_event().items() if len(bodies) > 1} == {}
