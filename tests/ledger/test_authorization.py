"""What a producer may send: every account that a command touches has to be covered by its rules."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest

from ledger.billing import issue
from ledger.trust import Rule
from messages.reasons import Reason
from tests import builders as a
from tests.desk import LedgerDesk
from tests.ledger.producing import ProducerDesk, producers

ALL = None
UNDER_ACME = Rule(ALL, "acme", itself=True)
# What nobody who sends for acme may ever be told of the rival.
HIDDEN = ("Rival GmbH", "boss@rival.example", "7777", "Carl & Co", "Shop Ltd")


@pytest.fixture
def office(database_url: str) -> Iterator[LedgerDesk]:
    """Somebody without rules, who has made two worlds that know nothing of each other."""
    desk = LedgerDesk(database_url)
    desk.do(
        a.plan("pro", "package", price=10, cycle=a.MONTHLY),
        a.enterprise("acme"),
        a.branch("north", "acme"),
        a.branch("west", "north"),
        a.top_up("acme", 1_000),
        a.enterprise("rival", name="Rival GmbH", email="boss@rival.example"),
        a.branch("r-north", "rival", name="Rival GmbH north"),
        a.top_up("rival", 7_777_000),
        a.warning("r-warning", "rival", "rival"),
        a.hold("r-hold", "rival", 7_777),
        a.order("r-order", "rival", 7_777),
        a.order("r-later", "rival", 7_777, pay="later"),
        a.power_on("r-run", "rival", "r-phone"),
        a.activation("r-resource", "rival", 7_777),
        a.subscribe("r-sub", "rival"),
        a.reseller("shop", name="Shop Ltd"),
        a.sponsored_customer("carl", "shop", name="Carl & Co"),
        a.top_up("shop", 500),
        a.grant("carl", 100),
        a.onboarding("carl", "c1", price=5),
    )
    issue(desk.connection, "carl", date(2026, 2, 1), desk.now + timedelta(days=30))
    issue(desk.connection, "carl", date(2026, 3, 1), desk.now + timedelta(days=60))
    desk.connection.commit()
    yield desk
    desk.close()


@pytest.fixture
def desk(database_url: str, office: LedgerDesk) -> Iterator[ProducerDesk]:
    """A producer that may send everything for acme and what is under it."""
    made = ProducerDesk(database_url, producers(UNDER_ACME), partition=1)
    yield made
    made.close()


def the_rivals_top_up(desk: LedgerDesk) -> str:
    return number_of(desk, "type = 'recharge' AND account = (SELECT id FROM account WHERE account = 'rival')")


def the_rivals_charge(desk: LedgerDesk) -> str:
    return number_of(desk, "order_id = 'r-order'")


def number_of(desk: LedgerDesk, which: str) -> str:
    (number,) = desk.one(
        "SELECT 'T-' || extract(year FROM time) || '-' || lpad(id::text, 10, '0') FROM transaction "
        f"WHERE {which} ORDER BY id LIMIT 1"
    )
    return str(number)


OUTSIDE: dict[str, Any] = {
    "account": a.top_up("rival"),
    "account, the platform": a.top_up("platform"),
    "account of an adjustment": a.adjustment("rival"),
    "account, to be closed": a.closing("r-north"),
    "parent": a.branch("new", "rival"),
    "parent, the platform": a.enterprise("new"),
    "account of OpenAccount, which exists": a.branch("r-north", "acme"),
    "to_account": a.transfer("acme", "rival"),
    "from_account": a.transfer("rival", "acme"),
    "ordered_by": a.transfer("acme", "north", ordered_by="rival"),
    "ordered_by, by default": a.transfer("r-north", "north"),
    "reseller": a.grant("north", 1, reseller="shop"),
    "customer": a.grant("carl", 1, reseller="acme"),
    "set_by": a.warning("w1", "acme", "rival"),
    "account of a warning": a.warning("w1", "rival", "acme"),
    "warning, to be replaced": a.warning("r-warning", "acme", "acme"),
    "warning": a.remove_warning("r-warning", "acme"),
    "confirmed_by": a.confirmation("carl.2026-03", "shop"),
    "bill": a.confirmation("carl.2026-03", "acme"),
    "hold that exists": a.hold("r-hold", "acme"),
    "hold to capture": a.capture("r-hold"),
    "hold to release": a.release_hold("r-hold"),
    "order that exists": a.order("r-order", "acme"),
    "order to pay": a.pay("r-later"),
    "order to cancel": a.cancel_order("r-later"),
    "order to refund": a.refund_of_order("r-order"),
    "order of a session to refund": a.refund_of_order("r-run"),
    "session that exists": a.power_on("r-run", "acme", "a-phone"),
    "session that an order has": a.power_on("r-order", "acme", "a-phone"),
    "session": a.power_off("r-run"),
    "resource that exists": a.activation("r-resource", "acme"),
    "resource in use": a.usage("r-resource"),
    "resource to give up": a.termination("r-resource"),
    "subscription that exists": a.subscribe("r-sub", "acme"),
    "subscription to renew": a.next_cycle("r-sub", "acme"),
    "subscription to change": a.change("r-sub", payment_method="manual"),
    "subscription to cancel": a.cancel("r-sub"),
    "subscription to delete": a.delete("r-sub"),
    "transaction to refund": lambda desk: a.refund(the_rivals_charge(desk)),
    "transaction to reverse": lambda desk: a.reversal(the_rivals_top_up(desk)),
    "everybody's plan": a.plan("pro", "package", price=1),
    "everybody's payment methods": a.methods("DE", "paypal"),
    "export": a.export("e1", "rival"),
    "notifications": a.notifications("rival"),
    "device": a.release("carl", "c1"),
}


@pytest.mark.parametrize("touched", OUTSIDE)
def test_what_is_not_ones_own_is_refused_with_nothing_said_of_it(
    desk: ProducerDesk, office: LedgerDesk, touched: str
) -> None:
    command = OUTSIDE[touched](office) if callable(OUTSIDE[touched]) else OUTSIDE[touched]
    before = office.all("SELECT count(*), max(id) FROM transaction"), office.account("rival")
    said = desk.ask(command, id="mine")
    assert said.data.reason == Reason.NOT_AUTHORIZED
    assert said.data.accounts == []
    assert not any(hidden in said.model_dump_json() for hidden in HIDDEN)
    assert (office.all("SELECT count(*), max(id) FROM transaction"), office.account("rival")) == before
    assert desk.ask(command, id="mine").data.duplicate, "it is decided: the key is taken"


@pytest.mark.parametrize("touched", OUTSIDE)
def test_without_rules_none_of_it_is_a_question_of_rights(
    desk: ProducerDesk, office: LedgerDesk, touched: str
) -> None:
    command = OUTSIDE[touched](office) if callable(OUTSIDE[touched]) else OUTSIDE[touched]
    desk.trust = producers(everything=True)
    assert desk.refused(command) != Reason.NOT_AUTHORIZED


@pytest.mark.parametrize(
    "about",
    [
        lambda id_: a.top_up(id_),
        lambda id_: a.transfer("acme", id_),
        lambda id_: a.transfer("acme", "north", ordered_by=id_),
        lambda id_: a.warning("w1", "acme", id_),
        lambda id_: a.branch("new", id_),
        lambda id_: a.grant(id_, 1, reseller="acme"),
        lambda id_: a.closing(id_),
    ],
)
def test_whether_an_account_exists_is_not_told(desk: ProducerDesk, about: Any) -> None:
    there, missing = desk.ask(about("rival"), id="m1").data, desk.ask(about("nobody"), id="m2").data
    assert there.reason == missing.reason == Reason.NOT_AUTHORIZED
    assert there.message is not None
    assert there.message.replace("rival", "nobody") == missing.message
    assert "nobody" in there.message.replace("rival", "nobody")


def test_what_is_ones_own_is_done(desk: ProducerDesk) -> None:
    desk.do(
        a.branch("south", "acme"),
        a.branch("deep", "west"),
        a.top_up("acme", 500),
        a.transfer("acme", "north", 100),
        a.transfer("north", "west", 10, ordered_by="acme"),
        a.warning("w1", "north", "acme"),
        a.remove_warning("w1", "acme"),
        a.hold("h1", "acme"),
        a.capture("h1"),
        a.order("o1", "acme"),
        a.refund_of_order("o1"),
        a.power_on("run", "acme"),
        a.power_off("run"),
        a.activation("r1", "acme"),
        a.usage("r1"),
        a.termination("r1"),
        a.subscribe("s1", "acme"),
        a.next_cycle("s1", "acme"),
        a.cancel("s1"),
        a.delete("s1"),
        a.export("e1", "acme"),
    )
    number = desk.do(a.order("o2", "acme"))
    assert desk.do(a.refund(number, 3)) is not None


def test_an_id_that_nobody_has_is_no_question_of_rights(desk: ProducerDesk) -> None:
    assert desk.refused(a.release_hold("nothing")) == Reason.HOLD_NOT_FOUND
    assert desk.refused(a.pay("nothing")) == Reason.ORDER_NOT_FOUND
    assert desk.refused(a.refund("T-2026-0999999999")) == Reason.TRANSACTION_NOT_FOUND
    assert desk.refused(a.refund("no-number")) == Reason.TRANSACTION_NOT_FOUND


def test_a_removed_warning_is_nobodys(desk: ProducerDesk, office: LedgerDesk) -> None:
    office.do(a.remove_warning("r-warning", "rival"))
    desk.do(a.warning("r-warning", "acme", "acme"))


def test_the_account_itself_is_covered_only_where_the_rule_says_so(desk: ProducerDesk) -> None:
    desk.trust = producers(Rule(ALL, "acme"))
    assert desk.refused(a.top_up("acme")) == Reason.NOT_AUTHORIZED
    assert desk.refused(a.branch("south", "acme")) == Reason.NOT_AUTHORIZED
    desk.do(a.top_up("north"), a.branch("south", "north"), a.top_up("west"))


def test_only_the_commands_of_a_rule_are_covered_by_it(desk: ProducerDesk) -> None:
    desk.trust = producers(
        Rule(frozenset({"TopUp"}), "acme", itself=True), Rule(frozenset({"Transfer"}), "north", itself=True)
    )
    desk.do(a.top_up("north", 50), a.transfer("north", "west"))
    assert desk.refused(a.transfer("acme", "north")) == Reason.NOT_AUTHORIZED
    assert desk.refused(a.release_hold("nothing")) == Reason.NOT_AUTHORIZED, "no rule has this command"


def test_several_rules_together_may_cover_what_none_covers_alone(desk: ProducerDesk) -> None:
    desk.trust = producers(UNDER_ACME, Rule(frozenset({"Transfer"}), "rival", itself=True))
    desk.do(a.transfer("acme", "north", 1))
    assert desk.refused(a.transfer("acme", "rival", 1)) == Reason.NOT_IN_HIERARCHY
    assert desk.refused(a.top_up("rival")) == Reason.NOT_AUTHORIZED


def test_a_producer_with_an_empty_list_of_rules_may_send_nothing(desk: ProducerDesk) -> None:
    desk.trust = producers()
    assert desk.refused(a.top_up("acme")) == Reason.NOT_AUTHORIZED


def test_under_the_platform_is_everybody_who_exists(desk: ProducerDesk) -> None:
    desk.trust = producers(Rule(ALL, "platform"))
    desk.do(a.top_up("rival"), a.enterprise("new"), a.plan("more", price=1), a.methods("FR", "paypal"))
    assert desk.refused(a.top_up("nobody")) == Reason.NOT_AUTHORIZED


def test_an_account_that_is_not_there_yet_covers_nothing_and_then_what_is_under_it(
    desk: ProducerDesk, office: LedgerDesk
) -> None:
    desk.trust = producers(Rule(ALL, "later", itself=True))
    assert desk.refused(a.top_up("later")) == Reason.NOT_AUTHORIZED
    office.do(a.enterprise("later"), a.branch("l-north", "later"))
    desk.do(a.top_up("l-north"))


def test_an_account_opened_in_the_same_batch_covers_what_comes_behind_it(desk: ProducerDesk) -> None:
    desk.trust = producers(
        Rule(frozenset({"OpenAccount"}), "platform"), Rule(frozenset({"TopUp"}), "fresh", itself=True)
    )
    said = desk.send(a.enterprise("fresh"), a.branch("f-north", "fresh"), a.top_up("f-north"))
    assert [one.data.reason for one in said] == [None, None, None]


def test_it_stands_behind_conflict_and_expiry_and_before_all_else(desk: ProducerDesk) -> None:
    desk.do(a.top_up("acme", 7))
    first = desk.ask(a.top_up("acme", 8), id="once")
    assert first.data.reason is None
    assert desk.ask(a.top_up("rival", 8), id="once").data.reason == Reason.IDEMPOTENCY_CONFLICT
    late = desk.now - timedelta(minutes=1)
    assert desk.ask(a.top_up("rival"), expirytime=late).data.reason == Reason.EXPIRED
    assert desk.refused(a.enterprise("acme")) == Reason.NOT_AUTHORIZED, (
        "though account_exists is true as well"
    )


def test_who_pays_is_not_touched_by_it(desk: ProducerDesk) -> None:
    desk.trust = producers(Rule(ALL, "shop"))
    assert desk.refused(a.onboarding("carl", "c2", price=5)) is None, "the reseller's coins go along"
    assert desk.refused(a.grant("carl", 1)) == Reason.NOT_AUTHORIZED, "the reseller is named"


def test_who_may_not_act_for_the_parent_may_not_choose_it_as_payer(
    database_url: str, office: LedgerDesk
) -> None:
    """A branch that draws on acme spends what acme has: that is not the branch's own affair."""
    office.do(a.branch("leaf", "acme"))
    leaf = ProducerDesk(database_url, producers(Rule(ALL, "leaf", itself=True)), partition=1)
    assert leaf.refused(a.funding("leaf", "shared")) == Reason.NOT_AUTHORIZED
    assert leaf.refused(a.funding("leaf", "own")) is None
    leaf.trust = producers(Rule(ALL, "acme"))
    assert leaf.refused(a.funding("leaf", "shared")) == Reason.NOT_AUTHORIZED
    leaf.trust = producers(UNDER_ACME)
    assert leaf.refused(a.funding("leaf", "shared")) is None
    leaf.close()
