"""`coins send`: what goes to the edge, what comes back, in which order, and how it ends."""

from __future__ import annotations

import json
import threading
import uuid
from typing import Any

import pytest

from messages.streams import partition_of
from tests.system.site import Site, until

pytestmark = pytest.mark.system


def ndjson(*events: dict[str, Any]) -> str:
    return "".join(json.dumps(event) + "\n" for event in events)


def opening(account: str, **attributes: Any) -> dict[str, Any]:
    data = {"account": account, "parent": "platform", "kind": "enterprise", "name": account}
    return {"type": "OpenAccount", "data": data, **attributes}


def top_up(account: str, amount: int = 1, **attributes: Any) -> dict[str, Any]:
    return {"type": "TopUp", "data": {"account": account, "amount": amount}, **attributes}


def lines(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


@pytest.fixture
def name() -> str:
    """An account that no other test has."""
    return f"a{uuid.uuid4().hex[:12]}"


def test_outcomes_are_printed_in_the_order_sent(site: Site, name: str) -> None:
    events = [
        opening(name, id=f"{name}-0"),
        *(top_up(name, id=f"{name}-{number}") for number in range(1, 40)),
    ]
    done = site.coins("send", "-", "--wait", given=ndjson(*events))
    assert done.returncode == 0, done.stderr
    assert [one["causationid"] for one in lines(done.stdout)] == [f"{name}-{number}" for number in range(40)]


def test_a_short_line_is_filled_in(site: Site, name: str) -> None:
    done = site.coins("send", "-", "--wait", given=ndjson(opening(name)))
    (outcome,) = lines(done.stdout)
    assert outcome["data"]["command"]["source"] == "cli"
    assert outcome["data"]["command"]["type"] == "coins.OpenAccount.v1"
    assert outcome["data"]["command"]["id"]


def test_the_same_key_twice_gets_two_lines(site: Site, name: str) -> None:
    given = ndjson(opening(name, id=name), top_up(name, id=f"{name}-1"), top_up(name, id=f"{name}-1"))
    done = site.coins("send", "-", "--wait", given=given)
    said = [(one["causationid"], one["data"]["duplicate"]) for one in lines(done.stdout)]
    assert said == [(name, False), (f"{name}-1", False), (f"{name}-1", True)]
    assert done.returncode == 0


def test_a_repeated_publication_is_no_second_outcome(site: Site, name: str) -> None:
    """Events are published at least once. The worker is frozen, and its answers are written by hand."""
    key = f"{name}-1"

    def outcome(event: str, duplicate: bool) -> dict[str, str]:
        data = {"command": {"source": "cli", "id": key}, "duplicate": duplicate, "reason": None}
        body = {"id": event, "type": "coins.CommandApplied.v1", "causationid": key, "data": data}
        return {"event": json.dumps(body), "type": "coins.CommandApplied.v1"}

    given = ndjson(top_up("nobody", id=key), top_up("nobody", id=key))
    worker = site.owner_within(5)
    worker.freeze()
    try:
        results: list[Any] = []
        thread = threading.Thread(
            target=lambda: results.append(site.coins("send", "-", "--wait", "--timeout", "8", given=given))
        )
        with site.edge() as edge:
            before = edge.xlen("coins:commands:0:cli")
            thread.start()
            until(lambda: edge.xlen("coins:commands:0:cli") == before + 2, 10)
            edge.xadd("coins:events:cli", outcome("7000-0", False))  # type: ignore[arg-type]
            edge.xadd("coins:events:cli", outcome("7000-0", False))  # type: ignore[arg-type]
            edge.xadd("coins:events:cli", outcome("7000-1", True))  # type: ignore[arg-type]
        thread.join()
    finally:
        worker.wake()
    (done,) = results
    assert [one["id"] for one in lines(done.stdout)] == ["7000-0", "7000-1"]


def test_it_exits_4_when_one_was_rejected(site: Site, name: str) -> None:
    done = site.coins("send", "-", "--wait", given=ndjson(opening(name), opening(name), top_up(name)))
    assert [one["data"]["reason"] for one in lines(done.stdout)] == [None, "account_exists", None]
    assert done.returncode == 4


def test_without_wait_it_prints_nothing_on_stdout(site: Site, name: str) -> None:
    done = site.coins("send", "-", given=ndjson(opening(name), top_up(name)))
    assert (done.returncode, done.stdout) == (0, "")
    until(lambda: site.value("SELECT credit FROM account WHERE account = %s", name) == 1, 10)


def test_it_exits_1_when_an_outcome_does_not_come(site: Site) -> None:
    done = site.coins("send", "-", "--wait", "--timeout", "1.5", given="no json\n")
    assert done.returncode == 1
    assert done.stdout == ""
    assert "no readable id and source" in done.stderr


def test_it_exits_2_where_the_file_is_not_there(site: Site) -> None:
    done = site.coins("send", "nowhere.ndjson")
    assert done.returncode == 2
    assert "nowhere.ndjson" in done.stderr


def test_it_exits_3_where_the_edge_cannot_be_reached(site: Site) -> None:
    done = site.coins("send", "-", "--wait", given="{}", REDIS_URL="unix:///nowhere/valkey.sock")
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    assert site.coins("send", "-", given="{}", REDIS_URL="unix:///nowhere/valkey.sock").returncode == 3


def test_an_empty_file_is_nothing_to_do(site: Site) -> None:
    done = site.coins("send", "-", "--wait", given="\n\n")
    assert (done.returncode, done.stdout) == (0, "")


def test_a_json_array_of_events_is_read_as_its_events(site: Site, name: str) -> None:
    given = json.dumps([opening(name), top_up(name, 5), top_up(name, 6)], indent=2)
    done = site.coins("send", "-", "--wait", given=given)
    assert [one["data"]["reason"] for one in lines(done.stdout)] == [None, None, None]
    assert lines(done.stdout)[-1]["data"]["accounts"][0]["credit"] == 11


def test_arrays_are_sent_where_a_batch_is_asked_for(site: Site, name: str) -> None:
    events = [opening(name, id=f"{name}-o"), *(top_up(name, id=f"{name}-{number}") for number in range(24))]
    done = site.coins("send", "-", "--wait", "--batch", "10", given=ndjson(*events))
    assert done.returncode == 0, done.stderr
    assert [one["causationid"] for one in lines(done.stdout)][1:] == [
        f"{name}-{number}" for number in range(24)
    ]
    messages = site.value(
        "SELECT count(DISTINCT (batch, delivery)) FROM command WHERE id LIKE %s", f"{name}-%"
    )
    assert messages == 3


def test_a_line_that_is_no_json_costs_its_batch_nothing(site: Site, name: str) -> None:
    given = ndjson(opening(name, id=f"{name}-0")) + "no json\n" + ndjson(top_up(name, id=f"{name}-1"))
    done = site.coins("send", "-", "--wait", "--timeout", "3", "--batch", "10", given=given)
    assert [one["causationid"] for one in lines(done.stdout)] == [f"{name}-0", f"{name}-1"]


def test_nothing_is_validated_on_the_way(site: Site, name: str) -> None:
    wrong = {"type": "TopUp", "id": name, "data": {"account": name, "amount": "many"}}
    done = site.coins("send", "-", "--wait", given=ndjson(wrong))
    (outcome,) = lines(done.stdout)
    assert outcome["data"]["reason"] == "invalid_message"
    assert done.returncode == 4


def test_commands_go_to_the_partition_of_their_key(site: Site) -> None:
    given = ndjson(top_up("nobody", partitionkey="acme"))
    done = site.coins("send", "-", given=given, PARTITIONS=512)
    assert done.returncode == 0
    partition = partition_of("acme", 512)
    until(
        lambda: site.rows("SELECT 1 FROM position WHERE stream = %s", f"coins:commands:{partition}:cli"), 10
    )


def test_a_file_is_read_as_standard_input_is(site: Site, name: str) -> None:
    (site.directory / "commands.ndjson").write_text(ndjson(opening(name)))
    assert site.coins("send", "commands.ndjson", "--wait").returncode == 0


def test_a_batch_of_none_is_wrong_usage(site: Site) -> None:
    assert site.coins("send", "-", "--batch", "0").returncode == 2
    assert site.coins("send").returncode == 2
