"""The summary of a workbook: credit before and after, totals, and what was chosen."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from tests.workers.exports.conftest import NOW, Export
from tests.workers.exports.reading import facts, records, sheets, table

SHANGHAI = ZoneInfo("Asia/Shanghai")
PERIODS = [
    {},
    {"from": "2026-03-01"},
    {"to": "2026-02-28"},
    {"from": "2026-02-28", "to": "2026-03-31"},
    {"from": "2026-02-27T16:30:00Z", "to": "2026-02-27T16:30:00Z"},
    {"to": "2025-12-31"},
]


@pytest.mark.parametrize("period", PERIODS)
@pytest.mark.parametrize(
    ("account", "subtree"),
    [
        ("acme", False),
        ("acme", True),
        ("north", False),
        ("north", True),
        ("dept", False),
        ("dept", True),
        ("carl", False),
        ("carl", True),
    ],
)
def test_opening_and_movements_make_the_closing(
    export: Export, account: str, subtree: bool, period: dict[str, str]
) -> None:
    path = export("statement", account, filters={**period, "subtree": subtree}).path

    moved: dict[str, float] = {}
    for line in records(path, "Statement"):
        if line["balance"] != "":  # what a shared account used is a movement of its master's
            moved[line["unit"]] = moved.get(line["unit"], 0) + line["amount"]
    summary = sheets(path)["Summary"]
    if account == "dept":
        assert "draws on the coins of north" in facts(path)["credit"]
        assert not any(row[0] == "unit" for row in summary)
        assert moved == {}
        return
    credits = table(path, "unit")
    assert set(moved) <= set(credits)
    for unit, (opening, closing, change) in credits.items():
        assert opening + moved.get(unit, 0) == closing
        assert change == closing - opening


def test_closing_is_what_the_balance_says(export: Export) -> None:
    (accounts,) = [export("accounts").path]
    credit = {row["account"]: row["credit"] for row in records(accounts, "Accounts")}

    own = table(export("statement", "acme").path, "unit")
    assert own == {"coin": [0, credit["acme"], credit["acme"]]}
    tree = table(export("statement", "acme", filters={"subtree": True}).path, "unit")
    assert tree["coin"][1] == credit["acme"] + credit["north"]
    assert tree["allotment"][1] == credit["carl"]


def test_totals_by_type_are_those_of_the_lines(export: Export) -> None:
    path = export("statement", "acme", filters={"subtree": True}).path
    lines = records(path, "Statement")

    for unit in ("coin", "allotment"):
        expected: dict[str, list[float]] = {}
        for line in (line for line in lines if line["unit"] == unit):
            total = expected.setdefault(line["type"], [0, 0])
            total[0] += 1
            total[1] += line["amount"]
        found = table(path, f"totals by type ({unit})")
        total = found.pop("total")
        assert found == expected
        assert total == [sum(row[0] for row in expected.values()), sum(row[1] for row in expected.values())]


def test_what_others_paid_has_totals_of_its_own(export: Export) -> None:
    path = export("statement", "dept").path

    found = table(path, "totals by type (coin, paid by others)")
    assert found["onboarding"] == [1, -102]
    assert found["refund"] == [1, 7]


def test_the_summary_says_what_was_asked_for_and_when(export: Export) -> None:
    filters = {"from": "2026-02-01", "type": ["recharge", "order"], "search": "=1+1", "subtree": True}
    path = export("statement", "acme", filters=filters, scale=2, title="February").path

    said = facts(path)
    assert sheets(path)["Summary"][0][0] == "February"
    assert said["account"] == "acme"
    assert said["name"] == "acme Ltd"
    assert said["list"] == "statement"
    assert said["period"] == "2026-02-01 to now"
    assert (said["filter: type"], said["filter: search"]) == ("recharge, order", "=1+1")
    assert said["filter: subtree"] == "yes"
    assert said["generated at (Asia/Shanghai)"] == NOW.astimezone(SHANGHAI).replace(tzinfo=None)
    assert said["times in"] == "Asia/Shanghai"
    assert said["rows"] == 0
    assert said["amounts"] == "with 2 decimals"
    assert said["opening and closing"].startswith("of everything in the period")


@pytest.mark.parametrize(
    ("report", "account", "title", "expected"),
    [
        ("orders", "carl", "totals by status", {"completed": [3, 203 + 1 + 1_234, 0]}),
        ("orders", "dept", "totals by status", {"completed": [3, 202 + 1 + 1_234, 7]}),
        ("allocations", "acme", "totals by type", {"allocation": [1, 5_000], "reclaim": [1, -20]}),
        ("subscriptions", "north", "totals by status", {"active": [2, 2 * 1_234]}),
        ("bills", "acme", "totals by status", {"issued": [1, 103 + 203 + 1_234, 0, 103 + 203 + 1_234]}),
        (
            "accounts",
            "acme",
            "totals by kind (allotment)",
            {"customer": [1, 4_980 - 103 - 203 - 1_234 - 1, 0, 53]},
        ),
        ("holds", "dept", "totals by kind", {"hold": [1, 52, 52], "resource": [1, 30, 30]}),
    ],
)
def test_other_lists_have_totals_of_their_amounts(
    export: Export, report: str, account: str, title: str, expected: dict[str, list[int]]
) -> None:
    found = table(export(report, account).path, title)

    assert {name: found[name] for name in expected} == expected
    assert found["total"][0] == sum(row[0] for name, row in found.items() if name != "total")


@pytest.mark.parametrize("title", ["=1+1", "<r>&</r>", "a\x1bb\nc", "http://evil.example"])
def test_a_title_is_a_text_whatever_it_is(export: Export, title: str) -> None:
    assert sheets(export("plans", title=title).path)["Summary"][0][0] == title


def test_an_empty_list_is_a_workbook_too(export: Export) -> None:
    built = export("orders", "acme", filters={"product": "nothing like it"})

    assert built.rows == 0
    assert facts(built.path)["rows"] == 0
    assert len(sheets(built.path)["Orders"]) == 1
