"""What Prometheus is told: dead letters by group, and whether the database answers."""

from __future__ import annotations

import socket
import urllib.request

import pytest

from tests.system.site import SCHEDULER, Site, until

pytestmark = pytest.mark.system


def free_address() -> str:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{one.getsockname()[1]}"


def scraped(address: str) -> dict[str, float]:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return {
        line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")
    }


def test_dead_letters_are_told_by_their_group(site: Site) -> None:
    address = free_address()
    site.rows(
        "INSERT INTO dead_letter_group (digest, reason, type, exception, count, kept, first_at, last_at) "
        "VALUES ('a', 'crashed', 'TopUp', 'builtins.KeyError', 7, 2, now(), now())"
    )
    site.rows(
        "INSERT INTO dead_letter (group_id, digest, place, raw, why, count, first_at, last_at, state) "
        "SELECT g.id, s::bytea, 0, 'x', 'x', 1, now(), now(), s FROM dead_letter_group g, "
        "unnest(ARRAY['waiting', 'failed again', 'archived']) s"
    )
    program = site.start(*SCHEDULER, METRICS_ADDRESS=address)
    told = scraped(address)
    (group,) = (one for one in told if one.startswith("coins_dead_letters{"))
    assert 'reason="crashed"' in group
    assert 'type="TopUp"' in group
    assert told[group] == 2
    assert told[group.replace("coins_dead_letters{", "coins_dead_letters_received_total{")] == 7
    assert told["coins_dead_letter_groups_opened_total"] == 1
    assert told["coins_database_up"] == 1
    site.servers.postgres.stop()
    try:
        assert scraped(address)["coins_database_up"] == 0
    finally:
        site.servers.postgres.start()
    until(lambda: scraped(address)["coins_database_up"] == 1, 10, site.logs)
    assert program.leave() == 0


@pytest.mark.parametrize("address", ["nowhere", "127.0.0.1:99999", "198.51.100.7:9464"])
def test_an_address_that_cannot_be_used_is_refused(site: Site, address: str) -> None:
    done = site.coins("scheduler", METRICS_ADDRESS=address)
    assert done.returncode == 2
    assert "COINS_METRICS_ADDRESS" in done.stderr
