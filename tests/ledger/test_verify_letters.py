"""Letters that were dealt with leave a ledger that agrees with itself; one that only says so does not."""

from __future__ import annotations

from ledger import replays
from ledger.acts import Doing
from ledger.database import connect
from ledger.edits import claim, settle
from ledger.queries.dead import LetterFilter
from ledger.replay import abandon, replay
from ledger.verify import verify
from messages.commands import TopUp
from messages.publisher import event
from tests import builders as a
from tests.breaking import BROKEN, Break, crash, mend
from tests.desk import SOURCE, LedgerDesk, array_of


def test_replayed_abandoned_and_edited_letters_make_no_difference(
    desk: LedgerDesk, database_url: str, break_rule: Break
) -> None:
    # Given commands that crashed, alone and within a long array, and some that are none
    desk.do(a.enterprise())
    break_rule(TopUp, decide=crash)
    bad = [event(a.top_up(note=BROKEN), source=SOURCE, id=f"t{number}") for number in range(3)]
    long = [a.onboarding("acme", f"d{number}", note="n" * 400) for number in range(20)]
    desk.deliver(array_of(*bad[:2]), array_of(*long, bad[2]))
    invalid = {"type": "TopUp", "id": "invalid", "source": SOURCE, "data": {"account": "acme"}}
    desk.send(invalid, b"no json", {**invalid, "id": "other"})
    mend()

    # When they are replayed, abandoned, edited, or left
    by_id = {one.command_id: one for one in replays.letters(desk.connection, LetterFilter(), limit=100)}
    doing = Doing("replay", "ada", "mended", None)
    replay(desk.connection, [by_id["t0"], by_id["t2"], by_id["other"]], desk.now, doing)
    abandon(desk.connection, [by_id["t1"], by_id[None]], desk.now, Doing("archive", "ada", "a test"))
    editing = Doing("edit", "ada", None)
    claimed = claim(desk.connection, by_id["invalid"], editing, desk.now)
    desk.connection.commit()
    desk.ask(event(a.top_up(), source="cli", id=claimed.id))
    assert settle(desk.connection, by_id["invalid"], claimed.id, editing, desk.now)
    desk.connection.commit()

    # Then the ledger agrees with itself: with what came in, and with what became of it
    states = {one["command_id"]: one["state"] for one in desk.letters()}
    assert states == {
        "t0": "resolved",
        "t1": "archived",
        "t2": "resolved",
        "invalid": "resolved",
        "other": "failed again",
        None: "archived",
    }
    with connect(database_url, name="test verify") as connection:
        assert verify(connection).differences == []

    # And a letter that is only said to be resolved is found
    desk.all("UPDATE dead_letter SET state = 'resolved' WHERE command_id = 'other'")
    with connect(database_url, name="test verify") as connection:
        (found,) = verify(connection).differences
    assert (found.check, found.where) == ("letters", f"dead_letter {by_id['other'].id}")
