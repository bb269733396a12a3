"""Dead letters: how long a dry run over them takes, how fast they are replayed, and what a command waits for meanwhile.

The letters are commands that could be applied: a defect was mended. They are put into the table by hand, because a hundred
thousand crashes would stop the system long before; the running system replays them.
"""

from __future__ import annotations

import os
import random
import subprocess
import threading
import time
from typing import Any

import orjson
import psycopg

from deploy.bench import latency
from deploy.bench.errors import FigureFailed
from deploy.bench.results import Latency, Rate, Took
from deploy.bench.system import Bench
from deploy.bench.workload import PRODUCER, Workload
from deploy.supervisor import say
from deploy.up import COINS
from ledger import replays
from ledger.queries.dead import LetterFilter
from ledger.replays import ReplayRow
from workers.jobs import rows

PER_COMMAND = 2  # 100,000 letters where a figure takes 50,000 commands
COMMANDS_A_LETTER = 5  # and 10,000 for a dry run
A_SECOND = 500
LOOK_SECONDS = 0.2
STALLED_SECONDS = 60.0
SEED = 20_261_126
# Their outcomes go to a stream of their own, beside those that are waited for.
REPLAYED_FOR = "bench-letters"

_GROUP = """
INSERT INTO dead_letter_group (digest, reason, type, exception, frame, count, kept, first_at, last_at)
VALUES (sha256(%(name)s::bytea), 'crashed', NULL, 'bench.Defect', %(name)s, %(count)s, %(count)s, now(), now())
RETURNING id"""
_COPY = """
COPY dead_letter (group_id, digest, source, command_id, producer, stream, position, place, raw, why, count, first_at,
                  last_at)
FROM STDIN"""
_DELETE = "DELETE FROM dead_letter WHERE group_id = %b"


def dry_run(bench: Bench) -> Took:
    """Seconds of `coins dead replay --dry-run`, while 200 commands a second are answered."""
    count = max(1, bench.commands // COMMANDS_A_LETTER)
    bench.system()
    with _database(bench) as database:
        group = _make(database, count, bench.commands)
        measured: list[Latency] = []
        meanwhile = threading.Thread(target=lambda: measured.append(latency.latency(bench)), daemon=True)
        meanwhile.start()
        time.sleep(2.0)
        began = time.perf_counter()
        told = _foreseen(bench, group)
        seconds = time.perf_counter() - began
        meanwhile.join()
        database.execute(_DELETE, (group,))
    if told["would_apply"]["count"] != count:
        raise FigureFailed(f"{count:,} letters would be applied, and it was foreseen: {told['told']}")
    if not measured:
        raise FigureFailed("the commands beside it were not all answered")
    say(
        f"  {told['told']}; commands beside it p50 {measured[0].p50_ms:.1f} ms, p99 {measured[0].p99_ms:.1f} ms"
    )
    return Took(seconds)


def replay(bench: Bench) -> Rate:
    """As fast as it goes, from the moment a worker is asked for it until every letter is decided."""
    count = PER_COMMAND * bench.commands
    bench.system()
    with _database(bench) as database:
        began = time.perf_counter()
        replayed = _replayed(database, _make(database, count, bench.commands), rate=None)
        seconds = time.perf_counter() - began
        if replayed.counts != {"applied": count}:
            raise FigureFailed(f"{count:,} letters should have been applied: {replayed.result}")
        return Rate(count / seconds, "letters/s")


def latency_replay(bench: Bench) -> Latency:
    """200 commands a second for ten seconds while letters are replayed at 500 a second."""
    bench.system()
    with _database(bench) as database:
        group = _make(database, 20 * A_SECOND, bench.commands)
        done: list[ReplayRow] = []
        replaying = threading.Thread(
            target=lambda: done.append(_replayed(database, group, rate=float(A_SECOND))), daemon=True
        )
        replaying.start()
        time.sleep(2.0)
        measured = latency.latency(bench)
        still_running = replaying.is_alive()
        replaying.join()
        if not done or not still_running:
            raise FigureFailed("the replay was over, or had failed, before the latency was measured")
        (replayed,) = done
        assert replayed.started_at is not None
        assert replayed.finished_at is not None
        seconds = (replayed.finished_at - replayed.started_at).total_seconds()
        say(
            f"  {replayed.done:,} letters in {seconds:.1f} s: {replayed.done / seconds:.0f}/s, {A_SECOND} asked for"
        )
        return measured


def _database(bench: Bench) -> psycopg.Connection[Any]:
    return psycopg.connect(bench.database_url, autocommit=True, application_name="coins bench")


def _make(database: psycopg.Connection[Any], count: int, commands: int) -> int:
    """So many letters, in a group of their own; its number."""
    say(f"  {count:,} dead letters")
    name = os.urandom(8).hex()
    row = database.execute(_GROUP, {"name": name, "count": count}).fetchone()
    assert row is not None
    workload = Workload.for_commands(commands)
    workload.chance = random.Random(f"{SEED}-{name}")
    with database.transaction(), database.cursor().copy(_COPY) as copy:
        for number, one in enumerate(workload.mixed(count, hot_share=0.1)):
            digest = f"{name}-{number}".encode()
            now = "now"
            copy.write_row(
                (
                    row[0],
                    digest,
                    PRODUCER,
                    one.id,
                    REPLAYED_FOR,
                    "bench",
                    "0-0",
                    0,
                    one.body,
                    "a defect",
                    1,
                    now,
                    now,
                )
            )
    database.execute("ANALYZE dead_letter")
    group: int = row[0]
    return group


def _foreseen(bench: Bench, group: int) -> Any:
    environment = {
        **os.environ,
        "COINS_DATABASE_URL": bench.database_url,
        "COINS_REDIS_URL": bench.redis_url,
    }
    command = [*COINS, "dead", "replay", "--group", str(group), "--dry-run", "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    if done.returncode != 0:
        raise FigureFailed(f"the dry run has failed: {done.stderr.decode().strip()}")
    return orjson.loads(done.stdout)


def _replayed(database: psycopg.Connection[Any], group: int, *, rate: float | None) -> ReplayRow:
    """Replay the letters of the group to the end. Raises FigureFailed where it does not get on."""
    asked = replays.ask(
        database,
        LetterFilter(groups=[group]),
        who="bench",
        why=None,
        rate=rate,
        limit=None,
        even_if_newer=False,
    )
    rows.ask(database, "replay", replays.replay(database, asked.id).created_at, "bench")
    done, grew_at = 0, time.perf_counter()
    while True:
        found = replays.replay(database, asked.id)
        if found.state not in ("waiting", "running"):
            return found
        now = time.perf_counter()
        if found.done != done:
            done, grew_at = found.done, now
        elif now - grew_at > STALLED_SECONDS:
            raise FigureFailed(f"the replay is {found.state} with {done:,} of {found.total:,}")
        time.sleep(LOOK_SECONDS)
