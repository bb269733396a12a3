"""Dead letters that are replayed: decided under their own keys, once, and what cannot be is written into the letter."""

from __future__ import annotations

from typing import Any

import pytest

from ledger import replays
from ledger.queries.dead import LetterFilter, letter
from ledger.replay import Result
from messages.codec import command_name
from messages.commands import Adjust, TopUp, UpdateAccount
from messages.reasons import Reason
from tests.breaking import BROKEN, Break, crash, mend
from tests.builders import enterprise, limit, plan, top_up
from tests.desk import SOURCE, LedgerDesk, array_of, body_of
from tests.ledger.lettering import (
    acts,
    archived,
    broken,
    keyed,
    outbox,
    replayed,
    results,
    states,
)


def test_a_crashed_command_is_applied_once_when_its_rule_is_mended(
    desk: LedgerDesk, break_rule: Break
) -> None:
    # Given a command that crashed
    desk.do(enterprise())
    break_rule(TopUp, decide=crash)
    desk.send(broken("t1"))
    # When it is replayed, twice
    mend()
    outbox(desk)
    (verdict,) = replayed(desk)
    number = desk.one("SELECT id FROM transaction WHERE command_id = 't1'")[0]
    assert (verdict.result, verdict.why) == (Result.APPLIED, f"T-2026-{number:010d}")
    assert replayed(desk) == []
    # Then it was applied under its own key, its producer is told, and all of it is written down
    assert desk.credit("acme") == 5
    ((route, said),) = outbox(desk)
    assert (route, said["causationid"], said["data"]["duplicate"]) == (
        "outcome.tests.applied.TopUp",
        "t1",
        False,
    )
    assert states(desk) == ["resolved"]
    assert acts(desk) == [("replay", "ada", "mended", f"applied: T-2026-{number:010d}", 7)]
    shown = letter(desk.connection, verdict.letter)
    assert (shown.outcome, shown.account, shown.acts[0].who) == ("applied", "acme", "ada")
    assert desk.ask(broken("t1")).data.duplicate


def test_what_was_decided_meanwhile_is_left_alone_and_nobody_is_told_again(
    desk: LedgerDesk, break_rule: Break
) -> None:
    desk.do(enterprise())
    break_rule(TopUp, decide=crash)
    desk.send(broken("t1"), broken("t2"), broken("t3"))
    mend()
    desk.ask(broken("t1"))
    desk.ask(keyed(top_up(amount=7), "t2"))
    desk.all("UPDATE dead_letter SET state = 'waiting'")
    outbox(desk)
    assert results(replayed(desk)) == [Result.ALREADY_APPLIED, Result.OTHER_DECIDED, Result.APPLIED]
    assert [said["causationid"] for _, said in outbox(desk)] == ["t3"]
    assert desk.credit("acme") == 5 + 7 + 5
    assert states(desk) == ["resolved"] * 3


def test_a_refusal_decides_the_key_like_any_other(desk: LedgerDesk, break_rule: Break) -> None:
    break_rule(TopUp, decide=crash)
    desk.send(keyed(top_up("nobody", note=BROKEN), "t1"))
    mend()
    (verdict,) = replayed(desk)
    assert (verdict.result, verdict.why) == (Result.REFUSED, Reason.ACCOUNT_NOT_FOUND)
    assert verdict.kind == "refused: account_not_found"
    assert desk.ask(keyed(top_up("nobody", note=BROKEN), "t1")).data.duplicate


def test_what_crashes_again_says_so_in_its_letter_and_stops_no_partition(
    desk: LedgerDesk, break_rule: Break
) -> None:
    desk.do(enterprise())
    break_rule(TopUp, decide=crash)
    for number in range(3):
        desk.send(broken(f"t{number}"), keyed(top_up(amount=1), f"fine{number}"))
    outbox(desk)
    verdicts = [one for _ in range(10) for one in replayed(desk)]
    assert set(results(verdicts)) == {Result.FAILED}
    assert len({one.kind for one in verdicts}) == 1
    assert states(desk) == ["failed again"] * 3
    assert desk.all("SELECT crashed_in_a_row, stopped_at FROM partition WHERE crashed_in_a_row > 0") == []
    assert outbox(desk) == []
    assert desk.one("SELECT count(*) FROM dead_letter") == (3,)
    mend()
    assert results(replayed(desk)) == [Result.APPLIED] * 3


def test_a_letter_with_another_trouble_moves_to_the_group_of_that(
    desk: LedgerDesk, break_rule: Break
) -> None:
    desk.do(enterprise())
    break_rule(TopUp, decide=crash)
    desk.send(broken("t1"), broken("t2"))
    before = {one["group_id"] for one in desk.letters()}

    def otherwise(*_: Any) -> Any:
        raise KeyError("another")

    mend()
    break_rule(TopUp, decide=otherwise)
    outbox(desk)
    assert results(replayed(desk)) == [Result.FAILED] * 2
    moved = desk.letters()
    assert {one["exception"] for one in moved} == {"builtins.KeyError"}
    assert not before & {one["group_id"] for one in moved}
    assert sorted(desk.all("SELECT kept, count FROM dead_letter_group")) == [(0, 0), (2, 2)]
    assert [said["type"] for _, said in outbox(desk)] == ["coins.DeadLetterGroupOpened.v1"]


def test_of_a_message_of_several_events_only_the_letters_own_is_decided(
    desk: LedgerDesk, break_rule: Break
) -> None:
    desk.do(enterprise())
    break_rule(TopUp, decide=crash)
    desk.deliver(array_of(keyed(top_up(amount=1), "a"), broken("b"), keyed(top_up(amount=1), "c")))
    long = "x" * 400
    desk.deliver(array_of(*(keyed(top_up(amount=1, note=long), f"n{one}") for one in range(20)), broken("z")))
    mend()
    assert [(one.command_id, one.result) for one in replayed(desk)] == [
        ("b", Result.APPLIED),
        ("z", Result.APPLIED),
    ]
    assert desk.credit("acme") == 2 + 20 + 10
    raw = desk.one("SELECT deliveries FROM batch b JOIN command c ON c.batch = b.id WHERE c.id = 'z'")
    assert '"coins:commands:0:tests"' in raw[0]


def test_what_is_still_invalid_stays_so_and_is_not_answered_again(desk: LedgerDesk) -> None:
    desk.do(enterprise())
    desk.deliver(
        body_of({"type": "TopUp", "id": "t1", "source": SOURCE, "data": {"account": "acme"}}), b"no json"
    )
    outbox(desk)
    assert [(one.result, one.kind) for one in replayed(desk)] == [
        (Result.FAILED, "failed again: invalid"),
        (Result.FAILED, "failed again: unreadable"),
    ]
    assert states(desk) == ["failed again"] * 2
    assert outbox(desk) == []
    # And a valid one under that key resolves it as before
    desk.ask(keyed(top_up(amount=3), "t1"))
    assert states(desk) == ["resolved", "failed again"]


def test_what_sets_a_state_does_not_undo_what_was_set_since(desk: LedgerDesk, break_rule: Break) -> None:
    # Given two that crashed, of which one was overtaken
    desk.do(enterprise())
    desk.do(plan("year", price=10), limit("acme", 100))
    asks = [
        keyed(plan("year", price=20), "p1"),
        keyed(UpdateAccount(account="acme", name="Old", email="a@b.example"), "u1"),
    ]
    desk.deliver(*(body_of(ask).replace(b'"specversion":"1.0"', b'"specversion":"0"') for ask in asks))
    desk.all(
        "UPDATE dead_letter SET raw = convert_to(replace(convert_from(raw, 'UTF8'), '\"0\"', '\"1.0\"'), 'UTF8')"
    )
    desk.later(minutes=1)
    desk.do(plan("year", price=30), UpdateAccount(account="acme", country="DE"))
    desk.later(minutes=1)
    # When they are replayed
    older, applied = replayed(desk)
    # Then the plan stays as it was put since, and fields of which nobody has spoken are set
    assert (older.result, applied.result) == (Result.OLDER, Result.APPLIED)
    assert "plan of year" in older.why
    assert desk.one("SELECT price FROM plan WHERE plan = 'year'") == (30,)
    assert (desk.account("acme")["name"], desk.account("acme")["country"]) == ("Old", "DE")
    assert states(desk) == ["waiting", "resolved"]
    assert results(replayed(desk, even_if_newer=True)) == [Result.APPLIED]
    assert desk.one("SELECT price FROM plan WHERE plan = 'year'") == (20,)


def test_letters_that_set_the_same_are_replayed_in_their_order(desk: LedgerDesk, break_rule: Break) -> None:
    desk.do(enterprise())
    for number in (1, 2, 3):
        ask = body_of(keyed(plan("year", price=number), f"p{number}"))
        desk.deliver(ask.replace(b'"specversion":"1.0"', b'"specversion":"0"'))
        desk.later(minutes=1)
    desk.all(
        "UPDATE dead_letter SET raw = convert_to(replace(convert_from(raw, 'UTF8'), '\"0\"', '\"1.0\"'), 'UTF8')"
    )
    for letter_ in desk.letters():
        assert results(replayed(desk, LetterFilter(letters=[letter_["id"]]))) == [Result.APPLIED]
    assert desk.one("SELECT price FROM plan WHERE plan = 'year'") == (3,)


def test_archiving_decides_a_crashed_one_and_leaves_every_other_key_free(
    desk: LedgerDesk, break_rule: Break
) -> None:
    desk.do(enterprise())
    break_rule(TopUp, decide=crash)
    desk.send(broken("t1"), broken("t2"))
    desk.deliver(
        body_of({"type": "TopUp", "id": "t3", "source": SOURCE, "data": {"account": "acme"}}), b"no json"
    )
    outbox(desk)
    mend()
    desk.ask(broken("t2"))
    desk.all("UPDATE dead_letter SET state = 'waiting'")
    outbox(desk)
    assert results(archived(desk)) == [
        Result.ABANDONED,
        Result.ALREADY_APPLIED,
        Result.ARCHIVED,
        Result.ARCHIVED,
    ]
    assert states(desk) == ["archived", "resolved", "archived", "archived"]
    # The producer is told, once, and asking again gives the same
    ((route, said),) = outbox(desk)
    assert route == "outcome.tests.rejected.TopUp"
    assert (said["causationid"], said["data"]["reason"]) == ("t1", "abandoned")
    again = desk.ask(broken("t1"))
    assert (again.data.reason, again.data.duplicate) == (Reason.ABANDONED, True)
    assert desk.ask(keyed(top_up(amount=1), "t3")).data.reason is None
    assert desk.credit("acme") == 5 + 1


@pytest.mark.parametrize("why", [None, "a \x00\ud800 reason"])
def test_the_reason_of_an_archiving_is_told(desk: LedgerDesk, break_rule: Break, why: str | None) -> None:
    desk.do(enterprise())
    break_rule(Adjust, decide=crash)
    desk.send(keyed(Adjust(account="acme", amount=1, note=BROKEN), "a1"))
    outbox(desk)
    archived(desk, why=why)
    ((_, said),) = outbox(desk)
    assert "given up" in said["data"]["message"]
    assert command_name(said["data"]["command"]["type"]) == "Adjust"


def test_a_letter_is_chosen_by_what_it_is_about(desk: LedgerDesk, break_rule: Break) -> None:
    desk.do(enterprise(), enterprise("beta"))
    break_rule(TopUp, decide=crash)
    desk.send(broken("t1"), keyed(top_up("beta", note=BROKEN), "t2"))
    found = replays.letters(desk.connection, LetterFilter(accounts=["beta"]), limit=10)
    assert [one.command_id for one in found] == ["t2"]
    first = desk.letters()[0]
    found = replays.letters(
        desk.connection, LetterFilter(letters=[first["id"]], groups=[first["group_id"]]), limit=9
    )
    assert [one.command_id for one in found] == ["t1"]
    assert replays.waiting(desk.connection, LetterFilter(exceptions=["tests.breaking.Defect"]))[0] == 2
