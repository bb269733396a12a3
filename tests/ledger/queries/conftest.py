"""What tests of queries have in common: a reader's connection, and an allotment for a sponsored customer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from ledger.database import connect
from tests.desk import LedgerDesk

Grant = Callable[[str, int], None]

GRANT = """
WITH granted AS (
  UPDATE account SET credit = credit + %(amount)s, version = version + 1, posted_at = %(now)s
  WHERE account = %(account)s
  RETURNING id, path, credit, version
), posted AS (
  INSERT INTO transaction (id, time, type, top, account, command_source, command_id)
  SELECT nextval('transaction_key'), %(now)s, 'allocation', path[1], id, 'tests', 'grant-' || version FROM granted
  RETURNING id
)
INSERT INTO entry (transaction, account, unit, amount, balance, version, top, type, time)
SELECT posted.id, granted.id, 'allotment', %(amount)s, credit, version, path[1], 'allocation', %(now)s FROM posted, granted
UNION ALL
SELECT posted.id, -4, 'allotment', -%(amount)s, NULL, NULL, path[1], 'allocation', %(now)s FROM posted, granted"""


@pytest.fixture
def reader(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection as a verb that reads has it."""
    connection = connect(database_url, name="test reader")
    yield connection
    connection.close()


@pytest.fixture
def grant(desk: LedgerDesk) -> Grant:
    """Gives an allotment to a sponsored customer: posted straight to the tables."""

    def granted(account: str, amount: int) -> None:
        desk.connection.execute(GRANT, {"account": account, "amount": amount, "now": desk.now})
        desk.connection.commit()

    return granted
