"""What health says of single things; of the whole system `tests/console/test_system_verbs.py`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ledger.database import connect
from tests.system.site import Site
from workers.health import KEEPS_EVERYTHING, examine, inside
from workers.settings import Settings


def test_a_partition_that_is_stopped_says_how_it_goes_on(site: Site) -> None:
    with connect(site.database_url, name="test") as connection:
        assert "stopped" not in {check.name for check in inside(connection, 2)}
        connection.execute("UPDATE partition SET stopped_at = clock_timestamp() WHERE id = 0")
        (stopped,) = (check for check in inside(connection, 2) if check.name == "stopped")
    assert not stopped.ok
    assert "restart the workers of a deployment" in stopped.detail
    assert "DIR/run/commands-*.pid" in stopped.detail


def test_an_edge_that_may_lose_commands_is_told_with_what_to_set(site: Site) -> None:
    settings = Settings(database_url=site.database_url, redis_url=site.edge_url)  # type: ignore[arg-type]

    def edge() -> tuple[bool, str]:
        ((ok, detail),) = [(one.ok, one.detail) for one in examine(settings) if one.name == "edge"]
        return ok, detail

    with site.edge() as client:
        before: Any = client.config_get(*KEEPS_EVERYTHING)
        try:
            for name, value in KEEPS_EVERYTHING.items():
                client.config_set(name, value)
            assert edge() == (True, "answers")
            client.config_set("appendfsync", "everysec")
            client.config_set("maxmemory-policy", "allkeys-lru")
            ok, detail = edge()
            assert ok
            assert detail.startswith("answers, but may lose commands")
            assert "appendfsync always (it is everysec)" in detail
            assert "maxmemory-policy noeviction (it is allkeys-lru)" in detail
            assert "appendonly" not in detail
            # Where a server does not tell its settings, nothing is said of them.
            client.execute_command("ACL", "SETUSER", "default", "-config|get")  # type: ignore[no-untyped-call]
            assert edge() == (True, "answers")
        finally:
            client.execute_command("ACL", "SETUSER", "default", "+config|get")  # type: ignore[no-untyped-call]
            for name, value in before.items():
                client.config_set(name, value)


def test_producers_are_a_check_where_there_is_a_file(site: Site, tmp_path: Path) -> None:
    def producers(file: Path | None) -> list[tuple[bool, str]]:
        settings = Settings(database_url=site.database_url, redis_url=site.edge_url, producers_file=file)  # type: ignore[arg-type]
        return [(check.ok, check.detail) for check in examine(settings) if check.name == "producers"]

    file = tmp_path / "producers.toml"
    assert producers(None) == []
    ((ok, detail),) = producers(file)
    assert not ok
    assert "coins producer new" in detail
    file.write_text('[shop]\nsecrets = ["a secret of sixteen bytes"]\n', encoding="utf-8")
    file.chmod(0o600)
    assert producers(file) == [(True, f"1 in {file}")]


def test_commands_that_nobody_reads_are_told_with_their_age(site: Site) -> None:
    def commands() -> tuple[bool, str]:
        settings = Settings(database_url=site.database_url, redis_url=site.edge_url, partitions=3)  # type: ignore[arg-type]
        ((ok, detail),) = [(one.ok, one.detail) for one in examine(settings) if one.name == "commands"]
        return ok, detail

    assert commands() == (True, "none waits")
    with site.edge() as client:
        client.xadd("coins:commands:2:shop", {"event": b"x"}, id=f"{int(time.time() - 30) * 1000}-0")
        ok, detail = commands()
        assert ok
        assert detail.startswith("the oldest that is not read has waited 3")
        client.xadd("coins:commands:0:shop", {"event": b"x"}, id=f"{int(time.time() - 90) * 1000}-0")
    ok, detail = commands()
    assert not ok
    assert "has waited 9" in detail
