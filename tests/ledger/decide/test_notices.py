"""Warnings and who owns them, where mails go, and lists as files."""

from __future__ import annotations

import json

import pytest

from ledger.records import CustomWarning, Export
from messages.reasons import Reason
from messages.reports import Report
from tests.builders import (
    branch,
    closing,
    department,
    enterprise,
    export,
    notifications,
    remove_warning,
    suspend,
    warning,
)
from tests.desk import NOW, PureDesk


@pytest.fixture
def desk() -> PureDesk:
    desk = PureDesk()
    desk.do(
        enterprise("acme"),
        branch("north", "acme"),
        branch("west", "north"),
        branch("east", "north"),
        enterprise("beta"),
    )
    return desk


def row(desk: PureDesk, id_: str = "w1") -> CustomWarning:
    found: CustomWarning = desk.book.get(CustomWarning, id_)
    return found


@pytest.mark.parametrize(
    ("account", "set_by", "reason"),
    [
        ("west", "west", None),
        ("west", "north", None),
        ("west", "acme", None),
        ("west", "east", Reason.NOT_IN_HIERARCHY),
        ("west", "beta", Reason.NOT_IN_HIERARCHY),
        ("north", "west", Reason.NOT_IN_HIERARCHY),
        ("acme", "north", Reason.NOT_IN_HIERARCHY),
        ("west", "platform", Reason.ACCOUNT_NOT_FOUND),
    ],
)
def test_a_warning_is_set_by_the_account_or_from_above(
    desk: PureDesk, account: str, set_by: str, reason: Reason | None
) -> None:
    assert desk.refused(warning("w1", account, set_by)) == reason


SETTERS = {"acme": {"acme"}, "north": {"acme", "north"}, "west": {"acme", "north", "west"}}


@pytest.mark.parametrize("setter", SETTERS)
@pytest.mark.parametrize("other", ["acme", "north", "west", "east", "beta"])
def test_whoever_set_it_or_stands_above_may_replace_and_remove_it(
    desk: PureDesk, setter: str, other: str
) -> None:
    allowed = other in SETTERS[setter]
    desk.do(warning("w1", "west", setter), warning("w2", "west", setter))
    assert desk.refused(remove_warning("w1", other)) == (None if allowed else Reason.NOT_IN_HIERARCHY)
    # About an account of its own it may set a warning, but not under an id that another holds
    own = "west" if other in SETTERS["west"] else other
    assert desk.refused(warning("w2", own, other)) == (None if allowed else Reason.NOT_IN_HIERARCHY)
    assert desk.refused(warning("w3", own, other)) is None


def test_one_that_is_replaced_is_its_new_setters(desk: PureDesk) -> None:
    desk.do(
        warning("w1", "west", "west", emails=["a@west.example"]), warning("w1", "east", "acme", percent=25)
    )
    assert (row(desk).percent, row(desk).amount, row(desk).emails) == (25, None, [])
    assert row(desk).account == desk.account("east")["id"]
    assert desk.refused(remove_warning("w1", "west")) == Reason.NOT_IN_HIERARCHY


def test_one_that_is_removed_is_gone_and_its_id_is_anybodys(desk: PureDesk) -> None:
    desk.do(warning("w1", "west", "acme"), remove_warning())
    assert row(desk).removed_at == NOW
    assert desk.refused(remove_warning()) == Reason.WARNING_NOT_FOUND
    desk.do(warning("w1", "beta", "beta"))
    assert (row(desk).removed_at, desk.refused(remove_warning())) == (None, Reason.NOT_IN_HIERARCHY)


def test_a_suspended_account_is_warned_about_and_a_closed_one_is_not(desk: PureDesk) -> None:
    desk.do(suspend("west"), warning("w1", "west", "west"), warning("w2", "west", "north"), closing("west"))
    assert desk.refused(warning("w3", "west", "north")) == Reason.ACCOUNT_CLOSED
    assert desk.refused(remove_warning("w1", "west")) == Reason.ACCOUNT_CLOSED
    desk.do(remove_warning("w1", "north"), remove_warning("w2", "north"))


def test_a_warning_shows_nothing_of_a_master(desk: PureDesk) -> None:
    desk.do(department("dept", "north"))
    said = desk.ask(warning("w1", "dept", "dept"))
    assert [(one.account, one.available) for one in said.data.accounts] == [("dept", None)]


def test_mails_go_to_an_account_until_it_says_otherwise(desk: PureDesk) -> None:
    assert desk.account("west")["notifications"] is True
    desk.do(notifications("west"), notifications("west"))
    assert desk.account("west")["notifications"] is False
    desk.do(notifications("west", enabled=True))
    assert desk.account("west")["notifications"] is True


@pytest.mark.parametrize("report", list(Report))
def test_every_list_can_be_asked_for_as_a_file(desk: PureDesk, report: Report) -> None:
    desk.do(export(report=report.value, filters={"search": "x"}, format="csv"))
    found: Export = desk.book.get(Export, "e1")
    assert (found.report, json.loads(found.filters), found.format, found.state) == (
        report.value,
        {"search": "x"},
        "csv",
        "requested",
    )


def test_a_closed_account_is_still_exported(desk: PureDesk) -> None:
    desk.do(closing("west"), export("e1", "west"), suspend("east"), export("e2", "east"))
    assert desk.refused(export("e1", "acme", "devices")) == Reason.EXPORT_EXISTS
    assert desk.refused(export("e3", "platform")) == Reason.ACCOUNT_NOT_FOUND
