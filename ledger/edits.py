"""A letter is sent anew by hand: claimed before anything is sent, so that it is sent once, and settled by what came of it.

While it is claimed nobody replays, archives or edits it. The new message has an id that follows from the letter, and expires
before the claim does: whoever dies in between leaves nothing behind that could still be applied unseen.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, NamedTuple

import psycopg

from ledger.acts import Doing
from ledger.dead_letters import CRASHED, escaped
from ledger.errors import NotFound, QueryInvalid
from ledger.letters import Letter
from ledger.replay import abandon

SOURCE = "cli"
# How long the new message may be applied, and how long the letter is nobody else's.
VALID, CLAIMED = timedelta(minutes=5), timedelta(minutes=10)

_HELD = "SELECT state, claimed_until FROM dead_letter WHERE id = %b FOR UPDATE"
_EDITS = "SELECT count(*) FROM dead_letter_act WHERE letter = %b AND act = 'edit'"
_DECIDED = """
SELECT c.reason, c.outcome::json ->> 'transaction' FROM command c WHERE c.source = %b AND c.id = %b"""
_CLAIM = "UPDATE dead_letter SET claimed_until = %b WHERE id = %b"
_ACT = """
INSERT INTO dead_letter_act (letter, at, act, who, why, result) VALUES (%b, %b, 'edit', %b, %b, %b)"""
_RESULT = """
UPDATE dead_letter_act SET result = %b
WHERE id = (SELECT max(id) FROM dead_letter_act WHERE letter = %b AND act = 'edit')"""
_RESOLVE = """
UPDATE dead_letter SET state = 'resolved', resolved_at = %b
WHERE id = %b AND state IN ('waiting', 'failed again')"""


class Claim(NamedTuple):
    """The id that the new message is to have, and when it has to expire."""

    id: str
    expires_at: datetime


def claim(connection: psycopg.Connection[Any], letter: Letter, doing: Doing, now: datetime) -> Claim:
    """Make the letter ours and write that down, in a transaction of the caller's, to be committed before anything is sent.

    Raises QueryInvalid where somebody else has dealt with it, or deals with it just now.
    """
    state, claimed_until = _held(connection, letter.id)
    (edits,) = connection.execute(_EDITS, (letter.id,)).fetchone() or (0,)
    if edits and claimed_until is not None:
        before = _id(letter.id, edits)
        if settle(connection, letter, before, doing, now):
            state, claimed_until = _held(connection, letter.id)
        elif claimed_until > now:
            raise QueryInvalid(
                f"letter {letter.id} was sent anew as {SOURCE} {before} and is not decided yet; "
                f"see `coins command {SOURCE} {before}`, and try again after {claimed_until:%H:%M:%S} UTC"
            )
    if state not in ("waiting", "failed again"):
        raise QueryInvalid(f"letter {letter.id} is {state}; `coins dead show {letter.id}` tells by whom")
    made = Claim(_id(letter.id, edits + 1), now + VALID)
    why = escaped(doing.why) if doing.why else None
    connection.execute(_ACT, (letter.id, now, doing.who, why, f"sent as {SOURCE} {made.id}: not known yet"))
    connection.execute(_CLAIM, (now + CLAIMED, letter.id))
    return made


def settle(connection: psycopg.Connection[Any], letter: Letter, id: str, doing: Doing, now: datetime) -> bool:
    """Write down what came of the new message, in the caller's transaction. Whether it is decided.

    Applied, it resolves the letter; the key of a crashed command is decided by it: `abandoned`. Refused, the letter goes on
    waiting. Raises BatchRaced, psycopg.Error: nothing is done then.
    """
    decided = connection.execute(_DECIDED, (SOURCE, id)).fetchone()
    if decided is None:
        return False
    reason, transaction = decided
    what = f"rejected: {reason}" if reason is not None else f"applied {transaction or ''}".rstrip()
    connection.execute(_RESULT, (f"sent as {SOURCE} {id}: {what}", letter.id))
    connection.execute(_CLAIM, (None, letter.id))
    if reason is None and letter.reason == CRASHED:
        abandon(connection, [letter], now, Doing("archive", doing.who, f"sent anew as {SOURCE} {id}"))
    elif reason is None:
        connection.execute(_RESOLVE, (now, letter.id))
    return True


def _held(connection: psycopg.Connection[Any], number: int) -> tuple[str, datetime | None]:
    row = connection.execute(_HELD, (number,)).fetchone()
    if row is None:
        raise NotFound(f"there is no dead letter {number}; `coins dead list` has them all")
    return row[0], row[1]


def _id(letter: int, number: int) -> str:
    return f"edit-{letter}-{number}"
