"""What a replay would do is told beforehand: as it then happens, without a lock, and without a trace."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from ledger import replays
from ledger.acts import Doing
from ledger.queries.dead import LetterFilter
from ledger.queries.reading import snapshot
from ledger.replay import Result, replay
from ledger.replay_foreseen import Foreseen, foresee
from messages.commands import DebitForDeviceOnboarding, PutPlan, TopUp, Transfer
from messages.publisher import event
from tests.breaking import BROKEN, Break, crash, mend
from tests.builders import (
    branch,
    enterprise,
    grant,
    onboarding,
    plan,
    reseller,
    sponsored_customer,
    top_up,
    transfer,
)
from tests.desk import SOURCE, LedgerDesk, body_of

ALL = LetterFilter()


def keyed(command: Any, id_: str) -> Any:
    return event(command, source=SOURCE, id=id_)


def foreseen(desk: LedgerDesk, *, even_if_newer: bool = False) -> Foreseen:
    told = Foreseen()
    with snapshot(desk.connection):
        found = replays.letters(desk.connection, ALL, limit=10_000)
        foresee(desk.connection, found, desk.now, even_if_newer=even_if_newer, foreseen=told)
    return told


@pytest.fixture
def shop(desk: LedgerDesk, break_rule: Break) -> LedgerDesk:
    """Letters of every kind: 100 coins, and more asked for than there is."""
    desk.do(enterprise(), branch(), top_up(amount=100))
    desk.do(reseller(), sponsored_customer(), top_up("shop", 1_000), grant(amount=50))
    for command in (TopUp, Transfer, DebitForDeviceOnboarding):
        break_rule(command, decide=crash)
    desk.send(
        keyed(top_up(amount=7, note=BROKEN), "was decided"),
        keyed(onboarding("carl", "c1", price=20, note=BROKEN), "both parties"),
        *(keyed(transfer(amount=30, note=BROKEN), f"t{number}") for number in range(5)),
        keyed(onboarding("acme", "d1", plan="none", price=None, note=BROKEN), "no plan"),
    )
    desk.deliver(b"no json", body_of(keyed(plan("year", price=1), "p1")).replace(b'"1.0"', b'"0"'))
    mend()
    desk.ask(keyed(top_up(amount=7, note=BROKEN), "was decided"))
    desk.all("UPDATE dead_letter SET state = 'waiting'")
    return desk


def test_a_dry_run_tells_what_then_happens(shop: LedgerDesk) -> None:
    told = foreseen(shop)
    assert (told.letters, told.already_applied, told.would_apply) == (10, 1, 4)
    assert (told.coins, told.allotments) == (20 + 3 * 30, 20)
    assert dict(told.would_be_refused) == {"insufficient_credit": 2, "plan_not_found": 1}
    assert dict(told.would_fail_again) == {"still unreadable": 1, "still invalid": 1}
    assert told.told == (
        "1 already applied, 4 would move 110 coins and 20 of allotments, "
        "3 would still be refused: insufficient_credit 2, plan_not_found 1, "
        "2 would fail again: still unreadable 1, still invalid 1"
    )
    found = replays.letters(shop.connection, ALL, limit=100)
    verdicts = replay(shop.connection, found, shop.now, Doing("replay", "ada"))
    shop.connection.commit()
    assert [one.result for one in verdicts].count(Result.APPLIED) == told.would_apply
    assert [one.result for one in verdicts].count(Result.REFUSED) == told.would_be_refused.total()
    assert [one.result for one in verdicts].count(Result.FAILED) == told.would_fail_again.total()


def test_a_dry_run_leaves_no_trace_and_waits_for_nobody(shop: LedgerDesk, database_url: str) -> None:
    before = shop.one("SELECT (SELECT last_value FROM transaction_key), (SELECT count(*) FROM command)")
    with psycopg.connect(database_url) as other:
        other.execute("SELECT FROM account FOR UPDATE")
        other.execute("LOCK TABLE dead_letter IN EXCLUSIVE MODE")
        with shop.connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '2s'")
        shop.connection.commit()
        assert foreseen(shop).would_apply == 4
    after = shop.one("SELECT (SELECT last_value FROM transaction_key), (SELECT count(*) FROM command)")
    assert before == after
    assert {one["state"] for one in shop.letters()} == {"waiting"}


def test_a_rule_that_still_raises_is_foreseen(shop: LedgerDesk, break_rule: Break) -> None:
    break_rule(Transfer, decide=crash)
    told = foreseen(shop)
    (crashed,) = (one for one in told.would_fail_again if one.startswith("tests.breaking.Defect at "))
    assert told.would_fail_again[crashed] == 5
    assert told.would_apply == 1
    mend()
    break_rule(Transfer, needs=crash)
    assert foreseen(shop).would_fail_again.total() == 7


def test_what_was_set_since_is_foreseen(desk: LedgerDesk, break_rule: Break) -> None:
    desk.do(enterprise())
    desk.deliver(
        body_of(keyed(PutPlan(plan="year", name="Year", kind="renewal", price=1), "p1")).replace(
            b'"1.0"', b'"0"'
        )
    )
    desk.all(
        "UPDATE dead_letter SET raw = convert_to(replace(convert_from(raw, 'UTF8'), '\"0\"', '\"1.0\"'), 'UTF8')"
    )
    assert foreseen(desk).would_apply == 1
    desk.later(minutes=1)
    desk.do(plan("year", price=3))
    told = foreseen(desk)
    assert (told.would_apply, told.older) == (0, 1)
    assert "--even-if-newer" in told.told
    assert foreseen(desk, even_if_newer=True).would_apply == 1


def test_nothing_chosen_is_said_so(desk: LedgerDesk) -> None:
    assert foreseen(desk).told == "no letter is chosen"
