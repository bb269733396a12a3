"""A system whose batches, replays and publications are made by hand, one at a time: what a restore has to do over again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import psycopg

from ledger import replays
from ledger.acts import Doing
from ledger.batch import Batch
from ledger.database import connect_for_commands
from ledger.handle import handle
from ledger.queries.dead import LetterFilter
from ledger.replay import abandon, replay
from messages.publisher import Message, Publisher
from tests.system.site import Site, administer
from workers.publishing import RedisEvents
from workers.retelling import Retold, retell
from workers.settings import Settings
from workers.streams import StreamReader

PRODUCER = "till"
ALL = LetterFilter()


def event(id_: str, type_: str, **data: Any) -> bytes:
    whole = {"specversion": "1.0", "id": id_, "source": PRODUCER, "type": f"coins.{type_}.v1", "data": data}
    return json.dumps(whole).encode()


@dataclass
class Past:
    """One partition of a site, read by a test. `keep`: how many events a stream keeps."""

    site: Site
    keep: int = 1_000_000
    restored: str = ""
    _connection: psycopg.Connection[Any] | None = None
    _reader: StreamReader = field(init=False)

    def __post_init__(self) -> None:
        self.restored = f"{self.site.database}_restored"
        self._reader = StreamReader(self.site.edge_url, 0, self.site.partitions)
        self._reader.begin({})

    @property
    def connection(self) -> psycopg.Connection[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = connect_for_commands(self.site.database_url, name="test")
        return self._connection

    def batch(self, *bodies: bytes, now: datetime | None = None) -> None:
        """Messages that come in together, and are decided at once."""
        with Publisher(self.site.edge_url, producer=PRODUCER) as publisher:
            publisher.send_raw([Message(body, 0) for body in bodies])
        self._reader._look_around()
        deliveries = self._reader.read(1_000)
        assert len(deliveries) == len(bodies)
        moves = self._reader.moves(deliveries)
        self._one("UPDATE partition SET lease_until = clock_timestamp() WHERE id = 0 RETURNING 1")
        epoch = self._one("SELECT epoch FROM partition WHERE id = 0")
        handle(self.connection, Batch(0, epoch, moves, deliveries), now or datetime.now(UTC))
        self.connection.commit()
        self._reader.done(deliveries, moves)

    def replay(self) -> None:
        """All letters that wait, once the defect is mended."""
        found = replays.letters(self.connection, ALL, limit=1_000)
        replay(self.connection, found, datetime.now(UTC), Doing("replay", "ada", "mended"))
        self.connection.commit()

    def abandon(self) -> None:
        found = replays.letters(self.connection, ALL, limit=1_000)
        abandon(self.connection, found, datetime.now(UTC), Doing("archive", "ada", "not any more"))
        self.connection.commit()

    def tell(self) -> None:
        """What the relay does."""
        rows = self.connection.execute("DELETE FROM outbox RETURNING id, events", binary=True).fetchall()
        events = RedisEvents(self.site.edge_url, keep=self.keep)
        events.publish(sorted(rows), 1)
        events.close()
        self.connection.commit()

    def backup(self) -> None:
        self.tell()
        self.connection.execute("UPDATE partition SET lease_until = '-infinity'")
        self.connection.commit()
        self.close()
        administer(
            self.site.servers,
            f"CREATE DATABASE {self.restored} TEMPLATE {self.site.database} STRATEGY FILE_COPY",
        )

    def decided(self, database_url: str | None = None) -> dict[str, tuple[str | None, int | None]]:
        """Reason and transaction of each command."""
        with psycopg.connect(database_url or self.site.database_url) as connection:
            rows = connection.execute("SELECT id, reason, transaction FROM command").fetchall()
        return {id_: (reason, number) for id_, reason, number in rows}

    @property
    def restored_url(self) -> str:
        return self.site.database_url.replace(self.site.database, self.restored)

    def retold(self) -> Retold:
        """The backup in its place, and decided again."""
        self.tell()
        return retell(
            Settings(
                database_url=self.restored_url,
                redis_url=self.site.edge_url,
                partitions=self.site.partitions,
            )
        )

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._reader.close()

    def _one(self, statement: str) -> Any:
        row = self.connection.execute(statement.encode()).fetchone()
        assert row is not None
        return row[0]


@contextmanager
def past_of(site: Site) -> Iterator[Past]:
    made = Past(site)
    try:
        yield made
    finally:
        made.close()
        administer(site.servers, f"DROP DATABASE IF EXISTS {made.restored} WITH (FORCE)")
