"""What Prometheus is told of the database and of the edge, whatever state they are in."""

from __future__ import annotations

import time

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from messages.rabbitmq import Confirms, close, connect
from messages.streams import commands_queue
from tests.rabbitmq import virtual_host
from tests.scraping import Scraped
from tests.system.site import Site
from workers.figures import Figures
from workers.topology import Queue, commands_arguments, declare_queue, version_of


def told_of(site: Site, *, common: bool = True, edge_url: str | None = None) -> Scraped:
    registry = CollectorRegistry()
    edge = edge_url or site.edge_url
    registry.register(Figures(site.database_url, edge, partitions=site.partitions, common=common))
    found = Scraped()
    found.read(generate_latest(registry).decode())
    return found


def test_dead_letters_are_told_by_their_group(site: Site) -> None:
    site.rows(
        "INSERT INTO dead_letter_group (digest, reason, type, exception, count, kept, first_at, last_at) "
        "VALUES ('a', 'crashed', 'TopUp', 'builtins.KeyError', 7, 2, now(), now())"
    )
    site.rows(
        "INSERT INTO dead_letter (group_id, digest, place, raw, why, count, first_at, last_at, state) "
        "SELECT g.id, s::bytea, 0, 'x', 'x', 1, now(), now(), s FROM dead_letter_group g, "
        "unnest(ARRAY['waiting', 'failed again', 'archived']) s"
    )
    told = told_of(site)
    group = {"group": "1", "reason": "crashed", "type": "TopUp", "exception": "builtins.KeyError"}
    assert told.value("coins_dead_letters", **group) == 2
    assert told.value("coins_dead_letters_received_total", **group) == 7
    assert told.value("coins_dead_letter_groups_opened_total") == 1


def test_a_server_that_is_away_is_told_and_the_rest_goes_on(site: Site) -> None:
    assert up(told_of(site)) == (1, 1)
    site.servers.postgres.stop()
    try:
        assert up(told_of(site)) == (0, 1)
    finally:
        site.servers.postgres.start()
    site.servers.valkey.stop()
    try:
        told = told_of(site)
        assert up(told) == (1, 0)
        assert told.value("coins_outbox_rows") == 0
    finally:
        site.servers.valkey.start()
    assert up(told_of(site)) == (1, 1)


def up(told: Scraped) -> tuple[float, float]:
    return told.value("coins_database_up"), told.value("coins_edge_up")


def test_what_nobody_works_on_is_told_with_its_age(site: Site) -> None:
    site.rows("INSERT INTO outbox (events, created_at) VALUES ('x', now() - interval '1 minute')")
    site.rows("UPDATE partition SET stopped_at = now() WHERE id = 0")
    site.rows("UPDATE partition SET lease_until = 'infinity' WHERE id = 1")
    site.rows(
        "INSERT INTO process (name, role, started_at, seen_at) VALUES ('a', 'relay', now(), now()), "
        "('b', 'worker', now(), now() - interval '1 minute')"
    )
    site.rows(
        "INSERT INTO mail (message_id, recipient, subject, body, account, created_at, next_try_at) "
        "VALUES ('m', 'a@example.com', 's', 'b', 1, now() - interval '1 hour', now())"
    )
    with site.edge() as client:
        now = int(time.time())
        client.xadd("coins:commands:0:shop", {"event": b"x"}, id=f"{(now - 90) * 1000}-0")
        client.xadd("coins:commands:0:shop", {"event": b"x"}, id=f"{(now - 30) * 1000}-0")
        client.xadd("coins:commands:1", {"event": b"x"}, id=f"{(now - 90) * 1000}-0")
        client.xadd("coins:commands:0:inventive", {"event": b"x"}, id="5-1")
    told = told_of(site)
    assert told.value("coins_outbox_rows") == 1
    assert 60 <= told.value("coins_outbox_oldest_seconds") < 120
    assert [told.value("coins_partition_owned", partition=one) for one in "012"] == [0, 1, 0]
    assert [told.value("coins_partition_stopped", partition=one) for one in "012"] == [1, 0, 0]
    assert 90 <= told.value("coins_partition_behind_seconds", partition="0") < 150
    assert told.value("coins_partition_behind_seconds", partition="1") >= 90
    assert told_of(site, common=False).value("coins_partition_behind_seconds", partition="1") == 0
    assert told.value("coins_partition_behind_seconds", partition="2") == 0
    assert told.value("coins_mails_waiting") == 1
    assert 3600 <= told.value("coins_mail_oldest_seconds") < 3700
    assert [told.value("coins_processes", role=one) for one in ("relay", "worker", "jobs")] == [1, 0, 0]
    site.rows("INSERT INTO position VALUES ('coins:commands:0:shop', %s)", f"{(now - 90) * 1000}-0")
    assert 30 <= told_of(site).value("coins_partition_behind_seconds", partition="0") < 90


def test_jobs_are_told_with_how_they_ended_last(site: Site) -> None:
    run = "INSERT INTO job_run (job, at, asked_by, state, started_at, finished_at) VALUES (%s, {}, 'tests', %s, {}, {})"
    moment = "to_timestamp(%s)"
    for job, state, at in (
        ("a", "done", 100),
        ("b", "done", 200),
        ("b", "failed", 300),
        ("c", "failed", 400),
    ):
        site.rows(run.format(*[moment] * 3), job, at, state, at, at)
    site.rows(
        "INSERT INTO job_run (job, at, asked_by, state, started_at, lease_until) "
        "VALUES ('a', now(), 'tests', 'running', now() - interval '1 hour', 'infinity')"
    )
    told = told_of(site)
    assert told.value("coins_job_last_success_timestamp_seconds", job_name="a") == 100
    assert told.value("coins_job_last_success_timestamp_seconds", job_name="b") == 200
    with pytest.raises(KeyError):
        told.value("coins_job_last_success_timestamp_seconds", job_name="c")
    failed = [told.value("coins_job_last_run_failed", job_name=name) for name in "abc"]
    assert failed == [0, 1, 1]
    assert 3600 <= told.value("coins_job_running_seconds", job_name="a") < 3700
    assert told.value("coins_job_running_seconds", job_name="b") == 0


@pytest.mark.rabbitmq
def test_of_rabbitmq_it_is_told_how_much_no_worker_was_given(site: Site) -> None:
    with virtual_host() as url:
        connection = connect(url)
        queue = commands_queue(1, "shop")
        declare_queue(connection, Queue(queue, commands_arguments(version_of(connection))))
        confirms = Confirms(connection)
        for _ in range(2):
            confirms.publish(confirms.envelope("", queue, mandatory=True), b"x")
        confirms.wait(10)
        close(connection)
        for name in (queue, "coins.commands.0.removed", "coins:commands:0"):
            site.rows("INSERT INTO position VALUES (%s, '0-0')", name)
        told = told_of(site, edge_url=url)
    assert told.value("coins_edge_up") == 1
    assert [told.value("coins_partition_waiting_messages", partition=one) for one in "012"] == [0, 2, 0]
    assert "coins_partition_behind_seconds" not in told.types
    assert told_of(site, edge_url="amqp://guest@127.0.0.1:9").value("coins_edge_up") == 0
