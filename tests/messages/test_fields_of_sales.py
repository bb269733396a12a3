"""What the fields of orders, phones, holds, subscriptions, warnings and exports take and what they refuse."""

from __future__ import annotations

import json
from typing import Any

import pytest

from messages.codec import Decoded, Invalid, decode
from messages.commands import PlaceOrder, RequestExport
from messages.reports import FILTERS, Report
from tests.messages.examples import GOOD, MOST, part, refuses, takes


def details_of(value: Any) -> Any:
    """The details of an order as they are understood."""
    found = part("PlaceOrder", {**GOOD["PlaceOrder"], "details": value})
    assert isinstance(found, Decoded), found
    return found.event.data.details


def nested(depth: int, inner: Any = 1) -> Any:
    """Objects in objects: a value so many levels deep."""
    for _ in range(depth):
        inner = {"a": inner}
    return inner


# Details: whatever a product takes


@pytest.mark.parametrize(
    "value",
    [
        {"region": "DE", "": "", "ü": "雪\n\t", "=1+1": "x" * 5000},
        {"null": None, "list": [None, [], {}], "object": {"null": None}},
        {"integers": [0, -1, 2**53 + 1, 2**63 - 1, -(2**63)]},
        {"numbers": [0.5, -1e-9, 1e18, 1.0], "booleans": [True, False]},
    ],
)
def test_details_are_kept_as_they_are(value: Any) -> None:
    found = details_of(value)
    assert json.dumps(found) == json.dumps(value)


def test_details_are_an_object_of_what_json_knows_and_a_database_keeps() -> None:
    for wrong in ("text", 7, True, ["a"], {"a\x00": 1}, {"a": "\x00"}, {"a": [{"b": "x\x00y"}]}):
        refuses("PlaceOrder", details=wrong)
    takes("PlaceOrder", details=None)


def test_integers_of_details_have_64_bits() -> None:
    for wrong in (2**63, -(2**63) - 1, 2**64 - 1, 2**64, 10**40, -(10**40)):
        refuses("PlaceOrder", details={"n": wrong})
        refuses("PlaceOrder", details={"n": [{"n": wrong}]})


def test_details_have_sixteen_levels() -> None:
    takes("PlaceOrder", details=nested(15))
    refuses("PlaceOrder", details=nested(16))
    refuses("PlaceOrder", details=nested(900))
    takes("PlaceOrder", details={"a": json.loads("[" * 14 + "]" * 14)})
    refuses("PlaceOrder", details={"a": json.loads("[" * 16 + "]" * 16)})


def test_details_have_sixteen_kibibytes() -> None:
    around = len('{"a":""}')
    takes("PlaceOrder", details={"a": "x" * (16 * 1024 - around)})
    refuses("PlaceOrder", details={"a": "x" * (16 * 1024 - around + 1)})
    refuses("PlaceOrder", details={"a": "ü" * (8 * 1024 - around // 2 + 1)})
    refuses("PlaceOrder", details={str(number): None for number in range(2000)})


def test_a_lone_surrogate_in_details_is_answered() -> None:
    body = json.dumps(
        {
            "specversion": "1.0",
            "id": "1",
            "source": "s",
            "type": "coins.PlaceOrder.v1",
            "data": {**GOOD["PlaceOrder"], "details": {"a": "\ud800"}},
        }
    )
    (found,) = decode(body.encode())
    assert isinstance(found, Invalid)


# Names, numbers, times


@pytest.mark.parametrize(
    ("type_", "name"),
    [
        ("PlaceOrder", "order"),
        ("PowerOn", "session"),
        ("PowerOff", "session"),
        ("PlaceHold", "hold"),
        ("ActivatePostpaid", "resource"),
        ("Subscribe", "subscription"),
        ("SetWarning", "warning"),
        ("RequestExport", "export"),
        ("AllocateCredit", "customer"),
        ("ConfirmBill", "confirmed_by"),
        ("PlaceOrder", "method"),
    ],
)
def test_ids_that_producers_choose_have_no_slash(type_: str, name: str) -> None:
    takes(type_, **{name: "A-z_0.9"})
    takes(type_, **{name: "x" * 64})
    for wrong in ("", "x" * 65, "a/1", "a b", "ä", "a\n", 7, True, ["a"]):
        refuses(type_, **{name: wrong})


@pytest.mark.parametrize("type_", ["PayOrder", "CancelOrder", "Refund"])
def test_an_order_is_named_by_its_id_or_as_a_subscriptions_cycle(type_: str) -> None:
    given = {"transaction": None} if type_ == "Refund" else {}
    for value in ("o-1", "pro.7/1", "x" * 64 + "/1000000"):
        takes(type_, **given, order=value)
    for wrong in (
        "",
        "a/",
        "/1",
        "a/0",
        "a/01",
        "a/-1",
        "a/1/2",
        "a/x",
        "a/1 ",
        "a/1\n",
        "x" * 65,
        "a/12345678",
        7,
    ):
        refuses(type_, **given, order=wrong)


def test_a_bill_is_named_as_it_was_issued() -> None:
    for value in ("carl.2026-10", "x" * 64 + ".2026-10"):
        takes("ConfirmBill", bill=value)
    for wrong in ("", "carl/2026-10", "carl 2026-10", "x" * 81, "a\n"):
        refuses("ConfirmBill", bill=wrong)


@pytest.mark.parametrize(
    ("type_", "name", "least", "most"),
    [
        ("PlaceOrder", "quantity", 1, 10_000),
        ("PlaceOrder", "price", 1, MOST),
        ("PlaceHold", "amount", 1, MOST),
        ("CaptureHold", "amount", 1, MOST),
        ("ActivatePostpaid", "estimate", 1, MOST),
        ("ReportUsage", "amount", 1, MOST),
        ("SetWarning", "amount", 1, MOST),
        ("AllocateCredit", "amount", -MOST, MOST),
    ],
)
def test_amounts_have_their_bounds(type_: str, name: str, least: int, most: int) -> None:
    takes(type_, **{name: least})
    takes(type_, **{name: most})
    for wrong in (least - 1, most + 1, 0, 1.0, True, "1", [1], 10**30):
        refuses(type_, **{name: wrong})


@pytest.mark.parametrize(("type_", "name"), [("PowerOn", "rate"), ("ActivatePostpaid", "coefficient")])
def test_factors_are_texts_up_to_a_million(type_: str, name: str) -> None:
    for value in ("0", "0.000001", "1000000", "1000000.000000", "999999.999999"):
        takes(type_, **{name: value})
    for wrong in (1, 0.5, "", "-1", "1000000.000001", "0.0000001", "1e3", "NaN", True):
        refuses(type_, **{name: wrong})


@pytest.mark.parametrize(
    ("type_", "name"),
    [("PowerOn", "at"), ("PowerOff", "at"), ("PlaceHold", "expires_at"), ("Subscribe", "start_at")],
)
def test_times_have_a_zone_and_a_year_that_is_meant(type_: str, name: str) -> None:
    for value in ("2000-01-01T00:00:00Z", "2100-12-31T23:59:59.999999Z", "2026-11-22T08:00:00+14:00"):
        takes(type_, **{name: value})
    for wrong in (
        "2026-11-22T08:00:00",
        "2026-11-22",
        "1999-12-31T23:59:59Z",
        "2100-12-31T23:59:59-01:00",
        1767225600,
        "now",
        "",
    ):
        refuses(type_, **{name: wrong})


@pytest.mark.parametrize(("type_", "name"), [("CaptureHold", "final"), ("SetNotifications", "enabled")])
def test_switches_are_true_or_false(type_: str, name: str) -> None:
    for value in (True, False):
        takes(type_, **{name: value})
    for wrong in (0, 1, "true", "yes", ""):
        refuses(type_, **{name: wrong})


@pytest.mark.parametrize(
    ("type_", "name", "values"),
    [
        ("PlaceOrder", "kind", ["package", "proxy"]),
        ("PlaceOrder", "pay", ["now", "later"]),
        ("Subscribe", "payment_method", ["balance", "manual"]),
        ("CancelSubscription", "at", ["period_end", "now"]),
        ("RequestExport", "format", ["xlsx", "csv"]),
        ("RequestExport", "report", [report.value for report in Report]),
    ],
)
def test_a_choice_is_one_of_those_named(type_: str, name: str, values: list[str]) -> None:
    for value in values:
        takes(type_, **{name: value})
    for wrong in ("", values[0].upper(), "phone", 1, None if name == "kind" else True):
        refuses(type_, **{name: wrong})


# Lists


def test_goods_are_texts_and_of_a_device_subscription_devices() -> None:
    for value in ([], ["a b", "ü", "x" * 200], [f"g{number}" for number in range(500)]):
        takes("Subscribe", goods=value)
        takes("ChangeSubscription", goods=value)
    for wrong in (
        [""],
        ["x" * 201],
        ["a", "b", "a"],
        ["a\x00"],
        [f"g{number}" for number in range(501)],
        "a",
        [7],
        [None],
    ):
        refuses("Subscribe", goods=wrong)
        refuses("ChangeSubscription", goods=wrong)
    takes("Subscribe", kind="device", goods=["d1", "d/2:#"])
    for wrong in ([], ["a b"], ["d1", "ü"], ["x" * 65], ["d\n"]):
        refuses("Subscribe", kind="device", goods=wrong)


def test_methods_are_ids_each_once() -> None:
    takes("PutPaymentMethods", methods=[])
    takes("PutPaymentMethods", methods=[f"m{number}" for number in range(100)])
    for wrong in (["a", "a"], ["a b"], [""], "card", [None], [f"m{number}" for number in range(101)]):
        refuses("PutPaymentMethods", methods=wrong)
    refuses("PutPaymentMethods", country="")


def test_a_warning_is_below_an_amount_or_a_percentage() -> None:
    takes("SetWarning", amount=None, percent=1)
    takes("SetWarning", amount=None, percent=1_000)
    for percent in (0, 1_001, 1.0, "5", True):
        refuses("SetWarning", amount=None, percent=percent)
    for wrong in ({"percent": 5}, {"amount": None}):
        assert isinstance(part("SetWarning", {**GOOD["SetWarning"], **wrong}), Invalid)


def test_a_warning_has_up_to_twenty_addresses() -> None:
    takes("SetWarning", emails=[f"a{number}@b.example" for number in range(20)])
    for wrong in (
        [f"a{number}@b.example" for number in range(21)],
        [""],
        ["nobody"],
        ["a@b", None],
        "a@b",
        ["a@b\nBcc: c@d"],
    ):
        refuses("SetWarning", emails=wrong)
    refuses("SetWarning", emails=[f"a{number}@b.example" for number in range(21)])


# Filters of exports: those of the list, and no others

GOOD_FILTERS: dict[str, list[Any]] = {
    "subtree": [True, False],
    "expired": [True, False],
    "expiring-within": [0, 7, 365],
    "from": ["2026-01-01", "2026-01-01T00:00:00Z"],
    "to": ["2026-12-31"],
    "search": ["", "=x", "ü"],
}
BAD_FILTERS: dict[str, list[Any]] = {
    "subtree": [1, "true", [True]],
    "expired": [0, "no"],
    "expiring-within": [-1, 1.5, "7", True, [7], 10**12],
    "from": [
        "yesterday",
        "2026-02-30",
        "2026-13-01",
        "20260101",
        "2026-01-01T00:00:00",
        20260101,
        ["2026-01-01"],
        "",
    ],
    "to": ["tomorrow", {"a": 1}],
    "search": [["a"], "a\x00", "x" * 501, 7],
}


@pytest.mark.parametrize("report", list(Report))
def test_a_list_is_filtered_by_its_own_flags_alone(report: Report) -> None:
    every = set().union(*FILTERS.values())
    for name in every:
        for value in GOOD_FILTERS.get(name, ["x", ["x", "y"]]):
            (takes if name in FILTERS[report] else refuses)(
                "RequestExport", report=report.value, filters={name: value}
            )
    refuses("RequestExport", report=report.value, filters={"colour": "red"})


@pytest.mark.parametrize("report", list(Report))
def test_a_filter_takes_what_its_flag_takes(report: Report) -> None:
    for name in FILTERS[report]:
        for wrong in BAD_FILTERS.get(name, [7, True, [], ["x", 7], {"a": 1}, "a\x00", ["x"] * 101, [None]]):
            refuses("RequestExport", report=report.value, filters={name: wrong})


FLAGS = {
    "statement": "from to type category item device order actor subtree",
    "accounts": "under kind state",
    "orders": "account from to kind status product phone",
    "subscriptions": "account status payment-method kind",
    "allocations": "reseller customer from to",
    "bills": "account status from to",
    "devices": "account expiring-within expired",
}


@pytest.mark.parametrize("report", FLAGS)
def test_the_flags_of_a_list_are_those_of_the_contract(report: str) -> None:
    assert FILTERS[Report(report)] == {*FLAGS[report].split(), "search"}


def test_commands_made_in_python_are_checked_alike() -> None:
    good = {**GOOD["PlaceOrder"], "details": {"a": [1, None]}}
    assert PlaceOrder.model_validate(good).details == {"a": [1, None]}
    for wrong in ({"a": {1, 2}}, {"a": object()}, {"a": float("nan")}, {"a": b"x"}, {1: 2}):
        with pytest.raises(ValueError, match="details"):
            PlaceOrder.model_validate({**good, "details": wrong})
    with pytest.raises(ValueError, match="filters"):
        RequestExport.model_validate({**GOOD["RequestExport"], "filters": {"subtree": True}})
