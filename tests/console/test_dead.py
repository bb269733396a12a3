"""`coins dead`: how dead letters are shown."""

from __future__ import annotations

import json
import os

import pytest

from tests import builders as a
from tests.console.running import Coins, coins_with, document
from tests.desk import SOURCE, LedgerDesk


@pytest.fixture(scope="module")
def coins(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Coins:
    """A recharge that is invalid, with a colour in its account's name for whoever looks at it, and garbage."""
    desk = LedgerDesk(module_database_url)
    desk.do(a.enterprise())
    red = {"account": "\x1b[31macme", "amount": 5}
    desk.refused({"type": "TopUp", "id": "t1", "source": SOURCE, "data": red})
    desk.deliver(b"no json")
    desk.close()
    return coins_with(
        {
            "PATH": os.environ["PATH"],
            "COINS_DATABASE_URL": module_database_url,
            "COINS_DATA_DIR": str(tmp_path_factory.mktemp("data")),
        }
    )


def test_groups_are_where_one_begins(coins: Coins) -> None:
    done = coins("dead", "groups")
    assert done.returncode == 0, done.stderr
    title, *lines = done.stdout.splitlines()
    assert title.split()[:3] == ["group", "reason", "type"]
    assert [line.split()[1] for line in lines] == ["unreadable", "invalid"]
    assert "coins dead list --group" in done.stderr
    assert [row["times"] for row in document(coins("dead", "groups", "--all", "--json"))["rows"]] == [1, 1]


def test_letters_are_listed_and_chosen(coins: Coins) -> None:
    rows = document(coins("dead", "list", "--reason", "invalid", "--json"))["rows"]
    assert [(row["source"], row["id"], row["state"]) for row in rows] == [(SOURCE, "t1", "waiting")]
    page = coins("dead", "list", "--limit", "1")
    assert len(page.stdout.splitlines()) == 2
    assert "more: --after" in page.stderr
    assert coins("dead", "list", "--state", "resolved", "--ndjson").stdout == ""
    assert len(coins("dead", "list", "--to", "2026-03-01", "--ndjson").stdout.splitlines()) == 2
    assert coins("dead", "list", "--to", "2026-02-28", "--ndjson").stdout == ""


def test_one_letter_is_shown_whole_and_harms_no_terminal(coins: Coins) -> None:
    (row,) = document(coins("dead", "list", "--reason", "invalid", "--json"))["rows"]
    done = coins("dead", "show", str(row["letter"]))
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    assert "account" in done.stdout
    assert done.stdout.splitlines()[-2] == "message"
    shown = document(coins("dead", "show", str(row["letter"]), "--json"))
    assert json.loads(shown["raw"])["id"] == "t1"
    assert shown["outcome"] is None


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["show", "4711"], 1, "there is no dead letter 4711"),
        (["list", "--reason", "odd"], 2, "--reason"),
        (["list", "--from", "soon"], 2, "--from"),
        (["list", "--json", "--ndjson"], 2, "exclude each other"),
        (["groups", "--limit", "0"], 2, "--limit"),
    ],
)
def test_what_is_wrong_is_said(coins: Coins, arguments: list[str], code: int, said: str) -> None:
    done = coins("dead", *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr
