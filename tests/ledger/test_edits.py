"""A letter that is sent anew by hand is sent once, whoever dies in between, and settled by what came of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from ledger import replays
from ledger.acts import Doing
from ledger.edits import CLAIMED, VALID, Claim, claim, settle
from ledger.errors import QueryInvalid
from ledger.letters import Letter
from ledger.queries.dead import LetterFilter
from ledger.replay import Result
from messages.commands import TopUp
from messages.publisher import event
from messages.reasons import Reason
from tests.breaking import Break, crash, mend
from tests.builders import enterprise, top_up
from tests.desk import LedgerDesk
from tests.ledger.lettering import acts, archived, broken, keyed, late, replayed, results, states

DOING = Doing("edit", "ada", "by hand")


def letter_of(desk: LedgerDesk) -> Letter:
    (found,) = replays.letters(desk.connection, LetterFilter(), limit=10)
    desk.connection.commit()
    return found


def claimed(desk: LedgerDesk, letter: Letter) -> Claim:
    made = claim(desk.connection, letter, DOING, desk.now)
    desk.connection.commit()
    return made


def send(desk: LedgerDesk, made: Claim, amount: int = 5) -> Any:
    return desk.ask(event(top_up(amount=amount), source="cli", id=made.id, expirytime=made.expires_at))


def settled(desk: LedgerDesk, letter: Letter, made: Claim) -> bool:
    done = settle(desk.connection, letter, made.id, DOING, desk.now)
    desk.connection.commit()
    return done


@pytest.fixture
def crashed(desk: LedgerDesk, break_rule: Break) -> Letter:
    desk.do(enterprise())
    break_rule(TopUp, decide=crash)
    desk.send(broken("t1"))
    mend()
    return letter_of(desk)


def test_while_it_is_claimed_nobody_else_deals_with_it(desk: LedgerDesk, crashed: Letter) -> None:
    desk.all("UPDATE dead_letter SET last_at = now()")
    made = claim(desk.connection, crashed, DOING, _now(desk))
    desk.connection.commit()
    with pytest.raises(QueryInvalid, match=f"sent anew as cli {made.id} and is not decided yet"):
        claim(desk.connection, crashed, DOING, _now(desk))
    desk.connection.rollback()
    assert results(replayed(desk)) == [Result.GONE]
    assert results(archived(desk)) == [Result.GONE]
    assert (states(desk), desk.credit("acme")) == (["waiting"], 0)


def _now(desk: LedgerDesk) -> Any:
    (now,) = desk.one("SELECT clock_timestamp()")
    return now


def test_applied_it_decides_the_key_of_a_command_that_had_crashed(desk: LedgerDesk, crashed: Letter) -> None:
    made = claimed(desk, crashed)
    assert send(desk, made).data.reason is None
    assert settled(desk, crashed, made)
    assert states(desk) == ["archived"]
    assert desk.ask(broken("t1")).data.reason == Reason.ABANDONED
    assert desk.credit("acme") == 5
    assert [(act, result.partition(" T-")[0]) for act, _, _, result, _ in acts(desk)] == [
        ("edit", f"sent as cli {made.id}: applied"),
        ("archive", "abandoned"),
    ]


def test_refused_it_leaves_the_letter_as_it_was(desk: LedgerDesk, crashed: Letter) -> None:
    made = claimed(desk, crashed)
    assert desk.ask(event(top_up("nobody"), source="cli", id=made.id)).data.reason is not None
    assert settled(desk, crashed, made)
    assert states(desk) == ["waiting"]
    assert claimed(desk, crashed).id == f"edit-{crashed.id}-2"


def test_whoever_comes_after_one_that_died_finds_out_what_came_of_it(
    desk: LedgerDesk, crashed: Letter
) -> None:
    # Given somebody who sent it and died before he could say so
    made = claimed(desk, crashed)
    send(desk, made)
    # Then the next one is told, and sends nothing
    with pytest.raises(QueryInvalid, match="is archived"):
        claim(desk.connection, crashed, DOING, desk.now)
    desk.connection.commit()
    assert (states(desk), desk.credit("acme")) == (["archived"], 5)


def test_what_was_claimed_and_never_sent_can_be_sent_when_it_would_have_expired(
    desk: LedgerDesk, crashed: Letter
) -> None:
    first = claimed(desk, crashed)
    desk.later(seconds=(CLAIMED + timedelta(seconds=1)).total_seconds())
    second = claimed(desk, crashed)
    assert second.id != first.id
    assert VALID < CLAIMED
    # The first one, late as it is, is not applied any more
    assert send(desk, first).data.reason == Reason.EXPIRED
    assert send(desk, second).data.reason is None
    assert settled(desk, crashed, second)
    assert desk.credit("acme") == 5


def test_an_invalid_one_is_resolved_and_its_key_stays_free(desk: LedgerDesk) -> None:
    desk.do(enterprise())
    late(desk, keyed(top_up(amount=3), "t1"))
    letter = letter_of(desk)
    made = claimed(desk, letter)
    send(desk, made)
    assert settled(desk, letter, made)
    assert states(desk) == ["resolved"]
    assert desk.one("SELECT count(*) FROM command WHERE id = 't1'") == (0,)
