"""Whoever can write to the edge and means ill: refused, with the victim's key free, nothing posted, and nothing stalled."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from messages.signing import sign
from tests.system.attacking import (
    FILE,
    HIDDEN,
    HONEST,
    MALLORY,
    SECRETS,
    STREAM,
    Battlefield,
    battlefield,
    body_of,
    event,
    signed,
)
from tests.system.site import embedded, site_on, until

pytestmark = pytest.mark.system
MEBIBYTE = 1024 * 1024


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Battlefield]:
    directory = tmp_path_factory.mktemp("attackers")
    with (
        embedded(directory / "servers", durable=False) as both,
        site_on(both, directory / "site", partitions=1) as site,
        battlefield(site) as made,
    ):
        yield made


VICTIMS = event("TopUp", HONEST, "the-victims-key", account="acme", amount=333)
FORGERIES: dict[str, dict[str, bytes]] = {
    "without a signature": {"event": body_of(VICTIMS)},
    "with a forged one": {"event": body_of(VICTIMS), "signature": sign(b"x", "y" * 20).encode()},
    "with one that is no base64": {"event": body_of(VICTIMS), "signature": b"\x00\xff{}"},
    "with one of a mebibyte": {"event": body_of(VICTIMS), "signature": b"A" * MEBIBYTE},
    "signed with the attacker's key": signed(body_of(VICTIMS), MALLORY),
    "truncated": {**signed(body_of(VICTIMS), HONEST), "event": body_of(VICTIMS)[:-1]},
    "with its fields in another order": {
        **signed(body_of(VICTIMS), HONEST),
        "event": body_of(dict(reversed(VICTIMS.items()))),
    },
    "with a blank more": {**signed(body_of(VICTIMS), HONEST), "event": body_of(VICTIMS) + b" "},
}


@pytest.mark.parametrize("kind", FORGERIES)
def test_a_forgery_on_the_victims_stream_is_refused_and_its_key_stays_free(
    field: Battlefield, kind: str
) -> None:
    before, letters = field.credit("acme"), len(field.letters())
    field.attack(FORGERIES[kind], by=HONEST)
    field.goes_on()
    assert field.credit("acme") == before
    assert field.site.rows("SELECT FROM command WHERE id = 'the-victims-key'") == []
    (letter,) = field.letters()[letters:] or field.letters()[-1:]
    assert letter[0] == "unauthenticated"
    assert (letter[2], letter[3]) == (None, None)
    assert sign(FORGERIES[kind]["event"], SECRETS[HONEST]) not in letter[1]


def test_a_genuine_message_that_is_replayed_is_a_duplicate_or_nobodys(field: Battlefield) -> None:
    """On its own stream it is applied once; on the attacker's it is not even read."""
    entry = signed(body_of(event("TopUp", HONEST, "once", account="acme", amount=100)), HONEST)
    before = field.credit("acme")
    field.attack(entry, entry, by=HONEST)
    field.attack(entry, by=MALLORY)
    field.goes_on()
    assert field.credit("acme") == before + 100
    told = [json.loads(line) for line in field.everything_told(HONEST).splitlines()]
    assert [one["data"]["duplicate"] for one in told if one["causationid"] == "once"] == [False, True]
    assert "once" not in [
        json.loads(line)["causationid"] for line in field.everything_told(MALLORY).splitlines()
    ]


def raw(text: str) -> bytes:
    """An event of the attacker's own whose data is written as it is."""
    head = f'{{"specversion":"1.0","id":"odd","source":"{MALLORY}","type":"coins.TopUp.v1","data":'
    return head.encode() + text.encode() + b"}"


ODD: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "no UTF-8": lambda: b"\xff\xfe\x00",
    "a mebibyte and more": lambda: raw('"' + "x" * MEBIBYTE + '"'),
    "eight mebibytes and more": lambda: b"[" * (8 * MEBIBYTE + 1),
    "nested without end": lambda: b"[" * 500_000,
    "an event nested without end": lambda: raw("[" * 200_000 + "]" * 200_000),
    "objects nested without end": lambda: raw('{"a":' * 100_000 + "1" + "}" * 100_000),
    "a huge integer": lambda: raw('{"account":"evil","amount":' + "9" * 100_000 + "}"),
    "a huge exponent": lambda: raw('{"account":"evil","amount":1e999999999}'),
    "NaN": lambda: raw('{"account":"evil","amount":NaN}'),
    "a NUL": lambda: raw('{"account":"evil","amount":1,"note":"\\u0000"}'),
    "a lone surrogate": lambda: raw('{"account":"evil","amount":1,"note":"\\ud800"}'),
    "a lone surrogate for a name": lambda: raw('{"account":"evil","amount":1,"\\udfff":1}'),
    "an array of a hundred thousand": lambda: b"[" + b",".join([b"0"] * 100_000) + b"]",
    "an array of a million": lambda: b"[" + b",".join([b"0"] * 1_000_000) + b"]",
    "the same key ten thousand times": lambda: raw('{"account":"evil"' + ',"amount":1' * 10_000 + "}"),
}


@pytest.mark.parametrize("what", ODD)
@pytest.mark.parametrize("genuine", [True, False])
def test_whatever_its_own_producer_sends_stalls_nobody(field: Battlefield, what: str, genuine: bool) -> None:
    body = ODD[what]()
    before = field.credit("acme"), field.site.value("SELECT sum(amount) FROM entry")
    field.attack(signed(body, MALLORY) if genuine else {"event": body})
    field.goes_on()
    assert field.credit("acme") == before[0]
    assert field.site.value("SELECT sum(amount) FROM entry") == before[1] == 0
    assert field.owner_is_unharmed()
    if not genuine:
        assert field.letters()[-1][0] == "unauthenticated"


@pytest.mark.parametrize(
    "name", ["a.b", "*", "a/b", "", f"{MALLORY}:{HONEST}", f"{HONEST} ", "ä", "x" * 65, "..", "a\x00b"]
)
def test_streams_that_are_no_producers_are_not_read(field: Battlefield, name: str) -> None:
    letters = len(field.letters())
    stream = STREAM.format(name)
    field.add(stream, signed(body_of(VICTIMS), HONEST))
    field.goes_on()
    assert field.client.xlen(stream) == 1
    assert len(field.letters()) == letters
    field.client.delete(stream)


@pytest.mark.parametrize("stream", ["coins:commands:0", STREAM.format("unknown")])
def test_streams_of_nobody_known_are_not_believed(field: Battlefield, stream: str) -> None:
    """The common one is not even read."""
    before = field.credit("acme")
    field.add(stream, signed(body_of(VICTIMS), HONEST))
    field.goes_on()
    time.sleep(0.5)
    field.goes_on()
    assert field.credit("acme") == before
    assert field.site.rows("SELECT FROM command WHERE id = 'the-victims-key'") == []


OUTSIDE = [
    ("TopUp", {"account": "acme", "amount": 1}),
    ("Transfer", {"from_account": "acme", "to_account": "evil", "amount": 1}),
    ("Transfer", {"from_account": "evil", "to_account": "acme", "amount": 1}),
    ("Transfer", {"from_account": "evil", "to_account": "evil-branch", "amount": 1, "ordered_by": "acme"}),
    ("OpenAccount", {"account": "mole", "parent": "acme", "kind": "branch", "name": "Mole"}),
    ("OpenAccount", {"account": "new", "parent": "platform", "kind": "enterprise", "name": "New"}),
    ("AllocateCredit", {"reseller": "acme", "customer": "evil-branch", "amount": 1}),
    ("SetWarning", {"warning": "w", "account": "evil", "set_by": "acme", "amount": 1}),
    ("CaptureHold", {"hold": "a-hold"}),
    ("ReleaseHold", {"hold": "a-hold"}),
    ("PayOrder", {"order": "a-later"}),
    ("CancelOrder", {"order": "a-later"}),
    ("Renewal", {"account": "evil", "subscription": "a-sub"}),
    ("CancelSubscription", {"subscription": "a-sub", "at": "now"}),
    ("PutPlan", {"plan": "pro", "name": "Free", "kind": "package", "price": 1}),
    ("RequestExport", {"export": "x", "account": "acme", "report": "statement"}),
    ("TopUp", {"account": "nobody", "amount": 1}),
]


def test_what_is_outside_its_rules_is_refused_and_nothing_of_it_is_told(field: Battlefield) -> None:
    before = [
        field.credit("acme"),
        field.site.rows("SELECT * FROM subscription"),
        field.site.rows("SELECT * FROM hold"),
    ]
    for type_, data in OUTSIDE:
        assert field.ask(MALLORY, type_, **data)["reason"] == "not_authorized", (type_, data)
    field.goes_on()
    after = [
        field.credit("acme"),
        field.site.rows("SELECT * FROM subscription"),
        field.site.rows("SELECT * FROM hold"),
    ]
    assert after == before
    told = field.everything_told(MALLORY)
    assert not [hidden for hidden in HIDDEN if hidden in told]
    shown = {
        account["account"] for line in told.splitlines() for account in json.loads(line)["data"]["accounts"]
    }
    assert shown <= {"evil", "evil-branch"}


@pytest.mark.parametrize("valid", [True, False])
def test_a_foreign_source_is_refused_and_its_key_is_not_used_up(field: Battlefield, valid: bool) -> None:
    id_ = f"squatted-{valid}"
    data: dict[str, Any] = {"account": "evil", "amount": 1} if valid else {"account": 3}
    field.attack(signed(body_of(event("TopUp", HONEST, id_, **data)), MALLORY))
    assert field.answer(MALLORY, id_)["data"]["reason"] == "not_authorized"
    entry = signed(body_of(event("TopUp", HONEST, id_, account="acme", amount=2)), HONEST)
    field.attack(entry, by=HONEST)
    said = field.answer(HONEST, id_)["data"]
    assert (said["reason"], said["duplicate"]) == (None, False)


def test_the_schedulers_ids_cannot_be_squatted_on(field: Battlefield) -> None:
    """Neither by a foreign source on the attacker's stream, nor by a forgery on the scheduler's own."""
    ids = [f"renewal:a-sub:2:{attempt}" for attempt in range(1, 4)]
    for id_ in ids:
        squatter = event("Renewal", "coins/scheduler", id_, account="acme", subscription="a-sub", cycle_no=2)
        field.attack(signed(body_of(squatter), MALLORY))
        field.attack(signed(body_of(squatter), MALLORY), by="coins")
    field.goes_on()
    assert field.site.rows("SELECT FROM dead_letter WHERE source = 'coins/scheduler'") == []
    at = field.site.value("SELECT (now() + interval '32 days')::date::text")
    run = field.site.coins("jobs", "run", "billing-cycle", "--at", at, "--yes", PRODUCERS_FILE=field.file)
    assert run.returncode == 0, run.stderr
    paid = field.site.rows("SELECT source, reason FROM command WHERE id = ANY(%s)", ids)
    assert paid == [("coins/scheduler", None)]


def test_a_flood_of_what_is_not_genuine_fills_no_disk_and_keeps_nobody_waiting(field: Battlefield) -> None:
    """200 MB in messages of 1 to 8 MiB: of each no more than 64 KiB is kept, and an honest command is answered meanwhile."""
    size = "SELECT pg_database_size(current_database())"
    field.goes_on()
    before, sent = field.site.value(size), 0
    began = time.monotonic()
    slowest = 0.0
    for number in range(45):
        body = os.urandom((1 + number % 8) * MEBIBYTE)
        sent += len(body)
        field.attack({"event": body}, by=(MALLORY, HONEST, "unknown")[number % 3])
        if number % 15 == 14:
            asked = time.monotonic()
            assert field.ask(HONEST, "TopUp", account="acme-till", amount=1)["reason"] is None
            slowest = max(slowest, time.monotonic() - asked)
    field.goes_on()
    took = time.monotonic() - began
    assert sent >= 190 * MEBIBYTE
    grown = field.site.value(size) - before
    assert grown < 45 * 64 * 1024 * 2 + 8 * MEBIBYTE, f"{grown:,} bytes"
    assert slowest < 15, "while it lasts"
    assert took < 60
    kept = [length for reason, *_, length in field.letters() if reason == "unauthenticated"]
    assert max(kept) == 64 * 1024


def test_who_is_taken_off_the_file_is_believed_no_more_and_a_broken_file_changes_nothing(
    field: Battlefield,
) -> None:
    """Without a restart."""
    field.put_file(FILE.replace(f"producers.{MALLORY}", "producers.somebody"))
    until(lambda: not taken(field), 10, field.site.logs)
    assert field.letters()[-1][:2] == ("unauthenticated", f"the producers file knows no producer {MALLORY}")
    assert field.ask(HONEST, "TopUp", account="acme-till", amount=1)["reason"] is None
    field.put_file("[producers")
    until(lambda: "stays in force" in field.site.logs(), 10, field.site.logs)
    assert field.ask(HONEST, "TopUp", account="acme-till", amount=1)["reason"] is None
    field.put_file(FILE)
    until(lambda: taken(field), 10, field.site.logs)


def taken(field: Battlefield) -> bool:
    """Whether a command of the attacker's own, as it should be, is answered."""
    id_ = f"tried-{time.monotonic_ns()}"
    field.attack(signed(body_of(event("TopUp", MALLORY, id_, account="evil", amount=1)), MALLORY))
    field.ask(HONEST, "TopUp", account="acme-till", amount=1)
    time.sleep(0.2)
    return any(one["causationid"] == id_ for one in field.told(MALLORY))


def test_after_all_of_it_the_books_add_up(field: Battlefield) -> None:
    done = field.site.coins("verify")
    assert done.returncode == 0, done.stdout + done.stderr
