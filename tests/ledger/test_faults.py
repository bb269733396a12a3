"""What may fail in a batch, and what happens then: crashing rules, refused rows, crash after crash, unbalanced postings."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import psycopg
import pytest

from ledger.decide import Ledger
from ledger.errors import FenceLost
from ledger.model import Applied, Decision, Leg, System, Transaction, TransactionType
from messages.commands import Adjust, TopUp
from messages.publisher import event
from messages.reasons import Reason
from tests.breaking import BROKEN, Break, crash, mend
from tests.builders import adjustment, branch, enterprise, onboarding, plan, top_up, transfer
from tests.desk import SOURCE, LedgerDesk, array_of, body_of


def unbalanced(command: TopUp, ledger: Ledger, now: datetime) -> Decision:
    account = ledger.account(command.account)
    assert account is not None
    legs = (
        Leg(account, command.amount, TransactionType.RECHARGE),
        Leg(System.CASH, 1 - command.amount, TransactionType.RECHARGE),
    )
    return Applied((account,), Transaction(account, legs))


def keyed(command: Any, id_: str) -> Any:
    return event(command, source=SOURCE, id=id_)


def culprit(id_: str = "culprit", amount: int = 1000) -> Any:
    return keyed(top_up(amount=amount, note=BROKEN), id_)


def crashed_in_a_row(desk: LedgerDesk) -> tuple[int, bool]:
    count, stopped_at = desk.one(
        "SELECT crashed_in_a_row, stopped_at FROM partition WHERE id = %s", desk.partition
    )
    return count, stopped_at is not None


@pytest.mark.parametrize("place", [0, 2, 4])
@pytest.mark.parametrize("arrayed", [False, True], ids=["messages", "an array"])
def test_a_rule_that_raises_harms_none_of_its_neighbours(
    desk: LedgerDesk, break_rule: Break, place: int, arrayed: bool
) -> None:
    # Given a rule that raises for one command
    desk.do(enterprise())
    break_rule(TopUp, decide=crash)
    asks = [keyed(top_up(amount=10**number), f"t{number}") for number in range(4)]
    asks.insert(place, culprit())
    # When it comes in a batch with others
    said = desk.deliver(array_of(*asks)) if arrayed else desk.send(*asks)
    # Then they are applied, and it is kept, undecided, with what is needed to understand it
    assert [one.data.command.id for one in said] == ["t0", "t1", "t2", "t3"]
    assert desk.credit("acme") == 1111
    (letter,) = desk.letters()
    assert (letter["reason"], letter["state"]) == ("crashed", "waiting")
    assert (letter["source"], letter["command_id"], letter["type"]) == (SOURCE, "culprit", "TopUp")
    assert "Defect" in letter["exception"]
    assert "two and two" in letter["traceback"]
    assert letter["place"] == (place if arrayed else 0)
    assert desk.one("SELECT count(*) FROM command WHERE id = 'culprit'") == (0,)
    assert desk.handled.crashed == 1


def test_a_mended_rule_decides_what_had_crashed_when_it_comes_again(
    desk: LedgerDesk, break_rule: Break
) -> None:
    desk.do(enterprise())
    break_rule(TopUp, decide=crash)
    assert desk.send(culprit()) == []
    mend()
    said = desk.ask(culprit())
    assert said.data.reason is None
    assert not said.data.duplicate
    assert desk.credit("acme") == 1000
    assert [letter["state"] for letter in desk.letters()] == ["resolved"]


def test_what_needs_raises_is_a_crash_like_any_other(desk: LedgerDesk, break_rule: Break) -> None:
    desk.do(enterprise())
    break_rule(TopUp, needs=crash)
    said = desk.send(keyed(top_up(amount=1), "a"), culprit(), keyed(top_up(amount=2), "b"))
    assert [one.data.command.id for one in said] == ["a", "b"]
    assert desk.credit("acme") == 3
    (letter,) = desk.letters()
    assert (letter["reason"], letter["command_id"]) == ("crashed", "culprit")


def test_an_unbalanced_transaction_is_a_crash_and_posts_nothing(desk: LedgerDesk, break_rule: Break) -> None:
    desk.do(enterprise())
    break_rule(TopUp, decide=unbalanced)
    said = desk.send(keyed(top_up(amount=1), "a"), culprit(), keyed(top_up(amount=2), "b"))
    assert [one.data.command.id for one in said] == ["a", "b"]
    assert desk.credit("acme") == 3
    assert desk.one("SELECT sum(amount) FROM entry") == (0,)
    (letter,) = desk.letters()
    assert "Unbalanced" in letter["exception"]


def test_a_row_that_the_database_refuses_is_found_among_many(own_desk: LedgerDesk) -> None:
    desk = own_desk
    # Given a database that refuses one amount
    desk.do(enterprise())
    desk.all("ALTER TABLE entry ADD CONSTRAINT no_thousand CHECK (abs(amount) <> 1000)")
    asks = [keyed(top_up(amount=1), f"t{number}") for number in range(60)]
    asks.insert(37, culprit(amount=1000))
    # When it is asked for in the middle of a batch
    said = desk.deliver(array_of(*asks))
    # Then everything else is applied, in its order
    assert [one.data.command.id for one in said] == [f"t{number}" for number in range(60)]
    assert desk.credit("acme") == 60
    assert [line["balance"] for line in desk.lines()] == list(range(1, 61))
    (letter,) = desk.letters()
    assert (letter["reason"], letter["command_id"], letter["place"]) == ("crashed", "culprit", 37)
    assert "no_thousand" in letter["why"]
    # And it is decided once the database takes it
    desk.all("ALTER TABLE entry DROP CONSTRAINT no_thousand")
    assert desk.ask(culprit(amount=1000)).data.reason is None
    assert desk.credit("acme") == 1060


def test_several_culprits_of_one_batch_are_all_found(own_desk: LedgerDesk, break_rule: Break) -> None:
    desk = own_desk
    desk.do(enterprise())
    desk.all("ALTER TABLE entry ADD CONSTRAINT no_thousand CHECK (abs(amount) <> 1000)")
    break_rule(TopUp, decide=crash)
    asks = [
        culprit("c0"),
        keyed(top_up(amount=1), "a"),
        keyed(top_up(amount=1000), "c1"),
        keyed(top_up(amount=2), "b"),
        culprit("c2"),
        keyed(top_up(amount=1000), "c3"),
        keyed(top_up(amount=4), "c"),
    ]
    said = desk.send(*asks)
    assert [one.data.command.id for one in said] == ["a", "b", "c"]
    assert desk.credit("acme") == 7
    assert sorted(letter["command_id"] for letter in desk.letters()) == ["c0", "c1", "c2", "c3"]


def test_a_crash_leaves_no_trace_of_what_came_after_it_being_decided_twice(
    desk: LedgerDesk, break_rule: Break
) -> None:
    desk.do(enterprise(), branch(), top_up(amount=10))
    break_rule(Adjust, decide=crash)
    said = desk.send(
        keyed(transfer(amount=4), "t"),
        keyed(onboarding("north", "d", price=4), "o"),
        keyed(adjustment("acme", 5, note=BROKEN), "culprit"),
        keyed(onboarding("north", "d", price=1), "again"),
        keyed(transfer(amount=4), "t"),
    )
    assert [(one.data.command.id, one.data.reason, one.data.duplicate) for one in said] == [
        ("t", None, False),
        ("o", None, False),
        ("again", Reason.DEVICE_ALREADY_ONBOARDED, False),
        ("t", None, True),
    ]
    assert (desk.credit("acme"), desk.credit("north")) == (6, 0)


def test_equal_crashes_are_all_kept_even_when_their_group_is_full(
    own_desk: LedgerDesk, break_rule: Break
) -> None:
    desk = own_desk
    desk.do(enterprise())
    break_rule(TopUp, decide=crash)
    desk.send(culprit("c1"))
    desk.all("UPDATE dead_letter_group SET kept = 1000")
    desk.send(culprit("c2"), culprit("c3"))
    assert [letter["command_id"] for letter in desk.letters()] == ["c1", "c2", "c3"]
    assert desk.one("SELECT count(*) FROM dead_letter_group") == (1,)


@pytest.mark.parametrize("batches", [1, 4, 20])
def test_twenty_crashes_in_a_row_stop_the_partition(
    desk: LedgerDesk, break_rule: Break, batches: int
) -> None:
    desk.do(enterprise())
    break_rule(TopUp, decide=crash)
    each = 20 // batches
    for batch in range(batches):
        assert crashed_in_a_row(desk) == (batch * each, False)
        desk.send(*(culprit(f"c{batch}-{number}") for number in range(each)))
    assert crashed_in_a_row(desk) == (20, True)


def test_a_command_that_is_decided_ends_the_row_of_crashes(desk: LedgerDesk, break_rule: Break) -> None:
    desk.do(enterprise())
    break_rule(TopUp, decide=crash)
    desk.send(*(culprit(f"c{number}") for number in range(19)))
    assert crashed_in_a_row(desk) == (19, False)
    desk.send(top_up(amount=1))
    assert crashed_in_a_row(desk) == (0, False)
    desk.send(
        *(culprit(f"d{number}") for number in range(10)),
        top_up(amount=1),
        *(culprit(f"e{number}") for number in range(10)),
    )
    assert crashed_in_a_row(desk) == (10, False)


def test_garbage_between_crashes_does_not_end_their_row(desk: LedgerDesk, break_rule: Break) -> None:
    desk.do(enterprise())
    break_rule(TopUp, decide=crash)
    desk.send(*(culprit(f"c{number}") for number in range(19)))
    desk.deliver(b"garbage")
    desk.deliver(body_of(culprit("last")))
    assert crashed_in_a_row(desk) == (20, True)


def test_a_whole_array_of_crashes_is_kept_and_the_queue_goes_on(desk: LedgerDesk, break_rule: Break) -> None:
    desk.do(enterprise())
    break_rule(TopUp, decide=crash)
    assert desk.deliver(array_of(*(culprit(f"c{number}") for number in range(1000)))) == []
    assert desk.one("SELECT count(DISTINCT command_id) FROM dead_letter") == (1000,)
    assert crashed_in_a_row(desk) == (1000, True)


def test_what_is_no_fault_of_a_command_is_raised_and_nothing_is_done(own_desk: LedgerDesk) -> None:
    desk = own_desk
    desk.do(enterprise())
    desk.all("ALTER TABLE entry RENAME COLUMN consumer TO renamed")
    before = desk.one("SELECT position FROM position")
    with pytest.raises(psycopg.errors.UndefinedColumn):
        desk.send(top_up(amount=1))
    assert desk.letters() == []
    assert desk.one("SELECT position FROM position") == before
    desk.all("ALTER TABLE entry RENAME COLUMN renamed TO consumer")
    assert desk.refused(top_up(amount=1)) is None


def test_a_unique_violation_that_comes_back_every_time_is_a_commands_own_fault(own_desk: LedgerDesk) -> None:
    desk = own_desk
    desk.do(enterprise())
    desk.all("CREATE UNIQUE INDEX one_note ON transaction (note)")
    desk.do(top_up(amount=1, note="same"))
    said = desk.send(keyed(top_up(amount=2), "a"), keyed(top_up(amount=3, note="same"), "culprit"))
    assert [one.data.command.id for one in said] == ["a"]
    assert desk.races > 0
    assert desk.credit("acme") == 3
    (letter,) = desk.letters()
    assert (letter["reason"], letter["command_id"]) == ("crashed", "culprit")


def test_letters_of_crashes_can_be_read_as_json(desk: LedgerDesk, break_rule: Break) -> None:
    desk.do(enterprise())
    break_rule(TopUp, decide=crash)
    desk.send(culprit())
    (letter,) = desk.letters()
    assert json.loads(json.dumps({"why": letter["why"], "traceback": letter["traceback"]}))
    assert "\\x00" in letter["why"]
    assert "\\ud800" in letter["why"]


def test_a_stopped_partition_is_no_longer_its_owners(desk: LedgerDesk, break_rule: Break) -> None:
    desk.do(enterprise())
    break_rule(TopUp, decide=crash)
    desk.send(*(culprit(f"stops-{number}") for number in range(20)))
    with pytest.raises(FenceLost):
        desk.send(plan("after"))
    assert desk.one("SELECT count(*) FROM plan") == (0,)


def test_a_success_at_the_end_of_a_batch_does_not_hide_that_twenty_crashed(
    desk: LedgerDesk, break_rule: Break
) -> None:
    desk.do(enterprise())
    break_rule(TopUp, decide=crash)
    desk.send(*(culprit(f"hides-{number}") for number in range(20)), plan("last"))
    assert desk.one("SELECT stopped_at IS NOT NULL FROM partition WHERE id = 0") == (True,)
