"""Every list as a file: `--csv FILE` and `--xlsx FILE` write all that is chosen, whole or not at all."""

from __future__ import annotations

import csv
import hashlib
import inspect
import json
import os
import resource
from io import StringIO
from pathlib import Path

import pytest

from console.cli.reads import READS
from messages.reports import Report
from tests import builders as a
from tests.console.running import Coins, coins_with, document
from tests.desk import LedgerDesk
from tests.workers.exports.reading import facts, records

LISTS = sorted(verb for verb, read in READS.items() if "limit" in inspect.signature(read).parameters)
OF_ACCOUNT = {"statement", "holds"}
ENTRIES = 60  # more than a page


@pytest.fixture(scope="module")
def coins(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Coins:
    """The command line on a ledger with something of everything that is listed, and a statement of several pages."""
    desk = LedgerDesk(module_database_url)
    desk.do(a.reseller("acme", timezone="Asia/Shanghai"), a.sponsored_customer("carl", "acme"))
    desk.send(*(a.top_up("acme", 100, reference=f"W-{n}") for n in range(ENTRIES)))
    desk.do(a.grant("carl", 50, reseller="acme", note="=1+1"), a.methods("CN", "wechat"))
    desk.do(a.plan("pro", "package", price=7, cycle=a.MONTHLY), a.subscribe(), a.order(), a.hold())
    desk.do(a.onboarding("acme", "007"), a.warning(), a.export())
    desk.close()
    return coins_with(
        {
            "PATH": os.environ["PATH"],
            "COINS_DATABASE_URL": module_database_url,
            "COINS_REDIS_URL": "redis://127.0.0.1:1/0",
            "COINS_DATA_DIR": str(tmp_path_factory.mktemp("data")),
        }
    )


def arguments_of(verb: str) -> list[str]:
    return [verb, "acme"] if verb in OF_ACCOUNT else [verb]


def test_every_list_of_the_contract_is_a_verb() -> None:
    assert set(LISTS) >= {str(report) for report in Report}


@pytest.mark.parametrize("verb", LISTS)
def test_every_list_can_be_a_file(coins: Coins, tmp_path: Path, verb: str) -> None:
    parameters = inspect.signature(READS[verb]).parameters
    assert {"csv", "xlsx"} <= set(parameters)
    shown = document(coins(*arguments_of(verb), "--limit", "1000", "--json"))["rows"]

    for option in ("--csv", "--xlsx"):
        path = tmp_path / f"list{option.replace('--', '.')}"
        done = coins(*arguments_of(verb), option, str(path))
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        assert (done.returncode, done.stdout) == (0, "")
        assert done.stderr == f"wrote {len(shown)} rows to {path} (sha256 {sha256})\n"

    with (tmp_path / "list.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    title = verb.replace("-", " ").capitalize()
    cells = records(tmp_path / "list.xlsx", title)
    assert len(rows) == len(cells) == len(shown)
    if shown:
        assert list(rows[0]) == list(shown[0])
        assert [name.partition(" (")[0] for name in cells[0]] == list(shown[0])


def test_a_file_has_all_rows_of_what_is_chosen(coins: Coins, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    coins("statement", "acme", "--type", "recharge", "--csv", str(path))
    assert len(path.read_text().splitlines()) == ENTRIES + 1
    coins("statement", "acme", "--category", "Expense", "--from", "2026-03-01", "--csv", str(path))
    assert len(path.read_text().splitlines()) == 4

    book = tmp_path / "x.xlsx"
    coins("statement", "acme", "--subtree", "--xlsx", str(book), COINS_SCALE="2")
    assert facts(book)["amounts"] == "with 2 decimals"
    assert records(book, "Statement")[-1]["amount"] == 1


def test_csv_may_go_to_stdout_for_another_program(coins: Coins, tmp_path: Path) -> None:
    done = coins("allocations", "--csv", "-")

    assert done.returncode == 0
    assert done.stderr == "wrote 1 rows\n"
    (row,) = csv.DictReader(StringIO(done.stdout))
    assert (row["customer"], row["amount"], row["note"]) == ("carl", "50", "'=1+1")


def test_what_finds_no_room_on_its_way_to_stdout_says_where_it_wanted_some(coins: Coins) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        done = coins("allocations", "--csv", "-", anew=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (done.returncode, done.stdout) == (1, "")
    assert "a directory with room for it as TMPDIR" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["plans", "--csv", "{}/x", "--json"], 2, "--json and --csv exclude each other"),
        (["plans", "--csv", "{}/x", "--xlsx", "{}/y"], 2, "--csv and --xlsx exclude each other"),
        (["plans", "--ndjson", "--xlsx", "{}/y"], 2, "--ndjson and --xlsx exclude each other"),
        (["plans", "--csv", "{}/x", "--limit", "5"], 2, "--csv writes all rows; leave out --limit"),
        (["plans", "--xlsx", "{}/x", "--after", "pro"], 2, "--xlsx writes all rows; leave out --limit"),
        (["plans", "--xlsx", "-"], 2, "--xlsx needs the name of a file"),
        (["plans", "--csv", ""], 2, "--csv needs the name of a file"),
        (["plans", "--csv", "{}/none/x"], 1, "{}/none/x cannot be written: No such file or directory"),
        (["plans", "--csv", "{}"], 1, "{} is no file"),
        (["statement", "nobody", "--csv", "{}/x"], 1, "nobody"),
        (["orders", "--account", "nobody", "--csv", "{}/x"], 1, "nobody"),
        (["orders", "--from", "soon", "--xlsx", "{}/x"], 2, "--from"),
        (["statement", "acme", "--type", "gift", "--csv", "{}/x"], 2, "--type"),
    ],
)
def test_faults_go_to_stderr_and_leave_no_file(
    coins: Coins, tmp_path: Path, arguments: list[str], code: int, said: str
) -> None:
    done = coins(*(one.format(tmp_path) for one in arguments))

    assert (done.returncode, done.stdout) == (code, "")
    assert said.format(tmp_path) in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_was_there_is_replaced_or_stays(coins: Coins, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("before")
    assert coins("orders", "--kind", "nothing", "--csv", str(path)).returncode == 2
    assert path.read_text() == "before"
    assert coins("plans", "--csv", str(path)).returncode == 0
    assert "pro" in path.read_text()
    assert json.loads(coins("plans", "--json").stdout)["rows"]
