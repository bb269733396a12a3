"""`coins verify` after somebody has changed the tables: how it exits, and what it says of each difference."""

from __future__ import annotations

import json
import os

import psycopg
import pytest

from ledger.receipts import issue
from tests import builders as a
from tests.console.running import Coins, coins_with
from tests.desk import SOURCE, LedgerDesk

DIFFERENT = 5


@pytest.fixture
def desk(own_desk: LedgerDesk) -> LedgerDesk:
    """Acme paid in twice, with receipts, bought something and holds something."""
    desk = own_desk
    desk.do(a.enterprise())
    desk.ask(a.top_up("acme", 100), id="first")
    desk.ask(a.top_up("acme", 200), id="second")
    desk.ask(a.onboarding("acme", price=30), id="charge")
    desk.do(a.hold("h1", "acme", 50))
    with desk.connection.transaction():
        due = [number for (number,) in desk.connection.execute("SELECT transaction FROM receipt_due")]
        issue(desk.connection, due, desk.now)
    return desk


@pytest.fixture
def coins(own_database_url: str, tmp_path: object) -> Coins:
    return coins_with(
        {
            "PATH": os.environ["PATH"],
            "COINS_DATABASE_URL": own_database_url,
            "COINS_REDIS_URL": "redis://127.0.0.1:1/0",
            "COINS_DATA_DIR": str(tmp_path),
        }
    )


CHARGE = "transaction = (SELECT transaction FROM command WHERE id = 'charge')"


@pytest.mark.parametrize(
    ("statements", "difference"),
    [
        pytest.param(
            [f"UPDATE entry SET amount = amount + 1 WHERE {CHARGE} AND account > 0"],
            ("steps", "entry of acme version 3", "balance 271", "balance 270"),
            id="a changed amount",
        ),
        pytest.param(
            ["DELETE FROM entry WHERE account > 0 AND version = 2"],
            ("steps", "entry of acme version 3", "version 2", "version 3"),
            id="a deleted entry",
        ),
        pytest.param(
            ["UPDATE account SET credit = credit + 5 WHERE account = 'acme'"],
            ("figures", "account acme", "credit 270", "credit 275"),
            id="a changed balance",
        ),
        pytest.param(
            [
                "UPDATE command c SET outcome = other.outcome FROM command other "
                "WHERE (c.id, other.id) IN (('first', 'second'), ('second', 'first'))"
            ],
            (
                "outcome",
                f"command {SOURCE} first",
                "reason nothing, transaction {first}",
                "reason nothing, transaction {second}",
            ),
            id="a swapped outcome",
        ),
        pytest.param(
            ["UPDATE account SET frozen = frozen - 20 WHERE account = 'acme'"],
            ("open", "account acme", "frozen 50", "frozen 30"),
            id="a frozen sum that drifted",
        ),
        pytest.param(
            [
                "ALTER TABLE receipt DROP CONSTRAINT receipt_top_year_seq_key, DROP CONSTRAINT receipt_pkey",
                "UPDATE receipt SET seq = 1, number = 'acme-2026-000001' WHERE number = 'acme-2026-000002'",
            ],
            ("receipts", "receipt acme-2026-000001", "number 2 of its series", "number 1"),
            id="a reused receipt number",
        ),
    ],
)
def test_what_was_tampered_with_is_named(
    desk: LedgerDesk, coins: Coins, statements: list[str], difference: tuple[str, str, str, str]
) -> None:
    # Given a ledger that agrees with itself, and then a change that no trigger sees
    numbers = dict(
        desk.all("SELECT id, outcome::json ->> 'transaction' FROM command WHERE id IN ('first', 'second')")
    )
    assert coins("verify").returncode == 0
    with psycopg.connect(desk.connection.info.dsn) as connection:
        connection.execute("SET session_replication_role = replica")
        for statement in statements:
            assert connection.execute(statement.encode()).rowcount != 0

    found, person = coins("verify", "--json"), coins("verify")

    # Then scripts and people are told which check, which row, what should be there and what is
    assert (found.returncode, person.returncode) == (DIFFERENT, DIFFERENT)
    answer = json.loads(found.stdout)
    told = [(one["check"], one["where"], one["expected"], one["found"]) for one in answer["differences"]]
    check, where, expected, stands = (text.format(**numbers) for text in difference)
    assert (check, where, expected, stands) in told
    assert check in answer["checks"]
    row = next(line for line in person.stdout.splitlines() if where in line and expected in line)
    assert stands in row
