"""Dead letters of producers that are held to a file: who was verified stays so, who was not has to be, and rules apply."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ledger import replays
from ledger.acts import Doing
from ledger.queries.dead import LetterFilter
from ledger.queries.reading import snapshot
from ledger.replay import Result, Verdict, replay
from ledger.replay_foreseen import Foreseen, foresee
from ledger.trust import Producer, Producers, Rule
from messages.commands import TopUp
from messages.publisher import event
from messages.signing import sign
from tests.breaking import BROKEN, Break, crash, mend
from tests.builders import enterprise, top_up
from tests.desk import SOURCE, LedgerDesk, body_of
from tests.ledger.producing import SECRET, ProducerDesk, producers

NEW_SECRET = "a secret that nobody knows yet"
FREE = producers(everything=True)
ONLY_RIVAL = producers(Rule(None, "rival", itself=True))


@pytest.fixture
def desk(database_url: str) -> Iterator[ProducerDesk]:
    made = ProducerDesk(database_url, FREE)
    made.do(enterprise(), enterprise("rival"))
    yield made
    made.close()


def keyed(id_: str, *, source: str = SOURCE, note: str | None = None) -> bytes:
    return body_of(event(top_up(amount=5, note=note), source=source, id=id_))


def replayed(desk: LedgerDesk, trust: Producers | None) -> Verdict:
    """What became of the one letter; it is what a dry run said before."""
    found = replays.letters(desk.connection, LetterFilter(), limit=10)
    desk.connection.commit()
    told = Foreseen()
    with snapshot(desk.connection):
        foresee(desk.connection, found, desk.now, even_if_newer=False, foreseen=told, producers=trust)
    (verdict,) = replay(desk.connection, found, desk.now, Doing("replay", "ada", None), producers=trust)
    desk.connection.commit()
    expected: dict[Any, int] = {
        Result.APPLIED: told.would_apply,
        Result.REFUSED: told.would_be_refused.total(),
        Result.FAILED: told.would_fail_again.total(),
    }
    assert expected[verdict.result] == 1
    return verdict


def test_what_crashed_is_replayed_though_its_secret_is_not_valid_any_more(
    desk: ProducerDesk, break_rule: Break
) -> None:
    break_rule(TopUp, decide=crash)
    desk.deliver(keyed("t1", note=BROKEN))
    mend()
    trust = Producers({SOURCE: Producer(SOURCE, (NEW_SECRET,))})
    assert replayed(desk, trust).result == Result.APPLIED
    assert desk.credit("acme") == 5


def test_the_rules_that_are_in_force_apply(desk: ProducerDesk, break_rule: Break) -> None:
    break_rule(TopUp, decide=crash)
    desk.deliver(keyed("t1", note=BROKEN))
    mend()
    verdict = replayed(desk, ONLY_RIVAL)
    assert (verdict.result, verdict.trouble) == (Result.REFUSED, "not_authorized")
    assert desk.credit("acme") == 0


def test_nothing_comes_of_a_producer_that_is_gone(desk: ProducerDesk, break_rule: Break) -> None:
    break_rule(TopUp, decide=crash)
    desk.deliver(keyed("t1", note=BROKEN))
    mend()
    verdict = replayed(desk, Producers({}))
    assert (verdict.result, verdict.trouble) == (Result.FAILED, "unauthenticated")
    assert desk.credit("acme") == 0


def test_what_was_not_genuine_may_be_by_a_file_that_knows_its_secret(desk: ProducerDesk) -> None:
    """Somebody has forgotten to write the new secret down."""
    desk.signature = lambda body: sign(body, NEW_SECRET).encode()
    desk.deliver(keyed("t1"))
    assert replayed(desk, FREE).result == Result.FAILED
    trust = Producers({SOURCE: Producer(SOURCE, (NEW_SECRET, SECRET))})
    verdict = replayed(desk, trust)
    assert (verdict.result, verdict.source, verdict.command_id) == (Result.APPLIED, SOURCE, "t1")
    assert desk.credit("acme") == 5
    desk.signature = lambda body: sign(body, SECRET).encode()
    (said,) = desk.deliver(keyed("t1"))
    assert said.data.duplicate, "it was decided under its own key"


@pytest.mark.parametrize("signature", [None, b"\xff\x00", sign(b"another body", SECRET).encode()])
@pytest.mark.parametrize("trust", [FREE, None])
def test_what_is_not_genuine_never_comes_to_be_by_a_replay(
    desk: ProducerDesk, signature: bytes | None, trust: Producers | None
) -> None:
    """Where there is no file by now, least of all."""
    desk.signature = lambda body: signature
    desk.deliver(keyed("t1"))
    for _ in range(2):
        verdict = replayed(desk, trust)
        assert (verdict.result, verdict.trouble) == (Result.FAILED, "unauthenticated")
    assert desk.credit("acme") == 0
    assert desk.one("SELECT count(*) FROM command WHERE id = 't1'") == (0,)


def test_a_foreign_source_stays_foreign(desk: ProducerDesk) -> None:
    desk.deliver(keyed("renewal:s:1:1", source="coins/scheduler"))
    verdict = replayed(desk, FREE)
    assert (verdict.result, verdict.trouble) == (Result.FAILED, "unauthenticated")
    assert desk.one("SELECT count(*) FROM command WHERE source = 'coins/scheduler'") == (0,)
    assert desk.letters()[0]["source"] is None


def test_what_is_not_genuine_is_not_read_to_find_out_whom_it_is_about(desk: ProducerDesk) -> None:
    desk.signature = lambda body: None
    desk.deliver(keyed("t1"))
    assert desk.one("SELECT account FROM dead_letter") == (None,)
