"""After a restore, before anybody works: what producers were told since is decided again as it was told.

The edge remembers both sides (`remembered.py`): the commands, as long as COINS_COMMANDS_KEEP says, and the outcomes, as many
as COINS_EVENTS_KEEP says. An outcome's id says in which batch, at which place and when it was decided; so the batches can be
put together again, in their order, and decided by the clock of then (`ledger/retelling.py`). What was not told is left to
the workers, as far as they will find it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import psycopg
import redis

from ledger.database import connect
from ledger.errors import FenceLost
from ledger.retelling import Difference, last_number, leave_out
from ledger.schema import check_schema
from ledger.told import Gap, ToldTables
from workers.errors import NotReady
from workers.holding import holding_all
from workers.producers import producers_now
from workers.quiet import who_works
from workers.redeciding import Deciding, read_before
from workers.remembered import memory_of
from workers.settings import Settings

# Clocks differ.
MARGIN = timedelta(minutes=10)
# What was decided and not told to anybody any more; numbers have gaps anyhow.
UNTOLD_NUMBERS = 10_000
# Where nothing was told that would show how far numbers had gone.
SKIP = 1_000_000
SHOWN = 50

# Who has sent something lately, by the streams that it came by.
_SENDERS = """
SELECT DISTINCT sent ->> 2 FROM (SELECT deliveries FROM batch ORDER BY id DESC LIMIT 10000) b,
  json_array_elements(b.deliveries::json) AS sent
WHERE sent ->> 2 IS NOT NULL"""
# The clock of whoever decided it may have been ahead.
_LAST_BATCH = (
    "SELECT id, received_at, least(received_at, clock_timestamp()) FROM batch ORDER BY id DESC LIMIT 1"
)


@dataclass(slots=True)
class Retold:
    """What became of it. `since`: the ledger's last batch; `beyond`: new transactions get higher numbers; `untold`: commands
    decided now that nobody was told of, as far as the workers will not find them."""

    since: datetime | None
    told: int
    beyond: int
    untold: int = 0
    batches: int = 0
    as_told: int = 0
    messages: int = 0
    gaps: list[Gap] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)

    @property
    def is_as_told(self) -> bool:
        """Whether everything is as it was told, and the edge remembers all of it."""
        return not self.differences and not self.gaps

    def told_in_words(self) -> Iterator[str]:
        """For the person who restores."""
        for gap in self.gaps:
            yield (
                f"{gap.stream} does not reach back to the ledger's last batch"
                f"{f' ({self.since.isoformat()})' if self.since is not None else ''}: its first outcome is of "
                f"{gap.at.isoformat()} (batch {gap.batch}). What was told before was "
                "trimmed (COINS_EVENTS_KEEP) and is not compared"
            )
        if self.untold:
            yield f"{self.untold:,} commands that nobody was told of are decided now"
        if not self.told:
            yield (
                "the edge remembers no outcome that the ledger does not have; new transactions are numbered beyond "
                f"{self.beyond:,}. What producers sent later, and the edge does not have, they send again: keys decide"
            )
            return
        yield (
            f"{self.messages:,} messages in {self.batches:,} batches were decided again, {self.as_told:,} of the batches "
            f"word for word; new transactions are numbered beyond {self.beyond:,}"
        )
        for one in self.differences[:SHOWN]:
            yield f"  {one.source} {one.id}: told {one.told}, now {one.now or 'not decided'}"
        if len(self.differences) > SHOWN:
            yield f"  and {len(self.differences) - SHOWN:,} more"
        yield (
            f"{len(self.differences):,} of {self.told:,} commands are not as their producers were told"
            if self.differences
            else f"all {self.told:,} commands that were told since{' and are remembered' if self.gaps else ''} "
            "are as they were told"
        )


def retell(
    settings: Settings, *, skip: int = SKIP, progress: Callable[[str], None] = lambda _: None
) -> Retold:
    """Decide again what was told, and compare. It may be broken off and run again.

    On RabbitMQ also what was not told is decided, out of the kept copy: from the queues it may be gone.

    Raises NotReady while processes of the system are alive, or where a server cannot be read.
    """
    try:
        return _retell(settings, skip, progress)
    except redis.RedisError as error:
        raise NotReady(f"the edge cannot be read: {error}") from error
    except FenceLost as error:
        raise NotReady(
            f"{error}: somebody works in this database; stop all processes, and run this again"
        ) from error


def _retell(settings: Settings, skip: int, progress: Callable[[str], None]) -> Retold:
    with connect(settings.database, name="restored") as looking:
        check_schema(looking)
        demand_restored(looking)
        with holding_all(settings.database, settings.partitions, name="restored") as epochs:
            return _retell_alone(settings, looking, epochs, skip, progress)


def _retell_alone(
    settings: Settings,
    looking: psycopg.Connection[Any],
    epochs: dict[int, int],
    skip: int,
    progress: Callable[[str], None],
) -> Retold:
    """With all partitions in hand."""
    row = looking.execute(_LAST_BATCH).fetchone()
    last_batch, since, begin = row if row is not None else (0, None, None)
    positions = dict(looking.execute("SELECT stream, position FROM position").fetchall())
    senders = [name for (name,) in looking.execute(_SENDERS)]
    begin = begin - MARGIN if begin is not None else None
    kept_read = read_before(positions, last_batch)
    memory = memory_of(settings, begin, positions, producers_now(settings), senders, kept_read)
    try:
        progress("reading what was told")
        tables = ToldTables(looking)
        tables.fill(memory.outcomes(), memory.further(), last_batch)
        beyond = _leave_out(looking, tables, last_batch, skip)
        result = Retold(since, tables.told, beyond, gaps=tables.gaps)
        progress(f"{tables.told:,} outcomes were told that the ledger does not have")
        deciding = Deciding(settings, looking, memory, positions, epochs)
        try:
            deciding.again(tables, result)
            deciding.rest(result)
        finally:
            deciding.close()
    finally:
        memory.close()
    progress("comparing")
    result.differences = list(tables.differences())
    return result


def demand_restored(connection: psycopg.Connection[Any]) -> None:
    """Raises NotReady while the database is still being restored, or somebody works on it."""
    row = connection.execute("SELECT pg_is_in_recovery()").fetchone()
    if row is not None and row[0]:
        raise NotReady("the database is still being restored, or is a replica: wait for it, or promote it")
    if live := who_works(connection):
        raise NotReady(
            f"processes have sessions ({live}): stop them, and run this before they are started again"
        )


def _leave_out(connection: psycopg.Connection[Any], tables: ToldTables, last_batch: int, skip: int) -> int:
    """No new transaction gets a number that was told of another one."""
    beyond = (tables.last_number or 0) + UNTOLD_NUMBERS
    if beyond <= (last := last_number(connection, "transaction_key")) + UNTOLD_NUMBERS:
        beyond = last + (skip if tables.last_number is None else UNTOLD_NUMBERS)
    leave_out(connection, transaction=beyond, batch=max(tables.last_batch, last_batch) + UNTOLD_NUMBERS)
    return beyond
