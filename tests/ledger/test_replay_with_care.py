"""What a replay must never do: undo, apply twice or apply what nobody asked for, whatever else goes on."""

from __future__ import annotations

import threading
import time
from typing import Any

import psycopg
import pytest

from ledger import replays
from ledger.acts import Doing
from ledger.queries.dead import LetterFilter
from ledger.replay import Result, abandon, replay
from ledger.trust import Producer, Producers, Rule
from messages.commands import SetCreditLimit, Subscribe, SubscriptionKind, TopUp
from messages.publisher import event
from messages.signing import sign
from tests.breaking import BROKEN, Break, crash, mend
from tests.builders import branch, enterprise, funding, limit, plan, top_up
from tests.desk import SOURCE, LedgerDesk, array_of, body_of
from tests.ledger.lettering import DOING, acts, broken, keyed, late, outbox, replayed, results, states
from tests.ledger.producing import ProducerDesk, producers


@pytest.mark.parametrize("beside", [0, 20], ids=["in a short message", "in a long one"])
def test_an_array_in_the_place_of_an_event_never_becomes_commands(desk: LedgerDesk, beside: int) -> None:
    desk.do(enterprise())
    inner = array_of(keyed(top_up(amount=5), "n1"), keyed(top_up(amount=7), "n2"))
    valid = [body_of(keyed(top_up(amount=1, note="x" * 400), f"k{one}")) for one in range(beside)]
    desk.deliver(b"[" + b",".join([*valid, inner, b"[1,2]"]) + b"]")
    assert results(replayed(desk)) == [Result.FAILED, Result.FAILED]
    assert desk.credit("acme") == beside


def test_what_came_right_behind_it_in_its_batch_is_not_undone(desk: LedgerDesk, break_rule: Break) -> None:
    desk.do(enterprise())
    late(desk, keyed(limit("acme", 1_000), "a letter"))
    # As one that crashed, and was overtaken in its own batch
    desk.do(limit("acme", 0))
    desk.all(
        "UPDATE dead_letter SET arrival = (SELECT arrival - 1 FROM last_set WHERE kind = 'credit limit')"
    )
    desk.all("UPDATE dead_letter SET last_at = (SELECT at FROM last_set WHERE kind = 'credit limit')")
    assert results(replayed(desk)) == [Result.OLDER]
    assert desk.account("acme")["credit_limit"] == 0


def test_of_a_letter_from_before_that_was_counted_nobody_knows_what_was_set_since(desk: LedgerDesk) -> None:
    desk.do(enterprise())
    late(desk, keyed(limit("acme", 1_000), "old"), keyed(top_up(amount=3), "coins"))
    desk.all("UPDATE dead_letter SET arrival = NULL")
    desk.all("DELETE FROM last_set")
    assert results(replayed(desk)) == [Result.OLDER, Result.APPLIED]
    assert results(replayed(desk, even_if_newer=True)) == [Result.APPLIED]


def test_a_change_of_funding_has_set_the_limit_too(desk: LedgerDesk) -> None:
    desk.do(enterprise(), branch())
    late(desk, keyed(limit("north", 1_000), "old"))
    desk.do(funding("north", "shared"), funding("north", "own"))
    assert results(replayed(desk)) == [Result.OLDER]
    assert desk.account("north")["credit_limit"] == 0


@pytest.mark.parametrize("reason", ["invalid", "crashed"])
def test_what_was_archived_after_it_was_chosen_is_not_applied(
    desk: LedgerDesk, break_rule: Break, reason: str
) -> None:
    desk.do(enterprise())
    if reason == "invalid":
        late(desk, keyed(top_up(amount=5), "t1"))
    else:
        break_rule(TopUp, decide=crash)
        desk.send(broken("t1"))
        mend()
    found = replays.letters(desk.connection, LetterFilter(), limit=10)
    abandon(desk.connection, found, desk.now, Doing("archive", "bob", "never"))
    desk.connection.commit()
    (verdict,) = replay(desk.connection, found, desk.now, DOING)
    desk.connection.commit()
    assert verdict.result is (Result.GONE if reason == "invalid" else Result.ALREADY_REFUSED)
    assert desk.credit("acme") == 0
    assert desk.letters()[0]["state"] == ("archived" if reason == "invalid" else "resolved")


def test_who_archives_while_it_is_replayed_waits_and_finds_it_done(
    desk: LedgerDesk, database_url: str, break_rule: Break
) -> None:
    desk.do(enterprise())
    late(desk, keyed(top_up(amount=5), "t1"))
    found = replays.letters(desk.connection, LetterFilter(), limit=10)
    replay(desk.connection, found, desk.now, DOING)
    told: list[Any] = []

    def archive() -> None:
        with psycopg.connect(database_url) as other:
            told.extend(abandon(other, found, desk.now, Doing("archive", "bob")))

    meanwhile = threading.Thread(target=archive)
    meanwhile.start()
    time.sleep(0.3)
    assert not told
    desk.connection.commit()
    meanwhile.join()
    assert results(told) == [Result.GONE]
    assert (states(desk), desk.credit("acme")) == (["resolved"], 5)
    assert [(act, result.partition(":")[0]) for act, _, _, result, _ in acts(desk)] == [("replay", "applied")]


def test_a_crashed_one_that_cannot_be_read_any_more_stays_for_somebody_to_see(
    desk: LedgerDesk, break_rule: Break
) -> None:
    desk.do(enterprise())
    break_rule(TopUp, decide=crash)
    desk.send(broken("t1"))
    mend()
    desk.all(
        "UPDATE dead_letter SET raw = convert_to(replace(convert_from(raw, 'UTF8'), '\"1.0\"', '\"0\"'), 'UTF8')"
    )
    found = replays.letters(desk.connection, LetterFilter(), limit=10)
    assert results(abandon(desk.connection, found, desk.now, Doing("archive", "bob"))) == [Result.FAILED]
    desk.connection.commit()
    assert states(desk) == ["waiting"]
    assert desk.one("SELECT count(*) FROM command WHERE id = 't1'") == (0,)


def test_who_was_never_verified_is_not_believed_when_there_is_a_producers_file(
    database_url: str, break_rule: Break
) -> None:
    desk = LedgerDesk(database_url, producer=None)
    desk.do(enterprise())
    break_rule(TopUp, decide=crash)
    desk.send(event(top_up(amount=5, note=BROKEN), source="bank/x", id="forged"))
    mend()
    file = Producers({"bank": Producer("bank", ("the bank's very own secret",))})
    (verdict,) = replayed(desk, producers=file)
    assert verdict.result is Result.FAILED
    assert desk.credit("acme") == 0
    # Without a file it is as it was when it came
    assert results(replayed(desk)) == [Result.APPLIED]
    desk.close()


def test_the_same_bytes_under_another_signature_are_another_letter(database_url: str) -> None:
    tomorrow = "a secret that comes tomorrow"
    desk = ProducerDesk(database_url, producers(everything=True))
    desk.do(enterprise())
    body = body_of(keyed(top_up(amount=5), "t1"))
    desk.signature = lambda _: None
    desk.deliver(body)
    desk.signature = lambda it: sign(it, tomorrow).encode()
    desk.deliver(body)
    file = Producers({SOURCE: Producer(SOURCE, (tomorrow,))})
    assert results(replayed(desk, producers=file)) == [Result.FAILED, Result.APPLIED]
    assert desk.credit("acme") == 5
    desk.close()


def test_of_a_message_that_turns_out_to_be_genuine_every_event_is_accounted_for(
    database_url: str, break_rule: Break
) -> None:
    tomorrow = "a secret that comes tomorrow"
    desk = ProducerDesk(database_url, producers(everything=True))
    desk.do(enterprise())
    desk.signature = lambda it: sign(it, tomorrow).encode()
    invalid = body_of(keyed(top_up(amount=1), "bad")).replace(b'"amount":1', b'"amount":"1"')
    events = [body_of(one) for one in (broken("b1"), keyed(top_up(amount=5), "fine"), broken("b2"))]
    desk.deliver(b"[" + b",".join([*events, invalid]) + b"]")
    file = Producers({SOURCE: Producer(SOURCE, (tomorrow,))})
    outbox(desk)
    break_rule(TopUp, decide=crash)
    assert results(replayed(desk, producers=file)) == [Result.FAILED]
    mend()
    assert desk.credit("acme") == 5
    assert [said["causationid"] for _, said in outbox(desk) if "causationid" in said] == ["fine", "bad"]
    assert sorted((one["reason"], one["command_id"]) for one in desk.letters()) == [
        ("crashed", "b1"),
        ("crashed", "b2"),
        ("invalid", "bad"),
    ]
    assert sorted(results(replayed(desk, producers=file))) == [Result.APPLIED, Result.APPLIED, Result.FAILED]
    assert desk.credit("acme") == 15
    desk.close()


def test_a_rule_under_an_account_that_the_batch_opens_holds_however_the_batch_is_split(
    database_url: str,
) -> None:
    opening = Rule(frozenset({"OpenAccount"}), "platform")
    desk = ProducerDesk(database_url, producers(opening, Rule(frozenset({"TopUp", "Subscribe"}), "new")))
    many = [
        Subscribe(
            subscription=f"s{number}",
            account="child",
            plan="p",
            kind=SubscriptionKind.DEVICE,
            goods=[f"d{number}x{one}" for one in range(500)],
        )
        for number in range(101)
    ]
    said = desk.deliver(
        array_of(enterprise("new"), branch("child", "new")), array_of(*many), body_of(top_up("child", 5))
    )
    assert said[-1].data.reason is None, said[-1].data.message
    desk.close()


def test_a_replay_that_is_being_canceled_does_not_begin(desk: LedgerDesk, database_url: str) -> None:
    given: dict[str, Any] = {"who": "a", "why": None, "rate": None, "limit": None, "even_if_newer": False}
    id_ = replays.ask(desk.connection, LetterFilter(), **given).id
    desk.connection.commit()
    began: list[Any] = []
    with (
        psycopg.connect(database_url) as canceling,
        psycopg.connect(database_url, autocommit=True) as beginning,
    ):
        replays.cancel(canceling, id_, "bob")
        other = threading.Thread(target=lambda: began.append(replays.begin(beginning, id_)))
        other.start()
        time.sleep(0.3)
        canceling.commit()
        other.join()
    assert began == [None]
    assert replays.replay(desk.connection, id_).state == "canceled"


def test_a_live_command_that_sets_the_same_and_a_replay_do_not_wait_for_each_other_in_a_circle(
    desk: LedgerDesk, database_url: str
) -> None:
    desk.do(enterprise(), plan("year", price=1))
    for number in range(10):
        late(desk, keyed(plan("year", price=10 + number), f"p{number}"))
    live = LedgerDesk(database_url, partition=1, now=desk.now)
    stop = threading.Event()

    def put() -> None:
        while not stop.is_set():
            live.do(plan("year", price=7))

    busy = threading.Thread(target=put)
    busy.start()
    for _ in range(5):
        verdicts = replayed(desk, even_if_newer=True)
        desk.all("UPDATE dead_letter SET state = 'waiting'")
        assert {one.result for one in verdicts} <= {Result.APPLIED, Result.ALREADY_APPLIED}
    stop.set()
    busy.join()
    assert live.races == 0
    live.close()


def test_a_letter_that_sets_something_and_crashed_knows_when_it_came(
    desk: LedgerDesk, break_rule: Break
) -> None:
    late(desk, keyed(SetCreditLimit(account="acme", credit_limit=5), "a"), keyed(limit("acme", 6), "b"))
    first, second = (one["arrival"] for one in desk.letters())
    assert second == first + 1
