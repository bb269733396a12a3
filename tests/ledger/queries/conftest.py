"""What tests of queries have in common: a reader's connection, an allotment for a sponsored customer, a bill."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import psycopg
import pytest

from ledger.billing import issue
from ledger.database import connect
from tests import builders as a
from tests.desk import LedgerDesk

Grant = Callable[[str, int], None]
Bill = Callable[[str, str], str]


@pytest.fixture
def reader(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection as a verb that reads has it."""
    connection = connect(database_url, name="test reader")
    yield connection
    connection.close()


@pytest.fixture
def grant(desk: LedgerDesk) -> Grant:
    """Gives an allotment to a sponsored customer, from its parent."""

    def granted(account: str, amount: int) -> None:
        desk.do(a.grant(account, amount, reseller=desk.account(account)["parent"]))

    return granted


@pytest.fixture
def bill_of(desk: LedgerDesk) -> Bill:
    """Bills a customer for a month (yyyy-mm) that is over. Gives the bill's id."""

    def billed(account: str, month: str) -> str:
        bill = issue(desk.connection, account, date.fromisoformat(f"{month}-01"), desk.now)
        desk.connection.commit()
        assert bill is not None
        return bill.bill

    return billed
