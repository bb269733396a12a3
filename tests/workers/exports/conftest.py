"""A ledger with two trees and two or more of everything that is listed, and exports of it, read back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ledger.billing import issue
from ledger.database import connect
from messages.reports import Report
from tests import builders as a
from tests.desk import LedgerDesk
from workers.exports.build import build
from workers.exports.request import Built, Request

Reader = psycopg.Connection[Any]
Export = Callable[..., Built]

BEGAN = datetime(2026, 2, 27, 16, 30, tzinfo=UTC)  # the next day in Shanghai
NOW = datetime(2026, 11, 22, 8, tzinfo=UTC)
ACME = ("acme", "north", "dept", "carl")
BETA = ("beta", "south", "team", "dora")

# As the job makes them, but for what is printed: of each paid order one.
RECEIPTS = """
INSERT INTO receipt (number, top, year, seq, account, transaction, order_id, kind, amount, issued_at, content, emails)
SELECT top.account || '-2026-' || lpad(o.seq::text, 6, '0'), top.id, 2026, o.seq, o.account, o.transaction, o.order_id,
       'order', o.amount, o.paid_at, '{}', ARRAY['fin@x.example']
FROM (SELECT o.*, a.path[1] AS top, row_number() OVER (PARTITION BY a.path[1] ORDER BY o.order_id) AS seq
      FROM orders o JOIN account a ON a.id = o.account WHERE o.transaction IS NOT NULL) o
JOIN account top ON top.id = o.top"""


def grow(desk: LedgerDesk, accounts: tuple[str, str, str, str]) -> None:
    """A reseller with a branch that has coins, a department of that one, and a sponsored customer; all of them busy."""
    top, branch, department, customer = accounts
    desk.do(a.reseller(top, name=f"{top} Ltd", timezone="Asia/Shanghai"), a.branch(branch, top))
    desk.do(a.department(department, branch), a.sponsored_customer(customer, top))
    desk.do(a.top_up(top, 100_000, reference=f"W-{top}"), a.transfer(top, branch, 30_000))
    desk.do(a.grant(customer, 5_000, reseller=top, note="Q1"), a.grant(customer, -20, reseller=top))
    for number, account in enumerate(accounts):
        desk.do(a.onboarding(account, f"{top}-d{number}", price=100 + number))
        desk.do(a.order(f"{top}-o{number}", account, price=200 + number, product=f"Pro {top}"))
        desk.do(a.subscribe(f"{top}-s{number}", account), a.hold(f"{top}-h{number}", account, 50 + number))
        desk.do(a.warning(f"{top}-w{number}", account, set_by=account, emails=["a@x.example", "b@x.example"]))
        desk.do(a.export(f"{top}-e{number}", account, filters={"type": ["transfer"]}))
    desk.do(a.refund_of_order(f"{top}-o2", 7), a.activation(f"{top}-r", department, 30, plan="farm"))


@pytest.fixture(scope="module")
def trees(module_database_url: str) -> str:
    """The URL of a ledger with the trees of acme and of beta, alike but for the names. Nobody posts to it any more."""
    desk = LedgerDesk(module_database_url, now=BEGAN)
    desk.do(a.plan("pro", "package", price=1_234, cycle=a.MONTHLY), a.plan("farm", "postpaid", name="Farm"))
    desk.do(a.methods("CN", "wechat", "alipay"), a.methods("DE", "sepa"))
    for accounts in (ACME, BETA):
        grow(desk, accounts)
    desk.later(days=31)
    for customer in ("carl", "dora"):
        issue(desk.connection, customer, date(2026, 2, 1), desk.now)
    desk.connection.commit()
    for accounts in (ACME, BETA):
        for number, account in enumerate(accounts):
            desk.do(a.order(f"{accounts[0]}-late{number}", account, price=1))
    desk.connection.execute(RECEIPTS)
    desk.connection.commit()
    desk.close()
    return module_database_url


@pytest.fixture
def reader(trees: str) -> Iterator[Reader]:
    connection = connect(trees, name="test reader")
    yield connection
    connection.close()


@pytest.fixture
def export(reader: Reader, tmp_path: Path) -> Export:
    """Builds an export: the report, whose, its filters by name, and what `build` takes."""

    def built(report: str, account: str | None = None, **given: Any) -> Built:
        options = {name: given.pop(name) for name in ("scale", "progress", "limits") if name in given}
        request = Request(Report(report), account, given.pop("filters", {}))
        request = replace(request, **given)
        path = tmp_path / f"{report}.{request.format}"
        return build(reader, request, path, **{"scale": 0, "now": NOW, **options})

    return built
