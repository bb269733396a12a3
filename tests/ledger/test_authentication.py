"""Whose a message is: nothing of one that is not genuine is read, answered or used up."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from ledger.batch import KEPT_UNAUTHENTICATED_BYTES, Delivery
from ledger.queries.command import command
from ledger.trust import Producer, Producers, Rule
from messages.codec import Decoded, Unauthenticated
from messages.reasons import Reason
from messages.signing import sign
from tests import builders as a
from tests.desk import SOURCE, LedgerDesk, array_of, body_of, completed
from tests.ledger.producing import OTHERS_SECRET, SECRET, ProducerDesk, genuine, producers


@pytest.fixture
def desk(database_url: str) -> Iterator[ProducerDesk]:
    """A producer that may send everything, and has done so."""
    made = ProducerDesk(database_url, producers(everything=True))
    made.do(a.enterprise())
    yield made
    made.close()


def top_up(id_: str = "t1", source: str = SOURCE, **more: Any) -> bytes:
    asked = {"type": "TopUp", "id": id_, "source": source, "data": {"account": "acme", "amount": 5}}
    return json.dumps(completed({**asked, **more})).encode()


def nothing_happened(desk: LedgerDesk) -> None:
    assert desk.credit("acme") == 0
    assert desk.one("SELECT count(*) FROM command WHERE id = 't1'") == (0,)


def told_to(desk: LedgerDesk) -> list[str]:
    """Where outcomes go."""
    return [route for route in desk.routes if route.startswith("outcome.")]


def test_what_is_signed_with_either_secret_is_taken(desk: ProducerDesk) -> None:
    desk.trust = Producers({SOURCE: Producer(SOURCE, ("a new secret, in front", SECRET))})
    desk.do(a.top_up("acme", 5))
    desk.signature = lambda body: sign(body, "a new secret, in front").encode()
    desk.do(a.top_up("acme", 5))
    assert desk.credit("acme") == 10


@pytest.mark.parametrize(
    ("signature", "why"),
    [
        (lambda body: None, "not signed"),
        (lambda body: b"", "not the base64"),
        (lambda body: b"\xff\x00nonsense", "not the base64"),
        (lambda body: genuine(body)[:-4], "not the base64"),
        (lambda body: genuine(body + b" "), "does not verify"),
        (lambda body: sign(body, OTHERS_SECRET).encode(), "does not verify"),
        (lambda body: sign(body, "").encode(), "does not verify"),
    ],
)
def test_what_is_not_genuine_is_kept_unread_and_unanswered(
    desk: ProducerDesk, signature: Any, why: str
) -> None:
    desk.signature = signature
    body = top_up()
    assert desk.deliver(body) == []
    nothing_happened(desk)
    (letter,) = desk.letters()
    assert (letter["reason"], letter["state"]) == ("unauthenticated", "waiting")
    assert why in letter["why"]
    assert (letter["source"], letter["command_id"], letter["producer"], letter["type"]) == (None,) * 4
    assert letter["raw"] == body
    assert letter["stream"] == desk.stream
    assert genuine(body).decode() not in letter["why"]
    desk.signature = genuine
    (said,) = desk.deliver(body)
    assert said.data.reason is None
    assert not said.data.duplicate, "the key was free"


def test_a_stream_of_nobody_known_is_not_believed(desk: ProducerDesk) -> None:
    desk.trust = Producers({"other": Producer("other", (SECRET,))})
    assert desk.deliver(top_up()) == []
    assert "knows no producer tests" in desk.letters()[0]["why"]
    nothing_happened(desk)


def test_the_common_stream_is_nobodys(desk: ProducerDesk) -> None:
    desk.producer = None
    assert desk.deliver(top_up()) == []
    assert "no producer's own stream" in desk.letters()[0]["why"]
    nothing_happened(desk)


def test_what_is_not_genuine_is_not_even_parsed() -> None:
    deep = Delivery("s", "1-0", SOURCE, b"[" * 100_000, producers=producers())
    (part,) = deep.decoded()
    assert isinstance(part, Unauthenticated)


@pytest.mark.parametrize("source", ["other", "coins/scheduler", f"{SOURCE}-more", "test", f"{SOURCE}s/x"])
def test_somebody_elses_source_is_refused_and_its_key_left_alone(desk: ProducerDesk, source: str) -> None:
    (said,) = desk.deliver(top_up("renewal:s1:1:1", source))
    assert said.data.reason == Reason.NOT_AUTHORIZED
    assert said.data.message is not None
    assert SOURCE in said.data.message
    assert told_to(desk) == [f"outcome.{SOURCE}.rejected.TopUp"]
    assert desk.one("SELECT count(*) FROM command WHERE source = %s", source) == (0,)
    (letter,) = desk.letters()
    assert (letter["reason"], letter["producer"]) == ("unauthenticated", SOURCE)
    assert (letter["source"], letter["command_id"]) == (None, None), "nothing is kept under a foreign key"
    nothing_happened(desk)


def test_a_part_of_ones_own_name_is_ones_own_source(desk: ProducerDesk) -> None:
    (said,) = desk.deliver(top_up("t2", f"{SOURCE}/eu"))
    assert said.data.reason is None


def test_an_invalid_message_under_a_foreign_source_goes_to_its_sender_alone(
    desk: ProducerDesk, open_other: ProducerDesk
) -> None:
    (said,) = desk.deliver(top_up("t1", "other", data={"account": "acme"}))
    assert said.data.reason == Reason.NOT_AUTHORIZED
    assert told_to(desk) == [f"outcome.{SOURCE}.rejected.TopUp"]
    open_other.deliver(top_up("t1", "other"))
    states = [(one["producer"], one["state"]) for one in desk.letters()]
    assert states == [(SOURCE, "waiting")], "what the victim sends resolves nothing of the attacker's"


@pytest.fixture
def open_other(database_url: str, desk: ProducerDesk) -> Iterator[ProducerDesk]:
    """The producer `other`, on a stream of its own."""
    made = ProducerDesk(database_url, desk.trust, producer="other", partition=1)
    made.signature = lambda body: sign(body, OTHERS_SECRET).encode()
    yield made
    made.close()


def test_in_an_array_each_source_counts_by_itself(desk: ProducerDesk) -> None:
    said = desk.deliver(array_of(top_up("t2"), top_up("t3", "other"), top_up("t4")))
    assert [one.data.reason for one in said] == [None, Reason.NOT_AUTHORIZED, None]
    assert desk.credit("acme") == 10


def test_of_a_long_message_that_is_not_genuine_the_beginning_is_kept_once(desk: ProducerDesk) -> None:
    desk.signature = lambda body: None
    body = b"x" * (3 * 1024 * 1024)
    desk.deliver(body, top_up())
    long, short = desk.letters()
    assert long["raw"] == body[:KEPT_UNAUTHENTICATED_BYTES]
    assert hashlib.sha256(body).hexdigest() in long["why"]
    assert f"{len(body):,}" in long["why"]
    assert short["raw"] == top_up()
    assert desk.one("SELECT sum(length(bodies)) FROM batch WHERE id = (SELECT max(id) FROM batch)") == (0,)


def test_a_genuine_message_is_found_behind_one_that_is_not(desk: ProducerDesk) -> None:
    """Of which nothing is in the archive: the others' places there stay right."""
    desk.signature = lambda body: None if b"forged" in body else genuine(body)
    body = top_up("t9")
    desk.deliver(b"forged" * 100, body, b"forged again")
    assert command(desk.connection, SOURCE, "t9").raw == body.decode()


def test_at_most_a_thousand_of_a_flood_are_kept_and_all_are_counted(desk: ProducerDesk) -> None:
    desk.signature = lambda body: None
    for begin in range(0, 1_500, 500):
        desk.deliver(*(b"flood %d" % number for number in range(begin, begin + 500)))
    (kept,) = desk.one("SELECT count(*) FROM dead_letter")
    assert kept == 1_000
    assert desk.letters()[0]["group_count"] == 1_500


def test_a_flood_on_one_stream_leaves_room_for_anothers_mistakes(
    desk: ProducerDesk, open_other: ProducerDesk
) -> None:
    desk.signature = open_other.signature = lambda body: None
    desk.deliver(*(b"flood %d" % number for number in range(1_001)))
    open_other.deliver(top_up("t1", "other"))
    (kept,) = desk.one("SELECT count(*) FROM dead_letter WHERE stream = %s", desk.stream)
    assert kept == 1_000
    assert desk.letters()[-1]["raw"] == top_up("t1", "other")


def test_streams_of_nobody_known_share_a_group(desk: ProducerDesk) -> None:
    for producer in ("nobody", "somebody"):
        desk.producer = producer
        desk.deliver(f"by {producer}".encode())
    assert [letter["group_count"] for letter in desk.letters()] == [2, 2]


def test_what_was_verified_before_needs_no_signature_and_keeps_to_the_rules(desk: ProducerDesk) -> None:
    def again(body: bytes, trust: Producers) -> Delivery:
        return Delivery("s", "1-0", SOURCE, body, producers=trust, verified=True)

    body = body_of(a.top_up("acme"))
    assert isinstance(again(body, producers()).decoded()[0], Decoded)
    gone = again(body, Producers({}))
    assert isinstance(gone.decoded()[0], Unauthenticated)
    assert not again(body, producers()).may_come_from("other")
    sender = again(body, producers(Rule(None, "acme"))).sender
    assert sender is not None
    assert sender.rules == (Rule(None, "acme"),)


def test_what_was_read_before_the_file_changed_has_to_stand_up_to_the_new_one() -> None:
    body = top_up()
    delivery = Delivery("s", "1-0", SOURCE, body, signature=genuine(body), producers=producers())
    assert isinstance(delivery.decoded()[0], Decoded)
    delivery.judge_anew(producers(Rule(None, "acme")))
    assert isinstance(delivery.decoded()[0], Decoded)
    assert delivery.sender == producers(Rule(None, "acme")).get(SOURCE)
    delivery.judge_anew(Producers({}))
    assert isinstance(delivery.decoded()[0], Unauthenticated)
    delivery.judge_anew(producers())
    assert isinstance(delivery.decoded()[0], Unauthenticated), "its bytes may be gone"


def test_without_a_file_a_foreign_source_is_what_it_always_was(database_url: str) -> None:
    desk = LedgerDesk(database_url)
    desk.do(a.enterprise())
    (said,) = desk.deliver(top_up("t1", "other"))
    assert said.data.reason is None
    desk.close()
