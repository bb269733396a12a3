"""What a command's content is recognised by, and what goes over the wire."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from messages.codec import Decoded, decode
from messages.commands import COMMANDS, DebitForDeviceOnboarding, TopUp, Transfer
from messages.envelope import encode, fingerprint
from messages.errors import EdgeUnavailable, EventInvalid
from messages.events import OUTCOMES, CommandApplied, CommandRejected
from messages.publisher import Publisher, arrays, event
from messages.reasons import Reason
from tests.messages.examples import GOOD


def fingerprint_of(type_: str, data: dict[str, Any], **envelope: Any) -> bytes:
    body = {
        "specversion": "1.0",
        "id": "1",
        "source": "s",
        "type": f"coins.{type_}.v1",
        "data": data,
        **envelope,
    }
    (part,) = decode(json.dumps(body).encode())
    assert isinstance(part, Decoded), part
    return part.fingerprint


FULL = {"account": "a", "amount": 5, "note": "n", "paid": {"currency": "EUR", "amount": "1.5"}}
CYCLE = {"unit": "month", "count": 1}
# Defaults, spelled out
DEFAULTS: dict[str, dict[str, Any]] = {
    "PlaceOrder": {
        "quantity": 1,
        "pay": "now",
        "method": "balance",
        "details": {},
        "plan": None,
        "phone": None,
    },
    "PayOrder": {"method": None, "payer": None},
    "CaptureHold": {"final": True, "amount": None},
    "ActivatePostpaid": {"coefficient": None, "plan": None},
    "Subscribe": {"goods": [], "payment_method": "balance", "start_at": None, "user": None},
    "ChangeSubscription": {"plan": None, "goods": None, "payment_method": None},
    "CancelSubscription": {"at": "period_end"},
    "SetWarning": {"emails": [], "percent": None},
    "RequestExport": {"filters": {}, "format": "xlsx"},
    "Refund": {"amount": None, "order": None, "note": None},
    "PowerOn": {"plan": None, "rate": None, "payer": None},
    "PlaceHold": {"expires_at": None, "purpose": None},
}
NOON, ELSEWHERE = "2026-11-22T12:00:00Z", "2026-11-22T17:45:00.000+05:45"
ALIKE: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("PowerOn", {"at": NOON, "rate": "0.5"}, {"at": ELSEWHERE, "rate": "00.500000"}),
    ("PowerOff", {"at": NOON}, {"at": ELSEWHERE}),
    ("PlaceHold", {"expires_at": NOON}, {"expires_at": ELSEWHERE}),
    ("Subscribe", {"start_at": NOON}, {"start_at": ELSEWHERE}),
    ("ActivatePostpaid", {"coefficient": "1.5"}, {"coefficient": "1.50"}),
    (
        "PlaceOrder",
        {"details": {"a": {"x": 1, "y": None}, "b": 2}},
        {"details": {"b": 2, "a": {"y": None, "x": 1}}},
    ),
    ("RequestExport", {"filters": {"kind": "proxy"}}, {"filters": {"kind": "proxy", "status": None}}),
]
SAME: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("TopUp", FULL, dict(reversed(FULL.items()))),
    ("TopUp", FULL, {**FULL, "paid": {"amount": "1.5", "currency": "EUR"}}),
    ("TopUp", FULL, {**FULL, "paid": {"amount": "1.500000", "currency": "EUR"}}),
    ("TopUp", FULL, {**FULL, "paid": {"amount": "01.50", "currency": "EUR"}}),
    ("TopUp", FULL, {**FULL, "method": "offline"}),
    ("TopUp", FULL, {**FULL, "reference": None, "payer": None}),
    ("Transfer", GOOD["Transfer"], {**GOOD["Transfer"], "ordered_by": "a"}),
    (
        "OpenAccount",
        GOOD["OpenAccount"],
        {**GOOD["OpenAccount"], "funding": "own", "timezone": "UTC", "credit_limit": 0},
    ),
    ("PutPlan", {**GOOD["PutPlan"], "rate": "1"}, {**GOOD["PutPlan"], "rate": "1.0"}),
    *((type_, GOOD[type_], {**GOOD[type_], **spelled_out}) for type_, spelled_out in DEFAULTS.items()),
    *((type_, {**GOOD[type_], **one}, {**GOOD[type_], **other}) for type_, one, other in ALIKE),
    (
        "PutPlan",
        {**GOOD["PutPlan"], "cycle": CYCLE},
        {**GOOD["PutPlan"], "cycle": dict(reversed(CYCLE.items()))},
    ),
]
OTHERWISE: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("PlaceOrder", {"details": {}}, {"details": {"a": None}}),
    ("PlaceOrder", {"details": {"a": 1}}, {"details": {"a": True}}),
    ("PlaceOrder", {"details": {"a": 1}}, {"details": {"a": 1.0}}),
    ("PlaceOrder", {"details": {"a": 1}}, {"details": {"a": "1"}}),
    ("PlaceOrder", {"details": {"a": [1, 2]}}, {"details": {"a": [2, 1]}}),
    ("PlaceOrder", {}, {"pay": "later"}),
    ("PlaceOrder", {}, {"quantity": 2}),
    ("CaptureHold", {}, {"final": False}),
    ("CancelSubscription", {}, {"at": "now"}),
    ("ChangeSubscription", {}, {"goods": []}),
    ("Subscribe", {}, {"payment_method": "manual"}),
    ("Subscribe", {"goods": ["a", "b"]}, {"goods": ["b", "a"]}),
    ("ActivatePostpaid", {}, {"coefficient": "1"}),
    ("ActivatePostpaid", {}, {"coefficient": "0"}),
    ("PowerOff", {"at": NOON}, {"at": "2026-11-22T12:00:00.000001Z"}),
    ("SetNotifications", {"enabled": True}, {"enabled": False}),
    ("RequestExport", {}, {"format": "csv"}),
    ("PutPaymentMethods", {"methods": []}, {"methods": ["card"]}),
]
DIFFERENT: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    *((type_, {**GOOD[type_], **one}, {**GOOD[type_], **other}) for type_, one, other in OTHERWISE),
    ("TopUp", FULL, {**FULL, "amount": 6}),
    ("TopUp", FULL, {**FULL, "account": "A"}),
    ("TopUp", FULL, {**FULL, "note": "n "}),
    ("TopUp", FULL, {**FULL, "note": ""}),
    ("TopUp", {**FULL, "note": ""}, {"account": "a", "amount": 5, "paid": FULL["paid"]}),
    ("TopUp", FULL, {**FULL, "method": "card"}),
    ("TopUp", {**FULL, "payer": "x"}, {**FULL, "reference": "x"}),
    ("TopUp", FULL, {**FULL, "paid": {"currency": "EUR", "amount": "15"}}),
    ("TopUp", FULL, {**FULL, "paid": {"currency": "USD", "amount": "1.5"}}),
    ("Transfer", GOOD["Transfer"], {**GOOD["Transfer"], "ordered_by": "c"}),
    ("Transfer", GOOD["Transfer"], {"from_account": "b", "to_account": "a", "amount": 1}),
    ("DebitForDeviceOnboarding", {"account": "a", "devices": ["d"]}, {"account": "a", "devices": ["d", "e"]}),
    ("UpdateAccount", {"account": "a"}, {"account": "a", "email": ""}),
    ("PutPlan", {**GOOD["PutPlan"], "cycle": CYCLE}, {**GOOD["PutPlan"], "cycle": {**CYCLE, "count": 2}}),
]


@pytest.mark.parametrize(("type_", "one", "other"), SAME)
def test_the_same_content_written_otherwise_is_the_same(type_: str, one: Any, other: Any) -> None:
    assert fingerprint_of(type_, one) == fingerprint_of(type_, other)


@pytest.mark.parametrize(("type_", "one", "other"), DIFFERENT)
def test_other_content_is_another(type_: str, one: Any, other: Any) -> None:
    assert fingerprint_of(type_, one) != fingerprint_of(type_, other)


def test_the_type_is_content() -> None:
    same = {"account": "a"}
    found = {
        fingerprint_of(type_, same)
        for type_ in ("SuspendAccount", "ResumeAccount", "CloseAccount", "UpdateAccount")
    }
    assert len(found) == 4


def test_the_envelope_is_no_content() -> None:
    data = GOOD["TopUp"]
    plain = fingerprint_of("TopUp", data)
    for envelope in (
        {"id": "2"},
        {"source": "t"},
        {"actor": "x"},
        {"time": "2026-01-01T00:00:00Z"},
        {"partitionkey": "x"},
        {"expirytime": "2026-01-01T00:00:00Z"},
        {"ext": 1},
    ):
        assert fingerprint_of("TopUp", data, **envelope) == plain


def test_fingerprints_are_for_ever() -> None:
    assert fingerprint(TopUp(account="acme", amount=5)).hex() == "59c1ce025449f709b96f71334570fe65"


@pytest.mark.parametrize("type_", GOOD)
def test_what_is_written_is_read_back_the_same(type_: str) -> None:
    command = COMMANDS[type_].model_validate(GOOD[type_])
    made = event(
        command,
        source="device-mgmt/eu",
        id="9f1c",
        actor="li",
        time=datetime(2026, 1, 1, tzinfo=UTC),
        expirytime=datetime(2027, 1, 1, tzinfo=UTC),
        partitionkey="acme",
    )
    (part,) = decode(encode(made))
    assert isinstance(part, Decoded)
    assert part.event == made
    assert part.fingerprint == fingerprint(command)


def test_what_is_not_set_is_not_sent() -> None:
    sent = json.loads(encode(event(Transfer(from_account="a", to_account="b", amount=1), source="s", id="1")))
    assert sent == {
        "specversion": "1.0",
        "id": "1",
        "source": "s",
        "type": "coins.Transfer.v1",
        "data": {"from_account": "a", "to_account": "b", "amount": 1, "ordered_by": "a"},
    }


def test_an_event_without_an_id_gets_one_of_its_own() -> None:
    command = TopUp(account="a", amount=1)
    assert event(command, source="s").id != event(command, source="s").id


@pytest.mark.parametrize(
    "wrong",
    [
        {"source": "a b"},
        {"source": "s", "id": "ä"},
        {"source": "s", "time": "soon"},
        {"source": "s", "actor": "x" * 201},
    ],
)
def test_an_envelope_that_breaks_the_contract_is_not_made(wrong: dict[str, Any]) -> None:
    with pytest.raises(EventInvalid):
        event(TopUp(account="a", amount=1), **wrong)


def test_arrays_hold_so_many_and_so_much_in_their_order() -> None:
    some = [b'{"n":%d}' % number for number in range(7)]
    made = list(arrays(some, 3))
    assert [len(json.loads(body)) for body in made] == [3, 3, 1]
    assert [one["n"] for body in made for one in json.loads(body)] == list(range(7))
    large = [b'"' + b"x" * 300_000 + b'"'] * 7
    made = list(arrays(large, 1000))
    assert all(len(body) <= 1024 * 1024 for body in made)
    assert [len(json.loads(body)) for body in made] == [3, 3, 1]


@pytest.mark.parametrize("size", [0, -1, 1001])
def test_an_array_of_a_size_that_none_may_have_is_not_sent(size: int) -> None:
    with Publisher("redis://127.0.0.1:1") as publisher, pytest.raises(EventInvalid):
        publisher.send_batch([], size=size)


@pytest.mark.parametrize("url", ["", "localhost", "http://localhost", "redis://localhost:port", "amqp"])
def test_an_address_that_is_none_is_a_fault_with_a_name(url: str) -> None:
    with pytest.raises(EdgeUnavailable):
        Publisher(url)


def test_a_queue_that_does_not_answer_is_a_fault_with_a_name() -> None:
    with Publisher("redis://127.0.0.1:1", timeout_seconds=0.2) as publisher, pytest.raises(EdgeUnavailable):
        publisher.send(event(DebitForDeviceOnboarding(account="a", devices=["d"]), source="s"))


IN_ORDER = """
invalid_message idempotency_conflict expired not_authorized account_exists account_not_found account_closed
account_suspended parent_not_allowed same_account not_in_hierarchy shared_balance_account sponsored_account not_sponsored
balance_not_zero account_in_use payment_method_not_available duplicate_reference plan_not_found plan_kind_mismatch
price_required cycle_required amount_too_large device_already_onboarded device_not_found order_exists order_not_found
order_not_payable order_not_cancelable session_exists session_not_found session_closed invalid_time hold_exists
hold_not_found hold_already_captured hold_already_released hold_expired exceeds_hold resource_exists resource_not_found
resource_terminated subscription_exists subscription_not_found subscription_not_active subscription_not_canceled
already_renewed cycle_not_due bill_not_found bill_already_confirmed transaction_not_found not_refundable
refund_exceeds_charge warning_not_found export_exists reclaim_exceeds_available insufficient_credit
sponsor_insufficient_credit master_insufficient_credit abandoned
"""


def test_reasons_stand_in_the_order_of_the_contract() -> None:
    assert [reason.value for reason in Reason] == IN_ORDER.split()


OUTCOME: dict[str, Any] = {
    "specversion": "1.0",
    "id": "1-0",
    "source": "coins",
    "type": "coins.CommandRejected.v1",
    "time": "2026-11-22T08:00:00Z",
    "causationid": "9f1c",
    "datacontenttype": "application/json",
    "data": {
        "command": {"source": "s", "id": "9f1c", "type": "coins.TopUp.v1"},
        "duplicate": False,
        "reason": "expired",
        "message": "too late",
        "transaction": None,
        "accounts": [],
    },
}


def test_an_outcome_is_read_as_what_it_is_and_back() -> None:
    rejected = OUTCOMES.validate_python(OUTCOME)
    assert isinstance(rejected, CommandRejected)
    assert rejected.data.reason is Reason.EXPIRED
    assert json.loads(OUTCOMES.dump_json(rejected)) == OUTCOME
    figures = {"account": "a", "credit": -5, "credit_limit": 9, "frozen": 1, "available": 3}
    applied = OUTCOMES.validate_python(
        {
            **OUTCOME,
            "type": "coins.CommandApplied.v1",
            "data": {**OUTCOME["data"], "reason": None, "accounts": [figures]},
        }
    )
    assert isinstance(applied, CommandApplied)
    assert applied.data.accounts[0].available == 3


def test_a_reader_of_today_understands_what_is_added_tomorrow() -> None:
    assert OUTCOMES.validate_python({**OUTCOME, "new": 1, "data": {**OUTCOME["data"], "new": 1}})


def test_a_star_imports_what_a_producer_needs() -> None:
    names: dict[str, object] = {}
    exec("from messages import *", names)
    assert {"Publisher", "OutcomeReader", "event", "TopUp", "EdgeRefused", "Reason"} <= names.keys()
    assert set(COMMANDS) <= names.keys()
