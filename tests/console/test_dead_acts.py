"""`coins dead replay | edit | archive | restore` on a running system, as somebody on call would use them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.system.site import Site, until

pytestmark = pytest.mark.system
# What the database refuses of a command is the fault of that command: it crashes, and is undecided.
BROKEN = "broken"


@pytest.fixture
def account(site: Site, request: pytest.FixtureRequest) -> str:
    """An account of the test's own."""
    name = f"acme-{abs(hash(request.node.name)) % 10**9}"
    line = {
        "type": "OpenAccount",
        "data": {"account": name, "parent": "platform", "kind": "enterprise", "name": name},
    }
    assert site.coins("send", "-", "--wait", given=json.dumps(line)).returncode == 0
    return name


@pytest.fixture
def broken(site: Site) -> Iterator[Any]:
    """A defect that can be mended: recharges with the note `broken` cannot be stored."""

    def mend() -> None:
        site.rows("ALTER TABLE transaction DROP CONSTRAINT IF EXISTS broken")

    site.rows("ALTER TABLE transaction ADD CONSTRAINT broken CHECK (note <> 'broken') NOT VALID")
    yield mend
    mend()


def crash(site: Site, account: str, *ids: str, amount: int = 5) -> list[int]:
    """Recharges that crash; the numbers of their letters."""
    before = site.value("SELECT coalesce(max(id), 0) FROM dead_letter")
    lines = [
        {
            "type": "TopUp",
            "id": f"{account}-{one}",
            "data": {"account": account, "amount": amount, "note": BROKEN},
        }
        for one in ids
    ]
    assert site.coins("send", "-", given="\n".join(map(json.dumps, lines))).returncode == 0
    found = "SELECT id FROM dead_letter WHERE id > %s ORDER BY id"
    until(lambda: len(site.rows(found, before)) == len(ids), 15, site.logs)
    return [number for (number,) in site.rows(found, before)]


def credit(site: Site, account: str) -> int:
    return int(site.value("SELECT credit FROM account WHERE account = %s", account))


def said(site: Site, *arguments: str, code: int = 0) -> Any:
    done = site.coins("dead", *arguments, "--json")
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


def test_a_replay_is_foreseen_done_and_told_of(site: Site, account: str, broken: Any) -> None:
    # Given commands that crashed
    letters = crash(site, account, "1", "2")
    assert said(site, "replay", "--account", account, "--dry-run")["would_apply"] == {
        "count": 2,
        "coins": 10,
        "allotments": 0,
    }
    # When they are replayed too early, they fail again
    early = site.coins("dead", "replay", *map(str, letters), "--why", "too early")
    assert early.returncode == 1
    assert "failed again: psycopg.errors.CheckViolation" in early.stdout
    assert "2 of 2" in early.stdout
    # And when they are replayed in time, they are applied
    broken()
    done = said(site, "replay", "--account", account, "--why", "the constraint is gone")
    assert (done["state"], done["counts"], done["why"]) == ("done", {"applied": 2}, "the constraint is gone")
    assert credit(site, account) == 10
    shown = said(site, "show", str(letters[0]))
    assert (shown["state"], shown["outcome"], shown["account"]) == ("resolved", "applied", account)
    assert [(act["act"], act["why"]) for act in shown["acts"]] == [
        ("replay", "too early"),
        ("replay", "the constraint is gone"),
    ]
    assert shown["acts"][1]["result"].startswith("applied: T-")
    assert "the constraint is gone" in site.coins("dead", "show", str(letters[0])).stdout
    listed = said(site, "replays", "--limit", "2")["rows"]
    assert [(one["state"], one["done"]) for one in listed] == [("done", 2), ("done", 2)]
    assert site.coins("dead", "cancel", str(done["replay"])).returncode == 2
    assert site.coins("dead", "resume", str(done["replay"])).returncode == 2


def test_one_that_was_canceled_goes_on_where_it_was(site: Site, account: str, broken: Any) -> None:
    crash(site, account, "1", "2", "3")
    broken()
    begun = said(site, "replay", "--account", account, "--rate", "0.1", "--detach")
    until(lambda: credit(site, account) == 5, 15, site.logs)
    canceled = said(site, "cancel", str(begun["replay"]))
    assert (canceled["state"], canceled["done"]) == ("canceled", 1)
    site.rows("UPDATE dead_replay SET rate = NULL WHERE id = %s", begun["replay"])
    resumed = said(site, "resume", str(begun["replay"]))
    assert (resumed["state"], resumed["done"]) == ("done", 3)
    assert credit(site, account) == 15


def test_archiving_abandons_what_crashed_and_restoring_brings_back_what_was_not_decided(
    site: Site, account: str, broken: Any
) -> None:
    (crashed,) = crash(site, account, "1")
    invalid = {"type": "TopUp", "id": f"{account}-x", "data": {"account": account, "amount": "many"}}
    assert site.coins("send", "-", "--wait", given=json.dumps(invalid)).returncode == 4
    archived = said(site, "archive", "--account", account, "--why", "nobody needs it")
    assert archived["results"] == {"abandoned": 1, "archived": 1}
    broken()
    told = json.loads(site.coins("command", "cli", f"{account}-1", "--json").stdout)
    assert (told["outcome"], told["reason"]) == ("rejected", "abandoned")
    assert "nobody needs it" in told["message"]
    assert said(site, "restore", "--account", account) == {"restored": 1, "decided": 1}
    assert [one["state"] for one in said(site, "list", "--account", account, "--all")["rows"]] == [
        "waiting",
        "archived",
    ]
    assert said(site, "show", str(crashed))["acts"][0]["result"] == "abandoned"
    # The producer that repeats it hears the same
    again = {"type": "TopUp", "id": f"{account}-1", "data": {"account": account, "amount": 5, "note": BROKEN}}
    done = site.coins("send", "-", "--wait", given=json.dumps(again))
    assert json.loads(done.stdout)["data"]["reason"] == "abandoned"


def test_what_was_invalid_is_mended_and_sent_anew(site: Site, account: str) -> None:
    invalid = {
        "type": "TopUp",
        "id": f"{account}-x",
        "actor": "li",
        "data": {"account": account, "amount": "12"},
    }
    assert site.coins("send", "-", "--wait", given=json.dumps(invalid)).returncode == 4
    (row,) = said(site, "list", "--account", account)["rows"]
    number = str(row["letter"])
    still = site.coins("dead", "edit", number, "amount=many")
    assert (still.returncode, "still not be valid" in still.stderr) == (2, True)
    sent = site.coins("dead", "edit", number, "amount=12", "--why", "it was a text", "--json")
    assert "warning: the old one's key stays free" in sent.stderr
    outcome = json.loads(sent.stdout)
    assert outcome["data"]["reason"] is None
    assert credit(site, account) == 12
    shown = said(site, "show", number)
    assert (shown["state"], shown["outcome"]) == ("resolved", None)
    assert shown["acts"][0]["result"].startswith(f"sent as cli edit-{number}-1: applied T-")
    told = json.loads(site.coins("command", "cli", outcome["causationid"], "--json").stdout)
    assert json.loads(told["raw"])["causationid"] == f"{account}-x"
    assert site.coins("dead", "edit", number, "amount=1").returncode == 2
    # And nothing else is done with it: why, is said
    for verb, what, told in (("archive", "archived", "no letter"), ("restore", "brought back", "0 restored")):
        done = site.coins("dead", verb, number)
        assert done.returncode == 0
        assert told in done.stdout
        assert f"letter {number} is resolved (edit by " in done.stderr
        assert f"applied {outcome['data']['transaction']}): it is not {what}" in done.stderr


def test_a_crashed_one_that_was_sent_anew_is_decided_by_it(
    site: Site, account: str, broken: Any, tmp_path: Any
) -> None:
    (number,) = crash(site, account, "1")
    file = tmp_path / "event.json"
    file.write_text(json.dumps({"type": "coins.TopUp.v1", "data": {"account": account, "amount": 5}}))
    done = site.coins("dead", "edit", str(number), "--file", str(file), "--why", "by hand")
    assert done.returncode == 0, done.stderr
    assert '"amount": 5' in done.stderr
    told = said(site, "show", str(number))
    assert (told["state"], told["outcome"], told["outcome_reason"]) == ("archived", "rejected", "abandoned")
    assert [act["result"].split(":")[0] for act in told["acts"]] == [
        f"sent as cli edit-{number}-1",
        "abandoned",
    ]
    broken()
    assert site.coins("dead", "replay", str(number)).returncode == 0
    assert credit(site, account) == 5


def test_two_who_edit_the_same_letter_do_not_both_send_it(site: Site, account: str) -> None:
    invalid = {"type": "TopUp", "id": f"{account}-x", "data": {"account": account, "amount": "12"}}
    assert site.coins("send", "-", "--wait", given=json.dumps(invalid)).returncode == 4
    (row,) = said(site, "list", "--account", account)["rows"]
    with ThreadPoolExecutor(3) as several:
        codes = list(
            several.map(
                lambda _: site.coins("dead", "edit", str(row["letter"]), "amount=12", "--yes").returncode,
                range(3),
            )
        )
    assert sorted(codes) == [0, 2, 2]
    assert credit(site, account) == 12


def test_nothing_chosen_is_no_replay(site: Site) -> None:
    before = len(said(site, "replays")["rows"])
    done = site.coins("dead", "replay", "--source", "nobody")
    assert (done.returncode, done.stdout) == (0, "")
    assert "nothing is replayed" in done.stderr
    assert len(said(site, "replays")["rows"]) == before


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["replay"], "which letters?"),
        (["archive"], "which letters?"),
        (["replay", "--all", "--group", "1"], "--all goes with no other choice"),
        (["replay", "--reason", "odd"], "--reason"),
        (["replay", "--type", "MakeRich"], "--type"),
        (["replay", "--all", "--rate", "inf"], "--rate"),
        (["restore", "--from", "soon"], "--from"),
        (["edit", "4711", "amount=1"], "there is no dead letter 4711"),
        (["cancel", "4711"], "there is no replay 4711"),
    ],
)
def test_what_cannot_be_done_is_said(site: Site, arguments: list[str], told: str) -> None:
    done = site.coins("dead", *arguments)
    assert done.returncode in (1, 2)
    assert told in done.stderr
    assert "Traceback" not in done.stderr
