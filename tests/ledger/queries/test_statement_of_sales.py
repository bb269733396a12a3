"""Statements of what is sold: sponsored purchases, orders and how they were paid, bills, phones, holds, usage."""

from __future__ import annotations

from typing import Any

import psycopg

from ledger.queries.statement import StatementFilter, StatementLine, Total, statement
from tests import builders as a
from tests.desk import LedgerDesk
from tests.ledger.queries.conftest import Bill, Grant

Reader = psycopg.Connection[Any]


def lines(reader: Reader, account: str, **chosen: Any) -> list[StatementLine]:
    return statement(reader, account, StatementFilter(**chosen)).rows


def sponsored(desk: LedgerDesk, grant: Grant) -> None:
    """carl buys with its allotment of 80 and the 100 coins of its reseller."""
    desk.do(a.reseller(), a.sponsored_customer(), a.top_up("shop", 100))
    grant("carl", 80)


def test_a_sponsored_purchase_is_on_both_statements(desk: LedgerDesk, reader: Reader, grant: Grant) -> None:
    sponsored(desk, grant)
    number = desk.do(a.order("o1", "carl", payer="li.na"))

    customers, sponsors = lines(reader, "carl")[0], lines(reader, "shop")[0]

    assert (customers.number, customers.unit, customers.amount, customers.balance) == (
        number,
        "allotment",
        -10,
        70,
    )
    assert (customers.counterparty, customers.consumer, customers.paid_by) == ("shop", "carl", "carl")
    assert (sponsors.number, sponsors.unit, sponsors.amount, sponsors.balance) == (number, "coin", -10, 90)
    assert (sponsors.counterparty, sponsors.consumer, sponsors.paid_by) == ("carl", "carl", "shop")
    assert {(one.order, one.method, one.payer) for one in (customers, sponsors)} == {
        ("o1", "balance", "li.na")
    }


def test_under_a_second_level_reseller_the_distributor_is_the_sponsor(
    desk: LedgerDesk, reader: Reader
) -> None:
    desk.do(a.distributor(), a.reseller("second", "dist"), a.sponsored_customer("dora", "second"))
    desk.do(a.top_up("dist", 50), a.grant("dora", 50, reseller="second"), a.order("o1", "dora"))

    assert [(one.amount, one.consumer) for one in lines(reader, "dist")] == [(-10, "dora"), (50, None)]
    assert lines(reader, "second") == []
    # And the distributor's tree shows each entry once
    found = statement(reader, "dist", StatementFilter(subtree=True))
    assert sorted((one.account, one.unit, one.amount) for one in found.rows) == [
        ("dist", "coin", -10),
        ("dist", "coin", 50),
        ("dora", "allotment", -10),
        ("dora", "allotment", 50),
    ]
    assert found.totals == [Total("allotment", 2, 40), Total("coin", 2, 40)]


def test_an_order_by_another_method_is_a_recharge_and_a_charge(desk: LedgerDesk, reader: Reader) -> None:
    desk.do(a.enterprise())
    said = desk.ask(a.order("o1", method="wechat", payer="bo", phone="p-1"), id="c-1")

    charge, recharge = lines(reader, "acme")

    assert (charge.type, charge.amount, charge.balance, charge.category) == ("order", -10, 0, "Expense")
    assert (recharge.type, recharge.amount, recharge.balance, recharge.category) == (
        "recharge",
        10,
        10,
        "Recharge",
    )
    assert charge.number == said.data.transaction != recharge.number
    assert {(one.order, one.method, one.payer, one.item, one.command_id) for one in (charge, recharge)} == {
        ("o1", "wechat", "bo", "Pro", "c-1")
    }
    assert lines(reader, "acme", orders=["o1"], devices=["p-1"]) == [charge, recharge]


def test_a_refund_by_its_order_is_found_with_it(desk: LedgerDesk, reader: Reader) -> None:
    desk.do(a.enterprise(), a.top_up(), a.order("o1"), a.order("o2"), a.refund_of_order("o1", 4))

    assert [(one.type, one.amount) for one in lines(reader, "acme", orders=["o1"])] == [
        ("refund", 4),
        ("order", -10),
    ]


def test_what_a_phone_a_hold_and_a_resource_of_a_department_cost_is_on_both_statements(
    desk: LedgerDesk, reader: Reader
) -> None:
    desk.do(a.enterprise(), a.department(), a.top_up())
    desk.do(a.power_on("run", "dept", phone="p-9", payer="bo"), a.power_off("run"))
    desk.do(a.hold("h1", "dept", purpose="deposit"), a.capture("h1", 3))
    desk.do(a.activation("r1", "dept"), a.usage("r1", 12))

    own, masters = lines(reader, "dept"), lines(reader, "acme")

    assert [(one.type, one.item, one.amount, one.balance, one.paid_by) for one in own] == [
        ("usage", "r1", -12, None, "acme"),
        ("capture", "deposit", -3, None, "acme"),
        ("running_fee", None, -10, None, "acme"),
    ]
    assert [one.balance for one in masters] == [75, 87, 90, 100]
    assert {one.consumer for one in masters[:3]} == {"dept"}
    assert (own[2].devices, own[2].order, own[2].payer) == (["p-9"], "run", "bo")


def test_what_a_bill_returns_is_a_line_of_the_customer_alone(
    desk: LedgerDesk, reader: Reader, grant: Grant, bill_of: Bill
) -> None:
    sponsored(desk, grant)
    charge = desk.do(a.onboarding("carl", price=30))
    desk.later(days=31)
    desk.do(a.confirmation(bill_of("carl", "2026-03")))

    returned = lines(reader, "carl")[0]

    assert (returned.type, returned.category, returned.amount, returned.balance, returned.item) == (
        "credit_return",
        "System",
        30,
        80,
        "carl.2026-03",
    )
    assert (returned.counterparty, returned.consumer, returned.paid_by) == ("shop", None, None)
    # And a refund after that is the sponsor's alone
    desk.do(a.refund(charge, 30))
    assert [one.type for one in lines(reader, "carl")] == ["credit_return", "onboarding", "allocation"]
    back = lines(reader, "shop")[0]
    assert (back.type, back.amount, back.counterparty, back.consumer) == ("refund", 30, "carl", "carl")
    assert [one.unit for one in lines(reader, "carl", subtree=True)] == ["allotment"] * 3


def test_usage_after_an_account_lost_its_sponsor_and_its_refund_are_told_alike(
    desk: LedgerDesk, reader: Reader, grant: Grant
) -> None:
    # Given a customer whose resource was used, after its termination and a change of its funding
    sponsored(desk, grant)
    desk.do(a.activation("r1", "carl"), a.termination("r1"), a.grant("carl", -80), a.funding("carl", "own"))
    charge = desk.do(a.usage("r1", 7))
    desk.do(a.refund(charge))

    assert [(one.type, one.amount) for one in lines(reader, "shop")[:2]] == [("refund", 7), ("usage", -7)]
    # Then its statement shows the one as it does the other
    assert sum(one.amount for one in lines(reader, "carl") if one.unit == "coin") == 0
    assert sum(one.amount for one in lines(reader, "carl", subtree=True) if one.unit == "coin") == 0
