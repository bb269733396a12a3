"""What a field takes and what it refuses, as it stands in the contract."""

from __future__ import annotations

from typing import Any

import pytest

from messages.codec import Decoded, Invalid, Unreadable
from messages.commands import COMMANDS
from tests.messages.examples import GOOD, MOST, part, refuses, takes


@pytest.mark.parametrize("type_", GOOD)
def test_every_command_is_taken_with_what_it_requires(type_: str) -> None:
    takes(type_)


def test_the_examples_are_of_every_command() -> None:
    assert set(GOOD) == set(COMMANDS)


@pytest.mark.parametrize(("type_", "name"), [(type_, name) for type_ in GOOD for name in GOOD[type_]])
def test_what_is_required_may_be_neither_left_out_nor_null(type_: str, name: str) -> None:
    if (type_, name) in {("Renewal", "devices"), ("Refund", "transaction"), ("SetWarning", "amount")}:
        return  # one of two; see below
    without = {key: value for key, value in GOOD[type_].items() if key != name}
    assert isinstance(part(type_, without), Invalid)
    refuses(type_, **{name: None})


@pytest.mark.parametrize("type_", GOOD)
def test_an_unknown_field_is_an_error_and_null_is_no_field(type_: str) -> None:
    refuses(type_, colour="red")
    refuses(type_, Account="x")
    takes(type_, colour=None)


@pytest.mark.parametrize(
    ("type_", "name"),
    [
        ("TopUp", "amount"),
        ("Transfer", "amount"),
        ("SetCreditLimit", "credit_limit"),
        ("DebitForDeviceOnboarding", "price"),
        ("PutPlan", "price"),
        ("Refund", "amount"),
        ("OpenAccount", "credit_limit"),
    ],
)
def test_integers_are_integers(type_: str, name: str) -> None:
    takes(type_, **{name: MOST})
    takes(type_, **{name: 1})
    for value in (3.0, 1.5, True, False, "3", "", [3], {"a": 3}, 1e3, -1, MOST + 1, 2**63, 10**25, -(10**25)):
        refuses(type_, **{name: value})


def test_only_a_limit_may_be_nothing() -> None:
    takes("SetCreditLimit", credit_limit=0)
    for type_, name in (
        ("TopUp", "amount"),
        ("PutPlan", "price"),
        ("Refund", "amount"),
        ("Adjust", "amount"),
    ):
        refuses(type_, **{name: 0})


def test_an_adjustment_is_signed() -> None:
    takes("Adjust", amount=-MOST)
    takes("Adjust", amount=MOST)
    refuses("Adjust", amount=-MOST - 1)


@pytest.mark.parametrize("name", ["rate", "coefficient"])
def test_decimals_are_texts_of_at_most_six_places(name: str) -> None:
    for value in ("0.5", "1", "1.000001", "1000000", "0010", "1000000.000000"):
        takes("PutPlan", **{name: value})
    for value in (
        0.5,
        1,
        True,
        "",
        "1.",
        ".5",
        "1.0000001",
        "-1",
        "+1",
        "1e3",
        "1,5",
        " 1",
        "1 ",
        "0x1",
        "NaN",
        "Infinity",
        "1000000.000001",
        "1000001",
        "1\n",
        "9" * 100,
    ):
        refuses("PutPlan", **{name: value})


def test_decimals_are_written_in_plain_digits() -> None:
    refuses("PutPlan", rate="١٢")


def test_money_has_a_currency_and_a_decimal_amount() -> None:
    takes("TopUp", paid={"currency": "EUR", "amount": "12.50"})
    takes("TopUp", paid=None)
    takes("TopUp", paid={"currency": "EUR", "amount": "12.50", "rate": None})
    for value in (
        {},
        {"currency": "EUR"},
        {"amount": "1"},
        {"currency": "eur", "amount": "1"},
        {"currency": "EUR", "amount": 1},
        {"currency": "EURO", "amount": "1"},
        {"currency": "EUR", "amount": "1", "x": 1},
        "12 EUR",
        ["EUR", "1"],
    ):
        refuses("TopUp", paid=value)


@pytest.mark.parametrize("name", ["account", "method"])
def test_ids_are_of_letters_digits_and_three_marks(name: str) -> None:
    for value in ("a", "A-z_0.9", "x" * 64, "-", ".", "..", "0"):
        takes("TopUp", **{name: value})
    for value in ("", "x" * 65, "a b", "a/b", "ä", "a\n", "\n", "a\x00", "a:b", 7, True, ["a"], "а"):
        refuses("TopUp", **{name: value})


def test_devices_are_printable_and_without_spaces() -> None:
    for value in ("d", "!~", "a/b:c#d", '"\\', "x" * 64):
        takes("DebitForDeviceOnboarding", devices=[value])
        takes("ReleaseDevice", device=value)
    for value in ("", "a b", " ", "ä", "\t", "x" * 65, "a\n", "\x7f", 7, None, True):
        refuses("DebitForDeviceOnboarding", devices=[value])
        refuses("ReleaseDevice", device=value)


def test_a_list_of_devices_has_one_to_five_hundred_and_none_twice() -> None:
    takes("DebitForDeviceOnboarding", devices=[f"d{number}" for number in range(500)])
    for value in ([], [f"d{number}" for number in range(501)], ["a", "b", "a"], "a", {"a": 1}, [["a"]]):
        refuses("DebitForDeviceOnboarding", devices=value)
        refuses("Renewal", devices=value)


@pytest.mark.parametrize(
    ("type_", "name", "most"),
    [
        ("OpenAccount", "name", 200),
        ("PutPlan", "name", 200),
        ("TopUp", "note", 500),
        ("Adjust", "note", 500),
        ("CloseAccount", "note", 500),
        ("OpenAccount", "address", 500),
    ],
)
def test_texts_are_unicode_of_limited_length_without_nul(type_: str, name: str, most: int) -> None:
    for value in ("x", "x" * most, "\U0001f4b0" * most, "a\nb\tc", "é", "\u200b", "=1+1"):
        takes(type_, **{name: value})
    for value in ("x" * (most + 1), "a\x00b", "\x00", 7, True, ["a"]):
        refuses(type_, **{name: value})


def test_a_lone_surrogate_is_no_text() -> None:
    found = part("TopUp", {**GOOD["TopUp"], "note": "a\ud800b"})
    assert isinstance(found, Invalid)
    assert (found.source, found.id) == ("s", "1")


def test_names_are_not_empty_and_other_texts_may_be() -> None:
    refuses("OpenAccount", name="")
    refuses("Adjust", note="")
    takes("TopUp", note="")
    takes("UpdateAccount", email="", country="", address="", legal_name="", tax_id="", timezone="")


def test_cycles_are_of_four_units_and_up_to_a_hundred_and_twenty() -> None:
    for unit in ("day", "week", "month", "year"):
        takes("PutPlan", cycle={"unit": unit, "count": 120})
    takes("PutPlan", cycle={"unit": "day", "count": 1, "x": None})
    for value in (
        {"unit": "hour", "count": 1},
        {"unit": "day", "count": 0},
        {"unit": "day", "count": 121},
        {"unit": "day"},
        {"count": 1},
        {"unit": "day", "count": 1.0},
        {"unit": "day", "count": True},
        {"unit": "day", "count": "1"},
        {"unit": "Day", "count": 1},
        {"unit": "day", "count": 1, "x": 1},
        "1 day",
        [],
    ):
        refuses("PutPlan", cycle=value)


@pytest.mark.parametrize(
    ("type_", "name", "values"),
    [
        ("OpenAccount", "kind", ["distributor", "reseller", "enterprise", "agent", "branch", "customer"]),
        ("OpenAccount", "funding", ["own", "shared", "sponsored"]),
        ("PutPlan", "kind", ["onboarding", "renewal", "package", "proxy", "phone", "postpaid"]),
    ],
)
def test_a_choice_is_one_of_those_named(type_: str, name: str, values: list[str]) -> None:
    for value in values:
        takes(type_, **{name: value})
        refuses(type_, **{name: value.upper()})
    for wrong in ("", "platform", 1, True, [values[0]]):
        refuses(type_, **{name: wrong})


def test_zones_are_those_of_the_database() -> None:
    for value in ("UTC", "Asia/Shanghai", "America/Argentina/Buenos_Aires"):
        takes("OpenAccount", timezone=value)
    for wrong in ("Nowhere", "../UTC", "/etc/passwd", "America", "UTC\x00", "+08:00", "x" * 65, 8):
        refuses("OpenAccount", timezone=wrong)


def test_addresses_are_addresses() -> None:
    for value in ("li.na@acme.example", "ü@ü.example"):
        takes("OpenAccount", email=value, boss_email=value)
    for wrong in (
        "nobody",
        "a@",
        "@b",
        "a b@c",
        "a@b\nBcc: c@d",
        "a@b, c@d",
        "<a@b>",
        "x" * 250 + "@b.de",
        1,
    ):
        refuses("OpenAccount", email=wrong)


def test_a_renewal_is_of_devices_or_of_a_subscription() -> None:
    takes("Renewal", devices=None, subscription="s")
    takes("Renewal", devices=None, subscription="s", cycle_no=3)
    takes("Renewal", devices=None, subscription="s", cycle_no=0)
    for wrong in (
        {"subscription": "s"},
        {"cycle_no": 3},
        {"devices": None},
        {"devices": None, "subscription": "s", "price": 1},
        {"devices": None, "subscription": "s", "plan": "p"},
        {"devices": None, "subscription": "s", "cycle": {"unit": "day", "count": 1}},
        {"devices": None, "subscription": "s", "cycle_no": 1.0},
    ):
        assert isinstance(part("Renewal", {**GOOD["Renewal"], **wrong}), Invalid), wrong


def test_a_refund_is_of_a_transaction_or_of_an_order() -> None:
    takes("Refund", transaction=None, order="o")
    assert isinstance(part("Refund", {}), Invalid)
    assert isinstance(part("Refund", {"transaction": "T-2026-0000000001", "order": "o"}), Invalid)


# The envelope


def test_the_attributes_of_an_event_are_checked() -> None:
    data = GOOD["TopUp"]
    good: list[dict[str, Any]] = [
        {"id": "x" * 128},
        {"id": "a b~!"},
        {"source": "A-z_9"},
        {"source": "x" * 64 + "/" + "y.z-" * 15 + "abc"},
        {"actor": "li.na@acme.example", "partitionkey": "acme", "traceparent": "00-ab-cd-01"},
        {"time": None, "expirytime": None, "actor": None},
        {"someextension": {"any": ["thing"]}, "comexampleother": 1},
        {"datacontenttype": "application/json", "subject": "x"},
    ]
    for envelope in good:
        assert isinstance(part("TopUp", data, **envelope), Decoded), envelope
    for envelope in (
        {"specversion": "1.1"},
        {"specversion": 1.0},
        {"specversion": None},
        {"type": "TopUp"},
        {"type": "coins.TopUp"},
        {"type": "coins.TopUp.v2"},
        {"type": "coins.topup.v1"},
        {"type": "coins.Command.v1"},
        {"type": None},
        {"type": 1},
        {"data": None},
        {"data": []},
        {"data": "{}"},
        {"actor": "a\x00b"},
        {"actor": 7},
        {"actor": "x" * 201},
        {"expirytime": "tomorrow"},
        {"expirytime": 1767225600},
        {"time": "2026-01-01"},
    ):
        found = part("TopUp", data, **envelope)
        assert isinstance(found, Invalid), envelope
    for envelope in (
        {"id": ""},
        {"id": "x" * 129},
        {"id": "a\n"},
        {"id": "ä"},
        {"id": 7},
        {"id": None},
        {"source": ""},
        {"source": "a b"},
        {"source": "x" * 65},
        {"source": "a/b/c"},
        {"source": "a/"},
        {"source": "/a"},
        {"source": "a.b"},
        {"source": "a/" + "y" * 64},
        {"source": "a\n"},
        {"source": None},
    ):
        found = part("TopUp", data, **envelope)
        assert isinstance(found, Unreadable), envelope


TIMES = {
    "2026-11-22T08:00:00Z": True,
    "2026-11-22T08:00:00.123456Z": True,
    "2026-11-22T08:00:00.1Z": True,
    "2026-11-22t08:00:00z": True,
    "2026-11-22T08:00:00+08:00": True,
    "2026-11-22T08:00:00-23:59": True,
    "2000-01-01T00:00:00Z": True,
    "2100-12-31T23:59:59Z": True,
    "1999-12-31T23:59:59Z": False,
    "2101-01-01T00:00:00Z": False,
    "0001-01-01T00:00:00+23:00": False,
    "9999-12-31T23:59:59-23:00": False,
    "2026-11-22T08:00:00": False,
    "2026-11-22 08:00:00Z": False,
    "2026-11-22": False,
    "2026-11-22T08:00Z": False,
    "2026-11-22T08:00:00+0800": False,
    "2026-11-22T08:00:00+08": False,
    "2026-02-29T08:00:00Z": False,
    "2026-13-01T08:00:00Z": False,
    "2026-11-22T25:00:00Z": False,
    "2026-11-22T08:00:00+25:00": False,
    "2026-11-22T08:00:00+01:99": False,
    "2026-11-22T08:00:00Z\n": False,
    " 2026-11-22T08:00:00Z": False,
    "٢٠٢٦-11-22T08:00:00Z": False,
    "2026-W47-7T08:00:00Z": False,
    "": False,
}


@pytest.mark.parametrize("text", TIMES)
def test_times_are_rfc_3339_with_a_zone(text: str) -> None:
    found = part("TopUp", GOOD["TopUp"], expirytime=text)
    assert isinstance(found, Decoded) == TIMES[text], found


def test_equal_moments_are_equal_however_they_are_written() -> None:
    same = ("2026-11-22T08:00:00Z", "2026-11-22T16:00:00+08:00", "2026-11-22T08:00:00.000000-00:00")
    moments = {part("TopUp", GOOD["TopUp"], time=text).event.time for text in same}  # type: ignore[union-attr]
    assert len(moments) == 1
