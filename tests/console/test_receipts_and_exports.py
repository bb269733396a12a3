"""The verbs that fetch: receipts as PDFs, exports as files; each as it was made, twice the same."""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from io import BytesIO, StringIO
from pathlib import Path

import pytest
from pypdf import PdfReader

from tests import builders as a
from tests.console.running import Coins, coins_with, document
from tests.desk import LedgerDesk
from tests.workers.jobs.clockwork import Clockwork
from workers.jobs.exports import build_exports
from workers.jobs.receipts import issue_receipts

FIELDS = ["receipt", "account", "kind", "transaction", "order", "amount", "issued_at", "emails", "mailed_at"]
THEN = datetime(2026, 2, 27, 16, 30, tzinfo=UTC)
Fetch = Callable[[str, str], bytes]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def recharge(module_database_url: str, data: Path) -> str:
    """The transaction of a recharge of `acme` with a receipt, as `o1` has one; that of `o2` is due.

    Of the exports `book` and `lines` are ready, `nosy` has failed, and `later` was asked for.
    """
    desk = LedgerDesk(module_database_url, now=THEN)
    clockwork = Clockwork(desk, module_database_url, data)
    desk.do(a.enterprise(name="Acme Ltd", timezone="Asia/Shanghai", email="fin@acme.example"), a.reseller())
    number = desk.do(a.top_up("acme", 12_345, paid={"currency": "EUR", "amount": "99.5"}))
    desk.do(a.order("o1", product="Proxy EU", price=1_000))
    clockwork.run(issue_receipts)
    desk.do(a.export("book"), a.export("lines", report="orders", format="csv"), a.order("o2"))
    desk.do(a.export("nosy", report="orders", filters={"account": ["shop"]}))
    clockwork.run(build_exports)
    desk.later(minutes=1)
    desk.do(a.export("later"))
    clockwork.close()
    desk.close()
    assert number is not None
    return number


@pytest.fixture(scope="module")
def coins(recharge: str, module_database_url: str, data: Path) -> Coins:
    return coins_with(
        {
            "PATH": os.environ["PATH"],
            "COINS_DATABASE_URL": module_database_url,
            "COINS_REDIS_URL": "redis://127.0.0.1:1/0",
            "COINS_DATA_DIR": str(data),
        }
    )


@pytest.fixture
def fetched(coins: Coins, tmp_path: Path) -> Fetch:
    """Fetches to a file, and gives its bytes."""

    def fetch(verb: str, id_: str) -> bytes:
        out = tmp_path / "out"
        done = coins(verb, id_, "--out", str(out))
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
        assert f" in {out}" in done.stderr
        return out.read_bytes()

    return fetch


# Receipts


def text_of(pdf: bytes) -> str:
    return "\n".join(page.extract_text() for page in PdfReader(BytesIO(pdf)).pages)


def test_a_receipt_is_had_by_order_or_transaction_and_is_the_same_every_time(
    fetched: Fetch, recharge: str
) -> None:
    of_recharge, of_order = fetched("receipt", recharge), fetched("receipt", "o1")
    assert "acme-2026-000001" in text_of(of_recharge)
    for said in ("12,345", "99.5", "EUR", "Acme Ltd"):
        assert said in text_of(of_recharge)
    for said in ("acme-2026-000002", "Proxy EU", "o1", "1,000"):
        assert said in text_of(of_order)
    assert fetched("receipt", recharge) == of_recharge
    assert fetched("receipt", "acme-2026-000002") == of_order


def test_amounts_are_printed_with_the_decimals_that_people_see(coins: Coins, tmp_path: Path) -> None:
    out = tmp_path / "receipt.pdf"
    coins("receipt", "o1", "--out", str(out), COINS_SCALE="2")
    assert "10.00" in text_of(out.read_bytes())


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["receipt", "o2"], 1, "the receipt of o2 is due and not made yet"),
        (["receipt", "o9"], 1, "there is no receipt of 'o9'"),
        (["export", "later"], 1, "the export later has no file: it is requested, try again soon"),
        (["export", "nosy"], 1, "the export nosy has no file: it has failed (account: 'shop' is neither"),
    ],
)
def test_what_is_not_there_is_said_and_no_file_is_made(
    coins: Coins, tmp_path: Path, arguments: list[str], code: int, said: str
) -> None:
    out = tmp_path / "out"
    done = coins(*arguments, "--out", str(out))
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith(f"coins: {said}")
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["receipt", "o1"], 2),
        (["receipt", "o1", "--out", "{}"], 1),
        (["export", "book", "--out", "{}/nowhere/out"], 1),
    ],
)
def test_where_to_has_to_be_said_and_has_to_be_a_file(
    coins: Coins, tmp_path: Path, arguments: list[str], code: int
) -> None:
    done = coins(*(one.format(tmp_path) for one in arguments))
    assert (done.returncode, done.stdout) == (code, "")
    if code == 1:
        assert done.stderr.startswith(f"coins: {arguments[-1].format(tmp_path)}")
    assert list(tmp_path.iterdir()) == []


def test_receipts_are_listed_in_every_form(coins: Coins, recharge: str) -> None:
    whole = document(coins("receipts", "--json"))
    assert [list(row) for row in whole["rows"]] == [FIELDS] * 2
    assert whole["rows"][1] == {
        "receipt": "acme-2026-000001",
        "account": "acme",
        "kind": "recharge",
        "transaction": recharge,
        "order": None,
        "amount": 12_345,
        "issued_at": "2026-02-27T16:30:00Z",
        "emails": ["fin@acme.example"],
        "mailed_at": None,
    }
    table = list(csv.DictReader(StringIO(coins("receipts", "--csv", "-").stdout.removeprefix("\ufeff"))))
    assert [row["receipt"] for row in table] == ["acme-2026-000002", "acme-2026-000001"]
    assert list(table[0]) == FIELDS
    person = coins("receipts")
    assert "12,345" in person.stdout
    assert "times in UTC" in person.stderr


def test_receipts_come_page_by_page(coins: Coins) -> None:
    first = document(coins("receipts", "--account", "acme", "--limit", "1", "--json"))
    assert [row["order"] for row in first["rows"]] == ["o1"]
    rest = coins("receipts", "--search", "fin@", "--after", first["next"], "--ndjson")
    assert [json.loads(line)["kind"] for line in rest.stdout.splitlines()] == ["recharge"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["receipts", "--account", "nobody"], 1),
        (["receipts", "--after", "none"], 2),
    ],
)
def test_what_cannot_be_chosen_is_refused(coins: Coins, arguments: list[str], code: int) -> None:
    done = coins(*arguments)
    assert (done.returncode, done.stdout) == (code, "")


# Exports


def test_exports_are_listed_with_how_far_each_is(coins: Coins) -> None:
    rows = {row["export"]: row for row in document(coins("exports", "--json"))["rows"]}
    assert {id_: row["state"] for id_, row in rows.items()} == {
        "later": "requested",
        "nosy": "failed",
        "lines": "ready",
        "book": "ready",
    }
    assert (rows["lines"]["rows"], rows["lines"]["ready_at"]) == (2, "2026-02-27T16:30:00Z")
    assert rows["nosy"]["why"] == "account: 'shop' is neither acme nor an account below it"
    person = coins("exports", "--account", "acme")
    assert all(word in person.stdout for word in ("requested", "failed", "ready", "neither acme"))


def test_an_export_is_fetched_as_it_was_made(coins: Coins, fetched: Fetch, data: Path) -> None:
    rows = {row["export"]: row for row in document(coins("exports", "--json"))["rows"]}
    for id_ in ("book", "lines"):
        content = fetched("export", id_)
        assert hashlib.sha256(content).hexdigest() == rows[id_]["sha256"]
        assert content == (data / "files" / rows[id_]["path"]).read_bytes()
    assert fetched("export", "lines").decode("utf-8-sig").splitlines()[1].startswith("o2,")


def test_a_file_that_was_changed_or_is_elsewhere_is_not_fetched(
    coins: Coins, data: Path, tmp_path: Path
) -> None:
    (row,) = document(coins("exports", "--search", "book", "--json"))["rows"]
    out = tmp_path / "out"
    out.write_text("what was there before")
    elsewhere = coins("export", "book", "--out", str(out), COINS_FILES_DIR=str(tmp_path))
    assert elsewhere.returncode == 1
    assert "is COINS_FILES_DIR the one that the job workers have?" in elsewhere.stderr
    file = data / "files" / row["path"]
    whole = file.read_bytes()
    file.write_bytes(whole + b"x")
    try:
        changed = coins("export", "book", "--out", str(out))
    finally:
        file.write_bytes(whole)
    assert changed.returncode == 1
    assert f"is not as it was made (sha256 {row['sha256']})" in changed.stderr
    assert out.read_text() == "what was there before"
    assert list(tmp_path.iterdir()) == [out]
