"""Plays replays of dead letters: some letters a transaction, at the rate that was asked for, on from where it was.

What came by the edge is decided by the ledger (`ledger/replay.py`); jobs and mails that were given up are asked for again
here.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import psycopg
import structlog

from ledger import replays
from ledger.acts import Doing, Done, write_down
from ledger.dead_letters import GAVE_UP, escaped
from ledger.letters import Letter
from ledger.replay import Result, Verdict, replay, settle_letters
from ledger.replays import Played
from messages.fields import parse_time
from workers.errors import SettingsInvalid
from workers.jobs import rows
from workers.jobs.performing import JOB_STREAM, MAIL_STREAM
from workers.jobs.run import RACES, Run, RunLost, RunStopped, is_defect, is_outage
from workers.producers import ProducersFile
from workers.settings import Settings

# Short enough that nobody's live command waits long for an account that is being replayed on.
AT_ONCE = 50
# If the first so many have all failed alike, the trouble is not over: the others are left as they are.
WATCHED = 100
LOOK_SECONDS = 0.5
ENDED_BADLY = frozenset({Result.FAILED, Result.REFUSED})

log = structlog.get_logger(__name__)

_STILL = "state IN ('waiting', 'failed again')"
_RUNS = f"UPDATE dead_letter SET state = 'replaying', run = %b WHERE id = %b AND {_STILL}"
_RESOLVED = f"UPDATE dead_letter SET state = 'resolved', resolved_at = %b WHERE id = %b AND {_STILL}"
_HOLD = f"SELECT id FROM dead_letter WHERE id = %b AND {_STILL} FOR UPDATE"
_MAIL_AGAIN = """
UPDATE mail SET state = 'waiting', tries = 0, next_try_at = clock_timestamp(), error = NULL
WHERE id = %b AND state = 'given up'"""


def replay_letters(run: Run) -> str:
    """Play what was asked for, some letters of each replay in turn: a slow one holds up no other."""
    if run.dry_run:
        return "nothing of this is tried: `coins dead replay --dry-run` says what a replay would do"
    producers = _producers(run.settings)
    told: list[str] = []
    playing: dict[int, _Playing] = {}
    while True:
        run.check()
        open_ones = replays.open_ones(run.connection)
        for id_ in open_ones:
            if id_ not in playing and (played := replays.begin(run.connection, id_)) is not None:
                log.info("replaying dead letters", replay=id_, total=played.total)
                playing[id_] = _Playing(run, played, producers)
        for id_ in playing.keys() - set(open_ones):
            told.append(f"replay {id_}: canceled")
            del playing[id_]
        if not playing:
            return "; ".join(told) or "nothing to replay"
        id_, next_one = min(playing.items(), key=lambda one: one[1].due_at)
        if (wait := next_one.due_at - time.monotonic()) > 0:
            time.sleep(min(wait, LOOK_SECONDS))
        elif (result := next_one.step()) is not None:
            told.append(f"replay {id_}: {result}")
            del playing[id_]


def _producers(settings: Settings) -> ProducersFile | None:
    """Who may send. Raises RunStopped while the file cannot be used: nothing is replayed without its rules."""
    if settings.producers_file is None:
        return None
    try:
        return ProducersFile(settings.producers_file)
    except SettingsInvalid as error:
        raise RunStopped(str(error)) from error


class _Playing:
    """One replay, from where it was. due_at: when its next letters are, by the monotonic clock."""

    def __init__(self, run: Run, played: Played, producers: ProducersFile | None) -> None:
        self._run = run
        self._played = played
        self._producers = producers
        self._began = self.due_at = time.monotonic()
        self._done_before = played.done
        self._attempts = 0

    def step(self) -> str | None:
        """Some letters; how it ended, if it has. One that cannot be played is stopped, and leaves the others alone."""
        self._attempts = 0
        try:
            result = self._run.transact(self._portion, total=self._played.total)
        except (RunLost, RunStopped):
            raise
        except Exception as error:
            if is_outage(error) or is_defect(error):
                raise
            log.exception("replay cannot be played", replay=self._played.id)
            why = escaped(f"stopped: {type(error).__name__}: {error}")[:500]
            self._run.transact(lambda own: replays.end(own, self._played.id, "stopped", why))
            return why
        rate, now = self._played.rate, time.monotonic()
        self.due_at = now if rate is None else self._began + (self._played.done - self._done_before) / rate
        if result is None:
            self._run.progress(f"replay {self._played.id}: {_told(self._played)}")
        return result

    def _portion(self, connection: psycopg.Connection[Any]) -> str | None:
        """Some letters; how it ended, if it has."""
        self._attempts += 1
        played = replays.hold(connection, self._played.id)
        if played is None:
            return f"canceled; {_told(self._played)}"
        letters = replays.letters(
            connection, played.chosen, limit=self._size(played), after=played.place, up_to=played.up_to
        )
        verdicts = self._decide(connection, played, letters)
        for letter in letters:
            played = played._replace(place=letter.id)
        for one in verdicts:
            played.counts[one.kind] += 1
        done = played.done + len(letters)
        played = played._replace(done=done, watched=played.watched and done < WATCHED)
        replays.move_on(connection, played)
        failed = sum(one.result in ENDED_BADLY for one in verdicts)
        self._run.tally(done=len(letters) - failed, refused=failed)
        before, self._played = self._played, played
        return self._ended(connection, before, len(letters))

    def _size(self, played: Played) -> int:
        size = AT_ONCE if played.rate is None else max(1, min(AT_ONCE, int(played.rate * LOOK_SECONDS)))
        if played.watched:
            size = min(size, WATCHED - played.done)
        return max(0, min(size, played.total - played.done))

    def _ended(self, connection: psycopg.Connection[Any], before: Played, letters: int) -> str | None:
        played = self._played
        if alike := _all_alike(before, played):
            why = f"stopped: the first {played.done:,} all ended alike, {alike}"
            replays.end(connection, played.id, "stopped", why)
            return why
        if letters and played.done < played.total:
            return None
        result = _told(played)
        if played.done < played.total:
            result += f"; {played.total - played.done:,} were dealt with by somebody else meanwhile"
        replays.end(connection, played.id, "done", result)
        return result

    def _decide(
        self, connection: psycopg.Connection[Any], played: Played, letters: Sequence[Letter]
    ) -> list[Verdict]:
        now = datetime.now(UTC)
        doing = Doing("replay", played.who, played.why, played.id)
        verdicts = replay(
            connection,
            [one for one in letters if one.reason != GAVE_UP],
            now,
            doing,
            producers=self._producers.current() if self._producers is not None else None,
            even_if_newer=played.even_if_newer,
            persistent=self._attempts == RACES - 1,
        )
        again = [_run_again(connection, one, now) for one in letters if one.reason == GAVE_UP]
        settle_letters(connection, again, now)
        done = [Done(one.letter, one.told) for one in again if one.result is not Result.GONE]
        write_down(connection, doing, done, now)
        return verdicts + again


def _all_alike(before: Played, played: Played) -> str | None:
    """What all letters so far have ended by, when enough of them have and it is nothing good."""
    if not before.watched or played.done < WATCHED or len(played.counts) != 1:
        return None
    (kind,) = played.counts
    return kind if kind.partition(":")[0] in ENDED_BADLY else None


def _run_again(connection: psycopg.Connection[Any], letter: Letter, now: datetime) -> Verdict:
    """What a job gave up is asked for again."""
    if connection.execute(_HOLD, (letter.id,)).fetchone() is None:
        return Verdict(letter.id, Result.GONE)
    if letter.stream.startswith(JOB_STREAM):
        at = parse_time(json.loads(letter.raw)["at"])
        job = letter.stream.removeprefix(JOB_STREAM)
        run = rows.ask(connection, job, at, f"dead letter {letter.id}")
        connection.execute(_RUNS, (run, letter.id))
        return Verdict(letter.id, Result.RUN_AGAIN, f"run {run} of {job}")
    if letter.stream == MAIL_STREAM and connection.execute(_MAIL_AGAIN, (int(letter.position),)).rowcount:
        connection.execute(_RESOLVED, (now, letter.id))
        return Verdict(letter.id, Result.RUN_AGAIN, f"mail {letter.position} is sent again")
    return Verdict(
        letter.id, Result.FAILED, f"nothing is left of {letter.stream} {letter.position}", trouble="gone"
    )


def _told(played: Played) -> str:
    listed = ", ".join(f"{kind} {number:,}" for kind, number in played.counts.most_common())
    return f"{played.done:,} of {played.total:,} letters" + (f": {listed}" if listed else "")
