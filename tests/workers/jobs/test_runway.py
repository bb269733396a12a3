"""Renewals at risk: told once, with one mail, until they are covered again."""

from __future__ import annotations

import pytest

from tests import builders as a
from tests.desk import LedgerDesk
from tests.workers.jobs.clockwork import Clockwork
from workers.jobs.runway import look_ahead


@pytest.fixture
def acme(desk: LedgerDesk) -> LedgerDesk:
    """`acme` has 90 coins, and pays 10 a day."""
    desk.do(
        a.enterprise(email="acme@acme.example"),
        a.branch(email="north@acme.example"),
        a.top_up(),
        a.plan("day", "package", price=10, cycle=a.DAILY),
        a.subscribe("s1", plan="day"),
    )
    return desk


def test_a_risk_is_told_once_until_it_is_covered(acme: LedgerDesk, clockwork: Clockwork) -> None:
    run = clockwork.run(look_ahead, as_row=True)
    (event,) = clockwork.events()
    assert event.type == "coins.RenewalsAtRisk.v1"
    assert event.data.model_dump(mode="json") == {
        "account": "acme",
        "top_account": "acme",
        "date": "2026-03-11T12:00:00Z",
        "missing": 210,
    }
    (mail,) = clockwork.mails()
    assert mail.recipient == "acme@acme.example"
    assert mail.subject == "Renewals at risk: acme (acme) lacks 210 coins"
    assert [(one.item, one.detail) for one in clockwork.items(run)] == [
        ("acme", "210 missing, the first on 2026-03-11")
    ]
    assert clockwork.asked_for() == {"mails"}
    acme.later(hours=1)
    acme.do(a.order("o1", price=20))
    clockwork.run(look_ahead)
    assert (clockwork.events(), clockwork.mails()) == ([], [])
    acme.do(a.top_up(amount=1_000))
    clockwork.run(look_ahead)
    assert (clockwork.events(), acme.all("SELECT * FROM at_risk")) == ([], [])
    acme.do(a.order("o2", price=1_000))
    clockwork.run(look_ahead)
    assert [one.data.missing for one in clockwork.events()] == [230]
    assert len(clockwork.mails()) == 1


def test_a_subscription_that_ends_is_no_risk_any_more(acme: LedgerDesk, clockwork: Clockwork) -> None:
    clockwork.run(look_ahead)
    acme.do(a.cancel("s1"))
    clockwork.run(look_ahead)
    assert acme.all("SELECT * FROM at_risk") == []


def test_what_is_covered_is_not_told(acme: LedgerDesk, clockwork: Clockwork) -> None:
    acme.do(a.top_up(amount=210))
    clockwork.run(look_ahead)
    assert (clockwork.events(), clockwork.mails()) == ([], [])


def test_everybody_who_pays_is_told_and_mailed_at_the_nearest_address(
    acme: LedgerDesk, clockwork: Clockwork
) -> None:
    acme.do(
        a.reseller(email="shop@shop.example"),
        a.sponsored_customer(),
        a.top_up("shop", 15),
        a.grant("carl", 15),
        a.subscribe("s2", "carl", "day"),
    )
    clockwork.run(look_ahead)
    assert [(one.data.account, one.data.top_account) for one in clockwork.events()] == [
        ("acme", "acme"),
        ("shop", "shop"),
        ("carl", "shop"),
    ]
    mails = clockwork.mails()
    assert [one.recipient for one in mails] == ["acme@acme.example", "shop@shop.example", "shop@shop.example"]


def test_mails_do_not_go_to_an_account_that_has_switched_them_off(
    acme: LedgerDesk, clockwork: Clockwork
) -> None:
    acme.do(a.notifications("acme"))
    clockwork.run(look_ahead)
    assert len(clockwork.events()) == 1
    assert clockwork.mails() == []


def test_a_dry_run_tells_nothing(acme: LedgerDesk, clockwork: Clockwork) -> None:
    run = clockwork.run(look_ahead, dry_run=True)
    assert [one.item for one in run.items] == ["acme"]
    assert (clockwork.events(), clockwork.mails(), clockwork.asked_for()) == ([], [], set())
    clockwork.run(look_ahead)
    assert len(clockwork.events()) == 1
