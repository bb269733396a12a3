"""Accounts: where they may stand, where their coins come from, and how they end."""

from __future__ import annotations

import pytest

from messages.commands import Funding, Kind, UpdateAccount
from messages.reasons import Reason
from tests.builders import (
    adjustment,
    branch,
    closing,
    department,
    distributor,
    enterprise,
    funding,
    limit,
    onboarding,
    opened,
    reseller,
    resume,
    sponsored_customer,
    suspend,
    top_up,
)
from tests.desk import PureDesk

UNDER = {
    "platform": {"distributor", "reseller", "enterprise"},
    "distributor": {"reseller", "agent", "branch", "customer"},
    "reseller": {"agent", "branch", "customer"},
    "enterprise": {"agent", "branch"},
    "agent": {"agent", "branch", "customer"},
    "branch": {"agent", "branch"},
    "customer": set(),
}


@pytest.fixture
def desk() -> PureDesk:
    return PureDesk()


@pytest.mark.parametrize("parent", UNDER)
@pytest.mark.parametrize("kind", list(Kind))
def test_a_kind_stands_only_where_it_may(desk: PureDesk, parent: str, kind: Kind) -> None:
    desk.do(distributor("distributor"), reseller("reseller"), enterprise("enterprise"))
    desk.do(opened("agent", "enterprise", Kind.AGENT), branch("branch", "enterprise"))
    desk.do(opened("customer", "reseller", Kind.CUSTOMER))
    expected = None if kind in UNDER[parent] else Reason.PARENT_NOT_ALLOWED
    assert desk.refused(opened("new", parent, kind)) == expected


def test_a_customer_of_an_agent_has_coins_of_its_own_or_its_masters(desk: PureDesk) -> None:
    desk.do(reseller("shop"), opened("agent", "shop", Kind.AGENT))
    assert desk.refused(opened("c", "agent", Kind.CUSTOMER, Funding.SPONSORED)) == Reason.PARENT_NOT_ALLOWED
    desk.do(opened("c", "agent", Kind.CUSTOMER, Funding.SHARED), opened("d", "agent", Kind.CUSTOMER))


def test_the_sponsor_is_the_parent_or_the_distributor_above_a_second_level_reseller(desk: PureDesk) -> None:
    desk.do(distributor("dist"), reseller("corner", "dist"), reseller("shop"))
    desk.do(
        sponsored_customer("a", "corner"), sponsored_customer("b", "shop"), sponsored_customer("c", "dist")
    )
    assert [desk.account(one)["sponsor"] for one in "abc"] == ["dist", "shop", "dist"]


def test_a_master_is_the_nearest_ancestor_that_is_not_shared(desk: PureDesk) -> None:
    desk.do(enterprise(), branch("north"), department("d1", "north"), department("d2", "d1"))
    assert [desk.account(one)["draws_from"] for one in ("d1", "d2")] == ["north", "north"]


def test_a_shared_account_cannot_draw_on_an_allotment(desk: PureDesk) -> None:
    desk.do(reseller("shop"), opened("agent", "shop", Kind.AGENT, Funding.SPONSORED))
    assert desk.refused(department("d", "agent")) == Reason.PARENT_NOT_ALLOWED


def test_a_sponsor_has_coins_of_its_own(desk: PureDesk) -> None:
    desk.do(distributor("dist"), opened("corner", "dist", Kind.RESELLER, Funding.SHARED))
    assert desk.refused(sponsored_customer("c", "corner")) == Reason.PARENT_NOT_ALLOWED


def test_a_change_of_funding_takes_the_subordinates_that_draw_on_it_along(desk: PureDesk) -> None:
    desk.do(
        enterprise(),
        branch("north"),
        department("d1", "north"),
        department("d2", "d1"),
        branch("own", "d1"),
        department("d3", "own"),
    )
    desk.do(funding("north", "shared"))
    assert [desk.account(one)["draws_from"] for one in ("north", "d1", "d2", "d3")] == ["acme"] * 3 + ["own"]
    desk.do(funding("north", "own"))
    assert [desk.account(one)["draws_from"] for one in ("north", "d1", "d2", "d3")] == ["north"] * 3 + ["own"]
    desk.do(funding("d1", "own"))
    assert [desk.account(one)["draws_from"] for one in ("north", "d1", "d2")] == ["north", "d1", "d1"]


def test_after_a_change_of_funding_the_new_master_pays(desk: PureDesk) -> None:
    desk.do(enterprise(), branch("north"), department("dept", "north"), top_up("acme", 10))
    assert desk.refused(onboarding("dept", "a", price=3)) == Reason.MASTER_INSUFFICIENT_CREDIT
    desk.do(funding("north", "shared"), onboarding("dept", "a", price=3))
    assert desk.credit("acme") == 7


def test_a_change_of_funding_is_refused_where_a_subordinate_could_not_stand_so(desk: PureDesk) -> None:
    desk.do(distributor("dist"), reseller("corner", "dist"), sponsored_customer("carl", "corner"))
    assert desk.refused(funding("corner", "shared")) == Reason.PARENT_NOT_ALLOWED
    desk.do(closing("carl"), funding("corner", "shared"))


def test_an_own_account_with_shared_subordinates_cannot_become_sponsored(desk: PureDesk) -> None:
    desk.do(reseller("shop"), opened("agent", "shop", Kind.AGENT), department("dept", "agent"))
    assert desk.refused(funding("agent", "sponsored")) == Reason.PARENT_NOT_ALLOWED
    desk.do(funding("dept", "own"), funding("agent", "sponsored"))


def test_a_change_of_funding_sets_the_limit_to_nothing(desk: PureDesk) -> None:
    desk.do(enterprise(), branch("north"), limit("north", 50))
    assert desk.refused(funding("north", "shared")) is None
    assert desk.account("north")["credit_limit"] == 0
    desk.do(funding("north", "own"))
    assert desk.account("north")["credit_limit"] == 0


def test_the_funding_it_has_already_changes_nothing(desk: PureDesk) -> None:
    desk.do(enterprise(), top_up("acme", 5), limit("acme", 50), funding("acme", "own"))
    assert (desk.credit("acme"), desk.account("acme")["credit_limit"]) == (5, 50)


def test_what_is_given_is_changed_and_an_empty_text_clears(desk: PureDesk) -> None:
    desk.do(enterprise(email="a@acme.example", country="DE", timezone="Europe/Berlin", address="Weg 1"))
    desk.do(UpdateAccount(account="acme", name="Acme", email="", timezone=""))
    found = desk.account("acme")
    assert (found["name"], found["email"], found["country"], found["timezone"], found["address"]) == (
        "Acme",
        None,
        "DE",
        "UTC",
        "Weg 1",
    )


def test_closing_releases_the_devices(desk: PureDesk) -> None:
    desk.do(
        enterprise(), branch("north"), top_up("north", 2), onboarding("north", "a", "b"), closing("north")
    )
    assert {owner for owner, _ in desk.devices().values()} == {None}
    desk.do(top_up("acme", 1), onboarding("acme", "a"))


def test_an_account_in_debt_or_with_credit_cannot_be_closed(desk: PureDesk) -> None:
    desk.do(enterprise(), limit("acme", 5), onboarding("acme", "a", price=5))
    assert desk.refused(closing()) == Reason.BALANCE_NOT_ZERO
    desk.do(top_up("acme", 6))
    assert desk.refused(closing()) == Reason.BALANCE_NOT_ZERO
    desk.do(adjustment("acme", -1), closing())


def test_a_closed_child_is_not_in_the_way_of_its_parents_end(desk: PureDesk) -> None:
    desk.do(enterprise(), branch("north"), branch("west", "north"))
    assert desk.refused(closing("acme")) == Reason.ACCOUNT_IN_USE
    desk.do(suspend("west"))
    assert desk.refused(closing("north")) == Reason.ACCOUNT_IN_USE
    desk.do(closing("west"), closing("north"), closing("acme"))
    assert desk.refused(enterprise()) == Reason.ACCOUNT_EXISTS


def test_suspending_twice_and_resuming_twice_is_no_fault(desk: PureDesk) -> None:
    desk.do(enterprise(), suspend(), suspend(), resume(), resume(), top_up("acme", 1), onboarding("acme"))


def test_under_a_suspended_account_others_go_on(desk: PureDesk) -> None:
    desk.do(
        enterprise(),
        branch("north"),
        top_up("north", 1),
        suspend("acme"),
        branch("west"),
        onboarding("north", "a"),
    )
