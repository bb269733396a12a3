"""The verbs that read, as processes on a real database: what they print, where, and how they exit."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from pathlib import Path

import psycopg
import pytest

from console.cli.reads import READS
from console.cli.show import Manner, as_json, printable
from tests import builders as a
from tests.console.running import COMMAND, ROOT, Coins, coins_with, document
from tests.desk import LedgerDesk


@pytest.fixture(scope="module")
def environment(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A ledger with something in it, and the settings that lead to it."""
    desk = LedgerDesk(module_database_url)
    desk.do(a.enterprise(name="Acme", timezone="Asia/Shanghai"), a.branch(name="[red]North\x1b[31m"))
    desk.do(a.plan("gold", price=1_000), a.limit("acme", 5))
    desk.ask(a.top_up("acme", 1_234_567, note="first"), id="c-1", actor="li.na")
    desk.do(a.transfer("acme", "north", 4_000), a.onboarding("north", "d-1", plan="gold", price=None))
    desk.ask(a.top_up("nobody"), id="c-2")
    desk.close()
    return {
        "PATH": os.environ["PATH"],
        "COINS_DATABASE_URL": module_database_url,
        "COINS_REDIS_URL": "redis://127.0.0.1:1/0",
        "COINS_DATA_DIR": str(tmp_path_factory.mktemp("data")),
    }


@pytest.fixture
def coins(environment: dict[str, str]) -> Coins:
    return coins_with(environment)


def test_a_balance_is_one_object(coins: Coins) -> None:
    assert document(coins("balance", "acme", "--json", COINS_SCALE="2")) == {
        "account": "acme",
        "funding": "own",
        "draws_from": None,
        "sponsor": None,
        "credit": 1_230_567,
        "credit_limit": 5,
        "frozen": 0,
        "available": 1_230_572,
        "spendable": 1_230_572,
    }
    then = document(coins("balance", "acme", "--at", "2026-02-28", "--json"))
    assert (then["credit"], then["available"]) == (0, None)


def test_a_person_sees_amounts_with_decimals_and_no_drawing(coins: Coins) -> None:
    done = coins("balance", "acme", COINS_SCALE="2")

    assert done.stderr == ""
    assert "credit        12,305.67" in done.stdout.splitlines()
    statement = coins("statement", "acme", COINS_SCALE="1")
    title, *lines = statement.stdout.splitlines()
    assert title.split()[:4] == ["time", "number", "type", "item"]
    assert "2026-03-01 20:00:00" in lines[0]
    assert "123,456.7" in lines[1]
    assert statement.stdout.isascii()
    assert statement.stderr == "times in Asia/Shanghai\n"


def test_a_list_is_one_document_or_a_line_a_row(coins: Coins) -> None:
    found = document(coins("statement", "acme", "--json"))
    assert found["account"] == "acme"
    assert found["timezone"] == "Asia/Shanghai"
    assert [row["amount"] for row in found["rows"]] == [-4_000, 1_234_567]
    assert list(found["rows"][0]) == [
        "account",
        "time",
        "number",
        "type",
        "category",
        "unit",
        "item",
        "devices",
        "amount",
        "balance",
        "counterparty",
        "note",
        "order",
        "method",
        "reference",
        "payer",
        "consumer",
        "paid_by",
        "command_source",
        "command_id",
        "ordered_by",
        "actor",
    ]
    assert found["rows"][0]["time"] == "2026-03-01T12:00:00Z"
    assert found["next"] is None

    lines = coins("statement", "acme", "--ndjson")
    assert [json.loads(line) for line in lines.stdout.splitlines()] == found["rows"]


def test_the_next_page_is_told(coins: Coins) -> None:
    first = document(coins("statement", "acme", "--limit", "1", "--json"))
    second = document(coins("statement", "acme", "--limit", "1", "--after", first["next"], "--json"))
    assert [row["amount"] for row in first["rows"] + second["rows"]] == [-4_000, 1_234_567]

    person = coins("accounts", "--limit", "1")
    assert person.stderr == "more: --after 'acme'\n"


def test_a_subtree_has_totals(coins: Coins) -> None:
    found = document(coins("statement", "acme", "--subtree", "--type", "transfer", "--json"))

    assert found["totals"] == [{"unit": "coin", "lines": 2, "amount": 0}]


def test_every_list_is_shown(coins: Coins) -> None:
    accounts = document(coins("accounts", "--under", "acme", "--kind", "branch", "--kind", "agent", "--json"))
    assert [row["account"] for row in accounts["rows"]] == ["north"]
    assert accounts["rows"][0]["subtree_credit"] == 3_000
    plans = document(coins("plans", "--search", "GOLD", "--json"))
    assert plans["rows"][0]["price"] == 1_000
    devices = document(coins("devices", "--account", "north", "--json"))
    assert devices["rows"][0]["device"] == "d-1"
    for verb in ("accounts", "plans", "devices"):
        assert len(coins(verb).stdout.splitlines()) > 1
    assert coins("devices", "--expired").stdout.split()[0] == "device"


def test_a_command_is_told(coins: Coins) -> None:
    found = document(coins("command", "tests", "c-1", "--json"))
    assert (found["outcome"], found["actor"], found["accounts"][0]["credit"]) == (
        "applied",
        "li.na",
        1_234_567,
    )
    person = coins("command", "tests", "c-2")
    assert "account_not_found" in person.stdout
    assert '"nobody"' in person.stdout


def test_what_people_typed_does_not_command_the_terminal(environment: dict[str, str], coins: Coins) -> None:
    # Given an account whose name holds markup and an escape sequence
    plain = coins("accounts").stdout
    # When it is drawn on a terminal
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, "accounts"],
        env={**environment, "TERM": "xterm", "COLUMNS": "250"},
        stdout=theirs,
        cwd=ROOT,
    ) as process:
        os.close(theirs)
        drawn = b""
        try:
            while piece := os.read(ours, 65_536):
                drawn += piece
        except OSError:
            pass
        os.close(ours)
    assert process.returncode == 0

    for shown in (plain, drawn.decode()):
        assert "[red]North\\x1b[31m" in shown
    assert "\x1b" not in plain
    assert "─" in drawn.decode()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["balance", "nobody"], 1, "nobody"),
        (["balance", "platform"], 1, "only a parent"),
        (["statement", "nobody", "--json"], 1, "nobody"),
        (["command", "tests", "c-0"], 1, "c-0"),
        (["accounts", "--under", "nobody"], 1, "nobody"),
        (["balance", "acme", "--at", "yesterday"], 2, "--at"),
        (["statement", "acme", "--from", "2026-13-01"], 2, "--from"),
        (["statement", "acme", "--from", "2026-02-01", "--to", "2026-01-01"], 2, "--from lies after --to"),
        (["statement", "acme", "--type", "gift"], 2, "--type"),
        (["statement", "acme", "--after", "x"], 2, "--after"),
        (["statement", "acme", "--limit", "0"], 2, "--limit"),
        (["accounts", "--state", "open"], 2, "--state"),
        (["plans", "--json", "--ndjson"], 2, "--ndjson"),
        (["balance"], 2, "ACCOUNT"),
    ],
)
def test_faults_go_to_stderr_with_their_exit_code(
    coins: Coins, arguments: list[str], code: int, said: str
) -> None:
    done = coins(*arguments)

    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_database_it_is_not_ready(coins: Coins, empty_database_url: str, tmp_path: Path) -> None:
    unreachable = coins("balance", "acme", COINS_DATABASE_URL="postgresql://x@127.0.0.1:1/x")
    no_schema = coins("balance", "acme", COINS_DATABASE_URL=empty_database_url)
    nothing = coins(
        "balance", "acme", "--data", str(tmp_path), without=("COINS_DATABASE_URL", "COINS_REDIS_URL")
    )

    assert [done.returncode for done in (unreachable, no_schema, nothing)] == [3, 3, 3]
    assert "coins migrate" in no_schema.stderr
    assert "coins up" in nothing.stderr


def test_verification_exits_5_when_it_finds_a_difference(coins: Coins, environment: dict[str, str]) -> None:
    sound = document(coins("verify", "--json"))
    assert (sound["ok"], sound["differences"]) == (True, [])
    assert sound["checked"]["account"] == 3

    with psycopg.connect(environment["COINS_DATABASE_URL"], autocommit=True) as connection:
        connection.execute("UPDATE account SET credit = credit + 1 WHERE account = 'north'")
        try:
            found = coins("verify", "--json")
            person = coins("verify")
        finally:
            connection.execute("UPDATE account SET credit = credit - 1 WHERE account = 'north'")

    assert (found.returncode, person.returncode) == (5, 5)
    assert json.loads(found.stdout)["ok"] is False
    assert {one["where"] for one in json.loads(found.stdout)["differences"]} >= {"account north"}
    assert "account north" in person.stdout
    assert "differences" in person.stderr


@pytest.mark.parametrize("verb", sorted(READS))
def test_every_verb_explains_itself_with_an_example(coins: Coins, verb: str) -> None:
    done = coins(verb, "--help")

    assert done.returncode == 0
    assert f"coins {verb}" in done.stdout
    # Two fetch a file, and answer nothing but where it is.
    assert ("--out" if verb in ("export", "receipt") else "--json") in done.stdout


def test_amounts_are_shown_to_the_last_unit() -> None:
    assert [Manner(0).amount(value) for value in (0, -5, 1_234_567)] == ["0", "-5", "1,234,567"]
    assert [Manner(2).amount(value) for value in (0, -5, 1_234_567)] == ["0.00", "-0.05", "12,345.67"]
    assert Manner(6).amount(10**15) == "1,000,000,000.000000"


def test_json_has_fields_by_name_and_lists_as_they_are() -> None:
    from ledger.periods import Cycle
    from ledger.queries.plans import PlanRow

    row = PlanRow("gold", "Gold", "renewal", 1, None, Cycle("month", 3), None)

    assert as_json([row])[0]["cycle"] == {"unit": "month", "count": 3}
    assert printable("a\nb\x1b[0m ü") == "a\\nb\\x1b[0m ü"
