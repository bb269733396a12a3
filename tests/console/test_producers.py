"""`coins producer`: the producers file and the access rules, as an operator makes and changes them."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from ledger.trust import Rule
from tests.console.running import Coins, coins_with, document
from workers.access import login_of
from workers.producers import load


@pytest.fixture
def coins(tmp_path: Path) -> Coins:
    """The command line with a data directory of its own."""
    return coins_with({"COINS_DATA_DIR": str(tmp_path / "data"), "PATH": "/usr/bin:/bin"})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data" / "producers.toml"


SHOP = ("producer", "new", "shop", "--commands", "TopUp,Renewal", "--under", "acme", "--itself", "--json")


def content(file: Path) -> Any:
    return tomllib.loads(file.read_text(encoding="utf-8"))["producers"]


def test_the_first_producer_comes_with_the_systems_own(coins: Coins, file: Path) -> None:
    told = document(coins(*SHOP))
    assert told["writes"] == ["coins:commands:0:shop"]
    assert told["reads"] == "coins:events:shop"
    assert told["user"] == "shop"
    assert told["may_send"] == "Renewal, TopUp for acme and what is under it"
    found = content(file)
    assert list(found) == ["coins", "cli", "shop"]
    assert "rules" not in found["coins"]
    assert "rules" not in found["cli"]
    user, _, hashed = found["shop"].pop("amqp_logins")[0].partition(":")
    salted = base64.b64decode(hashed)
    assert user == "shop"
    assert salted[4:] == hashlib.sha256(salted[:4] + told["password"].encode()).digest()
    assert found["shop"] == {
        "secrets": [told["secret"]],
        "logins": [login_of(told["password"])],
        "rules": [{"commands": ["Renewal", "TopUp"], "under": "acme", "itself": True}],
    }
    assert login_of(told["system"]["password"]) in found["coins"]["logins"]
    assert file.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in file.parent.iterdir() if one.name.startswith(".")] == []


def test_the_access_rules_lie_beside_the_file_or_where_they_are_asked_for(
    coins: Coins, file: Path, tmp_path: Path
) -> None:
    told = document(coins(*SHOP))
    rules = (file.parent / "users.acl").read_text(encoding="ascii")
    assert f"user shop on sanitize-payload #{login_of(told['password'])} " in rules
    assert rules.startswith("user default off")
    elsewhere = tmp_path / "acl"
    document(coins("producer", "new", "bank", "--everything", "--acl", str(elsewhere), "--json"))
    assert "user bank on" in elsewhere.read_text(encoding="ascii")
    assert elsewhere.stat().st_mode & 0o777 == 0o600


def test_each_partition_is_named(coins: Coins) -> None:
    told = document(coins(*SHOP, COINS_PARTITIONS="3"))
    assert told["writes"] == [f"coins:commands:{partition}:shop" for partition in range(3)]


def test_a_secret_is_told_once(coins: Coins) -> None:
    done = coins(*SHOP[:-1])
    assert done.returncode == 0, done.stderr
    secret = re.search(r"^secret +(\S{43})$", done.stdout, re.M)
    assert secret is not None
    for verb in (("list",), ("list", "--json"), ("list", "--ndjson")):
        shown = coins("producer", *verb)
        assert secret[1] not in shown.stdout + shown.stderr
        assert "shop" in shown.stdout


def test_a_name_that_is_taken_is_refused_with_what_to_do_instead(coins: Coins, file: Path) -> None:
    document(coins(*SHOP))
    before = file.read_bytes()
    done = coins(*SHOP)
    assert done.returncode == 2
    assert "coins producer rotate shop" in done.stderr
    assert file.read_bytes() == before


def test_a_changed_secret_leaves_the_old_one_valid_until_it_is_finished(coins: Coins, file: Path) -> None:
    first = document(coins(*SHOP))
    second = document(coins("producer", "rotate", "shop", "--json"))
    found = content(file)["shop"]
    assert found["secrets"] == [second["secret"], first["secret"]]
    assert found["logins"] == [login_of(second["password"]), login_of(first["password"])]
    rules = (file.parent / "users.acl").read_text(encoding="ascii")
    assert all(f"#{login}" in rules for login in found["logins"])
    again = coins("producer", "rotate", "shop")
    assert again.returncode == 2
    assert "--finish" in again.stderr
    assert coins("producer", "rotate", "shop", "--finish").returncode == 0
    found = content(file)["shop"]
    assert (found["secrets"], found["logins"]) == ([second["secret"]], [login_of(second["password"])])
    assert login_of(first["password"]) not in (file.parent / "users.acl").read_text(encoding="ascii")
    assert coins("producer", "rotate", "shop", "--finish").returncode == 2


BY_HAND = """\
# who may send
[device-mgmt]  # the platform
  secrets = [
    "a secret of sixteen bytes or more",   # since March
  ]
rules = [] # for now

[coins]
secrets = ["another secret of sixteen bytes"]
logins = ["{login}"]
"""


def test_what_was_written_by_hand_stays_as_it_is(coins: Coins, file: Path) -> None:
    file.parent.mkdir(mode=0o700)
    file.write_text(BY_HAND.format(login="0" * 64), encoding="utf-8")
    file.chmod(0o600)
    told = document(coins("producer", "rotate", "device-mgmt", "--json"))
    document(coins(*SHOP))
    text = file.read_text(encoding="utf-8")
    for kept in ("# who may send", "# the platform", "# for now"):
        assert kept in text
    producers = load(file)
    device_mgmt = producers.get("device-mgmt")
    assert device_mgmt is not None
    assert device_mgmt.secrets == (told["secret"], "a secret of sixteen bytes or more")
    assert device_mgmt.rules == ()
    assert {one.name for one in producers} == {"coins", "device-mgmt", "shop"}


def test_a_rule_more_is_added(coins: Coins, file: Path) -> None:
    document(coins(*SHOP))
    document(coins("producer", "new", "bank", "--everything", "--json"))
    done = coins("producer", "allow", "shop", "--commands", "Transfer", "--under", "rival")
    assert done.returncode == 0, done.stderr
    assert content(file)["shop"]["rules"][1] == {"commands": ["Transfer"], "under": "rival", "itself": False}
    refused = coins("producer", "allow", "bank", "--commands", "*", "--under", "acme")
    assert refused.returncode == 2
    assert "everything already" in refused.stderr


def test_a_producer_of_whom_nothing_was_said_may_send_nothing_until_it_is_allowed(
    coins: Coins, file: Path
) -> None:
    done = coins("producer", "new", "shop", "--json")
    assert document(done)["may_send"] == "nothing"
    assert "coins producer allow shop" in done.stderr
    assert load(file).by_name["shop"].rules == ()
    assert coins("producer", "allow", "shop", "--commands", "TopUp", "--under", "acme").returncode == 0
    assert load(file).by_name["shop"].rules == (Rule(frozenset({"TopUp"}), "acme"),)
    assert (
        coins("producer", "allow", "shop", "--commands", "*", "--under", "beta", "--itself").returncode == 0
    )
    assert len(load(file).by_name["shop"].rules or ()) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("new", "shop", "--commands", "TopUp"), "--under ACCOUNT"),
        (("new", "shop", "--commands", "TopDown", "--under", "acme"), "TopDown is no command"),
        (("new", "a/b", "--everything"), "no name of a producer"),
        (("new", "default", "--everything"), "choose another name"),
        (("new", "shop", "--under", "acme"), "--commands A,B (or '*')"),
        (("new", "shop", "--commands", "*", "--under", "a b"), "under: write the id of an account"),
        (("new", "shop", "--everything", "--under", "acme"), "--everything stands alone"),
        (("rotate", "nobody"), "has no producer nobody"),
        (("allow", "nobody", "--under", "acme"), "--commands '*' for all"),
        (("allow", "nobody", "--commands", "*", "--under", "acme"), "has no producer nobody"),
        (("remove", "nobody"), "has no producer nobody"),
        (("remove", "coins"), "is the system's own"),
        (("remove", "cli"), "is the system's own"),
        (("allow", "nobody"), "--under"),
        (("list",), "coins producer new"),
    ],
)
def test_wrong_usage_says_what_to_give(
    coins: Coins, file: Path, arguments: tuple[str, ...], said: str
) -> None:
    done = coins("producer", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert not file.exists()


def test_what_cannot_be_used_is_not_made_worse(coins: Coins, file: Path) -> None:
    file.parent.mkdir(mode=0o700)
    file.write_text("[producers", encoding="utf-8")
    file.chmod(0o600)
    assert coins(*SHOP).returncode == 2
    assert file.read_text(encoding="utf-8") == "[producers"


def test_a_producer_is_made_though_there_are_no_access_rules_for_want_of_the_systems_login(
    coins: Coins, file: Path
) -> None:
    file.parent.mkdir(mode=0o700)
    file.write_text('[coins]\nsecrets = ["another secret of sixteen bytes"]\n', encoding="utf-8")
    file.chmod(0o600)
    done = coins(*SHOP)
    assert done.returncode == 1
    assert json.loads(done.stdout)["secret"] in file.read_text(encoding="utf-8"), (
        "what was made is shown in any case"
    )
    assert "run: coins producer rotate coins\n" in done.stderr


def test_what_is_suggested_names_the_file_that_was_given(coins: Coins, tmp_path: Path) -> None:
    file = tmp_path / "of another.toml"
    file.write_text('[coins]\nsecrets = ["another secret of sixteen bytes"]\n', encoding="utf-8")
    file.chmod(0o600)
    nothing_yet = coins("producer", "new", "shop", "--file", str(file))
    assert f"coins producer allow shop --commands A,B --under ACCOUNT --file '{file}'\n" in nothing_yet.stderr
    assert f"coins producer rotate coins --file '{file}'\n" in nothing_yet.stderr
    rotated = coins("producer", "rotate", "shop", "--file", str(file))
    assert f"coins producer rotate shop --finish --file '{file}'\n" in rotated.stderr


def test_the_list_says_what_each_may_do(coins: Coins) -> None:
    document(coins(*SHOP))
    rows = {row["producer"]: row for row in document(coins("producer", "list", "--json"))["rows"]}
    assert rows["cli"]["may_send"] == "everything"
    assert rows["shop"]["may_send"] == "Renewal, TopUp for acme and what is under it"
    assert (rows["shop"]["secrets"], rows["shop"]["reads"]) == (1, "coins:events:shop")


@pytest.mark.parametrize("verb", [("send", "-"), ("do", "TopUp", "account=a", "amount=1", "--yes")])
def test_the_command_line_says_what_to_do_where_it_is_no_producer(
    coins: Coins, tmp_path: Path, verb: tuple[str, ...]
) -> None:
    file = tmp_path / "other.toml"
    file.write_text('[shop]\nsecrets = ["another secret of sixteen bytes"]\n', encoding="utf-8")
    file.chmod(0o600)
    done = coins(*verb, COINS_PRODUCERS_FILE=str(file), COINS_REDIS_URL="unix:///x", COINS_DATABASE_URL="x")
    assert done.returncode == 2
    assert "coins producer new cli" in done.stderr


@pytest.mark.parametrize(
    ("verb", "text", "said"),
    [
        (
            ("worker", "jobs"),
            '[shop]\nsecrets = ["another secret of sixteen bytes"]\n',
            "coins producer new coins",
        ),
        (("worker", "jobs"), "[producers", "no TOML"),
        (("worker", "commands"), "[producers", "no TOML"),
        (("worker", "commands"), "[shop]\n", "producer shop: secrets"),
    ],
)
def test_a_process_does_not_start_on_a_file_that_it_cannot_use(
    coins: Coins, tmp_path: Path, verb: tuple[str, ...], text: str, said: str
) -> None:
    file = tmp_path / "other.toml"
    file.write_text(text, encoding="utf-8")
    file.chmod(0o600)
    done = coins(*verb, COINS_PRODUCERS_FILE=str(file), COINS_REDIS_URL="unix:///x", COINS_DATABASE_URL="x")
    assert done.returncode == 2
    assert said in done.stderr


def test_all_commands_are_granted_only_where_it_is_said(coins: Coins, file: Path) -> None:
    done = coins("producer", "new", "shop", "--commands", "*", "--under", "acme")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^may send +everything under acme$", done.stdout, re.M)
    assert content(file)["shop"]["rules"] == [{"commands": ["*"], "under": "acme", "itself": False}]


def test_a_producer_that_is_removed_is_in_neither_file_and_all_else_is(coins: Coins, file: Path) -> None:
    document(coins(*SHOP))
    document(coins("producer", "new", "bank", "--everything", "--json"))
    assert coins("producer", "allow", "shop", "--commands", "Transfer", "--under", "rival").returncode == 0
    before = content(file)
    done = coins("producer", "remove", "shop")
    assert done.returncode == 0, done.stderr
    del before["shop"]
    assert content(file) == before
    rules = (file.parent / "users.acl").read_text(encoding="ascii")
    assert "shop" not in rules + file.read_text(encoding="utf-8")
    assert "user bank on" in rules
    assert coins("producer", "remove", "shop").returncode == 2


def test_what_was_written_by_hand_outlives_a_removal(coins: Coins, file: Path) -> None:
    file.parent.mkdir(mode=0o700)
    after = '# the bank\n[coins-2]\nsecrets = ["a third secret of sixteen bytes"]\n'
    file.write_text(BY_HAND.format(login="0" * 64) + after, encoding="utf-8")
    file.chmod(0o600)
    done = coins("producer", "remove", "device-mgmt")
    assert done.returncode == 0, done.stderr
    text = file.read_text(encoding="utf-8")
    assert text == "# who may send\n" + BY_HAND.format(login="0" * 64).partition("# for now\n\n")[2] + after


def test_a_producer_that_cannot_be_cut_out_stays(coins: Coins, file: Path) -> None:
    file.parent.mkdir(mode=0o700)
    text = '[producers]\nshop = {secrets = ["another secret of sixteen bytes"]}\n'
    file.write_text(text, encoding="utf-8")
    file.chmod(0o600)
    done = coins("producer", "remove", "shop")
    assert done.returncode == 2
    assert "change it by hand" in done.stderr
    assert file.read_text(encoding="utf-8") == text


def test_the_access_rules_follow_the_number_of_partitions(coins: Coins, file: Path) -> None:
    document(coins(*SHOP))
    rules = file.parent / "users.acl"
    assert "coins:commands:1:shop" not in rules.read_text(encoding="ascii")
    before = file.read_bytes()
    done = coins("producer", "access", COINS_PARTITIONS="2")
    assert done.returncode == 0, done.stderr
    assert "ACL LOAD" in done.stderr
    assert "%W~coins:commands:1:shop" in rules.read_text(encoding="ascii")
    assert file.read_bytes() == before


def test_what_is_made_is_shown_though_the_servers_address_cannot_be_read(coins: Coins, file: Path) -> None:
    file.parent.mkdir(mode=0o700)
    endpoints = {
        "database_url": "postgresql://x",
        "redis_url": "nonsense",
        "access_file": str(file.parent / "acl"),
    }
    (file.parent / "endpoints.json").write_text(json.dumps(endpoints), encoding="utf-8")
    done = coins(*SHOP)
    assert done.returncode == 1
    assert json.loads(done.stdout)["secret"] in file.read_text(encoding="utf-8")
    assert "the access rules are not in force" in done.stderr
