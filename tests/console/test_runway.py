"""`coins runway`, as a process on a real database."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests import builders as a
from tests.console.running import Coins, coins_with, document
from tests.desk import LedgerDesk


@pytest.fixture(scope="module")
def coins(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Coins:
    """`acme` has 15 coins, and pays 10 a day; `dept` draws on them."""
    directory: Path = tmp_path_factory.mktemp("data")
    desk = LedgerDesk(module_database_url, now=datetime.now(UTC))
    desk.do(a.enterprise(timezone="Asia/Shanghai"), a.department(), a.top_up(amount=25))
    desk.do(a.plan("day", "package", price=10, cycle=a.DAILY), a.subscribe("s1", plan="day"))
    desk.close()
    return coins_with(
        {
            "PATH": os.environ["PATH"],
            "COINS_DATABASE_URL": module_database_url,
            "COINS_REDIS_URL": "redis://127.0.0.1:1/0",
            "COINS_DATA_DIR": str(directory),
        }
    )


def test_a_runway_is_one_object(coins: Coins) -> None:
    found = document(coins("runway", "acme", "--days", "2", "--json"))
    assert list(found) == [
        "account",
        "draws_from",
        "available",
        "days",
        "until",
        "due",
        "total",
        "covered_until",
        "missing",
    ]
    assert (found["account"], found["draws_from"], found["available"], found["days"]) == ("acme", None, 15, 2)
    first, second = found["due"]
    assert list(first) == ["at", "subscription", "cycle_no", "account", "amount", "left"]
    assert (first["subscription"], first["cycle_no"], first["account"]) == ("s1", 2, "acme")
    assert [(due["amount"], due["left"]) for due in (first, second)] == [(10, 5), (10, -5)]
    assert (found["total"], found["covered_until"], found["missing"]) == (20, second["at"], 5)


def test_a_shared_account_looks_at_its_master(coins: Coins) -> None:
    found = document(coins("runway", "dept", "--json"))
    assert (found["account"], found["draws_from"], found["missing"]) == ("dept", "acme", 285)


def test_a_person_sees_what_is_due_in_the_zone_of_the_account(coins: Coins) -> None:
    done = coins("runway", "acme", "--days", "1", COINS_SCALE="1")
    assert done.returncode == 0
    assert "0.5" in done.stdout
    assert "s1" in done.stdout
    assert "covered until  -" in done.stdout
    assert "times in Asia/Shanghai" in done.stderr


def test_what_cannot_be_looked_at_is_refused(coins: Coins) -> None:
    assert coins("runway", "nobody").returncode == 1
    assert coins("runway", "acme", "--days", "0").returncode == 2
