"""`coins do`: one command by hand, checked before it is sent, shown before and after."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import uuid

import pytest

from console.cli.doing import parse
from messages.commands import COMMANDS, PlaceOrder, RequestExport
from tests.system.site import COINS, Site, until

pytestmark = pytest.mark.system


@pytest.fixture
def account(site: Site) -> str:
    """An account of the test's own."""
    name = f"d{uuid.uuid4().hex[:12]}"
    done = site.coins(
        "do", "OpenAccount", f"account={name}", "parent=platform", "kind=enterprise", "name=Do & Co", "--yes"
    )
    assert done.returncode == 0, done.stderr
    return name


def test_a_command_is_sent_and_shown_before_and_after(site: Site, account: str) -> None:
    done = site.coins("do", "TopUp", f"account={account}", "amount=1500", "note=by hand", "--yes")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("applied  T-")
    assert "(Do & Co)  credit 0  available 0" in done.stderr
    assert "credit 1,500  available 1,500" in done.stderr
    assert site.value("SELECT credit FROM account WHERE account = %s", account) == 1_500


def test_its_id_makes_it_safe_to_repeat(site: Site, account: str) -> None:
    command = ("do", "TopUp", f"account={account}", "amount=7", "--yes", "--id", f"{account}-1")
    assert site.coins(*command).returncode == 0
    again = site.coins(*command)
    assert again.returncode == 0
    assert "decided before, nothing was done now" in again.stdout
    assert f"--id {account}-1" in again.stderr
    assert site.value("SELECT credit FROM account WHERE account = %s", account) == 7


def test_a_refused_command_says_why_and_exits_4(site: Site, account: str) -> None:
    done = site.coins("do", "Adjust", f"account={account}", "amount=-5", "note=too much", "--yes")
    assert done.returncode == 4
    assert done.stdout.startswith("rejected: insufficient_credit")


def test_json_prints_the_outcome_event(site: Site, account: str) -> None:
    done = site.coins("do", "TopUp", f"account={account}", "amount=1", "--yes", "--json")
    event = json.loads(done.stdout)
    assert event["type"] == "coins.CommandApplied.v1"
    assert event["data"]["accounts"][0]["credit"] == 1


def test_lists_parts_and_numbers_are_read_from_text(site: Site, account: str) -> None:
    plan = ["plan=p-" + account, "name=Monthly, paid", "kind=renewal", "price=3"]
    cycle = ["cycle.unit=month", "cycle.count=1"]
    assert site.coins("do", "PutPlan", *plan, *cycle, "--yes").returncode == 0
    assert site.coins("do", "TopUp", f"account={account}", "amount=100", "--yes").returncode == 0
    devices = f"devices={account}-1,{account}-2"
    done = site.coins("do", "DebitForDeviceOnboarding", f"account={account}", devices, "price=10", "--yes")
    assert done.returncode == 0, done.stderr
    done = site.coins("do", "Renewal", f"account={account}", devices, f"plan=p-{account}", "--yes")
    assert done.returncode == 0, done.stderr
    assert site.value("SELECT credit FROM account WHERE account = %s", account) == 74


def test_the_filters_of_a_list_are_read_as_its_flags_are() -> None:
    text = ["subtree=true", "type=recharge,renewal", "search=12,5", "from=2026-11-01"]
    values = parse(RequestExport, [f"filters.{one}" for one in text])
    assert values == {
        "filters": {
            "subtree": True,
            "type": ["recharge", "renewal"],
            "search": "12,5",
            "from": "2026-11-01",
        }
    }
    assert parse(RequestExport, ["filters.expiring-within=30"]) == {"filters": {"expiring-within": 30}}
    assert parse(PlaceOrder, ["details.note=red, not blue"]) == {"details": {"note": "red, not blue"}}
    named = {"export": "e", "account": "a", "report": "statement"}
    assert RequestExport.model_validate(named | values).filters == values["filters"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["TopUp", "account=a", "amonut=5"], "amonut is no field of TopUp"),
        (["TopUp", "account=a", "amount=five"], "amount"),
        (["TopUp", "account=a", "amount=0"], "amount"),
        (["TopUp", "account=a"], "amount"),
        (["TopUp", "account"], "FIELD=VALUE"),
        (["TopUp", "account=a", "amount=3.0"], "amount"),
        (["Topup", "account=a"], "Topup is no command"),
        (["Renewal", "account=a"], "devices or subscription"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_sent(site: Site, arguments: list[str], said: str) -> None:
    with site.edge() as edge:
        before = edge.xinfo_stream("coins:commands:0:cli") if edge.exists("coins:commands:0:cli") else {}
        done = site.coins("do", *arguments, "--yes")
        after = edge.xinfo_stream("coins:commands:0:cli") if edge.exists("coins:commands:0:cli") else {}
    assert done.returncode == 2
    assert said in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr
    assert before.get("entries-added") == after.get("entries-added")


def test_without_somebody_to_ask_it_wants_yes(site: Site, account: str) -> None:
    done = site.coins("do", "TopUp", f"account={account}", "amount=5")
    assert done.returncode == 2
    assert "--yes" in done.stderr
    assert site.value("SELECT credit FROM account WHERE account = %s", account) == 0


@pytest.mark.parametrize(("answer", "credit"), [("n", 0), ("y", 5)])
def test_at_a_terminal_it_asks(site: Site, account: str, answer: str, credit: int) -> None:
    ours, theirs = pty.openpty()
    try:
        with subprocess.Popen(
            [*COINS, "do", "TopUp", f"account={account}", "amount=5"],
            env=site.environment(),
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=site.directory,
        ) as process:
            os.write(ours, f"{answer}\n".encode())
            _, said = process.communicate(timeout=30)
    finally:
        os.close(ours)
        os.close(theirs)
    assert b"Send it?" in said
    assert process.returncode == (0 if credit else 1)
    assert site.value("SELECT credit FROM account WHERE account = %s", account) == credit


def test_without_a_command_all_of_them_are_listed(site: Site) -> None:
    done = site.coins("do")
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == list(COMMANDS)


def test_without_fields_they_are_listed(site: Site) -> None:
    done = site.coins("do", "TopUp")
    assert done.returncode == 0
    assert {line.split()[0] for line in done.stdout.splitlines()[1:]} == set(COMMANDS["TopUp"].model_fields)


@pytest.mark.parametrize("server", ["DATABASE_URL", "REDIS_URL"])
def test_it_exits_3_where_a_server_cannot_be_reached(site: Site, server: str) -> None:
    url = {"DATABASE_URL": "postgresql:///x?host=/nowhere", "REDIS_URL": "unix:///nowhere/valkey.sock"}[
        server
    ]
    done = site.coins("do", "TopUp", "account=a", "amount=5", "--yes", **{server: url})  # type: ignore[arg-type]
    assert done.returncode == 3
    assert "Traceback" not in done.stderr


def test_without_a_worker_it_says_what_to_look_at(site: Site, account: str) -> None:
    worker = site.owner_within(5)
    worker.freeze()
    try:
        process = subprocess.Popen(
            [*COINS, "do", "TopUp", f"account={account}", "amount=5", "--yes", "--id", f"{account}-late"],
            env=site.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd=site.directory,
        )
        with site.edge() as edge:
            until(lambda: edge.xlen("coins:commands:0:cli"), 10)
        assert process.poll() is None
    finally:
        worker.wake()
    _, said = process.communicate(timeout=30)
    assert process.returncode == 0, said
